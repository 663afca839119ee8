"""What a run will probably train on, guessed without torch."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Literal, NamedTuple

from engine.core.config import gpu_number
from engine.models.names import has_cuda_device

NVIDIA_FOLDER = Path("/proc/driver/nvidia/gpus")


class Device(NamedTuple):
    """A guess."""

    kind: Literal["cuda", "mps", "cpu"]
    name: str


def guess_device(wanted: str = "auto") -> Device:
    """The device that `device = "auto"` (or the named kind) will most likely mean here."""
    number, wanted = gpu_number(wanted), wanted.partition(":")[0]
    if wanted in ("auto", "cuda") and (name := _nvidia_name(number)):
        return Device("cuda", name)
    apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    if wanted in ("auto", "mps") and apple:
        return Device("mps", "Apple GPU")
    if wanted in ("cuda", "mps"):
        return Device(wanted, "none seen here")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Device("cpu", f"{cores or 1} cores")


def _nvidia_name(index: int) -> str:
    try:
        for folder in sorted(NVIDIA_FOLDER.iterdir())[index:]:
            for line in (folder / "information").read_text().splitlines():
                key, _, value = line.partition(":")
                if key.strip() == "Model" and value.strip():
                    return value.strip().removeprefix("NVIDIA ").removeprefix("GeForce ")
    except OSError:
        pass
    return "NVIDIA GPU" if has_cuda_device() else ""
