"""One job of an evaluation, in a process of its own: train, draw, score, write the result.

The run folder is an ordinary one, trained by the ordinary host; whatever is finished there stays
finished, so a job that was killed goes on where it was.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from engine.core.errors import BasError, TrainingError
from engine.core.settings import build_config
from engine.drawing.sampler import draw
from engine.evaluate.job_plan import (
    EvaluationDir,
    Plan,
    ShotPlan,
    class_words,
    job_settings,
    plan_shots,
    read_plan,
)
from engine.evaluate.package_versions import versions
from engine.evaluate.scorers.base import SceneView, Shot
from engine.evaluate.scorers.registry import load_scorer
from engine.families.devices import (
    choose_device,
    choose_precision,
    free_memory_of_the_dead,
)
from engine.families.tokens import asset_token
from engine.files.atomic import write_atomic
from engine.hosts.train import run_host
from engine.jobs.job_process import STOPPED, end_with_parent, only_job
from engine.results.learned_model import load_learned
from engine.results.previews import save_picture
from engine.runs.description import describe
from engine.runs.folder import RunDir
from engine.runs.manifest import ConceptEntry, Manifest, read_manifest, write_manifest
from engine.runs.prompts import resolve_prompt
from engine.scenes.scene import Scene, open_saved_scene, save_scene, scene_hash
from engine.training.shared_prior import share_prior

RESULT = "result.json"
BATCH = 8
"""Pictures drawn at once."""


def run_job(folder: EvaluationDir, scene: str, method: str, *, keep_models: bool = False) -> int:
    """Do the job; its result lies in the run folder as RESULT. Returns the exit code."""
    plan = read_plan(folder)
    run = folder.run(scene, method)
    run.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with only_job(run.path / "job.lock"):
        if (run.path / RESULT).is_file():
            return 0
        started = time.monotonic()
        loaded_scene = open_saved_scene(folder.scenes / scene)
        if not run.manifest.is_file():
            _create_run(run, plan, scene, method, loaded_scene)
        if not _train(run):
            return STOPPED
        shots = plan_shots(plan, scene, class_words(loaded_scene), read_manifest(run).grammar.join)
        facts = _draw(run, shots)
        measures, sums = _score(plan, run, loaded_scene, shots)
        record = {
            "seconds": time.monotonic() - started,
            "facts": {**{f"version.{k}": v for k, v in versions().items()}, **facts, **sums},
            "pictures": [
                {**shot._asdict(), "path": str(_path(run, shot).relative_to(folder.path)),
                 "measures": found}
                for shot, found in zip(shots, measures, strict=True)
            ],
        }  # fmt: skip
        write_atomic(run.path / RESULT, json.dumps(record).encode())
        if not keep_models:
            # A whole model a job would fill any disk; the pictures are what the report needs.
            shutil.rmtree(run.checkpoints, ignore_errors=True)
            shutil.rmtree(run.concepts, ignore_errors=True)
    return 0


def prepare(folder: EvaluationDir) -> int:
    """Sample and encode the prior pictures that several jobs are going to share."""
    end_with_parent()
    plan = read_plan(folder)
    configs = [build_config(job_settings(plan, method)) for method in plan.methods]
    share_prior(plan.base, [config for config in configs if config.needs_prior])
    return 0


def _create_run(run: RunDir, plan: Plan, name: str, method: str, scene: Scene) -> None:
    save_scene(scene, run.scene)
    concepts = tuple(
        ConceptEntry(token=asset_token(index), name=concept, initializer="")
        for index, concept in enumerate(scene.names)
    )
    write_manifest(
        run,
        Manifest(
            name=run.name,
            created=time.time(),
            base=plan.base,
            scene_source=f"{plan.suite}/{name}",
            concepts=concepts,
            settings=job_settings(plan, method),
            method=method,
            scene_hash=scene_hash(scene),
            versions=versions(),
        ),
    )


def _train(run: RunDir) -> bool:
    """Train to the end; False when told to stop before. Raises TrainingError when it failed."""
    if describe(run).state == "finished":
        return True
    try:
        run_host(run.path)
    finally:
        # The host's handlers ask a training to stop; from here on a signal just ends the process.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        # The trained model; drawing loads one of its own.
        free_memory_of_the_dead()
    info = describe(run)
    if info.state == "failed":
        raise TrainingError(info.message, f"see {run.log} and {run.events}")
    return info.state == "finished"


def _draw(run: RunDir, shots: Sequence[ShotPlan]) -> dict[str, str]:
    """Draw the pictures that are missing; what they were drawn with.

    A batch is always the same shots, whatever was there before a restart: a picture's last bits
    depend on its batch.
    """
    manifest = read_manifest(run)
    config = build_config(manifest.settings)
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    facts = {"base_hash": manifest.base_hash, "device": str(device), "precision": precision}
    batches = [shots[first : first + BATCH] for first in range(0, len(shots), BATCH)]
    missing = [batch for batch in batches if not all(_path(run, shot).is_file() for shot in batch)]
    if missing:
        loaded = load_learned(run, device=device, report=lambda _event: None)
        with loaded.computing():
            for batch in missing:
                drawn = draw(
                    loaded.family,
                    [
                        resolve_prompt(shot.tokens, manifest.concepts, manifest.grammar)
                        for shot in batch
                    ],
                    seeds=[shot.seed for shot in batch],
                    steps=config.sampling.steps,
                    guidance=config.sampling.guidance,
                    resolution=config.resolution or None,
                    batch=len(batch),
                )
                for shot, picture in zip(batch, drawn, strict=True):
                    save_picture(Image.fromarray(picture), _path(run, shot))
    return facts


def _score(
    plan: Plan, run: RunDir, scene: Scene, shots: Sequence[ShotPlan]
) -> tuple[list[list[dict[str, Any]]], dict[str, str]]:
    """Measures of each picture, and the scorers' versions."""
    masks = np.stack([concept.mask for concept in scene.concepts])
    view = SceneView(image=scene.image, masks=masks, words=class_words(scene))
    asked = [
        Shot(picture=_read(_path(run, shot)), subset=shot.subset, prompt=shot.words,
             place=shot.place)
        for shot in shots
    ]  # fmt: skip
    found: list[list[dict[str, Any]]] = [[] for _ in shots]
    sums: dict[str, str] = {}
    device = choose_device("auto")
    for name in plan.scorers:
        scorer = load_scorer(name, plan.sources, device)
        sums[f"scorer.{name}"] = scorer.version
        for row, measures in zip(found, scorer.measure(view, asked), strict=True):
            row += [{"scorer": name, **measure._asdict()} for measure in measures]
    return found, sums


def _path(run: RunDir, shot: ShotPlan) -> Path:
    return run.pictures / f"{shot.number:04d}.png"


def _read(path: Path) -> np.ndarray:
    with Image.open(path, formats=("PNG",)) as opened:
        return np.asarray(opened.convert("RGB"))


def main(folder: Path, scene: str, method: str, keep_models: bool) -> int:
    """`python -m engine.evaluate job`; the last line on stderr says what went wrong."""
    end_with_parent()
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads:
        torch.set_num_threads(int(threads))
    try:
        return run_job(EvaluationDir(folder), scene, method, keep_models=keep_models)
    except BasError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
