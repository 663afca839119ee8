"""How good a segmenter is on scenes with known masks: `python -m engine.segments.measure SCENE...`.

For every mask of every scene: a click at its deepest place, and its tight box, against the mask;
the best candidate and the first. GrabCut and flood fill alone stand beside.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from engine.core.errors import UserError
from engine.scenes import mask_ops
from engine.scenes.mask_ops import Mask, Picture
from engine.scenes.pixel_box import Point
from engine.scenes.scene import load_scene
from engine.segments.candidates import iou
from engine.segments.choose import segmenter_of
from engine.segments.contract import Candidate, Click
from engine.segments.grab_cut import box_to_mask

FLOOD = 24


class Row(NamedTuple):
    """One mask of a scene, asked for in one way."""

    scene: str
    thing: str
    way: str
    """`box` or `click`."""
    finder: str
    first: float
    """IoU of the first candidate; 0 where nothing was found."""
    best: float
    """IoU of the best candidate."""
    answers: int
    cpu: float
    """Seconds of processor time."""


def deepest(mask: Mask) -> Point:
    """The middle of the pixel that is farthest from the mask's edge."""
    inside = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = divmod(int(np.asarray(inside).argmax()), mask.shape[1])
    return Point(x + 0.5, y + 0.5)


def measure(scene: Path, model: str, *, beside: bool = True) -> list[Row]:
    """Every mask of a scene by the segmenter of that name, and `beside` it by colour alone."""
    loaded = load_scene(scene)
    image = loaded.image
    segmenter = segmenter_of(model)
    started = time.process_time()
    read = segmenter.read(image)
    reading = time.process_time() - started
    rows = [Row(scene.name, "", "read", segmenter.name, 0, 0, 0, reading)]
    for name, mask in loaded.concepts:
        box = mask_ops.mask_box(mask)
        at = deepest(mask)
        ways: list[tuple[str, str, Callable[[], Sequence[Candidate]]]] = [
            ("box", segmenter.name, lambda box=box: read.at(box=box)),
            ("box", "GrabCut", lambda box=box: [Candidate(box_to_mask(image, box), 1, "")]),
            ("click", segmenter.name, lambda at=at: read.at([Click(at)])),
            ("click", "flood", lambda at=at: [_flood(image, at)]),
        ]
        for way, finder, ask in ways if beside else ways[::2]:
            rows.append(_asked(ask, mask, (scene.name, name, way, finder)))
    return rows


def _flood(image: Picture, at: Point) -> Candidate:
    return Candidate(mask_ops.flood(image, (int(at.x), int(at.y)), FLOOD), 1, "")


def _asked(
    ask: Callable[[], Sequence[Candidate]], truth: Mask, labels: tuple[str, str, str, str]
) -> Row:
    started = time.process_time()
    try:
        found = ask()
    except UserError:
        found = []
    cpu = time.process_time() - started
    scores = [iou(candidate.mask, truth) for candidate in found]
    return Row(*labels, scores[0] if scores else 0.0, max(scores, default=0.0), len(scores), cpu)


def main(arguments: list[str] | None = None) -> int:
    """Print a table of Markdown: one line per mask and way, then the means."""
    parser = argparse.ArgumentParser(prog="python -m engine.segments.measure", description=__doc__)
    parser.add_argument("scenes", nargs="+", type=Path, help="a photo's folder with its masks")
    parser.add_argument(
        "--segmenter", default="embedded", help="its name, its folder or its hub id"
    )
    parser.add_argument("--only", action="store_true", help="leave GrabCut and flood fill out")
    chosen = parser.parse_args(arguments)
    rows: list[Row] = []
    print("| scene | thing | from | by | IoU first | IoU best | candidates | CPU s |")
    print("|---|---|---|---|---|---|---|---|")
    for scene in chosen.scenes:
        for row in measure(scene, chosen.segmenter, beside=not chosen.only):
            rows.append(row)
            print(
                f"| {row.scene} | {row.thing} | {row.way} | {row.finder} | {row.first:.2f} "
                f"| {row.best:.2f} | {row.answers} | {row.cpu:.1f} |",
                flush=True,
            )
    for way, finder in dict.fromkeys((row.way, row.finder) for row in rows if row.way != "read"):
        ours = [row for row in rows if (row.way, row.finder) == (way, finder)]
        first, best = [row.first for row in ours], [row.best for row in ours]
        print(
            f"| all {len(ours)} | mean, median | {way} | {finder} "
            f"| {np.mean(first):.2f}, {np.median(first):.2f} "
            f"| {np.mean(best):.2f}, {np.median(best):.2f} "
            f"| {np.mean([row.answers for row in ours]):.1f} "
            f"| {np.mean([row.cpu for row in ours]):.1f} |"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
