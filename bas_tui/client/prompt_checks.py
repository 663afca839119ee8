"""Checks prompts, photos and their run before any model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.core.errors import UserError
from engine.models.additions import addition_header, bundled_embeddings
from engine.runs.description import describe
from engine.runs.folder import RunDir, has_concepts
from engine.runs.manifest import ConceptEntry, read_manifest
from engine.runs.prompts import free_name, resolve_prompt, with_guests
from engine.runs.requests import NOTHING, Additions, PhotoEdit


def token_names(concepts: Sequence[ConceptEntry]) -> list[str]:
    """Every token a prompt may use: `<asset0>` ... and `<name>` ..."""
    tokens = [concept.token for concept in concepts]
    return list(dict.fromkeys(tokens + [f"<{concept.name}>" for concept in concepts]))


def check_prompt(run: RunDir, prompt: str, additions: Additions = NOTHING) -> None:
    """Raises UserError for an empty prompt or an unknown token; the error lists the known ones."""
    if not prompt.strip():
        raise UserError("the prompt is empty", 'write one like "a photo of <asset0> in snow"')
    others = [read_manifest(RunDir(Path(one.source))).concepts for one in additions.others]
    concepts = with_guests(read_manifest(run).concepts, others)
    taken = {name for concept in concepts for name in (concept.name, concept.token[1:-1])}
    names = [one.name for one in additions.embeddings]
    for one in additions.loras:
        for name in bundled_embeddings(addition_header(Path(one.source))):
            names.append(free_name(name, taken | set(names)))
    resolve_prompt(prompt, concepts, words={f"<{name}>": "" for name in names})


def check_edit(edit: PhotoEdit) -> None:
    """Raises UserError for a photo or a mask that cannot be read, or does not fit the other."""
    from engine.scenes.image_files import read_photo
    from engine.scenes.mask_files import load_region

    photo = read_photo(edit.photo)
    for region in edit.regions:
        load_region(region.mask, photo, edit.photo, region.box)


def check_learned(run: RunDir) -> None:
    """Raises UserError while a run has no result to draw from."""
    if has_concepts(run.concepts):
        return
    state = describe(run).state
    if state in ("training", "paused"):
        remedy = f"wait for it: bas watch {run.name}"
    else:
        remedy = f"let it train to its end: bas resume {run.name}"
    raise UserError(f"{run.name} ({state}) has no concepts to draw yet", remedy)
