"""A disk of a few megabytes, to be filled: a tmpfs where this user may mount one."""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class SmallDisk:
    """A mounted disk and its size in bytes."""

    path: Path
    size: int

    def fill(self, leave: int = 0) -> Path:
        """Take all but `leave` bytes; deleting the file gives them back."""
        ballast = self.path / "ballast"
        with ballast.open("wb", buffering=0) as file:
            # Others may write meanwhile: until the disk says so itself.
            try:
                while (free := self.free()) > leave:
                    file.write(bytes(min(free - leave, 2**20)))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        return ballast

    def free(self) -> int:
        """Bytes that are free."""
        return shutil.disk_usage(self.path).free


def mount(path: Path, size: int) -> SmallDisk:
    """Mount a disk of `size` bytes at a folder; skips the test where that is not allowed."""
    path.mkdir(parents=True, exist_ok=True)
    result = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True
    )
    if result.returncode:
        pytest.skip("this user cannot mount a small disk to fill")
    return SmallDisk(path, size)


def unmount(disk: SmallDisk) -> None:
    """Give it back, even while something on it is open."""
    subprocess.run(["umount", "-l", str(disk.path)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk of 1 MB."""
    disk = mount(tmp_path / "disk", 2**20)
    yield disk
    unmount(disk)
