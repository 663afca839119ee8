"""`make bench-gpu`: what the first ten minutes on a card must measure, as tables.

True-size networks of random numbers: neither speed nor memory asks what a network has learned, and
nothing is downloaded. The runs are those of `engine.api.train`, with every event and file of a
user's run, so what is timed is what a user waits for. Steps are the median of those after the
first `WARM`; memory is PyTorch's peak, without the context (about 1 GB).
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from engine import api
from engine.core.settings import build_config
from engine.families.contract import Family
from engine.families.devices import choose_precision, half_type
from engine.families.loading import LoadedBase
from engine.files.space import say_bytes
from engine.runs.events import Event, PhaseStarted, PreviewSaved, Progress, RunEnded, StepDone
from engine.runs.folder import RunDir
from tests.bench.shapes import SD21, SMALL, build_family, build_xl

WARM = 5
PRIOR_PICTURES = 8
DRAWN = (1, 4)
SIDES = {"sd21": 512, "sdxl": 1024, "small": 64}
PARTS = {
    "sd21": ("lora", "cross-attention", "unet", "all"),
    "sdxl": ("lora",),
    "small": ("lora", "all"),
}
GIB = 2**30
MIB = 2**20


class Ceiling(NamedTuple):
    """What the card itself can do."""

    what: str
    value: float
    unit: str


class Measured(NamedTuple):
    """One run of a few steps a phase."""

    part: str
    steps: tuple[float, float]
    """Milliseconds of a step of each phase."""
    peaks: tuple[float, float]
    """GiB on the card, of each phase."""
    prior: float
    """Seconds of a prior picture."""
    previews: float
    """Seconds of the last step's previews."""
    save: float
    """Seconds of the last save, checkpoint and concepts, that training waits for."""
    saved: int
    """Bytes of it."""
    host: float
    """GiB of the process in main memory, the most so far."""


def build(base: str, device: torch.device) -> Family:
    """The networks, of random numbers; `small` is for trying the benchmark itself."""
    if base == "sdxl":
        return build_xl(device, tokens=False)
    return build_family(SD21 if base == "sd21" else SMALL, device, tokens=False)


def seconds_of(work: Callable[[], object], device: torch.device, rounds: int) -> float:
    """The median of `rounds`, after one to warm up."""
    took: list[float] = []
    for _ in range(rounds + 1):
        wait(device)
        start = time.perf_counter()
        work()
        wait(device)
        took.append(time.perf_counter() - start)
    return statistics.median(took[1:])


def wait(device: torch.device) -> None:
    """Until the card has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ceilings(device: torch.device, folder: Path, *, side: int, size: int) -> Iterator[Ceiling]:
    """Products of `side` x `side` matrices, copies of `size` bytes, launches, the disk."""
    kinds = (torch.float32, half_type("bf16"), half_type("fp16"))
    for kind in kinds:
        left = torch.randn(side, side, device=device, dtype=kind)
        took = seconds_of(lambda left=left: left @ left, device, 5)
        yield Ceiling(f"matrix product, {str(kind)[6:]}", 2 * side**3 / took / 1e12, "TFLOP/s")
    block = torch.empty(size, dtype=torch.uint8, device=device)
    there = torch.empty_like(block)
    took = seconds_of(lambda: there.copy_(block), device, 5)
    yield Ceiling("its memory, read and write", 2 * size / took / 1e9, "GB/s")
    number = torch.zeros(8, device=device)
    took = seconds_of(lambda: [number.add_(1) for _ in range(1000)], device, 5)
    yield Ceiling("a kernel's launch", took * 1e3, "us")
    if device.type == "cuda":
        host = torch.empty(size, dtype=torch.uint8)
        pinned = host.pin_memory()
        for name, ours in (("pageable", host), ("pinned", pinned)):
            up = seconds_of(lambda ours=ours: block.copy_(ours), device, 3)
            yield Ceiling(f"upload, {name}", size / up / 1e9, "GB/s")
            down = seconds_of(lambda ours=ours: ours.copy_(block), device, 3)
            yield Ceiling(f"download, {name}", size / down / 1e9, "GB/s")
    data = bytes(size)
    took = seconds_of(lambda: _write(folder / "block", data), device, 2)
    yield Ceiling("disk, written and forced", size / took / 1e9, "GB/s")


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def measure(
    family: Family, base: str, part: str, folder: Path, settings: dict[str, Any]
) -> Measured:
    """A run of a few steps; the family is changed in place."""
    device = family.device
    config = build_config({"phase2.train": part, "resolution": SIDES[base]}, settings)
    # Prior pictures are kept there; each run shall draw its own.
    os.environ["BAS_HOME"] = str(folder)
    run = RunDir(folder / "run")
    steps: dict[int, list[float]] = {1: [], 2: []}
    peaks: list[float] = []
    marks: dict[str, float] = {}
    phase = 0
    for event in api.train(family, api.demo_scene(), config, run=run):
        now = time.perf_counter()
        if isinstance(event, PhaseStarted):
            if phase:
                peaks.append(_peak(device))
            phase = event.phase
        elif isinstance(event, StepDone):
            steps[event.phase].append(event.seconds)
            marks["last step"] = now
        else:
            marks |= _mark(event, now)
    peaks.append(_peak(device))
    saved = sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file())
    return Measured(
        part=part,
        steps=(_typical(steps[1]), _typical(steps[2])),
        peaks=(peaks[0], peaks[-1]),
        prior=(marks.get("prior end", 0) - marks.get("prior 0", 0)) / config.loss.prior_images,
        previews=marks.get("previews", 0) - marks["last step"],
        save=marks["end"] - marks.get("previews", marks["last step"]),
        saved=saved,
        host=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB,
    )


def _mark(event: Event, now: float) -> dict[str, float]:
    if isinstance(event, Progress) and event.stage == "prior":
        return {"prior end" if event.done == event.total else f"prior {event.done}": now}
    if isinstance(event, PreviewSaved):
        return {"previews": now}
    return {"end": now} if isinstance(event, RunEnded) else {}


def _peak(device: torch.device) -> float:
    """GiB since the last call."""
    if device.type != "cuda":
        return 0.0
    peak = torch.cuda.max_memory_allocated(device) / GIB
    torch.cuda.reset_peak_memory_stats(device)
    return peak


def _typical(seconds: list[float]) -> float:
    return 1e3 * statistics.median(seconds[WARM:] or seconds)


def drawings(base: LoadedBase, side: int, steps: int) -> Iterator[tuple[int, float, float]]:
    """How many at once, seconds of all of them, peak GiB."""
    config = build_config({"sampling.steps": steps, "resolution": side})
    device = base.family.device
    for count in DRAWN:
        _peak(device)
        words = ["a photo at the beach"] * count
        start = time.perf_counter()
        pictures = list(api.draw(base, words, seeds=range(count), config=config))
        wait(device)
        assert len(pictures) == count
        yield count, time.perf_counter() - start, _peak(device)


def describe(device: torch.device) -> str:
    """The card and what drives it."""
    versions = f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}"
    if device.type != "cuda":
        return f"{device}: no card; the figures only show that the benchmark works. {versions}"
    card = torch.cuda.get_device_properties(device)
    return f"{card.name}, {card.total_memory / GIB:.0f} GiB, {versions}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", choices=tuple(SIDES), action="append")
    parser.add_argument("--part", action="append", help="what phase 2 trains")
    parser.add_argument("--steps", type=int, default=40, help="of each phase")
    parser.add_argument("--sampling-steps", type=int, default=50)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto")
    parser.add_argument("--checkpointing", action="store_true", help="recompute activations")
    chosen = parser.parse_args()
    device = api.choose_device(chosen.device)
    small = chosen.base == ["small"]
    settings = {
        "phase1.steps": chosen.steps,
        "phase2.steps": chosen.steps,
        "precision": chosen.precision,
        "gradient_checkpointing": chosen.checkpointing,
        "loss.prior_images": PRIOR_PICTURES,
        "loss.prior_steps": chosen.sampling_steps,
        "preview.steps": chosen.sampling_steps,
        "checkpoint_keep_after": True,
    }
    print(describe(device))
    print(f"precision {choose_precision(chosen.precision, device)}, batch 1\n")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        print("| the card itself | | |\n|---|---|---|")
        sizes = (256, MIB) if small else (8192, GIB)
        for what, value, unit in ceilings(device, folder, side=sizes[0], size=sizes[1]):
            print(f"| {what} | {value:.4g} | {unit} |", flush=True)
        for base in chosen.base or ("sd21", "sdxl"):
            _report(base, chosen.part or PARTS[base], device, folder, settings)


def _report(
    base: str, parts: tuple[str, ...], device: torch.device, folder: Path, settings: dict[str, Any]
) -> None:
    side = SIDES[base]
    print(f"\n{base}, {side} px\n")
    print(
        "| phase 2 trains | step of phase 1, ms | of phase 2, ms | peak of phase 1, GiB "
        "| of phase 2 | a prior picture, s | previews, s | last save, s "
        "| on disk | main memory, GiB |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for part in parts:
        family = build(base, device)
        try:
            m = measure(family, base, part, folder / f"{base}-{part}", settings)
        except torch.OutOfMemoryError:
            print(f"| {part} | out of memory |", flush=True)
        else:
            print(
                f"| {part} | {m.steps[0]:.1f} | {m.steps[1]:.1f} | {m.peaks[0]:.2f} | "
                f"{m.peaks[1]:.2f} | {m.prior:.2f} | {m.previews:.2f} | {m.save:.1f} | "
                f"{say_bytes(m.saved)} | {m.host:.1f} |",
                flush=True,
            )
        del family
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    loaded = LoadedBase(build(base, device), "", base, "", "")
    print(
        f"\n| pictures at once, {settings['preview.steps']} steps | s | peak, GiB |\n|---|---|---|"
    )
    for count, took, peak in drawings(loaded, side, settings["preview.steps"]):
        print(f"| {count} | {took:.2f} | {peak:.2f} |", flush=True)


if __name__ == "__main__":
    main()
