"""From painted regions and their prompts to the edit that the generation host is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from bas_tui.tui.scene.document import ConceptMask, MaskDocument
from bas_tui.tui.scene.photo_file import SceneFile, at_photo_size
from engine.core.errors import UserError
from engine.runs.folder import RunDir
from engine.runs.manifest import ConceptEntry, Manifest
from engine.runs.requests import EditRegion, PhotoEdit
from engine.scenes.edit_sources import keep_region


def into_the_region(manifest: Manifest) -> str:
    """What an empty line of a region's prompt says."""
    things = [concept for concept in manifest.concepts if not concept.is_background]
    example = f": <{things[0].name}> made of glass" if things else ""
    return f"what to draw in this region{example}"


class RegionPrompts:
    """What to draw in each region, by the region's key; a region that undo brings back has it."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}
        self._things: list[str] = []

    def use(self, concepts: Sequence[ConceptEntry]) -> None:
        """A run's things: what a new region is meant for."""
        self._things = [f"<{concept.name}>" for concept in concepts if not concept.is_background]

    def text(self, key: int, index: int) -> str:
        """The prompt of region `key`; where none was written, the thing of its place, `index`."""
        if key not in self._texts and self._things:
            return self._things[index % len(self._things)]
        return self._texts.get(key, "")

    def write(self, key: int, text: str) -> None:
        """Another prompt."""
        self._texts[key] = text

    def clear(self) -> None:
        """Another photo has other regions."""
        self._texts.clear()

    def of(self, document: MaskDocument) -> list[str]:
        """The prompts in the order of the regions."""
        return [self.text(one.key, index) for index, one in enumerate(document.concepts)]


def photo_edit(
    file: SceneFile,
    regions: Sequence[ConceptMask],
    prompts: Sequence[str],
    run: RunDir,
    keep: float,
    decoder_steps: int = 0,
) -> PhotoEdit:
    """The edit; regions are written at the photo's size into the run's `pictures/regions`.

    Raises UserError where there is no region, an empty one, or one without a prompt.
    """
    if not regions:
        raise UserError("there is no region", "paint where the photo may change")
    for number, (region, prompt) in enumerate(zip(regions, prompts, strict=True), start=1):
        if not region.mask.any():
            raise UserError(f"region {number} is empty", "paint it, or delete it with D")
        if not prompt.strip():
            raise UserError(f"region {number} has no prompt", "write one with w")
    masks = [region.mask for region in at_photo_size(file, regions)]
    return PhotoEdit(
        photo=file.photo,
        regions=tuple(
            EditRegion(mask=keep_region(mask, run.pictures), prompt=prompt.strip())
            for mask, prompt in zip(masks, prompts, strict=True)
        ),
        start=keep,
        decoder_steps=decoder_steps,
    )
