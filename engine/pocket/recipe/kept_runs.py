"""Runs of scenes that are kept: drawing, editing and verdicts are measured on them.

A run that was stopped goes on from its last checkpoint; one that has ended is taken as it is.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from engine.core.settings import build_config, flatten
from engine.core.versions import versions
from engine.families.loading import load_family
from engine.models.facts import recipe_settings
from engine.runs.folder import RunDir
from engine.runs.manifest import ConceptEntry, Manifest, write_manifest
from engine.scenes.scene import Scene, open_saved_scene, save_scene, scene_hash
from engine.training.loop import train

DONE = "learned"
"""The file that says that a run has ended."""


def learned_run(
    folder: Path, scene: Scene, settings: Mapping[str, Any] | None = None, *, base: str = "pocket"
) -> RunDir:
    """The run in ``folder``, learned first where it is not there.

    The recipe is the base model's own, with ``settings`` (dotted) on top.
    """
    run = RunDir(folder)
    if (folder / DONE).exists():
        return run
    quiet = {"preview.every": 0, "preview.attention_every": 0, "checkpoint_every": 50}
    chosen = recipe_settings(base) | flatten(settings or {}) | quiet
    if not run.manifest.exists():
        save_scene(scene, run.scene)
        write_manifest(
            run,
            Manifest(
                name=run.name,
                created=time.time(),
                base=base,
                scene_source="",
                concepts=tuple(
                    ConceptEntry(token=f"<asset{index}>", name=concept.name, initializer="")
                    for index, concept in enumerate(scene.concepts)
                ),
                settings=chosen,
                scene_hash=scene_hash(scene),
                versions=versions(),
            ),
        )
    loaded = load_family(base, device=torch.device("cpu"), report=lambda _event: None)
    events = train(
        loaded.family,
        open_saved_scene(run.scene),
        build_config(chosen),
        run=run,
        base=base,
        base_hash=loaded.base_hash,
    )
    for _event in events:
        pass
    (folder / DONE).touch()
    return run
