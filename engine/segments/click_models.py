"""SAM (Kirillov et al. 2023), SAM 2 (Ravi et al. 2024), SAM 3 and EdgeTAM: masks from clicks.

The picture is encoded once, a click is decoded. Their own picture processors want torchvision, so
the picture is prepared here.

Shape legend: P prompts, N points of a prompt, M masks of a prompt, h and w of a mask as decoded.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from safetensors import SafetensorError

from engine.core.errors import UserError
from engine.families.quiet import first_line, quiet_libraries
from engine.scenes.mask_ops import Mask, Picture
from engine.scenes.pixel_box import Box
from engine.segments.candidates import distinct, iou, tidy
from engine.segments.contract import Candidate, Click, ReadPicture, Report
from engine.segments.model_files import ModelFiles, picture_numbers

GRID = 12
"""Points along each side that `everything` asks about."""
AT_ONCE = 24
"""Of those, how many are decoded together."""
SURE = 0.7
"""Masks that the model itself believes less are left out of `everything`."""
STEADY = 0.85
"""So are masks that change more when the threshold moves: IoU of the masks at -1 and 1 (logits)."""
SAME_THING = 0.6
LEAST = 0.0008
MOST = 0.9
IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
HALF = [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]


def load(model: ModelFiles, class_name: str, device: torch.device) -> Any:
    """A model of transformers from its folder, for use; raises UserError."""
    import transformers

    if model.kind == "edgetam" and importlib.util.find_spec("timm") is None:
        raise UserError("EdgeTAM needs the package timm", "pip install timm, or take SAM 2")
    try:
        with quiet_libraries():
            loaded, told = getattr(transformers, class_name).from_pretrained(
                model.folder, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
    except (
        OSError, ValueError, ImportError, RuntimeError, KeyError, TypeError, SafetensorError,
    ) as error:  # fmt: skip
        raise UserError(
            f"cannot load {model.name} ({first_line(error)})",
            "see that its files are complete, or take another model",
        ) from error
    if lacking := sorted(told["missing_keys"]):
        raise UserError(
            f"{model.name} lacks weights of {class_name} ({len(lacking)}, such as {lacking[0]})",
            "see that its files are complete, or take another model",
        )
    return loaded.eval().to(device)


def prepared(
    picture: Picture, size: tuple[int, int], numbers: tuple[list[float], list[float]]
) -> torch.Tensor:
    """A picture at `size` (width, height), normalised: float32 (1, 3, height, width)."""
    shrinks = size[0] < picture.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    small = cv2.resize(np.ascontiguousarray(picture), size, interpolation=how)
    mean, deviation = (np.array(values, np.float32) for values in numbers)
    values = (small.astype(np.float32) / 255 - mean) / deviation
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))[None]


class ClickModel:
    """A model of the SAM line."""

    reads_words = False

    def __init__(self, model: ModelFiles, device: torch.device) -> None:
        classes = {
            "sam": "SamModel",
            "sam2": "Sam2Model",
            "sam3": "Sam3TrackerModel",
            "sam3-clicks": "Sam3TrackerModel",
            "edgetam": "EdgeTamModel",
        }
        self.name = model.name
        self._model, self._device = load(model, classes[model.kind], device), device
        side = self._model.config.prompt_encoder_config.image_size
        self._side = int(side if isinstance(side, int) else side[0])
        default = HALF if model.kind.startswith("sam3") else IMAGENET
        self._numbers = picture_numbers(model, *default)
        self._keeps_aspect = model.kind == "sam"
        self._source = {"sam": "SAM", "sam2": "SAM 2", "edgetam": "EdgeTAM"}.get(
            model.kind, "SAM 3"
        )

    def read(self, image: Picture) -> ReadPicture:
        """Encode the picture: seconds on a CPU."""
        height, width = image.shape[:2]
        side = self._side
        size = (side, side)
        if self._keeps_aspect:
            share = side / max(height, width)
            size = max(1, round(width * share)), max(1, round(height * share))
        pixels = torch.zeros(1, 3, side, side)
        pixels[:, :, : size[1], : size[0]] = prepared(image[:, :, :3], size, self._numbers)
        with torch.inference_mode():
            encoded = self._model.get_image_embeddings(pixels.to(self._device))

        def decode(
            points: torch.Tensor | None,
            labels: torch.Tensor | None,
            boxes: torch.Tensor | None,
            several: bool,
        ) -> tuple[np.ndarray, np.ndarray]:
            moved = (None if t is None else t.to(self._device) for t in (points, labels, boxes))
            at, kinds, within = moved
            with torch.inference_mode():
                out = self._model(
                    input_points=at, input_labels=kinds, input_boxes=within,
                    image_embeddings=encoded, multimask_output=several,
                )  # fmt: skip
            masks_PMhw = out.pred_masks[0].float().cpu().numpy()
            return masks_PMhw, out.iou_scores[0].float().cpu().numpy()

        return ClickPicture((height, width), size, side, decode, self._source)


Decode = Callable[
    [torch.Tensor | None, torch.Tensor | None, torch.Tensor | None, bool],
    tuple[np.ndarray, np.ndarray],
]
"""Points (1, P, N, 2), their labels (1, P, N), boxes (1, P, 4), whether several masks are wanted ->
logits (P, M, h, w), scores (P, M)."""


class ClickPicture:
    """An encoded picture."""

    def __init__(
        self, shape: tuple[int, int], size: tuple[int, int], side: int, decode: Decode, source: str
    ) -> None:
        """`size`: width and height of the picture within the model's square of `side`."""
        self._shape, self._size, self._side = shape, size, side
        self._decode, self._source = decode, source
        self._scale = np.array([size[0] / shape[1], size[1] / shape[0]], np.float32)

    def at(self, clicks: Sequence[Click] = (), box: Box | None = None) -> list[Candidate]:
        """The thing under the clicks or in the box; see `ReadPicture`."""
        height, width = self._shape
        clicks = [c for c in clicks if 0 <= c.at.x < width and 0 <= c.at.y < height]
        if box is None and not any(click.adds for click in clicks):
            raise UserError("nothing says where the thing is", "click on it, or draw a box")
        points = labels = boxes = None
        if clicks:
            at_N2 = np.array([[click.at.x, click.at.y] for click in clicks], np.float32)
            points = torch.from_numpy(at_N2 * self._scale)[None, None]
            labels = torch.tensor([[[int(click.adds) for click in clicks]]])
        if box is not None:
            corners_22 = np.array([[box.x0, box.y0], [box.x1, box.y1]], np.float32)
            boxes = torch.from_numpy((corners_22 * self._scale).reshape(1, 1, 4))
        # One click or one box may mean a thing or its part; more leave one meaning.
        several = len(clicks) + (box is not None) == 1
        logits_PMhw, scores_PM = self._decode(points, labels, boxes, several)
        order = np.argsort(-scores_PM[0])
        found = [self._candidate(logits_PMhw[0, k], scores_PM[0, k]) for k in order]
        kept = distinct(found)
        if not kept:
            raise UserError("nothing was found there", "click elsewhere, or draw a box around it")
        return kept

    def everything(self, report: Report | None = None) -> list[Candidate]:
        """What a grid of clicks finds, the surest first; no two of the same thing."""
        height, width = self._shape
        at = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID
        points_P2 = np.stack(np.meshgrid(at * width, at * height), axis=-1).reshape(-1, 2)
        found: list[tuple[np.ndarray, float]] = []
        for start in range(0, len(points_P2), AT_ONCE):
            if report is not None:
                report(start, len(points_P2))
            points = torch.from_numpy(points_P2[start : start + AT_ONCE] * self._scale)
            labels = torch.ones(1, len(points), 1, dtype=torch.int64)
            logits_PMhw, scores_PM = self._decode(points[None, :, None], labels, None, True)
            for logits_hw, score in zip(
                logits_PMhw.reshape(-1, *logits_PMhw.shape[2:]), scores_PM.reshape(-1), strict=True
            ):
                if score >= SURE and iou(logits_hw > 1, logits_hw > -1) >= STEADY:
                    found.append((logits_hw, float(score)))
        if report is not None:
            report(len(points_P2), len(points_P2))
        kept: list[tuple[Mask, Candidate]] = []
        for logits_hw, score in sorted(found, key=lambda one: -one[1]):
            small = logits_hw > 0
            if not all(iou(small, other) < SAME_THING for other, _ in kept):
                continue
            candidate = self._candidate(logits_hw, score)
            if LEAST < candidate.mask.mean() < MOST:
                kept.append((small, candidate))
        if not kept:
            raise UserError("nothing stands out in this picture", "click on a thing or box it")
        return [candidate for _, candidate in kept]

    def named(self, words: str) -> list[Candidate]:
        """Clicks only."""
        raise UserError(
            f"{self._source} understands no words such as {words!r}",
            "give a model that does as --words-by: SAM 3, CLIPSeg or Grounding DINO",
        )

    def _candidate(self, logits_hw: np.ndarray, score: float) -> Candidate:
        height, width = self._shape
        down = round(logits_hw.shape[0] * self._size[1] / self._side)
        across = round(logits_hw.shape[1] * self._size[0] / self._side)
        own = np.ascontiguousarray(logits_hw[: max(1, down), : max(1, across)])
        full = cv2.resize(own, (width, height), interpolation=cv2.INTER_LINEAR)
        return Candidate(tidy(np.asarray(full) > 0), min(1.0, max(0.0, float(score))), self._source)
