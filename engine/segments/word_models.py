"""Things by words: SAM 3 gives masks, CLIPSeg (Lüddecke and Ecker 2022) a coarse one, Grounding
DINO (Liu et al. 2023) boxes; what is coarse is cut by the segmenter beside it.

Shape legend: Q queries, h and w of a mask as decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import cv2
import numpy as np
import torch

from engine.core.errors import UserError
from engine.families.quiet import first_line, quiet_libraries
from engine.scenes.mask_ops import Mask, Picture, keep_largest, mask_box
from engine.scenes.pixel_box import Box
from engine.segments.candidates import distinct, tidy
from engine.segments.click_models import HALF, IMAGENET, load, prepared
from engine.segments.contract import Candidate, Click, ReadPicture, Report, Segmenter
from engine.segments.model_files import ModelFiles, picture_numbers

LEAST_SURE = {"sam3": 0.3, "clipseg": 0.35, "grounding-dino": 0.25}
"""Below this probability a model has not found the words; its authors' thresholds, for CLIPSeg
ours."""
MOST_ANSWERS = 6
DINO_SIDES = 800, 1333
"""Shorter side that Grounding DINO sees, and the longest it may have."""


class Hint(Protocol):
    """Where the words may be meant."""

    @property
    def score(self) -> float: ...

    def candidates(self, read: ReadPicture) -> Iterator[Candidate]:
        """Masks of it, by the segmenter's picture `read` where it is coarse."""
        ...


class WordModel(Protocol):
    """Finds words in a picture."""

    def hints(self, image: Picture, words: str) -> list[Hint]:
        """Best first; empty where nothing fits."""
        ...


class Worded:
    """A segmenter whose things may be named, too."""

    reads_words = True

    def __init__(self, cutter: Segmenter, words: WordModel, name: str) -> None:
        self._cutter, self._words, self.name = cutter, words, name

    def read(self, image: Picture) -> ReadPicture:
        """What the segmenter for clicks reads; words are looked up when they come."""
        return WordedPicture(image, self._cutter.read(image), self._words)


class WordedPicture:
    """A picture that answers clicks, boxes and words."""

    def __init__(self, image: Picture, read: ReadPicture, words: WordModel) -> None:
        self._image, self._read, self._words = image, read, words

    def at(self, clicks: Sequence[Click] = (), box: Box | None = None) -> list[Candidate]:
        """See `ReadPicture`."""
        return self._read.at(clicks, box)

    def everything(self, report: Report | None = None) -> list[Candidate]:
        """See `ReadPicture`."""
        return self._read.everything(report)

    def named(self, words: str) -> list[Candidate]:
        """Masks of what the words name, best first; raises UserError where nothing is."""
        if not words.strip():
            raise UserError("no words were given", "name the thing, as in: the red teapot")
        found: list[Candidate] = []
        for hint in self._words.hints(self._image, words.strip())[:MOST_ANSWERS]:
            found += hint.candidates(self._read)
        kept = distinct(sorted(found, key=lambda candidate: -candidate.score))
        if not kept:
            raise UserError(f"no {words} was found", "say it otherwise, or click on it")
        return kept


class _Mask:
    def __init__(self, mask: Mask, score: float, source: str, *, coarse: bool) -> None:
        self.score, self._mask, self._source, self._coarse = score, mask, source, coarse

    def candidates(self, read: ReadPicture) -> Iterator[Candidate]:
        mask = tidy(self._mask)
        if self._coarse:
            box = mask_box(keep_largest(mask))
            yield from _in_box(read, box, self.score, self._source)
        yield Candidate(mask, (0.5 if self._coarse else 1.0) * self.score, self._source)


class _Boxed:
    def __init__(self, box: Box, score: float, source: str) -> None:
        self.score, self._box, self._source = score, box, source

    def candidates(self, read: ReadPicture) -> Iterator[Candidate]:
        yield from _in_box(read, self._box, self.score, self._source)


def _in_box(read: ReadPicture, box: Box, score: float, source: str) -> Iterator[Candidate]:
    """The segmenter's candidates in a box that words led to, in its order."""
    try:
        found = read.at(box=box)
    except UserError:
        return  # Nothing stands out in that box; another hint may do better.
    for k, candidate in enumerate(found):
        yield Candidate(candidate.mask, score * 0.9**k, f"{source}, then {candidate.source}")


class _Tokens:
    """A model's own tokenizer."""

    def __init__(self, model: ModelFiles, device: torch.device) -> None:
        from transformers import AutoTokenizer

        self._device = device
        try:
            with quiet_libraries():
                self._tokenizer = AutoTokenizer.from_pretrained(model.folder, local_files_only=True)
        except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
            raise UserError(
                f"{model.name} has no usable tokenizer ({first_line(error)})",
                "see that its files are complete",
            ) from error

    def __call__(self, words: str, **options: Any) -> dict[str, torch.Tensor]:
        tokens = self._tokenizer(words, return_tensors="pt", truncation=True, **options)
        return {key: value.to(self._device) for key, value in tokens.items()}


class Sam3Words:
    """SAM 3: every instance of the words as a mask; the picture is encoded once."""

    def __init__(self, model: ModelFiles, device: torch.device) -> None:
        self._model, self._device = load(model, "Sam3Model", device), device
        self._tokens = _Tokens(model, device)
        self._numbers = picture_numbers(model, *HALF)
        size = self._model.config.vision_config.backbone_config.image_size
        self._side = int(size if isinstance(size, int) else size[0])
        text = self._model.config.text_config
        self._length = int(text.max_position_embeddings)
        self._seen: tuple[Picture, Any] | None = None

    def hints(self, image: Picture, words: str) -> list[Hint]:
        """See `WordModel`."""
        height, width = image.shape[:2]
        tokens = self._tokens(words, padding="max_length", max_length=self._length)
        with torch.inference_mode():
            if self._seen is None or self._seen[0] is not image:
                pixels = prepared(image[:, :, :3], (self._side, self._side), self._numbers)
                self._seen = image, self._model.get_vision_features(pixels.to(self._device))
            out = self._model(
                vision_embeds=self._seen[1],
                input_ids=tokens["input_ids"],
                attention_mask=tokens["attention_mask"],
            )
            scores_Q = out.pred_logits[0].sigmoid()
            if out.presence_logits is not None:
                scores_Q = scores_Q * out.presence_logits[0].sigmoid()
            masks_Qhw = out.pred_masks[0].float().cpu().numpy()
        hints: list[Hint] = []
        for k in torch.argsort(scores_Q, descending=True).tolist():
            if float(scores_Q[k]) < LEAST_SURE["sam3"]:
                break
            full = cv2.resize(masks_Qhw[k], (width, height), interpolation=cv2.INTER_LINEAR)
            mask = np.asarray(full) > 0
            if mask.any():
                hints.append(_Mask(mask, float(scores_Q[k]), "SAM 3", coarse=False))
        return hints


class ClipSegWords:
    """CLIPSeg: one coarse map of where the words are."""

    def __init__(self, model: ModelFiles, device: torch.device) -> None:
        self._model = load(model, "CLIPSegForImageSegmentation", device)
        self._device, self._tokens = device, _Tokens(model, device)
        self._numbers = picture_numbers(model, *IMAGENET)
        self._side = int(self._model.config.vision_config.image_size)
        self._length = int(self._model.config.text_config.max_position_embeddings)

    def hints(self, image: Picture, words: str) -> list[Hint]:
        """See `WordModel`."""
        height, width = image.shape[:2]
        tokens = self._tokens(words, max_length=self._length)
        # Its published maps are of 352 pixels, whatever its positions were trained at.
        side = max(self._side, 352) if self._side >= 224 else self._side
        pixels = prepared(image[:, :, :3], (side, side), self._numbers).to(self._device)
        with torch.inference_mode():
            out = self._model(
                pixel_values=pixels,
                input_ids=tokens["input_ids"],
                attention_mask=tokens["attention_mask"],
            )
        heat_hw = out.logits.reshape(out.logits.shape[-2:]).sigmoid().float().cpu().numpy()
        heat = np.asarray(cv2.resize(heat_hw, (width, height), interpolation=cv2.INTER_LINEAR))
        sure = float(heat.max())
        if sure < LEAST_SURE["clipseg"]:
            return []
        count, labels = cv2.connectedComponents((heat > 0.6 * sure).astype(np.uint8))
        pieces = [labels == k for k in range(1, count)]
        hints = [_Mask(p, float(heat[p].max()), "CLIPSeg", coarse=True) for p in pieces]
        return sorted(hints, key=lambda hint: -hint.score)


class GroundingDinoWords:
    """Grounding DINO: boxes of what the words name."""

    def __init__(self, model: ModelFiles, device: torch.device) -> None:
        mm = model.config["model_type"] == "mm-grounding-dino"
        name = "MMGroundingDinoForObjectDetection" if mm else "GroundingDinoForObjectDetection"
        self._model, self._device = load(model, name, device), device
        self._tokens = _Tokens(model, device)
        self._numbers = picture_numbers(model, *IMAGENET)

    def hints(self, image: Picture, words: str) -> list[Hint]:
        """See `WordModel`."""
        height, width = image.shape[:2]
        share = min(DINO_SIDES[0] / min(height, width), DINO_SIDES[1] / max(height, width))
        size = max(1, round(width * share)), max(1, round(height * share))
        pixels = prepared(image[:, :, :3], size, self._numbers).to(self._device)
        # It was trained on lower-case phrases with a full stop after each.
        tokens = self._tokens(f"{words.lower().rstrip('.')}.")
        with torch.inference_mode():
            out = self._model(pixel_values=pixels, **tokens)
        scores_Q = out.logits[0].sigmoid().max(dim=-1).values
        boxes_Q4 = out.pred_boxes[0].float().cpu().numpy()
        hints: list[Hint] = []
        for k in torch.argsort(scores_Q, descending=True).tolist():
            if float(scores_Q[k]) < LEAST_SURE["grounding-dino"]:
                break
            x, y, w, h = boxes_Q4[k] * [width, height, width, height]
            box = Box(round(x - w / 2), round(y - h / 2), round(x + w / 2), round(y + h / 2)).clip(
                width, height
            )
            if not box.empty:
                hints.append(_Boxed(box, float(scores_Q[k]), "Grounding DINO"))
        return hints
