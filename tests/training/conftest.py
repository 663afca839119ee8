"""The tiny scene, model and home of the engine's tests."""

from tests.engine_fixtures import bas_home, fresh_family, scene

__all__ = ["bas_home", "fresh_family", "scene"]
