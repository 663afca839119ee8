"""A folder of scenes becomes a batch: everything is read and checked before a run is made."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bas_tui.client.bases import resolve_base
from bas_tui.client.create import changed_settings, create_run
from engine.batch.folder import Batch, BatchDir, BatchScene, batches_dir, read_batch, write_batch
from engine.core.errors import UserError
from engine.core.methods import method_settings
from engine.core.settings import build_config, flatten
from engine.models.facts import attention_grid, recipe_settings
from engine.models.names import default_base
from engine.runs.folder import RunDir
from engine.runs.library import NAME_PATTERN
from engine.runs.manifest import read_manifest

if TYPE_CHECKING:
    from engine.scenes.scene import Scene

SETTINGS_FILE = "bas.toml"
SCENE_KEYS = ("base", "method", "init")
MASK_ENDINGS = ("_masks", "-masks")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a settings file says: settings, and a table [scene] of what is no setting."""

    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    base: str | None = None
    method: str | None = None
    init: Mapping[str, str] = field(default_factory=dict[str, str])

    def under(self, other: Choice) -> Choice:
        """Both; the other wins."""
        return Choice(
            settings={**self.settings, **other.settings},
            base=other.base or self.base,
            method=other.method or self.method,
            init={**self.init, **other.init},
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Planned:
    """A scene of the folder, read and checked."""

    entry: BatchScene
    scene: Scene
    base: str
    method: str
    settings: Mapping[str, Any]
    init: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A scene that cannot be trained, and why."""

    name: str
    error: UserError


def plan_batch(
    source: Path, name: str | None, over: Choice
) -> tuple[BatchDir, list[Planned], list[Broken]]:
    """Every scene of a folder with its settings; writes nothing.

    A scene is a picture with masks beside it (`desk.jpg`, `desk_masks/`) or a folder that
    `bas train` takes. Settings: the base's recipe, FOLDER/bas.toml, the scene's own (`desk.toml`,
    or bas.toml in its folder), `over`. Raises UserError where the folder holds no scenes, or the
    batch's name belongs to another folder.
    """
    source = source.expanduser().resolve()
    folder = BatchDir(batches_dir() / batch_name(source, name))
    if folder.plan.is_file() and read_batch(folder).source != str(source):
        raise UserError(
            f"there is already a batch {folder.name!r} of {read_batch(folder).source}",
            "give this one another --name",
        )
    places = find_scenes(source)
    if not places:
        raise UserError(
            f"the folder {source} holds no scenes",
            "put pictures with masks into it: desk.jpg and desk_masks/, or a folder for each",
        )
    common = read_choice(source / SETTINGS_FILE)
    planned: list[Planned] = []
    broken: list[Broken] = []
    run_names = _run_names(folder, [scene_name(place) for place in places])
    for place in places:
        name = scene_name(place)
        entry = BatchScene(name=name, source=str(place), run_name=run_names[name])
        try:
            if any(name == other.entry.name for other in planned):
                raise UserError(f"two scenes are named {name}", "rename one of them")
            own = read_choice(
                place / SETTINGS_FILE if place.is_dir() else place.with_suffix(".toml")
            )
            planned.append(_read(entry, place, common.under(own).under(over)))
        except UserError as error:
            broken.append(Broken(name=name, error=error))
    return folder, planned, broken


def make_batch(folder: BatchDir, source: Path, planned: Sequence[Planned]) -> None:
    """Write the batch and the run folders that are not there yet.

    Raises UserError, and makes nothing, where a scene or its settings changed since its run began.
    """
    missing = [each for each in planned if not _has_run(each)]
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    batch = Batch(
        source=str(source.expanduser().resolve()), scenes=tuple(each.entry for each in planned)
    )
    write_batch(folder, batch)
    for each in missing:
        create_run(
            each.scene,
            base=each.base,
            name=each.entry.run_name,
            settings=each.settings,
            scene_source=each.entry.source,
            initializers=each.init,
            method=each.method,
        )


def batch_name(source: Path, name: str | None) -> str:
    """The batch's name: as given, else the folder's; raises UserError."""
    if name is None:
        return re.sub(r"[^A-Za-z0-9]+", "-", source.name).strip("-").lower()[:30] or "batch"
    if not NAME_PATTERN.fullmatch(name):
        raise UserError(f"{name!r} cannot name a batch", "use letters, digits, dot, dash")
    return name


def scene_name(place: Path) -> str:
    """What a scene is called: its picture without the ending, or its folder."""
    return place.name if place.is_dir() else place.stem


def _run_names(folder: BatchDir, scenes: Sequence[str]) -> dict[str, str]:
    """The runs of the scenes, by the scenes' names.

    `a b` and `a_b` would be one: such scenes get a digest of their names, whatever their order. A
    scene that the batch has already keeps its run.
    """
    before = read_batch(folder).scenes if folder.plan.is_file() else ()
    names = {scene.name: scene.run_name for scene in before}
    plain = {scene: f"{folder.name[:32]}-{_slug(scene)}" for scene in scenes}
    for scene in plain.keys() - names.keys():
        others = {*names.values(), *(plain[other] for other in plain.keys() - {scene})}
        digest = hashlib.sha256(scene.encode()).hexdigest()[:6]
        # Names of runs have 64 letters at most.
        distinct = f"{plain[scene][:57].strip('-')}-{digest}"
        names[scene] = distinct if plain[scene] in others else plain[scene]
    return names


def _slug(scene: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", scene).strip("-").lower()[:30].strip("-") or "scene"


def find_scenes(source: Path) -> list[Path]:
    """The scenes of a folder in natural order: pictures with masks beside them, and folders."""
    from engine.scenes.mask_files import picture_files

    if not source.is_dir():
        raise UserError(f"{source} is no folder", "name a folder of scenes")
    pictures = [path for path in picture_files(source) if _has_masks_of_its_own(path)]
    folders = [
        path
        for path in sorted(source.iterdir())
        if path.is_dir()
        and not path.name.startswith(".")
        and not path.name.endswith(MASK_ENDINGS)
        and path.name != "masks"
        and (picture_files(path) or (path / "scene.json").is_file())
    ]
    return [*pictures, *folders]


def read_choice(path: Path) -> Choice:
    """A settings file; an empty choice where there is none. Raises UserError."""
    from engine.core.settings import read_toml

    if not path.is_file():
        return Choice()
    settings = read_toml(path)
    known: dict[str, Any] = {}
    init: dict[str, str] = {}
    for key in [key for key in settings if key.startswith("scene.")]:
        word, value = key.removeprefix("scene."), settings.pop(key)
        head, _, concept = word.partition(".")
        if head not in SCENE_KEYS or (head == "init") != bool(concept):
            close = difflib.get_close_matches(head, SCENE_KEYS, n=1) or SCENE_KEYS
            raise UserError(f"{path}: [scene] knows no {word!r}", f"it takes {', '.join(close)}")
        if not isinstance(value, str):
            raise UserError(f"{path}: [scene] {word} cannot be {value!r}", "give it a text")
        if concept:
            init[concept] = value
        else:
            known[head] = value
    return Choice(settings=settings, init=init, **known)


def _has_masks_of_its_own(picture: Path) -> bool:
    """Whether masks beside the picture are named after it; `masks/` alone would be everybody's."""
    from engine.scenes.scene import find_masks

    try:
        found = find_masks(picture)
    except UserError:
        return False
    # By the whole name: folders have no ending, and a picture may have dots in its name.
    return all(path.name.startswith(picture.stem) for path in found)


def _read(entry: BatchScene, place: Path, choice: Choice) -> Planned:
    from engine.scenes.scene import load_scene

    chosen = choice.base or default_base()
    own_vae = bool(choice.settings.get("base.vae"))
    recorded = resolve_base(chosen, ask_hub=False, own_vae=own_vae)
    merged = recipe_settings(recorded)
    if choice.method is not None:
        merged = method_settings(choice.method, merged)
    merged |= choice.settings
    config = build_config(merged)
    if config.gpus != 1:
        raise UserError(f"gpus={config.gpus}: a batch gives each scene one GPU", "leave `gpus` out")
    scene = load_scene(place, (), grid=attention_grid(recorded, config))
    for word in choice.init:
        if word not in scene.names:
            raise UserError(
                f"init {word!r} names no thing of it", f"it has {', '.join(scene.names)}"
            )
    return Planned(
        entry=entry,
        scene=scene,
        base=recorded,
        method=choice.method or "break-a-scene",
        settings=merged,
        init=choice.init,
    )


def _has_run(planned: Planned) -> bool:
    """Whether the scene's run is there; raises UserError where it is of something else."""
    from engine.scenes.scene import scene_hash

    run = RunDir(planned.entry.run.path)
    if not run.path.exists():
        return False
    manifest = read_manifest(run)
    before = (
        manifest.scene_hash, manifest.base, manifest.method, flatten(manifest.settings),
        {c.name: c.initializer for c in manifest.concepts if planned.init.get(c.name)},
    )  # fmt: skip
    now = (
        scene_hash(planned.scene), planned.base, planned.method,
        changed_settings(planned.settings), dict(planned.init),
    )  # fmt: skip
    names = ("picture or masks", "base model", "method", "settings", "start words")
    for name, old, new in zip(names, before, now, strict=True):
        if old != new:
            raise UserError(
                f"{planned.entry.name}: its {name} changed since its run {run.name} began",
                f"`bas rm {run.name}` to train it anew, or undo the change",
            )
    return True
