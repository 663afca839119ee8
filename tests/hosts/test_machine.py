"""How busy the machine is: readings now and then, and what never ends a run."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from engine.hosts import machine
from engine.hosts.machine import MachineWatch


def test_the_named_gpu_is_read_after_a_first_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "SECONDS", 0.0)
    asked: list[int] = []

    def memory(number: int) -> tuple[int, int]:
        asked.append(number)
        return 6, 16

    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        mem_get_info=memory,
        get_device_name=lambda number: f"G{number}",
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    watch = MachineWatch(tmp_path, gpu=1)
    assert watch.read() is None, "the first only says since when the processor is measured"
    load = watch.read()
    assert load is not None and load.memory_total > load.memory_used > 0 and load.disk_free > 0
    assert (load.gpu_name, load.gpu_memory_used, load.gpu_memory_total) == ("G1", 10, 16)
    assert set(asked) == {1}


def test_a_gauge_that_breaks_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed() -> None:
        raise PermissionError("/proc/meminfo")

    monkeypatch.setattr(psutil, "virtual_memory", closed)
    watch = MachineWatch(tmp_path)
    assert watch.read() is None
    monkeypatch.undo()
    assert watch.read() is None
