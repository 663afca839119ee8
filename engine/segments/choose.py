"""Which segmenter a name means."""

from __future__ import annotations

from engine.core.errors import UserError
from engine.models.hub import Report
from engine.runs.events import Progress
from engine.segments.contract import Segmenter
from engine.segments.embedded import Embedded
from engine.segments.model_files import EMBEDDED, ModelFiles, find_model, with_weights


def segmenter_of(
    name: str,
    words_by: str = "",
    *,
    device: str = "auto",
    report: Report = lambda _: None,
) -> Segmenter:
    """The segmenter of a name, a folder or a hub id; `words_by` is what reads words beside it.

    A model that reads words only has the embedded segmenter cut what it finds. Raises UserError
    for a name that is none, and for a model that cannot be loaded. torch is loaded for models only.
    """
    model = None if name == EMBEDDED else find_model(name, report)
    worded = find_model(words_by, report) if words_by else model
    if words_by and worded is not None and not worded.reads_words:
        raise UserError(
            f"{words_by} reads no words", "give SAM 3, CLIPSeg or Grounding DINO as --words-by"
        )
    if model is not None and not model.cuts and words_by:
        raise UserError(
            f"{name} takes no clicks", "give it as --words-by, and what cuts as --segmenter"
        )
    # Only now that it is known to serve.
    same = worded is model
    model = None if model is None else with_weights(model, report)
    worded = model if same else None if worded is None else with_weights(worded, report)
    report(Progress(stage="load", done=0, total=0, label=name))
    cutter = _cutter(model, device)
    if worded is None or not worded.reads_words:
        return cutter
    from engine.families.devices import choose_device
    from engine.segments import word_models

    kinds = {
        "sam3": word_models.Sam3Words,
        "sam3-words": word_models.Sam3Words,
        "clipseg": word_models.ClipSegWords,
        "grounding-dino": word_models.GroundingDinoWords,
    }
    return word_models.Worded(cutter, kinds[worded.kind](worded, choose_device(device)), name)


def _cutter(model: ModelFiles | None, device: str) -> Segmenter:
    if model is None or not model.cuts:
        return Embedded()
    from engine.families.devices import choose_device
    from engine.segments.click_models import ClickModel

    return ClickModel(model, choose_device(device))
