"""Makes a finished run of a concept pack, or of a pipeline folder with learned tokens."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.core.errors import UserError
from engine.core.settings import build_config, setting_keys
from engine.core.versions import versions
from engine.models.names import check_base
from engine.models.resolve import Report
from engine.results.exports.imported import Imported
from engine.results.exports.pack import ENDING
from engine.results.exports.pack_import import look_at, open_pack
from engine.runs.event_log import EventLog
from engine.runs.events import Event, Notice, PreviewSaved, RunEnded
from engine.runs.exchange_events import ImportEnded
from engine.runs.folder import RunDir, home
from engine.runs.library import new_run_dir
from engine.runs.manifest import Manifest, write_manifest


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """What to open."""

    source: Path
    """A `.bas.safetensors` pack, or a diffusers folder whose tokenizer has learned tokens."""
    name: str = ""
    """Of the run; empty: after the source."""
    base: str = ""
    """Base model; empty: the pack's own, or none: a folder is then drawn from as it is."""
    concepts: tuple[str, ...] = ()
    """Names for the things, in their order; empty: their own."""
    partly: bool = False
    """Take what fits where not everything does."""
    look: bool = False
    """Say what is in a pack and make nothing."""


def import_source(request: ImportRequest, report: Report) -> ImportEnded:
    """Make a run of the source; it appears whole or not at all. Raises UserError."""
    source = request.source.expanduser().resolve()
    if not source.is_dir():
        look_at(source, report)
    elif request.look:
        raise UserError(f"{source} is a folder", "--look is for packs")
    run = "" if request.look else str(_make_run(request, source, report).path)
    return ImportEnded(outcome="finished", run=run)


def _open(
    request: ImportRequest, source: Path, into: RunDir, run: RunDir, report: Report
) -> Imported:
    """Fill the new run folder `into`, which will be called `run`."""
    # As it will be found from any folder.
    base = check_base(request.base, own_vae=True).recorded if request.base else ""
    names = request.concepts
    if not source.is_dir():
        return open_pack(source, into, base=base, names=names, partly=request.partly, report=report)
    if request.partly:
        report(Notice(level="warning", message="--partly changes nothing: it is for packs"))
    # Here, because the model libraries take seconds to import, and a pack needs none of them.
    from engine.results.exports.authors_folder import open_folder

    return open_folder(source, into, place=run.path, base=base, names=names, report=report)


def _make_run(request: ImportRequest, source: Path, report: Report) -> RunDir:
    run = new_run_dir(request.name or None, source.name.removesuffix(ENDING))
    home().mkdir(parents=True, exist_ok=True)
    temporary = RunDir(Path(tempfile.mkdtemp(dir=home(), prefix=".new-")))
    try:
        imported = _open(request, source, temporary, run, report)
        manifest = Manifest(
            name=run.name,
            created=time.time(),
            base=imported.base,
            base_hash=imported.base_hash,
            scene_source=f"imported from {source.name}",
            scene_hash=imported.scene_hash,
            concepts=imported.concepts,
            settings=_known_settings(imported.settings, report),
            method=imported.method,
            versions=versions(),
        )
        write_manifest(temporary, manifest)
        _log(temporary, imported, source.name)
        run.path.parent.mkdir(parents=True, exist_ok=True)
        temporary.path.rename(run.path)
    except OSError as error:
        raise UserError(
            f"cannot write the run folder {run.path}: {error.strerror or error}",
            "free the name or the disk, or set BAS_HOME to another folder",
        ) from error
    finally:
        shutil.rmtree(temporary.path, ignore_errors=True)
    return run


def _known_settings(settings: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Those that this version knows, checked; a person is told of others."""
    known = {key: value for key, value in settings.items() if key in setting_keys()}
    unknown = sorted(set(settings) - set(known))
    if unknown:
        message = f"settings of another version are left out: {', '.join(unknown)[:200]}"
        report(Notice(level="warning", message=message))
    build_config(known)
    return known


def _log(run: RunDir, imported: Imported, source: str) -> None:
    """A log as a run leaves it, so that every viewer shows a finished run."""
    log = EventLog(run.events)
    events: list[Event] = [Notice(level="info", message=f"imported from {source}")]
    if imported.preview:
        events.append(
            PreviewSaved(
                step=imported.step, path=imported.preview, prompt=imported.preview_prompt, seed=0
            )
        )
    events.append(RunEnded(step=imported.step, outcome="finished"))
    try:
        for event in events:
            log.append(dataclasses.replace(event, time=time.time()))
    finally:
        log.close()
