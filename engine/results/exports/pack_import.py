"""Opens a concept pack: says what it is, whether it fits a base model, and takes it in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image
from safetensors import SafetensorError, safe_open

from engine.core.errors import UserError
from engine.core.settings import build_config, setting_keys
from engine.models.headers import read_header
from engine.models.names import BASE_MODELS, HUB_ID
from engine.models.resolve import Report, Resolved
from engine.models.weight_files import folder_weights
from engine.results.exports.base_facts import BaseFacts, base_facts
from engine.results.exports.imported import Imported, named, write_concepts
from engine.results.exports.layouts import FILE_UNET, unet_name
from engine.results.exports.learned import CHANGES
from engine.results.exports.learned import LORA as LORA_FILE
from engine.results.exports.lora_names import UNET, published_weight
from engine.results.exports.pack import CHANGE, LORA, ROWS, PackFacts, read_facts, read_pack
from engine.results.previews import save_picture
from engine.runs.events import Notice, Progress
from engine.runs.exchange_events import PackOpened
from engine.runs.folder import RunDir, cache_dir

A, B = ".lora_A.weight", ".lora_B.weight"
Shape = tuple[int, ...]


def look_at(path: Path, report: Report) -> None:
    """Report what a pack says of itself; nothing but its header and its picture is read."""
    facts, header = read_facts(path)
    preview = ""
    if "preview" in header.shapes:
        picture = _preview(path)
        place = cache_dir() / "pack-preview.png"
        save_picture(picture, place)
        preview = str(place)
    report(
        PackOpened(
            title=facts.title,
            base=facts.base,
            base_sha256=facts.base_sha256,
            names=tuple(concept.name for concept in facts.concepts),
            method=facts.method,
            step=facts.step,
            rank=facts.rank,
            bytes=path.stat().st_size,
            created=facts.created,
            licence=facts.licence,
            base_licence=facts.base_licence,
            prompts=facts.prompts,
            preview=preview,
        )
    )


def _preview(path: Path) -> Image.Image:
    """The pack's picture; raises UserError for a damaged file."""
    try:
        with safe_open(path, "pt") as file:
            return Image.fromarray(file.get_tensor("preview").numpy())
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged or no honest pack", "ask for it again") from error


def open_pack(
    path: Path, run: RunDir, *, base: str, names: Sequence[str], partly: bool, report: Report
) -> Imported:
    """Put a pack's tensors into a new run folder.

    `names`: of the things, in their order, in the place of their own. Raises UserError for a
    damaged pack and for one that does not fit the base model; with `partly` the weights that do not
    fit are left out.
    """
    facts, header = read_facts(path)
    facts = _renamed(facts, names)
    base = base or facts.base
    if base == facts.base and base not in BASE_MODELS and not HUB_ID.fullmatch(base):
        raise UserError(
            f"{facts.title} was made on {facts.base}, which only its author has by that name",
            f"name the model with --base; its sha256 begins {facts.base_sha256[:12]}",
        )
    config = build_config({k: v for k, v in facts.settings.items() if k in setting_keys()})
    found, told = base_facts(base, config, report)
    left_out = _misfits(facts, header.shapes, found, told, partly=partly, report=report)
    report(Progress(stage="load", done=0, total=0, label="tensors of the pack"))
    _, tensors = read_pack(path)
    if max(tensors["word_ids"].tolist(), default=0) >= told.words:
        raise UserError(
            f"{facts.title} moves words that {told.name} does not have",
            f"it was made on {facts.base}: --base names a model of that kind",
        )
    imported = Imported(
        base=base,
        base_hash=told.sha256,
        concepts=facts.concepts,
        settings=facts.settings,
        step=facts.step,
        method=facts.method,
        scene_hash=facts.scene_sha256,
        preview="previews/imported.png" if "preview" in tensors else "",
        preview_prompt=facts.prompts[-1] if facts.prompts else "",
    )
    if imported.preview:
        save_picture(Image.fromarray(tensors["preview"].numpy()), run.path / imported.preview)
    rows = {name: tensors[name] for name in ROWS if name in tensors}
    files = {
        file: {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix) and _weight(name) not in left_out
        }
        for prefix, file in ((CHANGE, CHANGES), (LORA, LORA_FILE))
    }
    write_concepts(run.concepts, imported, rows, files)
    return imported


def _renamed(facts: PackFacts, names: Sequence[str]) -> PackFacts:
    """The facts with other names for the things, in the prompts too."""
    old = [concept.name for concept in facts.concepts]
    new = dict(zip(old, named(old, names, "the pack"), strict=True))

    def other(prompt: str) -> str:
        return re.sub(r"<([^<>]+)>", lambda found: f"<{new.get(found[1], found[1])}>", prompt)

    return replace(
        facts,
        concepts=tuple(replace(concept, name=new[concept.name]) for concept in facts.concepts),
        prompts=tuple(map(other, facts.prompts)),
    )


def _misfits(
    facts: PackFacts,
    shapes: Mapping[str, Shape],
    found: Resolved,
    base: BaseFacts,
    *,
    partly: bool,
    report: Report,
) -> set[str]:
    """Weights of the pack that the base model lacks or has in another shape; says what fits."""
    widths = tuple(
        shapes[name][1] for name in ("placeholder_rows", "placeholder_rows_2") if name in shapes
    )
    if widths != base.text_widths:
        raise UserError(
            f"{facts.title} has words of width {' and '.join(map(str, widths))}, {base.name} takes "
            f"{' and '.join(map(str, base.text_widths))}",
            f"it was made on {facts.base}: --base names a model of that kind",
        )
    wanted = dict(_wanted_shapes(shapes))
    there = _base_shapes(found, base, wanted)
    wrong = {name for name, shape in wanted.items() if there.get(name, shape) != shape}
    wrong |= {name for name in wanted if name not in there}
    if wrong and not partly:
        raise UserError(
            f"the words of {facts.title} fit {base.name}, but {len(wrong)} of {len(wanted)} "
            f"changed weights do not ({min(wrong)} ...)",
            f"it was made on {facts.base}; --partly takes the {len(wanted) - len(wrong)} that fit",
        )
    if wrong:
        message = f"{len(wrong)} of {len(wanted)} changed weights do not fit and are left out"
        report(Notice(level="warning", message=message, remedy="the things may look different"))
    if base.sha256 != facts.base_sha256:
        report(
            Notice(
                level="warning",
                message=f"{facts.title} was learned on other weights (sha256 "
                f"{facts.base_sha256[:12]}): everything fits {base.name} in shape, not in value",
                remedy="the things may look different",
            )
        )
    return wrong


def _wanted_shapes(shapes: Mapping[str, Shape]) -> Iterator[tuple[str, Shape]]:
    """Each weight that a pack changes, with its shape."""
    for name, shape in shapes.items():
        if name.startswith(CHANGE):
            yield _weight(name), shape
        elif name.startswith(LORA) and name.endswith(A):
            up = shapes.get(name.removesuffix(A) + B, (0,))
            yield _weight(name), (up[0], *shape[1:])


def _weight(name: str) -> str:
    """The weight that a pack's tensor changes, with the published name."""
    _, _, weight = name.partition("/")
    for end in (A, B):
        weight = weight.removesuffix(end) + ".weight" if weight.endswith(end) else weight
    return published_weight(weight)


def _base_shapes(found: Resolved, base: BaseFacts, wanted: Mapping[str, Shape]) -> dict[str, Shape]:
    """Shapes of the base model's weights, from the headers of its files."""
    if found.path.is_dir():
        there: dict[str, Shape] = {}
        for part in {name.partition(".")[0] for name in wanted} & found.kind.weights.keys():
            stem = found.kind.weights[part]
            for file in folder_weights(found.path, part, stem, found.variants).files:
                for name, shape in read_header(found.path / part / file).shapes.items():
                    there[published_weight(f"{part}.{name}")] = shape
        return there
    inside = read_header(found.path).shapes
    # Text encoders of single files are of one size for each width, which is known to fit.
    there = {name: shape for name, shape in wanted.items() if not name.startswith(UNET)}
    for name in wanted:
        if name.startswith(UNET):
            original = FILE_UNET + unet_name(name.removeprefix(UNET), base.shape)
            if original in inside:
                there[name] = inside[original]
    return there
