"""Run folders as a host would have written them, for tests, screenshots and the latency gate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.runs.events import (
    AttentionMaps,
    CheckpointSaved,
    ConceptInfo,
    Event,
    Notice,
    PhasePlan,
    PhaseStarted,
    PreviewSaved,
    RunEnded,
    RunStarted,
    StepDone,
    TokenMap,
    pack_map,
    to_line,
)
from engine.runs.folder import RunDir, runs_dir
from engine.runs.manifest import ConceptEntry, Manifest, write_manifest

GRID = 16
SIDE = 64
START = 1_790_000_000.0
"""Seconds since the epoch of a run's start: fixed, so that screens are reproducible."""
STEP_SECONDS = 0.19
NAMES = ("teapot", "penguin", "cactus", "rocket", "guitar", "pineapple")
CENTRES = ((0.32, 0.55), (0.7, 0.5), (0.5, 0.2), (0.2, 0.2), (0.8, 0.2), (0.5, 0.85))
COLORS = (
    (196, 92, 60), (48, 60, 92), (70, 150, 80),
    (190, 190, 200), (150, 100, 60), (220, 190, 60),
)  # fmt: skip

Outcome = Literal["finished", "stopped", "failed"]


def disc(index: int, side: int) -> NDArray[np.float64]:
    """Concept `index` as a soft disc, 0..1: (side, side)."""
    x, y = CENTRES[index]
    rows, columns = np.mgrid[0:side, 0:side] / side
    distance = np.hypot(columns - x, (rows - y) * 0.8)
    return np.clip((0.2 - distance) * side / 2, 0, 1)


def scene_picture(
    concepts: int, side: int = SIDE, only: Sequence[int] | None = None
) -> NDArray[np.uint8]:
    """A picture with the discs (or `only` some) on a wall over a floor: (side, side, 3)."""
    rows = np.linspace(0, 1, side)[:, None, None]
    picture = np.where(rows < 0.6, np.array([168, 186, 200]), np.array([150, 120, 90])) * np.ones(
        (side, side, 1)
    )
    for index in range(concepts) if only is None else only:
        alpha = disc(index, side)[..., None]
        picture = picture * (1 - alpha) + np.array(COLORS[index]) * alpha
    return picture.astype(np.uint8)


def events_of(
    name: str = "teapot-penguin",
    *,
    steps: tuple[int, int] = (400, 400),
    until: int | None = None,
    outcome: Outcome | None = "finished",
    concepts: int = 2,
    preview_every: int = 100,
    attention_every: int = 5,
    nan_at: int | None = None,
    leaky: bool = False,
    message: str = "",
    remedy: str = "",
) -> Iterator[Event]:
    """The events of a run; `until` is its last step, `outcome` None leaves it without an end."""
    rng = np.random.default_rng(7)
    total = sum(steps)
    until = total if until is None else until
    clock, seq = START, -1

    def stamp(event: Event, seconds: float = 0.0) -> Event:
        nonlocal clock, seq
        clock, seq = clock + seconds, seq + 1
        return replace(event, seq=seq, time=clock)

    masks = [(disc(index, GRID) > 0.5).astype(np.float64) for index in range(concepts)]
    plans = (
        PhasePlan(number=1, first=1, last=steps[0], learning_rate=5e-4),
        PhasePlan(number=2, first=steps[0] + 1, last=total, learning_rate=2e-6),
    )
    infos = tuple(
        ConceptInfo(
            token=f"<asset{index}>",
            name=NAMES[index],
            initializer=NAMES[index],
            mask=pack_map((mask * 255).astype(np.uint8).tobytes()),
        )
        for index, mask in enumerate(masks)
    )
    yield stamp(
        RunStarted(
            run=name, base="pocket", device="cpu", precision="fp32", step=0, total_steps=total,
            phases=plans, concepts=infos, grid=GRID, resolution=SIDE,
        )
    )  # fmt: skip
    yield stamp(Notice(level="info", message="2 CPU threads, fp32"), 0.4)
    for step in range(1, until + 1):
        phase = 1 if step <= steps[0] else 2
        if step == plans[phase - 1].first:
            parameters = 2 * 256 if phase == 1 else 4_213_000
            yield stamp(PhaseStarted(phase=phase, step=step, trained_parameters=parameters))
        level = 0.05 + 0.25 * math.exp(-step / (0.12 * total))
        masked = level * float(rng.lognormal(0, 0.7))
        attention = 0.02 + 0.22 * math.exp(-step / (0.2 * total)) + 0.01 * float(rng.random())
        prior = 0.08 * float(rng.lognormal(0, 0.4)) if phase == 2 else 0.0
        broken = nan_at is not None and step >= nan_at
        yield stamp(
            StepDone(
                step=step, phase=phase,
                loss=math.nan if broken else masked + 0.01 * attention + prior,
                masked=math.nan if broken else masked, attention=attention, prior=prior,
                grad_norm=1.0, seconds=STEP_SECONDS * (1 if phase == 1 else 2.2),
                concepts=tuple(range(concepts)),
            ),
            STEP_SECONDS,
        )  # fmt: skip
        if attention_every and step % attention_every == 0:
            learned = 1 - math.exp(-step / (0.25 * total))
            maps = _maps(masks, learned, leaky, rng)
            yield stamp(AttentionMaps(step=step, grid=GRID, maps=maps))
        if preview_every and step % preview_every == 0:
            path = f"previews/{step:06d}.png"
            tokens = [info.token for info in infos]
            texts = tokens + ([" and ".join(tokens)] if len(tokens) > 1 else [])
            prompt = " | ".join(f"a photo of {text}" for text in texts)
            yield stamp(PreviewSaved(step=step, path=path, prompt=prompt, seed=0), 1.0)
        if step % 100 == 0:
            yield stamp(CheckpointSaved(step=step, path=f"checkpoints/step-{step:06d}"), 0.3)
    if outcome is not None:
        yield stamp(RunEnded(step=until, outcome=outcome, message=message, remedy=remedy), 0.1)


def _maps(
    masks: list[NDArray[np.float64]], learned: float, leaky: bool, rng: np.random.Generator
) -> tuple[TokenMap, ...]:
    maps: list[TokenMap] = []
    for index, mask in enumerate(masks):
        target = disc(index, GRID)
        if leaky and index == 0:
            target = 0.3 * target + 0.9 * disc(1, GRID)
        values = (
            (1 - learned) * 0.6
            + learned * target
            + 0.06 * (1.2 - learned) * rng.random((GRID, GRID))
        )
        values = np.clip(values - values.min() * learned, 0, None)
        bright = values > values.max() / 2
        union = np.logical_or(bright, mask > 0).sum()
        maps.append(
            TokenMap(
                token=f"<asset{index}>",
                map=pack_map((values / values.max() * 255).astype(np.uint8).tobytes()),
                iou=float(np.logical_and(bright, mask > 0).sum() / max(1, union)),
                leak=float((values * (1 - mask)).sum() / values.sum()),
            )
        )
    return tuple(maps)


def make_run(
    name: str = "teapot-penguin",
    *,
    concepts: int = 2,
    created: float = START,
    base: str = "pocket",
    write_events: bool = True,
    **options: object,
) -> RunDir:
    """A run folder under `$BAS_HOME` with scene, previews and events; the host is gone."""
    run = RunDir(runs_dir() / name)
    run.scene.joinpath("masks").mkdir(parents=True, exist_ok=True)
    run.previews.mkdir(exist_ok=True)
    Image.fromarray(scene_picture(concepts)).save(run.scene / "image.png")
    for index in range(concepts):
        mask = (disc(index, SIDE) > 0.5).astype(np.uint8) * 255
        Image.fromarray(mask).save(run.scene / "masks" / f"{NAMES[index]}.png")
    steps = options.get("steps", (400, 400))
    assert isinstance(steps, tuple)
    write_manifest(
        run,
        Manifest(
            name=name,
            created=created,
            base=base,
            scene_source="scene.png",
            concepts=tuple(
                ConceptEntry(token=f"<asset{index}>", name=NAMES[index], initializer=NAMES[index])
                for index in range(concepts)
            ),
            settings={"phase1.steps": steps[0], "phase2.steps": steps[1]},
        ),
    )
    events = list(events_of(name, concepts=concepts, **options))  # type: ignore[arg-type]
    for event in events:
        if isinstance(event, PreviewSaved):
            _preview(event.step, concepts, sum(steps), run.path / event.path)
    if write_events:
        run.events.write_text("".join(f"{to_line(event)}\n" for event in events))
    return run


def _preview(step: int, concepts: int, total: int, path: Path) -> None:
    rng = np.random.default_rng(step)
    learned = step / total
    shown = [[index] for index in range(concepts)]
    shown += [list(range(concepts))] if concepts > 1 else []
    clean = np.concatenate([scene_picture(concepts, only=some) for some in shown], axis=1).astype(
        np.float64
    )
    shape = (clean.shape[0] // 4, clean.shape[1] // 4, 3)
    noise = rng.normal(128, 50, shape).repeat(4, 0).repeat(4, 1)
    mixed = learned * clean + (1 - learned) * (0.5 * clean + 0.5 * noise)
    Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8)).save(path)
