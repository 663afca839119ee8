"""Environment of the processes that train: what must be set before they start."""

from __future__ import annotations

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
