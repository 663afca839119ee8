"""Room on a disk and in memory: how much is free, and whether a failed write means a full disk."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
MARGIN = 64 * 2**20
"""Kept free beside what is written: logs, previews, the file system's own needs."""

HELD_BYTES = 4 * 2**30
"""Of a save, held in main memory at most. With the base weights of what moves (4.6 GB where every
weight of SD 2.1 does), the parked autoencoder (0.3 GB) and PyTorch on a GPU (some 1.5 GB), a run of
that size stays under 12 GB."""


def free_bytes(path: Path) -> int:
    """Free bytes of the disk that holds a path, which need not exist yet."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def is_full(error: BaseException | None) -> bool:
    """Whether a write failed because the disk, or the person's share of it, is full.

    Libraries wrap the system's error in their own; its cause and its words are looked at.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        if any(f"os error {number}" in str(error) for number in FULL):
            return True
        error = error.__cause__ or error.__context__
    return False


def say_bytes(count: float) -> str:
    """`13.9 GB`, `240 MB`, `3 kB`: decimal units, as disks are sold."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            value = count / size
            return f"{value:.1f} {unit}" if value < 100 else f"{value:.0f} {unit}"
    return f"{max(1, round(count / 1e3)) if count else 0} kB"


def give_memory_back() -> None:
    """Let the system have what this process has freed.

    GNU's C library keeps small pieces (up to 32 MB) that a thread took, also when it has ended; of
    the concepts of Stable Diffusion 2.1 they were 2 GB. Others give back by themselves.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def free_memory() -> int:
    """Bytes of main memory that may be taken without harm; 0 where that cannot be told.

    A container's own limit counts as well as the machine's memory.
    """
    limits = [_meminfo(), _cgroup()]
    known = [limit for limit in limits if limit is not None]
    return max(0, min(known, default=0))


def _meminfo() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        (line,) = (line for line in lines if line.startswith("MemAvailable:"))
        return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        return _free_pages()


def _free_pages() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    except (OSError, ValueError):
        return None


def _cgroup() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        limit = int((folder / "memory.max").read_text())
        # The cache of files counts as used there, though it is given back at need.
        facts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        used = int((folder / "memory.current").read_text()) - int(facts.get("inactive_file", 0))
        return limit - used
    except (OSError, ValueError):
        return None  # No such limit, or "max".
