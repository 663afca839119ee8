"""How long a run will take and how much memory it needs, before it starts.

Past runs on the same base model and kind of device come first; without one, figures computed or
measured beforehand stand in. Either way it is an estimate, and `source` says whose.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from bas_tui.machine.device_guess import Device
from bas_tui.run_state import PHASE2_COST
from engine.core.config import TrainConfig
from engine.core.errors import UserError
from engine.runs.folder import RunDir
from engine.runs.library import list_runs
from engine.runs.manifest import read_manifest

MAX_RUNS = 5
"""How many past runs of a base are looked at, newest first."""
MAX_BYTES = 4 << 20


class StepTimes(NamedTuple):
    """Seconds: low and high of a phase-1 step, of a phase-2 step, and of one prior picture."""

    phase1: tuple[float, float]
    phase2: tuple[float, float]
    prior: tuple[float, float]


# SD 2.1-base, 512 px, batch 1, bf16, three concepts: FLOPs at 35-45 % utilisation.
GPU_TIMES: dict[str, StepTimes] = {
    "H100": StepTimes((0.005, 0.006), (0.028, 0.032), (0.23, 0.30)),
    "RTX 4090": StepTimes((0.024, 0.031), (0.115, 0.134), (1.12, 1.44)),
    "T4": StepTimes((0.060, 0.077), (0.328, 0.378), (2.84, 3.65)),
}
# Seconds of one CPU core for the lean step at SD 2.1-base size: the measured 63-80 and 85 s of the
# released script over the measured ratios 3.6 and 1.6. A prior picture: 83 TFLOPs at the same rate.
SD_CORE_SECONDS = StepTimes((18.0, 22.0), (50.0, 56.0), (900.0, 1100.0))
# A sample of phase 1 and of phase 2, two concepts, fp32, one core with AVX-512: .45 and .66 s a
# step of batch 8.
POCKET_CORE_SECONDS = (0.056, 0.083)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What to expect; None where there is no figure."""

    seconds: tuple[float, float] | None
    """Both phases together, low and high."""
    prior_seconds: tuple[float, float] | None
    """Prior pictures, made once and then cached."""
    gigabytes: tuple[float, float] | None
    source: str
    """Where the figures come from, in a few words."""
    warning: str = ""


def past_step_seconds(
    base: str, kind: str, runs: Iterable[RunDir] | None = None
) -> StepTimes | None:
    """Quartiles of the seconds a step took in past runs of that base on that kind of device.

    A phase that no run has reached is taken from the other by the ratio of their FLOPs.
    Reads event files: call it off the event loop.
    """
    phases: dict[int, list[float]] = {1: [], 2: []}
    used = 0
    for run in list_runs() if runs is None else runs:
        if used == MAX_RUNS:
            break
        try:
            same = read_manifest(run).base == base
        except UserError:
            continue
        found = _read_steps(run, kind) if same else {}
        used += bool(found)
        for phase, seconds in found.items():
            phases.setdefault(phase, []).extend(seconds)
    if not phases[1] and not phases[2]:
        return None
    first, second = (_quartiles(phases[number]) for number in (1, 2))
    if first is None and second is not None:
        first = second[0] / PHASE2_COST, second[1] / PHASE2_COST
    if second is None and first is not None:
        second = first[0] * PHASE2_COST, first[1] * PHASE2_COST
    assert first is not None and second is not None
    return StepTimes(first, second, (0.0, 0.0))


def estimate(
    base: str, config: TrainConfig, device: Device, past: StepTimes | None = None
) -> Estimate:
    """Time and memory of a run; `past` is what `past_step_seconds` found."""
    memory, warning = _memory(base, config, device)
    steps = config.phase1.steps, config.phase2.steps
    if past is not None:
        return Estimate(
            seconds=_total(past, steps), prior_seconds=None, gigabytes=memory,
            source="from your past runs", warning=warning,
        )  # fmt: skip
    times, source = _known_times(base, config, device)
    prior = None
    if times is not None and config.loss.prior_weight > 0 and config.phase2.steps > 0:
        share = config.loss.prior_images * config.loss.prior_steps / 50
        prior = times.prior[0] * share, times.prior[1] * share
    return Estimate(
        seconds=None if times is None else _total(times, steps),
        prior_seconds=prior if prior and prior[1] >= 1 else None,
        gigabytes=memory,
        source=source,
        warning=warning,
    )


def _total(times: StepTimes, steps: tuple[int, int]) -> tuple[float, float]:
    low = times.phase1[0] * steps[0] + times.phase2[0] * steps[1]
    high = times.phase1[1] * steps[0] + times.phase2[1] * steps[1]
    return low, high


def _known_times(base: str, config: TrainConfig, device: Device) -> tuple[StepTimes | None, str]:
    batch = config.batch_size * config.gradient_accumulation
    if base == "pocket":
        if device.kind != "cpu":
            return None, "no figure yet for pocket on this device; seconds to a minute"
        # A second core or matrix tiles save up to half; older cores take twice as long.
        first, second = ((figure * batch / 2, figure * batch * 2) for figure in POCKET_CORE_SECONDS)
        return StepTimes(first, second, (0.0, 0.0)), "rough: from one core of another machine"
    if base not in ("sd15", "sd21"):
        return None, "no figure for this model; the first run will measure it"
    if device.kind == "cpu":
        cores = float(device.name.split()[0]) if device.name[:1].isdigit() else 1.0
        pairs = [(low * batch / cores, high * batch / cores) for low, high in SD_CORE_SECONDS]
        return StepTimes(*pairs), "from CPU seconds measured at this size"
    for name, times in GPU_TIMES.items():
        if name in device.name:
            first, second, prior = times
            first, second = ((low * batch, high * batch) for low, high in (first, second))
            return StepTimes(first, second, prior), f"computed for an {name}, not measured here"
    return None, f"no figure for {device.name}; an RTX 4090 takes about a minute for 400 + 400"


def _memory(
    base: str, config: TrainConfig, device: Device
) -> tuple[tuple[float, float] | None, str]:
    if base == "pocket":
        return (1.0, 2.0), ""
    if base not in ("sd15", "sd21"):
        return None, ""
    if config.phase2.steps == 0 or config.phase2.train == "none":
        return (3.0, 4.0), ""
    if config.phase2.train == "cross-attention":
        return (5.0, 7.0), ""
    low, high = (21.0, 26.0) if config.phase2.train == "all" else (16.0, 20.0)
    warning = ""
    if device.kind == "cuda" and "T4" in device.name:
        warning = "phase 2 over all weights does not fit a T4: set phase2.train=cross-attention"
    elif device.kind == "cpu":
        warning = "hours on a CPU: pocket is made for this"
    return (low, high), warning


def _read_steps(run: RunDir, kind: str) -> dict[int, list[float]]:
    """Seconds per phase, the first two steps of each (which warm up) left out."""
    found: dict[int, list[float]] = {}
    try:
        with run.events.open("rb") as file:
            lines = file.read(MAX_BYTES).split(b"\n")
    except OSError:
        return found
    for line in lines:
        is_step = b'"kind":"step"' in line
        if not is_step and b'"kind":"run_started"' not in line:
            continue
        try:
            record = json.loads(line)
            if is_step:
                found.setdefault(int(record["phase"]), []).append(float(record["seconds"]))
            elif not str(record["device"]).startswith(kind):
                return {}
        except (ValueError, KeyError, TypeError):
            continue
    return {phase: seconds[2:] for phase, seconds in found.items() if len(seconds) > 2}


def _quartiles(seconds: list[float]) -> tuple[float, float] | None:
    if len(seconds) < 2:
        return None
    low, _, high = statistics.quantiles(seconds, n=4)
    return low, high


def say_seconds(pair: tuple[float, float]) -> str:
    """`40-55 s`, `2-3 min`, `24 s to 3 min`: a range with its units."""
    (low, low_unit), (high, high_unit) = map(_in_unit, pair)
    if low_unit != high_unit:
        return f"{low} {low_unit} to {high} {high_unit}"
    return f"{low} {low_unit}" if low == high else f"{low}-{high} {low_unit}"


def _in_unit(seconds: float) -> tuple[str, str]:
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * size:
            value = seconds / size
            return (f"{value:.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")), unit
    return f"{seconds:.0f}", "s"
