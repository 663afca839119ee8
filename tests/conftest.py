"""Fixtures that several folders of tests share."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path

import pytest

# Spinning threads make a busy two-core machine several times slower; torch reads this at import.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Nothing is garbage while tests are collected, and a quarter of their imports' time went there.
gc.disable()


def pytest_collection_finish() -> None:
    """Every run collects garbage at its end, and looking through torch and diffusers, which all
    tests share, costs more than a tiny model's steps."""
    gc.enable()
    gc.freeze()


@pytest.fixture(autouse=True)
def heard_signals() -> None:
    """nohup and background jobs ignore these, as does a host that a test ran in this process, and
    so would every process that the tests hang up."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers folder with a tiny random-weight pipeline (`tests.tiny`); read it only."""
    # Only the tests that ask for it pay for importing torch.
    from tests.tiny import build_tiny_pipeline

    return build_tiny_pipeline(tmp_path_factory.mktemp("tiny") / "pipeline")


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers folder with a tiny random-weight Stable Diffusion XL; read it only."""
    from tests.tiny import build_tiny_sdxl

    return build_tiny_sdxl(tmp_path_factory.mktemp("tiny_xl") / "pipeline")
