"""A small disk to fill."""

from tests.full_disk import small_disk

__all__ = ["small_disk"]
