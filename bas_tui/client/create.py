"""Creates a run folder in one piece: everything is checked first, then one rename shows it."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bas_tui.client.bases import resolve_base
from engine.core.config import TrainConfig
from engine.core.errors import UserError
from engine.core.extras import need
from engine.core.settings import build_config, flatten, to_table
from engine.core.versions import versions
from engine.models.facts import check_grid
from engine.runs.description import describe
from engine.runs.folder import RunDir, home
from engine.runs.library import drop_checkpoints, new_run_dir
from engine.runs.manifest import ConceptEntry, Manifest, read_manifest, write_manifest

if TYPE_CHECKING:
    from engine.scenes.scene import Scene


def create_run(
    scene: Scene,
    *,
    base: str,
    name: str | None = None,
    stem: str | None = None,
    settings: Mapping[str, Any] | None = None,
    scene_source: str = "",
    initializers: Mapping[str, str] | None = None,
    method: str = "break-a-scene",
) -> RunDir:
    """A new run folder, ready for `start_host`.

    Where there is no `name`, `stem` (else the scene's file name) begins one. `settings` are dotted
    (`{"phase1.steps": 20}`), `initializers` words by concept name. Raises UserError before
    anything is written when a setting, the base, the name or a word is wrong.
    """
    from engine.scenes.scene import save_scene, scene_hash

    chosen = changed_settings(settings or {})
    words = dict(initializers or {})
    names = [concept.name for concept in scene.concepts]
    for word in words:
        if word not in names:
            raise UserError(
                f"--init {word!r} names no concept of this scene", f"it has {', '.join(names)}"
            )
    config = build_config(settings or {})
    recorded = resolve_base(base, own_vae=bool(config.base.vae))
    check_grid(recorded, config)
    if config.optimizer.kind == "adamw8bit":
        need("bitsandbytes", "8bit", "optimizer.kind=adamw8bit")
    run = new_run_dir(name, stem or Path(scene_source).stem)
    manifest = Manifest(
        name=run.name,
        created=time.time(),
        base=recorded,
        scene_source=scene_source,
        concepts=tuple(
            ConceptEntry(token=f"<asset{k}>", name=concept, initializer=words.get(concept, ""))
            for k, concept in enumerate(names)
        ),
        settings=chosen,
        method=method,
        scene_hash=scene_hash(scene),
        versions=versions(),
    )
    home().mkdir(parents=True, exist_ok=True)
    temporary = RunDir(Path(tempfile.mkdtemp(dir=home(), prefix=".new-")))
    try:
        save_scene(scene, temporary.scene)
        write_manifest(temporary, manifest)
        # It stays private, as mkdtemp made it: photos and prompts are nobody else's business.
        run.path.parent.mkdir(parents=True, exist_ok=True)
        temporary.path.rename(run.path)
    except OSError as error:
        raise UserError(
            f"cannot write the run folder {run.path}: {error.strerror}",
            "free the name or the disk, or set BAS_HOME to another folder",
        ) from error
    finally:
        shutil.rmtree(temporary.path, ignore_errors=True)
    return run


def changed_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that differ from the defaults, dotted and typed; raises UserError."""
    config = flatten(to_table(build_config(settings)))
    defaults = flatten(dataclasses.asdict(TrainConfig()))
    if config["base.vae"]:
        # A run goes on from wherever `bas` is started.
        config["base.vae"] = os.path.abspath(Path(config["base.vae"]).expanduser())
    return {key: value for key, value in config.items() if value != defaults[key]}


def change_settings(run: RunDir, words: Mapping[str, Any]) -> None:
    """Change dotted settings of a run that has no host; raises UserError and changes nothing."""
    if not words:
        return
    manifest = read_manifest(run)
    config = build_config(flatten(manifest.settings), words)
    done = describe(run).step
    if config.total_steps <= done:
        raise UserError(
            f"{run.name} has made {done} steps already", "ask for more than that in both phases"
        )
    settings = changed_settings({**flatten(manifest.settings), **words})
    write_manifest(run, dataclasses.replace(manifest, settings=settings))


def tidy(run: RunDir) -> None:
    """Remove what a finished run needs no more; its host may have been killed before it could."""
    config = build_config(flatten(read_manifest(run).settings))
    drop_checkpoints(run, keep=config.checkpoint_keep_after)
