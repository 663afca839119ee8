"""Checks a request, its photo and its run before any model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.core.errors import UserError
from engine.core.prompt_grammar import TOKEN
from engine.models.additions import Vocabulary, vocabulary
from engine.runs.description import describe
from engine.runs.folder import RunDir, has_concepts
from engine.runs.manifest import ConceptEntry, read_manifest
from engine.runs.prompts import resolve_prompt
from engine.runs.requests import NOTHING, Additions, GenerationRequest, PhotoEdit


def token_names(concepts: Sequence[ConceptEntry]) -> list[str]:
    """Every token a prompt may use: `<asset0>` ... and `<name>` ..."""
    tokens = [concept.token for concept in concepts]
    return list(dict.fromkeys(tokens + [f"<{concept.name}>" for concept in concepts]))


def check_prompt(run: RunDir, prompt: str, additions: Additions = NOTHING) -> None:
    """Raises UserError for an empty prompt or an unknown token; the error lists the known ones."""
    _check_prompts([prompt], vocabulary(read_manifest(run).concepts, additions))


def check_request(request: GenerationRequest) -> None:
    """Raises UserError for what the generation host would refuse, as far as files can tell.

    Of an edit's photo and masks `check_edit` tells; reading them may take a second.
    """
    run = request.run
    concepts = read_manifest(run).concepts
    negative = [request.negative] if request.negative.strip() else []
    _check_prompts([*request.prompts, *negative], vocabulary(concepts, request.additions))
    if request.places:
        _check_prompts([place.token for place in request.places], vocabulary(concepts, NOTHING))
    check_learned(run)
    picture = run.scene / "image.png" if request.places else request.picture
    if picture is not None and not picture.is_file():
        raise UserError(
            f"{run.name} has no photo ({picture} is missing)",
            "draw from noise alone: bas gen without --place, or bas vary --strength 1",
        )
    request.check()


def unnamed_places(request: GenerationRequest) -> str:
    """What is placed and not named in the prompt, so that it may turn into anything; else empty.

    Raises UserError for an unknown token.
    """
    concepts = read_manifest(request.run).concepts
    known = vocabulary(concepts, request.additions)
    named = _tokens(request.prompt, known)
    places = (place.token for place in request.places)
    unnamed = [token for token in places if not _tokens(token, known) <= named]
    return f"not in the prompt: {', '.join(unnamed)}" if unnamed else ""


def _tokens(text: str, known: Vocabulary) -> set[str]:
    return set(TOKEN.findall(resolve_prompt(text, known.concepts, words=known.unread)))


def _check_prompts(prompts: Sequence[str], known: Vocabulary) -> None:
    for prompt in prompts:
        if not prompt.strip():
            raise UserError("the prompt is empty", 'write one like "a photo of <asset0> in snow"')
        resolve_prompt(prompt, known.concepts, words=known.unread)


def check_photo(path: Path) -> None:
    """Raises UserError for a photo that cannot be read."""
    from engine.scenes.image_files import read_photo

    read_photo(path.expanduser())


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
