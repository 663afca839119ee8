"""sha256 sums of weight files; a sum is computed once per file, path, size and time of change."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine.files.atomic import write_atomic
from engine.runs.folder import cache_dir

BLOCK = 1 << 22
OnBytes = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""


def weights_sha256(files: Sequence[Path], on_bytes: OnBytes | None = None) -> str:
    """Hex sha256 over the files' bytes in the given order: for one file its own sha256.

    Looked up in `hashes.json` of the cache folder first; a changed file is summed anew.
    """
    stats = [(str(path.resolve()), path.stat()) for path in files]
    key = "\n".join(f"{path}\t{stat.st_size}\t{stat.st_mtime_ns}" for path, stat in stats)
    known = _read_cache()
    if key in known:
        return known[key]
    total = sum(stat.st_size for _, stat in stats)
    digest, done = hashlib.sha256(), 0
    for path in files:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
                done += len(block)
                if on_bytes is not None:
                    on_bytes(done, total)
    sum_ = digest.hexdigest()
    # A read-only or full home costs only the time of the next sum.
    with contextlib.suppress(OSError):
        write_atomic(_cache_file(), json.dumps(_read_cache() | {key: sum_}, indent=1).encode())
    return sum_


def _cache_file() -> Path:
    return cache_dir() / "hashes.json"


def _read_cache() -> dict[str, str]:
    try:
        table: Any = json.loads(_cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return table if isinstance(table, dict) else {}
