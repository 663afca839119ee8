"""What a run will take: seconds, memory, disk; told before it starts, without torch.

Past runs on the same base model and kind of device come first; without one, figures computed or
measured beforehand stand in, scaled by the size of the model. Either way it is an estimate, and
`source` says whose. B means bytes, GB 1e9 of them.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from engine.core.config import TrainConfig
from engine.core.durations import PHASE2_COST
from engine.core.errors import UserError
from engine.core.settings import build_config, flatten
from engine.files.space import HELD_BYTES, MARGIN
from engine.models.device_guess import Device
from engine.models.facts import FEW_STEPS_WARNING, base_facts, prefers_half
from engine.models.sizes import KNOWN, Sizes, base_sizes
from engine.runs.folder import RunDir
from engine.runs.library import list_runs
from engine.runs.manifest import read_manifest

MAX_RUNS = 5
"""How many past runs of a base are looked at, newest first."""
MAX_BYTES = 4 << 20
LORA_COST = 0.88
"""Of a phase-2 step in one that moves all weights (measured)."""
CHECKPOINTED_COST = 1.19
"""Of a step with gradient checkpointing in one without (measured)."""


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
# Launching the counted kernels takes so long on any card (6-9 us each), however fast it computes.
LAUNCHES = StepTimes((0.015, 0.023), (0.021, 0.032), (0.45, 0.70))
# Seconds of one CPU core for the lean step at SD 2.1-base size: the measured 63-80 and 85 s of the
# released script over the measured ratios 3.6 and 1.6. A prior picture: 83 TFLOPs at the same rate.
SD_CORE_SECONDS = StepTimes((18.0, 22.0), (50.0, 56.0), (900.0, 1100.0))
# A sample of phase 1 and of phase 2, two concepts, fp32, one core with AVX-512: .45 and .66 s a
# step of batch 8.
POCKET_CORE_SECONDS = (0.056, 0.083)

# Activations of a forward row of Stable Diffusion at 512 pixels in half precision, GB, and with
# gradient checkpointing, and of SDXL at 1024; they grow with the pixels (tests.bench.gpu_counts).
ROW_GB, CHECKPOINTED_ROW_GB = 1.2, 0.2
XL_ROW_GB, XL_CHECKPOINTED_ROW_GB = 7.7, 0.7
XL_TEXT_AND_UNET = 2e9
"""A model with more weights than this counts as one of SDXL's kind."""
CONTEXT_GB = 0.8
HOST_GB = 0.6, 1.5
"""Main memory of a host without tensors: measured on a CPU; allowed for on a GPU."""
LOW = 0.85
"""The low end of a figure from a formula."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What to expect; None where there is no figure."""

    seconds: tuple[float, float] | None
    """Both phases together, low and high."""
    prior_seconds: tuple[float, float] | None
    """Prior pictures, made once and then cached."""
    gigabytes: tuple[float, float] | None
    """Peak memory of the device."""
    main_memory: tuple[float, float] | None
    """GB beside it in main memory: what it must have, and what it takes where there is room; None
    where that is the device's memory."""
    disk: int | None
    """Bytes on disk while the run trains: two checkpoints, the concepts twice."""
    disk_after: int | None
    """Bytes that stay: the concepts, and checkpoints where they are kept."""
    source: str
    """Where the figures come from, in a few words."""
    warning: str = ""


def past_step_seconds(
    base: str, kind: str, runs: Iterable[RunDir] | None = None
) -> StepTimes | None:
    """Quartiles of the seconds that steps took in past runs of that base on that kind of device,
    each divided by what its run's settings made of the work: `estimate` multiplies by the plan's.

    A phase that no run has reached is taken from the other by the ratio of their FLOPs.
    Reads event files: call it off the event loop.
    """
    phases: dict[int, list[float]] = {1: [], 2: []}
    used = 0
    for run in list_runs() if runs is None else runs:
        if used == MAX_RUNS:
            break
        try:
            manifest = read_manifest(run)
            if manifest.base != base:
                continue
            work = _relative_work(base, build_config(flatten(manifest.settings)))
        except UserError:
            continue
        found = _read_steps(run, kind)
        used += bool(found)
        for phase, cost in enumerate(work, 1):
            phases[phase] += [seconds / cost for seconds in found.get(phase, ())]
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
    """Time, memory and disk of a run; `past` is what `past_step_seconds` found."""
    sizes = base_sizes(base)
    times, source = _known_times(base, config, device, sizes)
    prior = None
    if times is not None and config.needs_prior:
        share = config.loss.prior_images * config.loss.prior_steps / 50
        prior = times.prior[0] * share, times.prior[1] * share
    if past is not None:
        first, second = _relative_work(base, config)
        times = StepTimes(_times(past.phase1, first), _times(past.phase2, second), past.prior)
        source = "from your past runs"
    disk, after = _disk(config, sizes)
    return Estimate(
        seconds=_total(times, (config.phase1.steps, config.phase2.steps)) if times else None,
        prior_seconds=prior if prior and prior[1] >= 1 else None,
        gigabytes=_memory(base, config, device, sizes),
        main_memory=_main_memory(base, config, device, sizes),
        disk=disk,
        disk_after=after,
        source=source,
        warning=_warning(base, config, device),
    )


class Option(NamedTuple):
    """A way to train, with what it takes."""

    words: str
    """As for --set; empty: the settings as they are."""
    estimate: Estimate


def options(base: str, config: TrainConfig, device: Device, past: StepTimes | None) -> list[Option]:
    """The settings as they are, then what else phase 2 could train, and with less memory."""

    def asked(words: str, other: TrainConfig) -> Option:
        return Option(words, estimate(base, other, device, past))

    made = [asked("", config)]
    if config.phase2.steps:
        for train in ("all", "unet", "lora", "cross-attention", "none"):
            if train != config.phase2.train:
                other = replace(config, phase2=replace(config.phase2, train=train))
                made.append(asked(f"phase2.train={train}", other))
    if not config.gradient_checkpointing:
        less = replace(config, gradient_checkpointing=True)
        made.append(asked("gradient_checkpointing=true", less))
    if config.optimizer.kind == "adamw" and config.phase2.steps:
        less = replace(config, optimizer=replace(config.optimizer, kind="adamw8bit"))
        made.append(asked("optimizer.kind=adamw8bit", less))
    return made


def _total(times: StepTimes, steps: tuple[int, int]) -> tuple[float, float]:
    low = times.phase1[0] * steps[0] + times.phase2[0] * steps[1]
    high = times.phase1[1] * steps[0] + times.phase2[1] * steps[1]
    return low, high


def _work(config: TrainConfig) -> tuple[float, float]:
    """What the settings make of the work of a step of phase 1, and of phase 2."""
    batch = config.batch_size * config.gradient_accumulation
    both = batch * (CHECKPOINTED_COST if config.gradient_checkpointing else 1.0)
    # Without a prior picture beside the scene's a step of phase 2 has half the work.
    rows = 1 if config.needs_prior else 0.5
    return both, both * rows * (LORA_COST if config.phase2.train == "lora" else 1.0)


def _relative_work(base: str, config: TrainConfig) -> tuple[float, float]:
    """The same in steps with one sample of the base's own size, shared among the GPUs."""
    side, own = config.resolution, base_facts(base).shape.resolution
    share = ((side / own) ** 2 if side else 1.0) / config.gpus
    first, second = _work(config)
    return first * share, second * share


def _times(pair: tuple[float, float], factor: float) -> tuple[float, float]:
    return pair[0] * factor, pair[1] * factor


def _known_times(
    base: str, config: TrainConfig, device: Device, sizes: Sizes | None
) -> tuple[StepTimes | None, str]:
    work = _work(config)
    if base == "pocket":
        if device.kind != "cpu":
            return None, "no figure yet for pocket on this device; seconds to a minute"
        # A second core or matrix tiles save up to half; older cores take twice as long.
        first, second = (
            (figure * factor / 2, figure * factor * 2)
            for figure, factor in zip(POCKET_CORE_SECONDS, work, strict=True)
        )
        return StepTimes(first, second, (0.0, 0.0)), "rough: from one core of another machine"
    if sizes is None:
        return None, "no figure for this model; the first run will measure it"
    # A UNet's arithmetic grows with its weights and with the picture's area.
    side = config.resolution or base_facts(base).shape.resolution
    scale = sizes.unet / KNOWN["sd21"].unet * (side / 512) ** 2
    scaled = "" if base in ("sd15", "sd21") and side == 512 else ", scaled from SD 2.1 by size"
    if device.kind == "cpu":
        cores = float(device.name.split()[0]) if device.name[:1].isdigit() else 1.0
        times, floor, source = SD_CORE_SECONDS, None, "from CPU seconds measured at this size"
        scale /= cores
        if scaled:
            source = "from CPU seconds of SD 2.1"
    else:
        card = next((name for name in GPU_TIMES if name in device.name), None)
        if card is None:
            return None, f"no figure for {device.name}; an RTX 4090 takes about a minute for 400"
        times, floor = GPU_TIMES[card], LAUNCHES
        source = f"computed for an {card}, not measured here"
    factors = (*work, 1.0)
    low, high = (
        [
            max(time[end] * scale, floor[k][end] if floor else 0.0) * factors[k]
            for k, time in enumerate(times)
        ]
        for end in (0, 1)
    )
    first, second, prior = zip(low, high, strict=True)
    return StepTimes(first, second, prior), source + scaled


def _memory(
    base: str, config: TrainConfig, device: Device, sizes: Sizes | None
) -> tuple[float, float] | None:
    """Peak GB: weights, gradients, the optimiser's moments, activations, context.

    On accelerators every weight computes in half precision, and what is trained has an fp32 master
    beside it; elsewhere all are fp32, and what is fully tuned stands beside its base values, from
    which the change is told. The peak is that of the backward pass, where activations lie
    beside the moments, or of the update, where the gradients are wide.
    """
    if base == "pocket":
        return (1.0, 2.0)
    if sizes is None:
        return None
    half = device.kind != "cpu" and config.precision != "fp32"
    width = 2 if half else 4
    moved = sizes.moved(config) / 1e9
    adapter = config.phase2.train == "lora"
    weights = width * (sizes.all / 1e9 + (moved if adapter else 0.0))
    moments = config.optimizer.moment_bytes
    lasting = weights + ((4 if half else 0) + moments) * moved
    if device.kind == "cpu":
        lasting += 4 * _base_kept(config, sizes) / 1e9
    large = sizes.all > XL_TEXT_AND_UNET
    side = config.resolution or base_facts(base).shape.resolution
    plain, spared = (XL_ROW_GB, XL_CHECKPOINTED_ROW_GB) if large else (ROW_GB, CHECKPOINTED_ROW_GB)
    row = (spared if config.gradient_checkpointing else plain) * (
        side / (1024 if large else 512)
    ) ** 2
    rows = config.batch_size * (2 if config.needs_prior else 1)
    backward = lasting + width * moved + rows * row * (1 if half else 2)
    update = lasting + 4 * moved
    # What phase 2 moves is read in full precision, and then rounded where it lies.
    loading = 0.0 if prefers_half(config) else 4 * sizes.all / 1e9
    high = max(backward, update, loading) + 4 * sizes.vae / 1e9 + CONTEXT_GB
    return LOW * high, high


def _main_memory(
    base: str, config: TrainConfig, device: Device, sizes: Sizes | None
) -> tuple[float, float] | None:
    """GB on the machine of an accelerator: the base values of what is fully tuned, the parked
    autoencoder, and beside them the concepts or what a save holds; or the model as it is loaded."""
    if device.kind == "cpu" or base == "pocket" or sizes is None:
        return None
    loading = (2 if prefers_half(config) else 4) * sizes.all
    lasting = 4 * _base_kept(config, sizes) + 4 * sizes.vae
    moved = sizes.moved(config)
    needed = max(loading, lasting + 2 * moved)
    held = min(HELD_BYTES, (4 + config.optimizer.moment_bytes) * moved)
    return HOST_GB[0] + needed / 1e9, HOST_GB[1] + max(needed, lasting + held) / 1e9


def _base_kept(config: TrainConfig, sizes: Sizes) -> int:
    """Weights whose base values stay in main memory."""
    return 0 if config.phase2.train == "lora" else sizes.moved(config)


def _disk(config: TrainConfig, sizes: Sizes | None) -> tuple[int | None, int | None]:
    if sizes is None:
        return None, None
    moved = sizes.moved(config)
    # Weights and two moments; the change is kept in half precision.
    checkpoint, concepts = (4 + config.optimizer.moment_bytes) * moved, 2 * moved
    kept = config.checkpoint_keep * checkpoint if config.checkpoint_keep_after else 0
    return max(2, config.checkpoint_keep) * checkpoint + 2 * concepts + MARGIN, concepts + kept


def _warning(base: str, config: TrainConfig, device: Device) -> str:
    if base == "pocket":
        return ""
    if base_facts(base).few_steps:
        return FEW_STEPS_WARNING
    full = config.phase2.steps > 0 and config.phase2.train in ("all", "unet")
    if device.kind == "cuda" and "T4" in device.name and full:
        return "phase 2 over all weights does not fit a T4: set phase2.train=lora"
    return "hours on a CPU: pocket is made for this" if device.kind == "cpu" else ""


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
