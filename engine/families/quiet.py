"""Keeps what the libraries say off stderr, and cuts their errors to one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """No bars and only errors of diffusers and transformers; restored at the end."""
    libraries = (diffusers_logging, transformers_logging)
    before = [(log.get_verbosity(), log.is_progress_bar_enabled()) for log in libraries]
    for log in libraries:
        log.set_verbosity_error()
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log, (verbosity, bar) in zip(libraries, before, strict=True):
            log.set_verbosity(verbosity)
            if bar:
                log.enable_progress_bar()


def first_line(error: Exception, width: int = 120) -> str:
    """The first line of a library's error, for the brackets of our own."""
    lines = str(error).strip().splitlines()
    return " ".join(lines[0].split())[:width] if lines else type(error).__name__
