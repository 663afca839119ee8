"""How busy the machine of a run is: processor, memory, GPU, temperatures, room on the disk.

Processor and memory come from psutil, a GPU from NVML where `nvidia-ml-py` is installed (extra
`gpu`), else what torch knows of its memory. What cannot be read is not-a-number or 0: no guess.
"""

from __future__ import annotations

import math
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from engine.files.space import free_bytes
from engine.runs.events import MachineLoad

SECONDS = 2.0
"""Between two readings."""
CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal", "soc_thermal")
"""Sensors of processors, as Linux calls them."""


class MachineWatch:
    """Reads the machine now and then; `read` is for one thread only."""

    def __init__(self, folder: Path, gpu: int = 0) -> None:
        """`gpu`: torch's number of the GPU that the run computes on, if on one."""
        self._folder = folder
        self._gpu = _Gpu(gpu)
        self._due: float | None = None
        """When the next reading is; None before the first."""
        self._broken = False

    def read(self) -> MachineLoad | None:
        """How busy the machine was since the last reading; None while that is too short ago."""
        now = time.monotonic()
        if self._broken or (self._due is not None and now < self._due):
            return None
        try:
            load = self._load()
        except Exception:  # Drivers and kernels raise what they like; a gauge ends no run.
            self._broken = True
            return None
        # The first one only says since when the processor is measured.
        first, self._due = self._due is None, now + SECONDS
        return None if first else load

    def _load(self) -> MachineLoad:
        memory = psutil.virtual_memory()
        try:
            free = free_bytes(self._folder)
        except OSError:
            free = 0
        return MachineLoad(
            cpu=psutil.cpu_percent() / 100,
            cpu_celsius=_processor_celsius(),
            memory_used=int(memory.total - memory.available),
            memory_total=int(memory.total),
            disk_free=free,
            **self._gpu.read(),
        )


def _processor_celsius() -> float:
    read = getattr(psutil, "sensors_temperatures", None)  # Linux only.
    if read is None:
        return math.nan
    try:
        sensors = read()
    except OSError:
        return math.nan
    values = [entry.current for chip in CHIPS for entry in sensors.get(chip, ())]
    return max((float(value) for value in values if value and value > 0), default=math.nan)


class _Gpu:
    """One of torch's GPUs; nothing before torch has one.

    It is named in every question: the current one of this thread is not that of the training.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._library: Any = None
        self._handle: Any = None
        self._looked = False

    def read(self) -> dict[str, Any]:
        """Fields of a `MachineLoad`; empty without a GPU."""
        torch = sys.modules.get("torch")
        # Asking an uninitialised torch would start CUDA in a process that may not want it.
        if torch is None or not hasattr(torch, "cuda") or not torch.cuda.is_initialized():
            return {}
        if not self._looked:
            self._looked = True
            with suppress(Exception):
                self._open(torch)
        found: dict[str, Any] = {}
        with suppress(Exception):
            free, total = torch.cuda.mem_get_info(self._number)
            found = {
                "gpu_name": str(torch.cuda.get_device_name(self._number)),
                "gpu_memory_used": int(total - free),
                "gpu_memory_total": int(total),
            }
        if self._handle is not None:
            with suppress(Exception):
                found["gpu"] = self._library.nvmlDeviceGetUtilizationRates(self._handle).gpu / 100
            with suppress(Exception):
                found["gpu_celsius"] = float(
                    self._library.nvmlDeviceGetTemperature(
                        self._handle, self._library.NVML_TEMPERATURE_GPU
                    )
                )
        return found

    def _open(self, torch: Any) -> None:
        # By its UUID: NVML counts all GPUs, torch those of CUDA_VISIBLE_DEVICES.
        # Of the extra `gpu`, so that it may be missing.
        pynvml: Any = import_module("pynvml")
        pynvml.nvmlInit()
        uuid = str(torch.cuda.get_device_properties(self._number).uuid)
        name = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
        self._handle = pynvml.nvmlDeviceGetHandleByUUID(name)
        self._library = pynvml
