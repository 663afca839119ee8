"""Finds the areas of flat colour in a drawn picture, whatever file it was saved to.

A label map shows each thing in a colour of its own. Files blur that: soft edges mix the colours of
two areas, JPEG shifts colours and rings beside edges. Flat areas are found first, then every other
pixel goes to an area beside it whose colour it has. What fits no area is refused, not guessed.

Shape legend: H, W height and width, C channels, K areas, M different colours, N pixels that lie in
no flat area.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

MAX_AREAS = 33
"""More colours than this, background included, are no label map."""

NEAR = 20
"""Flat colours of a blurred file this close (largest channel, of 255) may be one."""
APART = 40
"""Areas of a blurred file that differ by no more than this cannot be told apart for sure."""
TIGHT, TIGHT_SHARE = 8, 0.7
"""This share of an area's flat pixels lies this close to its colour; else it is a gradient."""
PEAK = 0.6
"""Off-colours of which one makes this share are another area, not a gradient."""
CALM = 6
"""Flat pixels of a blurred file differ by no more than this from their neighbours."""
THICK = 5
"""An area of a blurred file is this many pixels deep somewhere; speckles of JPEG are not."""
MIXTURE = 56
"""A pixel this far (of 255) from every mixture of two neighbouring areas belongs to neither."""
DARK = 64
"""A grey file whose largest value is lower holds label numbers; nothing lies between them."""
PATCH, SPECKLES = 6, 0.0005
"""Patches below this many pixels, above this share of the picture, are noise of compression."""
SOFT = 0.12
"""An area with more than this share of doubtful pixels has no sure outline."""
PURE = 28
"""A pixel away from the area of its colour (a thin line) must have the colour so nearly."""
LEAST_AREA = 0.0005
"""An area of a blurred file has at least this share of flat pixels."""
STRANGE_AREA = 0.0002
"""Pixels that fit no area are tolerated up to this share of the picture."""

Labels = npt.NDArray[np.int16]
Values = npt.NDArray[Any]
"""(H, W) whole numbers from 0, or (H, W, 3) uint8."""
Colour = tuple[int, ...]


class Unclear(Exception):
    """A drawn picture whose areas cannot be told apart; the text says why, in a few words."""


class Areas(NamedTuple):
    """A picture as areas of one colour each, ordered by colour."""

    labels_HW: Labels
    """Index into `colours`."""
    colours: tuple[Colour, ...]
    """One value per channel, as the file has them."""
    exact: bool
    """Every pixel has the very colour of its area."""


def find_areas(values_HW: Values) -> Areas | None:
    """The areas of a drawn picture; None where there are none (a photo, a gradient).

    Raises Unclear where areas are there, but not for sure which pixel belongs to which.
    """
    codes_HW = _codes(values_HW)
    present_M = _distinct(codes_HW)
    if len(present_M) > MAX_AREAS:
        return _blurred(values_HW)
    indices_HW = np.searchsorted(present_M, codes_HW).astype(np.int16)
    flat_HW = _range(indices_HW.astype(np.uint8)) == 0
    cores_M = np.bincount(indices_HW[flat_HW], minlength=len(present_M))
    drawn = cores_M.all() and _speckles(indices_HW) <= SPECKLES * indices_HW.size
    if drawn or len(present_M) <= 2:
        colours = [_colour(int(code), values_HW.ndim) for code in present_M]
        return _ordered(indices_HW, colours, exact=True)
    if values_HW.ndim == 2 and int(values_HW.max()) < DARK:
        raise Unclear("its values are too close together for a file with soft edges")
    return _blurred(values_HW, [indices_HW == k for k in np.flatnonzero(cores_M == 0)])


def _speckles(indices_HW: Labels) -> int:
    """Pixels in patches of one value too small to have been drawn."""
    count = 0
    for index in range(int(indices_HW.max()) + 1):
        own_HW = (indices_HW == index).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(own_HW, connectivity=8)
        areas = stats[1:, cv2.CC_STAT_AREA]
        count += int(areas[areas < PATCH].sum())
    return count


def _blurred(values_HW: Values, thin: Sequence[npt.NDArray[np.bool_]] = ()) -> Areas | None:
    """Areas of a picture whose edges hold other colours than its areas.

    `thin`: where the colours are that are nowhere flat, in a picture of few colours.
    """
    pixels_HWC, scale = _eight_bit(values_HW)
    calm_HW = _range(pixels_HWC) <= CALM
    centres = _centres(pixels_HWC[calm_HW], least=max(9.0, LEAST_AREA * calm_HW.size))
    if not centres:
        return None
    centres, seeds_HW = _seeds(pixels_HWC, calm_HW, np.array(centres, np.float32))
    labels_HW, strange_HW, doubtful_HW = _spread(pixels_HWC, seeds_HW, centres)
    edge_HW = np.abs(pixels_HWC - centres[labels_HW]).max(axis=-1) > APART
    strange_HW |= edge_HW & _plateau(pixels_HWC)
    colours = [tuple(round(float(value) * scale) for value in colour) for colour in centres]
    for own_HW in thin:
        if strange_HW[own_HW].mean() > 0.5:
            colour = say_colour(tuple(np.atleast_1d(values_HW[own_HW][0]).tolist()))
            raise Unclear(f"the colour {colour} is only in lines too thin to be an area")
    # One thing on a background may end in strands; what is lost there must be as deep as a thing.
    deep = np.ones((7, 7) if len(centres) == 2 else (2, 2), np.uint8)
    lost = int(cv2.erode(strange_HW.astype(np.uint8), deep).sum())
    if lost > 0.1 * strange_HW.size:
        return None
    if lost > max(4.0, STRANGE_AREA * strange_HW.size):
        raise Unclear(f"{lost} pixels have a colour that is not that of an area beside them")
    for k in range(len(centres)):
        # One thing alone is cut at half its height, however soft it is.
        if len(centres) > 2 and doubtful_HW[labels_HW == k].mean() > SOFT:
            raise Unclear(f"the edges of the area of colour {say_colour(colours[k])} are too soft")
    return _ordered(labels_HW, colours, exact=False)


def _plateau(pixels_HWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Pixels that are the lightest or the darkest around in every channel; edges are neither."""
    kernel = np.ones((7, 7), np.uint8)
    high = cv2.dilate(pixels_HWC, kernel).reshape(pixels_HWC.shape).astype(np.int16)
    low = cv2.erode(pixels_HWC, kernel).reshape(pixels_HWC.shape).astype(np.int16)
    slack = (high - low) // 10
    extreme_HWC = (high - pixels_HWC <= slack) | (pixels_HWC - low <= slack)
    return np.asarray(extreme_HWC.all(axis=-1))


def _centres(flat_NC: npt.NDArray[np.uint8], *, least: float) -> list[Colour]:
    """The colours around which flat pixels gather, most common first; none for a gradient.

    Raises Unclear for two colours that are nearly one.
    """
    codes = _codes(flat_NC if flat_NC.shape[1] == 3 else flat_NC[:, 0])
    counts = np.bincount(codes)
    found = np.flatnonzero(counts)
    counts_M = counts[found]
    colours_MC = np.array([_colour(int(code), 1 + flat_NC.shape[1]) for code in found], np.int16)
    centres: list[Colour] = []
    while len(counts_M) and len(centres) <= MAX_AREAS:
        centre = colours_MC[counts_M.argmax()]
        gaps_M = np.abs(colours_MC - centre).max(axis=1)
        near_M = gaps_M <= NEAR
        gathered = int(counts_M[near_M].sum())
        if gathered < least:
            return centres
        if int(counts_M[gaps_M <= TIGHT].sum()) < TIGHT_SHARE * gathered:
            others_M = counts_M[near_M & (gaps_M > TIGHT)]
            if others_M.max() < PEAK * others_M.sum():
                return []
            raise Unclear(f"two areas have nearly the same colour, {_say(centre)}")
        centres.append(tuple(int(value) for value in centre))
        colours_MC, counts_M = colours_MC[~near_M], counts_M[~near_M]
    return centres if len(centres) <= MAX_AREAS else []


def _seeds(
    pixels_HWC: npt.NDArray[np.uint8],
    calm_HW: npt.NDArray[np.bool_],
    centres_KC: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], Labels]:
    """Flat areas with the centres that are left; speckles beside a like colour join it.

    Raises Unclear for two true areas of nearly one colour.
    """
    calm_NC = pixels_HWC[calm_HW].astype(np.float32)
    gaps_KN = np.stack([np.abs(calm_NC - centre).max(axis=1) for centre in centres_KC])
    nearest_N = gaps_KN.argmin(axis=0).astype(np.int16)
    nearest_N[gaps_KN.min(axis=0) > NEAR] = -1
    seeds_HW = np.full(calm_HW.shape, -1, np.int16)
    seeds_HW[calm_HW] = nearest_N
    off_HW = calm_HW.copy()
    off_HW[calm_HW] = gaps_KN.min(axis=0) > TIGHT
    kept: list[int] = []
    for k in range(len(centres_KC)):
        own_HW = seeds_HW == k
        if _depth(own_HW & off_HW) >= THICK:
            raise Unclear(f"two areas have nearly the same colour, {_say(centres_KC[k])}")
        if not kept:
            kept.append(k)
            continue
        gaps = np.abs(centres_KC[kept] - centres_KC[k]).max(axis=1)
        if gaps.min() > APART:
            kept.append(k)
            continue
        if _depth(own_HW) >= THICK:
            first, second = _say(centres_KC[kept[gaps.argmin()]]), _say(centres_KC[k])
            raise Unclear(f"two areas have nearly the same colour, {first} and {second}")
        seeds_HW[own_HW] = -1
    table = np.full(len(centres_KC) + 1, -1, np.int16)
    table[kept] = np.arange(len(kept))
    return centres_KC[kept], table[seeds_HW]


def _spread(
    pixels_HWC: npt.NDArray[np.uint8], seeds_HW: Labels, centres_KC: npt.NDArray[np.float32]
) -> tuple[Labels, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Every pixel's area, which pixels fit none, and which might as well be a neighbour's.

    A pixel in no flat area takes the like-coloured one among those that are about as near as the
    nearest; where it is no mixture of these, one that has its colour (a line too thin to be flat).
    """
    rest_HW = seeds_HW < 0
    pixels_NC = pixels_HWC[rest_HW].astype(np.float32)
    reach_KN = np.stack(
        [
            cv2.distanceTransform((seeds_HW != k).astype(np.uint8), cv2.DIST_L2, 3)[rest_HW]
            for k in range(len(centres_KC))
        ]
    )
    beside_KN = reach_KN <= 1.5 * reach_KN.min(axis=0) + 2
    labels_N, residual_N = _mixtures(pixels_NC, centres_KC, beside_KN)
    far_N = residual_N > MIXTURE
    if far_N.any():
        gaps_KN = np.stack([np.abs(pixels_NC[far_N] - centre).max(axis=1) for centre in centres_KC])
        labels_N[far_N] = gaps_KN.argmin(axis=0)
        residual_N[far_N] = np.where(gaps_KN.min(axis=0) <= PURE, 0, np.inf)
    gaps_KK = np.abs(centres_KC[:, None] - centres_KC).max(axis=-1) + 999 * np.eye(len(centres_KC))
    contrast_N = gaps_KK.min(axis=1)[labels_N]
    mixed_N = np.abs(pixels_NC - centres_KC[labels_N]).max(axis=1) > contrast_N / 4
    reach_N = np.take_along_axis(reach_KN, labels_N[None].astype(np.intp), axis=0)[0]
    labels_HW = seeds_HW.copy()
    strange_HW, doubtful_HW = (np.zeros(rest_HW.shape, np.bool_) for _ in range(2))
    labels_HW[rest_HW], strange_HW[rest_HW] = labels_N, residual_N > MIXTURE
    doubtful_HW[rest_HW] = mixed_N | (reach_N > reach_KN.min(axis=0) + 1.5)
    return labels_HW, strange_HW, doubtful_HW


def _mixtures(
    pixels_NC: npt.NDArray[np.float32],
    centres_KC: npt.NDArray[np.float32],
    allowed_KN: npt.NDArray[np.bool_],
) -> tuple[Labels, npt.NDArray[np.float32]]:
    """Per pixel the like-coloured allowed area, and how far it is from a mixture with another."""
    gaps_KN = np.stack([np.linalg.norm(pixels_NC - centre, axis=1) for centre in centres_KC])
    gaps_KN[~allowed_KN] = np.inf
    labels_N, residual_N = gaps_KN.argmin(axis=0), gaps_KN.min(axis=0)
    own_NC = centres_KC[labels_N]
    for k, centre in enumerate(centres_KC):
        way_NC = centre - own_NC
        length_N = np.maximum((way_NC**2).sum(axis=1), 1e-6)
        share_N = (((pixels_NC - own_NC) * way_NC).sum(axis=1) / length_N).clip(0, 1)
        mixed_NC = own_NC + share_N[:, None] * way_NC
        mixed_N = np.linalg.norm(pixels_NC - mixed_NC, axis=1)
        residual_N = np.where(allowed_KN[k], np.minimum(residual_N, mixed_N), residual_N)
    return labels_N.astype(np.int16), residual_N


def _depth(mask_HW: npt.NDArray[np.bool_]) -> float:
    """Distance of the pixel deepest within the mask from its outside."""
    return float(cv2.distanceTransform(mask_HW.astype(np.uint8), cv2.DIST_L2, 3).max())


def _say(colour_C: npt.NDArray[Any]) -> str:
    return say_colour(tuple(int(value) for value in colour_C))


def say_colour(colour: Colour) -> str:
    """`#ff0000`, or a grey file's number."""
    return str(colour[0]) if len(colour) == 1 else "#" + "".join(f"{v:02x}" for v in colour)


def _ordered(labels_HW: Labels, colours: list[Colour], *, exact: bool) -> Areas:
    """The areas by colour; channels are compared coarsely first, so that JPEG keeps the order."""

    def key(k: int) -> tuple[tuple[int, ...], Colour]:
        colour = colours[k][::-1]
        return (tuple(value // 40 for value in colour) if len(colour) > 1 else colour), colour

    order = sorted(range(len(colours)), key=key)
    place = np.empty(len(order), np.int16)
    place[order] = np.arange(len(order))
    return Areas(place[labels_HW], tuple(colours[k] for k in order), exact)


def _codes(values: Values) -> npt.NDArray[np.int64]:
    """One number per pixel; the last axis of a colour picture is folded into it."""
    if values.ndim == 1 or values.shape[-1] != 3 or values.dtype != np.uint8:
        return values.astype(np.int64)
    wide = values.astype(np.int64)
    return wide[..., 0] | wide[..., 1] << 8 | wide[..., 2] << 16


def _colour(code: int, dimensions: int) -> Colour:
    return (code,) if dimensions == 2 else (code & 255, code >> 8 & 255, code >> 16 & 255)


def _distinct(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """The numbers that occur, rising. A table of 24-bit values is far quicker than a sort."""
    top = int(codes.max(initial=0))
    if top >= 1 << 26:
        return np.unique(codes)
    seen = np.zeros(top + 1, bool)
    seen[codes.ravel()] = True
    return np.flatnonzero(seen)


def _range(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Largest minus smallest value in the 3x3 pixels around each, over all channels; (H, W)."""
    kernel = np.ones((3, 3), np.uint8)
    spread = np.asarray(
        cv2.subtract(cv2.dilate(pixels, kernel), cv2.erode(pixels, kernel)), np.uint8
    )
    return spread if spread.ndim == 2 else spread.max(axis=2)


def _eight_bit(values_HW: Values) -> tuple[npt.NDArray[np.uint8], float]:
    """(H, W, C) of 0..255, and the factor back to the file's values."""
    if values_HW.ndim == 3:
        return values_HW, 1.0
    top = int(values_HW.max(initial=0))
    if 64 <= top <= 255:
        return values_HW.astype(np.uint8)[..., None], 1.0
    scale = max(1, top) / 255
    return (values_HW / scale).round().astype(np.uint8)[..., None], scale
