"""Environment of processes that compute: what must be set before they start or import torch."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

_THREADS = {
    # Waiting OpenMP threads sleep: ones that spin for as long as they like cost a busy 2-core
    # machine over 1 s a step against 0.175 s (measured).
    "OMP_WAIT_POLICY": "PASSIVE",
    # But not at once: most waits end within microseconds, and waking a thread takes longer. So many
    # turns spare 27 % of a step's wall time on 2 free cores, and some CPU time; with both cores
    # taken by others they cost 20 to 50 %, four times as many up to 150 % (measured on pocket).
    # GNU's OpenMP only, which PyTorch brings on Linux.
    "GOMP_SPINCOUNT": "5000",
    "TOKENIZERS_PARALLELISM": "false",
}

TRAINING_ENVIRONMENT = {
    **_THREADS,
    # glibc gives large blocks back to the system at once, and every step asks for them again.
    # Keeping them spares a tenth of a CPU step, mostly page faults; other systems ignore the words.
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(8 * 2**30),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
}


def prepare_threads() -> None:
    """Set what this process lacks, before it imports torch: for one that was started by hand."""
    for name, value in _THREADS.items():
        os.environ.setdefault(name, value)


def engine_environment(threads: int = 0) -> dict[str, str]:
    """What a process of the engine needs on top of its parent's environment.

    Args:
        threads: threads of torch; 0 leaves it the choice.
    """
    limit = {"OMP_NUM_THREADS": str(threads)} if threads else {}
    return {
        **TRAINING_ENVIRONMENT,
        **home_environment(),
        **limit,
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": python_path(),
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
