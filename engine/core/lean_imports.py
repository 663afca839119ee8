"""Imports of torch, diffusers and transformers at half the price, for processes of the engine."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

UNUSED = ("bitsandbytes", "peft")
"""Packages that diffusers loads where it finds them, for features of its own that the engine does
not use; they load torch's compiler and more. The 8-bit optimizer imports its package later."""


@contextmanager
def lean_imports() -> Iterator[None]:
    """Import in the block what a process of the engine computes with.

    diffusers does not see the packages UNUSED, then or later, so this is for a process's own start
    and never for a library. No garbage is collected in the block, and what it loaded is not looked
    through by later collections: modules live as long as their process.
    """
    hidden = [name for name in UNUSED if name not in sys.modules]
    collecting = gc.isenabled()
    gc.disable()
    # Python's own way to say that there is no such package.
    sys.modules.update(dict.fromkeys(hidden))  # pyright: ignore[reportArgumentType, reportCallIssue]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
        gc.freeze()
        if collecting:
            gc.enable()
