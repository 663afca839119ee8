"""Are the embedded scorers right? They judge pictures whose content is known exactly.

Things of the suite's scenes (no scorer was fitted to them) are pasted on freshly painted
backgrounds, at other sizes and places than in their scene; half of the pictures are degraded as a
small generator's are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageFilter

from engine.evaluate.job_plan import class_words, suite_scenes
from engine.evaluate.scorers.backbone import SIDE
from engine.evaluate.scorers.base import Pixels, SceneView, Shot
from engine.evaluate.scorers.copying import COPIED, CopyScorer
from engine.evaluate.scorers.pocket import identity_measure, judge
from engine.evaluate.suites import read_suite
from engine.pocket import backgrounds
from engine.scenes.mask_ops import mask_box

SEED = 9100


class Known(NamedTuple):
    """A picture with known content."""

    picture: Pixels
    things: tuple[tuple[int, int], ...]
    """(scene, concept) of each thing in it."""
    kind: str
    """Its background."""


class Validation(NamedTuple):
    """Shares of right answers, 0..1."""

    pictures: int
    identity_top1: float
    """One thing in the picture: its own concept scores highest among all concepts."""
    identity_pairs: float
    """A picture with the concept scores above one without it (chance: 0.5)."""
    identity_margin: float
    """Mean score with the concept minus mean score without it."""
    found: float
    """A thing is there and some region is found."""
    empty_not_found: float
    """Nothing is there and nothing is found."""
    place_top1: float
    """The right background scores highest among all (chance: 1 in 26)."""
    copies: float
    """A scene, also mirrored or degraded, counts as a copy."""
    not_copies: float
    """A picture of other content does not."""


def degrade(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Blur, half resolution, brightness and noise, as a small generator's pictures have them."""
    picture = Image.fromarray(pixels)
    if rng.random() < 0.3:
        picture = picture.resize((SIDE // 2, SIDE // 2), Image.Resampling.BOX)
        picture = picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    if rng.random() < 0.6:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.6)))
    values = np.asarray(picture, np.float32) * rng.uniform(0.9, 1.1)
    coarse = rng.normal(0, rng.uniform(0, 8), (SIDE // 4, SIDE // 4, 3)).astype(np.float32)
    values += coarse.repeat(4, 0).repeat(4, 1)
    return values.clip(0, 255).astype(np.uint8)


def suite_views() -> list[SceneView]:
    """All scenes of the `pocket` suite."""
    return [
        SceneView(
            image=source.scene.image,
            masks=np.stack([concept.mask for concept in source.scene.concepts]),
            words=class_words(source.scene),
        )
        for source in suite_scenes(read_suite("pocket"), "full")
    ]


def known_pictures(
    views: Sequence[SceneView], count: int, things: int, *, degraded: bool, seed: int
) -> list[Known]:
    """Pictures with `things` different things each."""
    rng = np.random.default_rng([SEED, seed])
    everything = [(s, k) for s, view in enumerate(views) for k in range(len(view.masks))]
    kinds = backgrounds.kinds()
    made: list[Known] = []
    for index in range(count):
        kind = kinds[index % len(kinds)]
        canvas = backgrounds.paint(rng, kind)[:SIDE, :SIDE].copy()
        chosen = [everything[int(k)] for k in rng.permutation(len(everything))[:things]]
        for column, (scene, concept) in enumerate(chosen):
            _paste(canvas, views[scene], concept, column, things, rng)
        picture = degrade(canvas, rng) if degraded else canvas
        made.append(Known(picture, tuple(chosen), kind))
    return made


def validate(count: int = 104) -> Validation:
    """Measure the scorers on `count` pictures of each sort."""
    views = suite_views()
    halves = (count - count // 2, count // 2)
    single = [
        known
        for half, number in enumerate(halves)
        for known in known_pictures(views, number, 1, degraded=bool(half), seed=half)
    ]
    double = [
        known
        for half, number in enumerate(halves)
        for known in known_pictures(views, number, 2, degraded=bool(half), seed=2 + half)
    ]
    empty = known_pictures(views, 26, 0, degraded=False, seed=4)
    scores, found = _all_scores(views, [*single, *double])
    _, found_empty = _all_scores(views, empty)
    columns = [(s, k) for s, view in enumerate(views) for k in range(len(view.masks))]
    present = np.array(
        [[column in known.things for column in columns] for known in [*single, *double]]
    )
    top1 = [columns[int(row.argmax())] in k.things for row, k in zip(scores, single, strict=False)]
    pairs = [
        float((scores[present[:, c], c][:, None] > scores[~present[:, c], c][None]).mean())
        for c in range(len(columns))
        if present[:, c].any()
    ]
    return Validation(
        pictures=len(single) + len(double) + len(empty),
        identity_top1=float(np.mean(top1)),
        identity_pairs=float(np.mean(pairs)),
        identity_margin=float(scores[present].mean() - scores[~present].mean()),
        found=float(found.mean()),
        empty_not_found=float(1 - found_empty.mean()),
        place_top1=_place_accuracy([*single, *double]),
        copies=_copy_share(views),
        not_copies=1 - _copied(CopyScorer(), views[0], [known.picture for known in double]),
    )


def print_validation() -> int:
    """Print the figures as JSON."""
    figures = {key: round(value, 4) for key, value in validate()._asdict().items()}
    print(json.dumps(figures, indent=1))
    return 0


def _paste(
    canvas: Pixels,
    view: SceneView,
    concept: int,
    column: int,
    columns: int,
    rng: np.random.Generator,
) -> None:
    mask = view.masks[concept]
    window = mask_box(mask).slices
    room = SIDE // columns
    most = 0.9 * room / max(mask[window].shape)
    scale = min(most, float(rng.uniform(0.8, 1.4)))
    size = [max(8, round(edge * scale)) for edge in mask[window].shape]
    scaling = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    thing = cv2.resize(view.image[window], size[::-1], interpolation=scaling)
    shape = cv2.resize(
        mask[window].astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST
    ).astype(bool)
    top = int(rng.integers(0, SIDE - size[0] + 1))
    left = column * room + int(rng.integers(0, room - size[1] + 1))
    if rng.random() < 0.5:
        thing, shape = thing[:, ::-1], shape[:, ::-1]
    area = canvas[top : top + size[0], left : left + size[1]]
    area[shape] = thing[shape]


def _all_scores(
    views: Sequence[SceneView], pictures: Sequence[Known]
) -> tuple[np.ndarray, np.ndarray]:
    """Identity of every concept in every picture (pictures, concepts), and what was found."""
    wanted = [row for view in views for row in judge().concepts(view)]
    things = judge().things([known.picture for known in pictures])
    measures = [[identity_measure(row, found, 0) for row in wanted] for found in things]
    values = np.array([[measure.value for measure in row] for row in measures])
    return values, np.array([row[0].found for row in measures])


def _place_accuracy(pictures: Sequence[Known]) -> float:
    """The right place scores above every other."""
    shares = judge().places([known.picture for known in pictures])
    kinds = judge().heads.places
    best = [kinds[index] for index in shares.argmax(1).tolist()]
    return float(np.mean([a == known.kind for a, known in zip(best, pictures, strict=True)]))


def _copied(scorer: CopyScorer, view: SceneView, pictures: Sequence[Pixels]) -> float:
    shots = [Shot(picture=picture, subset=(0,), prompt="", place="") for picture in pictures]
    return float(np.mean([answer[0].value > COPIED for answer in scorer.measure(view, shots)]))


def _copy_share(views: Sequence[SceneView]) -> float:
    rng = np.random.default_rng([SEED, 9])
    scorer = CopyScorer()
    shares: list[float] = []
    for view in views:
        pictures = [view.image, np.ascontiguousarray(view.image[:, ::-1])]
        pictures += [degrade(view.image, rng) for _ in range(4)]
        shares.append(_copied(scorer, view, pictures))
    return float(np.mean(shares))
