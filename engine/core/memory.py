"""Tells running out of memory from other failures, on every device, without torch."""

from __future__ import annotations

OUT_OF_MEMORY = (
    "out of memory",
    # torch's allocator on a CPU: "[enforce fail at alloc_cpu.cpp:..] ... can't allocate memory".
    "alloc_cpu",
    "can't allocate memory",
    "cannot allocate memory",
    "cublas_status_alloc_failed",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a failure means that the memory of the device or of the machine did not suffice."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in words for word in OUT_OF_MEMORY)
