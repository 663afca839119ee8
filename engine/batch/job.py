"""What a batch's processes do: train one run, or make what several runs share."""

from __future__ import annotations

import time
from collections import defaultdict

from engine.batch.folder import BatchDir, read_batch
from engine.batch.runner import state_of
from engine.core.config import TrainConfig
from engine.core.lean_imports import lean_imports
from engine.core.settings import build_config, flatten
from engine.hosts.train import run_host
from engine.jobs.job_process import STOPPED, end_with_parent, only_job
from engine.runs.folder import RunDir
from engine.runs.liveness import host_pid
from engine.runs.manifest import read_manifest

WAIT_SECONDS = 1.0


def train(run: RunDir) -> int:
    """Train a run to its end as its host, unless it has one already: then wait for that."""
    end_with_parent()
    with only_job(run.path / "job.lock"):
        while host_pid(run) is not None:
            time.sleep(WAIT_SECONDS)
        if state_of(run) == "finished":
            return 0
        code = run_host(run.path)
    return STOPPED if state_of(run) == "stopped" else code


def prepare(folder: BatchDir) -> int:
    """Make the prior pictures that several unfinished runs share."""
    end_with_parent()
    wanted: dict[tuple[str, str], list[TrainConfig]] = defaultdict(list)
    for scene in read_batch(folder).scenes:
        if state_of(scene.run) == "finished":
            continue
        manifest = read_manifest(scene.run)
        config = build_config(flatten(manifest.settings))
        if config.needs_prior:
            wanted[manifest.base, repr(config.base)].append(config)
    shared = [(base, configs) for (base, _), configs in wanted.items() if len(configs) > 1]
    if shared:
        # Where nothing is shared no model libraries are loaded.
        with lean_imports():
            from engine.training.shared_prior import share_prior
        for base, configs in shared:
            share_prior(base, configs)
    return 0
