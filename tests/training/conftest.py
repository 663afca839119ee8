"""The tiny scene, model and home of the engine's tests."""

from tests.engine_fixtures import bas_home, fresh_family, scene
from tests.full_disk import small_disk

__all__ = ["bas_home", "fresh_family", "scene", "small_disk"]
