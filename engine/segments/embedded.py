"""The segmenter that needs no download: U2-Net-p beside GrabCut and flood fill.

They fail on different things, so each gives a candidate and a person chooses. U2-Net-p looks at
windows of several sizes; a window is looked at once a picture, so a second click costs little.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from engine.core.errors import UserError
from engine.scenes import mask_ops
from engine.scenes.mask_ops import Mask, Picture
from engine.scenes.pixel_box import Box, Point
from engine.segments.candidates import distinct, iou, tidy
from engine.segments.contract import Candidate, Click, Report
from engine.segments.grab_cut import box_to_mask, cut_from
from engine.segments.saliency import saliency

SCALES = ((1.0, 1), (0.7, 2), (0.5, 3), (0.34, 4))
"""Windows: their side as a share of the picture's, and how many there are along each side."""
MARGIN = 0.15
"""Picture around a box that U2-Net-p is shown, as a share of the box's side."""
STANDS_OUT = 0.5
CROP_FILLS = 0.95
"""What stands out in a crop tends to reach to its sides, so its fit to the box tells less."""
FLOOD_TOLERANCE = 24
LEAST = 0.0008
"""A smaller share of the picture is no thing."""
MOST = 0.9
WORTH = 0.35
"""Proposals of a lower score are left out of `everything`."""


class _Seen(NamedTuple):
    """A mask found in a window."""

    mask: Mask
    window: Box
    score: float


class Embedded:
    """U2-Net-p, GrabCut and flood fill."""

    name = "embedded"
    reads_words = False

    def read(self, image: Picture) -> EmbeddedPicture:
        """Nothing is looked at before it is asked for."""
        return EmbeddedPicture(image)


class EmbeddedPicture:
    """A picture and what was seen in its windows so far."""

    def __init__(self, image: Picture) -> None:
        self._image = np.ascontiguousarray(image[:, :, :3])
        self._windows: dict[Box, list[_Seen]] = {}

    def at(self, clicks: Sequence[Click] = (), box: Box | None = None) -> list[Candidate]:
        """The thing under the clicks or in the box; see `ReadPicture`."""
        height, width = self._image.shape[:2]
        clicks = [click for click in clicks if _inside(click.at, width, height)]
        if box is None and not any(click.adds for click in clicks):
            raise UserError("nothing says where the thing is", "click on it, or draw a box")
        found = self._in_box(box, clicks) if box is not None else map(_alone, self._under(clicks))
        kept = distinct(sorted(found, key=lambda candidate: -candidate.score))
        if not kept:
            raise UserError("nothing stands out there", "draw a box around it, or paint it")
        return kept

    def everything(self, report: Report | None = None) -> list[Candidate]:
        """What stands out in any window, the surest first; some 20 CPU seconds a photo."""
        windows = list(_windows(self._image))
        seen: list[_Seen] = []
        for k, window in enumerate(windows):
            if report is not None:
                report(k, len(windows))
            seen += self._look(window)
        if report is not None:
            report(len(windows), len(windows))
        scored = [Candidate(tidy(one.mask), _agreed(one, seen), "U2-Net-p") for one in seen]
        ordered = sorted(scored, key=lambda candidate: -candidate.score)
        groups: list[Candidate] = []
        for candidate in ordered:
            # The same thing in another window is the same proposal.
            if candidate.score >= WORTH and all(iou(candidate.mask, g.mask) < 0.6 for g in groups):
                groups.append(candidate)
        if not groups:
            raise UserError("nothing stands out in this picture", "click on a thing or box it")
        return groups

    def named(self, words: str) -> list[Candidate]:
        """This segmenter reads no words."""
        raise UserError(
            f"the embedded segmenter understands no words such as {words!r}",
            "click on the thing or box it, or name a model that does: --words-by FOLDER_OR_ID",
        )

    def _look(self, window: Box) -> list[_Seen]:
        """The pieces that stand out in a window, in the order of their size."""
        if window not in self._windows:
            values = saliency(self._image[window.slices])
            self._windows[window] = list(_pieces(values, window, self._image.shape[:2]))
        return self._windows[window]

    def _under(self, clicks: Sequence[Click]) -> Iterator[Candidate]:
        """Candidates that hold every adding click and none of the others."""
        adding = [click.at for click in clicks if click.adds]
        seen = [
            one for w in self._near(adding) for one in self._look(w) if _holds(one.mask, adding)
        ]
        for one in seen:
            cut = self._without(one.mask, clicks)
            if cut is not None:
                yield Candidate(_tidied(cut, clicks), _agreed(one, seen), "U2-Net-p")
        if seen:
            best = max(seen, key=lambda one: _agreed(one, seen))
            mask = cut_from(self._image, best.mask, *_dabs(clicks, self._image.shape[:2]))
            if mask is not None and _holds(mask, adding):
                yield Candidate(_tidied(mask, clicks), 0.8 * _agreed(best, seen), "GrabCut")
        yield from self._flooded(clicks, adding)

    def _flooded(self, clicks: Sequence[Click], adding: Sequence[Point]) -> Iterator[Candidate]:
        flood = np.zeros(self._image.shape[:2], np.bool_)
        for at in adding:
            flood |= mask_ops.flood(self._image, (int(at.x), int(at.y)), FLOOD_TOLERANCE)
        cut = self._without(flood, clicks)
        if cut is not None and LEAST < cut.mean() < MOST:
            yield Candidate(_tidied(cut, clicks, pieces=len(adding) > 1), 0.1, "flood")

    def _without(self, mask: Mask, clicks: Sequence[Click]) -> Mask | None:
        """A mask that respects the clicks that take away; None where nothing is left."""
        if all(click.adds or not _holds(mask, [click.at]) for click in clicks):
            return mask
        cut = cut_from(self._image, mask, *_dabs(clicks, mask.shape))
        adding = [click.at for click in clicks if click.adds]
        return cut if cut is not None and _holds(cut, adding) else None

    def _near(self, points: Sequence[Point]) -> Iterator[Box]:
        """Of each size the window in whose middle the points lie best."""
        x = sum(at.x for at in points) / len(points)
        y = sum(at.y for at in points) / len(points)
        sizes: dict[tuple[int, int], list[Box]] = {}
        for window in _windows(self._image):
            if all(_within(at, window) for at in points):
                sizes.setdefault((window.width, window.height), []).append(window)
        for windows in sizes.values():
            yield min(windows, key=lambda w: (_middle(w).x - x) ** 2 + (_middle(w).y - y) ** 2)

    def _in_box(self, box: Box, clicks: Sequence[Click]) -> Iterator[Candidate]:
        """What U2-Net-p and GrabCut find in a box, the one that fits it better first."""
        height, width = self._image.shape[:2]
        box = box.clip(width, height)
        inside, outside = _dabs(clicks, (height, width))
        cut = box_to_mask(self._image, box, inside=inside, outside=outside)
        mine = _tidied(cut, clicks, pieces=True)
        yield Candidate(mine, _fit(mine, box), "GrabCut")
        across, down = round(MARGIN * box.width), round(MARGIN * box.height)
        window = Box(box.x0 - across, box.y0 - down, box.x1 + across, box.y1 + down)
        window = window.clip(width, height)
        salient = np.zeros((height, width), np.bool_)
        salient[window.slices] = saliency(self._image[window.slices]) > STANDS_OUT
        boxed = np.zeros_like(salient)
        boxed[box.slices] = salient[box.slices]
        boxed = (boxed | inside) & ~outside
        if boxed.any():
            score = CROP_FILLS * _fit(boxed, box)
            yield Candidate(_tidied(boxed, clicks), score, "U2-Net-p")
            both = cut_from(self._image, boxed, inside, outside)
            if both is not None:
                both &= _filled(box, both.shape)
                yield Candidate(
                    _tidied(both, clicks), 0.7 * _fit(both, box), "U2-Net-p, then GrabCut"
                )


def _windows(image: Picture) -> Iterator[Box]:
    height, width = image.shape[:2]
    for share, count in SCALES:
        side = round(share * max(width, height))
        across, down = min(side, width), min(side, height)
        columns = 1 if across == width else count
        rows = 1 if down == height else count
        for row in range(rows):
            for column in range(columns):
                x0 = round((width - across) * column / max(1, columns - 1)) if columns > 1 else 0
                y0 = round((height - down) * row / max(1, rows - 1)) if rows > 1 else 0
                yield Box(x0, y0, x0 + across, y0 + down)


def _pieces(values: np.ndarray, window: Box, shape: tuple[int, ...]) -> Iterator[_Seen]:
    """Connected pieces of what stands out, each with how sure the network is of it."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (values > STANDS_OUT).astype(np.uint8), connectivity=8
    )
    total = shape[0] * shape[1]
    for k in range(1, count):
        area = int(stats[k, cv2.CC_STAT_AREA])
        if not LEAST * total < area < MOST * total:
            continue
        piece = labels == k
        mask = np.zeros(shape[:2], np.bool_)
        mask[window.slices] = piece
        sure = float(values[piece].mean())
        yield _Seen(mask, window, sure * (1 - _cut_off(piece, window, shape)))


def _cut_off(piece: Mask, window: Box, shape: tuple[int, ...]) -> float:
    """How much of a piece's extent lies on a side of its window that is none of the picture's."""
    sides = []
    if window.x0 > 0:
        sides.append(piece[:, 0])
    if window.x1 < shape[1]:
        sides.append(piece[:, -1])
    if window.y0 > 0:
        sides.append(piece[0])
    if window.y1 < shape[0]:
        sides.append(piece[-1])
    touching = sum(int(side.sum()) for side in sides)
    rows, columns = int(piece.any(axis=1).sum()), int(piece.any(axis=0).sum())
    return min(1.0, 2 * touching / max(1, rows + columns))


def _agreed(one: _Seen, seen: Iterable[_Seen]) -> float:
    """A mask that windows of other sizes show too is believed more."""
    others = [
        iou(one.mask, other.mask) for other in seen
        if other.window != one.window
    ]  # fmt: skip
    return one.score * (0.5 + 0.5 * max(others, default=0.0))


def _fit(mask: Mask, box: Box) -> float:
    """How well a mask fills the box that was drawn around it: IoU of the two boxes."""
    found = mask_ops.mask_box(mask)
    if found.empty:
        return 0.0
    return found.width * found.height / (box.width * box.height)


def _dabs(clicks: Sequence[Click], shape: tuple[int, ...]) -> tuple[Mask, Mask]:
    """Small discs on the clicks: what is surely the thing, and what surely is not."""
    radius = max(2, round(0.008 * max(shape[:2])))
    marks = np.zeros(shape[:2], np.bool_), np.zeros(shape[:2], np.bool_)
    for click in clicks:
        mask_ops.draw_stroke(marks[0 if click.adds else 1], click.at, click.at, radius, True)
    return marks


def _alone(candidate: Candidate) -> Candidate:
    """A mask is believed less the larger it is: several things seen as one stand out as clearly."""
    return candidate._replace(score=candidate.score * (1 - float(candidate.mask.mean())))


def _tidied(mask: Mask, clicks: Sequence[Click], *, pieces: bool = False) -> Mask:
    """Tidy, but what was clicked away stays away: a hole is then left as it is."""
    clean = tidy(mask, pieces=pieces)
    if any(not click.adds and _holds(clean, [click.at]) for click in clicks):
        return mask if pieces else mask_ops.keep_largest(mask)
    return clean


def _filled(box: Box, shape: tuple[int, ...]) -> Mask:
    mask = np.zeros(shape[:2], np.bool_)
    mask[box.slices] = True
    return mask


def _holds(mask: Mask, points: Sequence[Point]) -> bool:
    return all(bool(mask[int(at.y), int(at.x)]) for at in points)


def _inside(at: Point, width: int, height: int) -> bool:
    return 0 <= at.x < width and 0 <= at.y < height


def _within(at: Point, window: Box) -> bool:
    return window.x0 <= at.x < window.x1 and window.y0 <= at.y < window.y1


def _middle(box: Box) -> Point:
    return Point((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
