"""Chooses scenes from a local COCO folder by the paper's rules (section 4.1). No torch here.

The authors' list is lost; the one written here names images, crops and segments, so that it can be
published and used by others.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engine.core.errors import UserError
from engine.evaluate.job_plan import SceneSource
from engine.files.atomic import write_atomic
from engine.scenes.annotation_files import rasterise
from engine.scenes.scene import Scene, SceneConcept, load_image

FORMAT = 1
LEAST_SHARE = 0.15
"""Of the square crop, for every segment (the paper)."""
LEAST_SEGMENTS = 2
EXCLUDED = ("orange", "banana", "broccoli", "carrot", "zebra", "giraffe")
"""Classes that the paper leaves out."""
CROPS = 17
"""How many places of the square along the longer side are tried."""

RULES = (
    "square crop, the whole shorter side",
    f"at least {LEAST_SEGMENTS} segments of at least {LEAST_SHARE:.0%} of the crop each",
    "every segment of another class; a class with two such segments does not count",
    "no crowds; classes left out: " + ", ".join(EXCLUDED),
    f"of {CROPS} places of the crop the one with most segments, then with the largest ones",
)

Polygons = list[list[float]]


@dataclass(frozen=True, kw_only=True)
class ListedSegment:
    """One concept of a listed scene."""

    annotation: int
    """The annotation's id in COCO."""
    word: str
    """Its class."""
    polygons: Polygons
    """In pixels of the whole image, as COCO gives them."""


@dataclass(frozen=True, kw_only=True)
class ListedScene:
    """One scene of the list."""

    image: int
    """The image's id in COCO."""
    file: str
    left: int
    top: int
    side: int
    """The crop, in pixels of the whole image."""
    segments: tuple[ListedSegment, ...]

    @property
    def name(self) -> str:
        return f"coco-{self.image:012d}"


@dataclass(frozen=True, kw_only=True)
class SceneList:
    """A list of scenes, ready to be published."""

    seed: int
    candidates: int
    """How many images fit the rules."""
    annotations_sha256: str
    scenes: tuple[ListedScene, ...]
    digest: str = ""
    """sha256 of the file it was read from."""


class _Crop(NamedTuple):
    left: int
    top: int
    side: int
    annotations: tuple[Mapping[str, Any], ...]


def select_scenes(images: Path, instances: Path, *, count: int, seed: int) -> SceneList:
    """Draw `count` scenes among all images of the folder that fit the rules; raises UserError.

    Equal files and seeds give equal lists.
    """
    try:
        text = instances.expanduser().read_bytes()
        table = json.loads(text)
        words = {int(entry["id"]): str(entry["name"]) for entry in table["categories"]}
        pictures = sorted(table["images"], key=lambda entry: int(entry["id"]))
        by_image: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
        for entry in table["annotations"]:
            by_image[int(entry["image_id"])].append(entry)
    except OSError as error:
        raise UserError(f"cannot read {instances}: {error.strerror}", "check the path") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{instances} is no COCO instance file ({error!r})", "take instances_val2017.json"
        ) from error
    folder = images.expanduser()
    if not folder.is_dir():
        raise UserError(f"there is no folder {images}", "check the path")
    fitting: list[ListedScene] = []
    for picture in pictures:
        if not (folder / str(picture["file_name"])).is_file():
            continue
        crop = _best_crop(picture, by_image[int(picture["id"])], words)
        if crop is not None:
            fitting.append(_listed(picture, crop, words))
    if not fitting:
        raise UserError(f"no image of {images} fits the paper's rules", "take a larger part of it")
    order = np.random.default_rng(seed).permutation(len(fitting))[:count]
    return SceneList(
        seed=seed,
        candidates=len(fitting),
        annotations_sha256=hashlib.sha256(text).hexdigest(),
        scenes=tuple(fitting[int(index)] for index in order),
    )


def write_list(chosen: SceneList, path: Path) -> None:
    """Write the list with the rules it was made by."""
    record = {
        "format": FORMAT,
        "about": "Scenes for the Break-A-Scene evaluation, chosen from COCO. The annotations are "
        "COCO's (CC BY 4.0); the images have licences of their own and are not included.",
        "rules": RULES,
        **{key: value for key, value in asdict(chosen).items() if key != "digest"},
    }
    write_atomic(path.expanduser(), (json.dumps(record, indent=1) + "\n").encode())


def read_list(path: Path) -> SceneList:
    """Read a list; raises UserError."""
    try:
        text = path.expanduser().read_bytes()
        table = json.loads(text)
        scenes = tuple(
            ListedScene(
                **{key: entry[key] for key in ("image", "file", "left", "top", "side")},
                segments=tuple(ListedSegment(**segment) for segment in entry["segments"]),
            )
            for entry in table["scenes"]
        )
        return SceneList(
            seed=table["seed"],
            candidates=table["candidates"],
            annotations_sha256=table["annotations_sha256"],
            scenes=scenes,
            digest=hashlib.sha256(text).hexdigest(),
        )
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "check the path") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is no list of scenes ({error!r})", "make one with `bas eval select`"
        ) from error


def load_list_scenes(chosen: SceneList, images: Path, count: int) -> list[SceneSource]:
    """The first `count` scenes of a list, cropped; raises UserError where an image is missing."""
    loaded: list[SceneSource] = []
    for entry in chosen.scenes[:count]:
        pixels = load_image(images / entry.file)
        window = np.s_[entry.top : entry.top + entry.side, entry.left : entry.left + entry.side]
        if pixels[window].shape[:2] != (entry.side, entry.side):
            raise UserError(
                f"{entry.file} is {pixels.shape[1]}x{pixels.shape[0]}, too small for the list",
                "take the images at their original size",
            )
        concepts = tuple(
            SceneConcept(
                segment.word.replace(" ", "-"),
                rasterise(segment.polygons, pixels.shape[1], pixels.shape[0])[window],
            )
            for segment in entry.segments
        )
        image = np.ascontiguousarray(pixels[window])
        scene = Scene(image=image, concepts=concepts, source=entry.file)
        loaded.append(SceneSource(entry.name, scene))
    return loaded


def _best_crop(
    picture: Mapping[str, Any],
    annotations: Sequence[Mapping[str, Any]],
    words: Mapping[int, str],
) -> _Crop | None:
    width, height = int(picture["width"]), int(picture["height"])
    side = min(width, height)
    least = LEAST_SHARE * side * side
    large = [
        entry
        for entry in annotations
        if not entry.get("iscrowd")
        and isinstance(entry["segmentation"], list)
        and words[int(entry["category_id"])] not in EXCLUDED
        # The crop can only make a segment smaller; a tenth allows for rounding.
        and float(entry["area"]) >= 0.9 * least
    ]
    if len(large) < LEAST_SEGMENTS:
        return None
    masks = [rasterise(entry["segmentation"], width, height) for entry in large]
    best: tuple[tuple[int, float], _Crop] | None = None
    offsets = np.unique(np.linspace(0, max(width, height) - side, CROPS).round().astype(int))
    for offset in offsets:
        left, top = (int(offset), 0) if width > height else (0, int(offset))
        sizes = [float(mask[top : top + side, left : left + side].sum()) for mask in masks]
        fitting = [k for k, size in enumerate(sizes) if size >= least]
        classes = Counter(int(large[k]["category_id"]) for k in fitting)
        chosen = [k for k in fitting if classes[int(large[k]["category_id"])] == 1]
        rank = len(chosen), sum(sizes[k] for k in chosen)
        if len(chosen) >= LEAST_SEGMENTS and (best is None or rank > best[0]):
            chosen.sort(key=lambda k: -sizes[k])
            best = rank, _Crop(left, top, side, tuple(large[k] for k in chosen))
    return best[1] if best else None


def _listed(picture: Mapping[str, Any], crop: _Crop, words: Mapping[int, str]) -> ListedScene:
    segments = tuple(
        ListedSegment(
            annotation=int(entry["id"]),
            word=words[int(entry["category_id"])],
            polygons=[[float(value) for value in polygon] for polygon in entry["segmentation"]],
        )
        for entry in crop.annotations
    )
    return ListedScene(
        image=int(picture["id"]),
        file=str(picture["file_name"]),
        left=crop.left,
        top=crop.top,
        side=crop.side,
        segments=segments,
    )
