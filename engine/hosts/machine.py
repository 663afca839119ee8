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

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._due = time.monotonic() + SECONDS
        self._nvml = _Nvml()
        # The first call measures from here on.
        psutil.cpu_percent()

    def read(self) -> MachineLoad | None:
        """How busy the machine was since the last reading; None while that is too short ago."""
        now = time.monotonic()
        if now < self._due:
            return None
        self._due = now + SECONDS
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
            **self._nvml.read(),
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


class _Nvml:
    """The GPU that torch computes on; nothing before torch has one."""

    def __init__(self) -> None:
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
            free, total = torch.cuda.mem_get_info()
            found = {
                "gpu_name": str(torch.cuda.get_device_name()),
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
        uuid = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
        name = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
        self._handle = pynvml.nvmlDeviceGetHandleByUUID(name)
        self._library = pynvml
