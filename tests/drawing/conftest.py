"""The tiny scene, model and home of the engine's tests."""

from tests.engine_fixtures import bas_home, register, scene, toy_family, toy_folder

__all__ = ["bas_home", "register", "scene", "toy_family", "toy_folder"]
