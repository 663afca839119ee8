"""Environment of the processes that train: what must be set before they start."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

TRAINING_ENVIRONMENT = {
    # Waiting OpenMP threads sleep: spinning ones cost a busy 2-core machine over 1 s a step against
    # 0.175 s (measured).
    "OMP_WAIT_POLICY": "PASSIVE",
    # glibc gives large blocks back to the system at once, and every step asks for them again.
    # Keeping them spares a tenth of a CPU step, mostly page faults; other systems ignore the words.
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(8 * 2**30),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
}


def home_environment() -> dict[str, str]:
    """`BAS_HOME` where it is set, absolute: a process may work in another folder."""
    home = os.environ.get("BAS_HOME")
    return {"BAS_HOME": os.path.abspath(Path(home).expanduser())} if home else {}


def python_path() -> str:
    """PYTHONPATH under which a child finds this very package, installed or not.

    A folder of installed packages is left out: named there it would hide the standard library's.
    """
    root = str(Path(__file__).parents[2])
    earlier = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    parts = [part for part in earlier if part and part != root]
    if root not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        parts.insert(0, root)
    return os.pathsep.join(parts)
