"""One line for the machine of a run: how busy it is and was, how warm, what room is left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from bas_tui.run_state import RunState
from bas_tui.tui.drawing.cells import Cells
from bas_tui.tui.train.pane import Pane
from engine.runs.events import MachineLoad

BARS, ASCII_BARS = " ▁▂▃▄▅▆▇█", " .:-=+*#%"
LONGEST, SHORTEST = 24, 4
"""Readings of a history, one a column; below the shortest it says nothing."""
HOT, FULL, LITTLE = 88.0, 0.93, 2e9
"""Degrees, share of a memory, and bytes of a disk from which on a number is a warning."""


class Gauge(NamedTuple):
    """One quantity: a name, words, and its history as shares 0..1."""

    name: str
    text: str
    history: Sequence[float] = ()
    warns: bool = False


class MachineLine(Pane):
    """Shown while a host tells how busy its machine is."""

    def __init__(self) -> None:
        super().__init__("", id="machine")
        self.remove_class("pane")
        self.can_focus = False

    def show(self, state: RunState, at: int | None) -> None:
        """Show the reading of now, or of the step `at`; hidden where there is none."""
        self.set_class(bool(len(state.machine)) and not state.over, "-shown")
        super().show(state, at)

    def paint_pane(self) -> None:
        """Paint as much history as there is room for."""
        columns = self.size.width
        cells = Cells.blank(1, columns)
        readings = self.state.machine[-LONGEST:]
        if self.at is not None:
            row = self.state.row_at(self.at)
            moment = row.time if row is not None else 0.0
            readings = [one for one in self.state.machine if one.time <= moment][-LONGEST:]
            if not readings:
                cells.write(0, 1, "no reading of the machine is kept from then", self.ink("faint"))
        if readings:
            self._write(cells, gauges(readings), columns)
        self.paint(cells)

    def _write(self, cells: Cells, shown: Sequence[Gauge], columns: int) -> None:
        texts = sum(len(one.name) + len(one.text) + 4 for one in shown)
        drawn = [one for one in shown if one.history]
        length = min(LONGEST, (columns - texts) // max(1, len(drawn)) - 1)
        bars = ASCII_BARS if self.terminal.ascii else BARS
        column = 1
        for one in shown:
            cells.write(0, column, one.name, self.ink("faint"))
            column += len(one.name) + 1
            cells.write(0, column, one.text, self.ink("warning" if one.warns else "foreground"))
            column += len(one.text) + 1
            if one.history and length >= SHORTEST:
                part = one.history[-length:]
                line = "".join(bars[_level(share, len(bars))] for share in part)
                cells.write(0, column, line.rjust(length), self.ink("secondary"))
                column += length + 1
            column += 1


def gauges(readings: Sequence[MachineLoad]) -> list[Gauge]:
    """What the newest reading says, with the earlier ones as history."""
    now = readings[-1]
    found: list[Gauge] = []
    if now.gpu_memory_total:
        share = now.gpu_memory_used / now.gpu_memory_total
        busy = f"{now.gpu:.0%} " if math.isfinite(now.gpu) else ""
        memory = f"{_giga(now.gpu_memory_used)}/{_giga(now.gpu_memory_total)} GB"
        history = [
            one.gpu if math.isfinite(one.gpu) else one.gpu_memory_used / one.gpu_memory_total
            for one in readings
            if one.gpu_memory_total
        ]
        hot = now.gpu_celsius >= HOT
        text = f"{busy}{memory}{_degrees(now.gpu_celsius)}"
        found.append(Gauge("GPU", text, history, warns=hot or share > FULL))
    hot = now.cpu_celsius >= HOT
    text = f"{now.cpu:.0%}{_degrees(now.cpu_celsius)}"
    found.append(Gauge("CPU", text, [one.cpu for one in readings], warns=hot))
    if now.memory_total:
        share = now.memory_used / now.memory_total
        text = f"{_giga(now.memory_used)}/{_giga(now.memory_total)} GB"
        history = [one.memory_used / now.memory_total for one in readings]
        found.append(Gauge("RAM", text, history, warns=share > FULL))
    if now.disk_free:
        text = f"{_giga(now.disk_free)} GB left"
        found.append(Gauge("disk", text, warns=now.disk_free < LITTLE))
    return found


def _giga(size: float) -> str:
    value = size / 1e9
    return f"{value:.0f}" if value >= 99.5 else f"{value:.1f}"


def _degrees(celsius: float) -> str:
    return f" {celsius:.0f}°C" if math.isfinite(celsius) else ""


def _level(share: float, levels: int) -> int:
    """An idle gauge still shows its base line."""
    return max(1, min(levels - 1, round(share * (levels - 1)))) if math.isfinite(share) else 0
