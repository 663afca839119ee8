"""Fits the embedded scorers' heads: `python -m engine.pocket.recipe.scorer_training`.

A tool for developers: it composes pictures from the renders of `engine.pocket.recipe.objects`,
using only objects of the training sets, never those that suites show. Nothing of the generator
takes part.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save

from engine.evaluate.scorers.backbone import GRID, SIDE, Backbone
from engine.evaluate.scorers.base import Pixels
from engine.evaluate.scorers.pocket import HEADS_FILE, Heads, Judge, place_features
from engine.evaluate.scorers.regions import candidates, cut
from engine.evaluate.scorers.validation import degrade
from engine.files.atomic import write_atomic
from engine.pocket import backgrounds
from engine.pocket.recipe import objects
from engine.pocket.recipe.composer import Composer

SEED = 7100
HIDDEN = 64
DIMENSIONS = 96
SHRINK = 0.1
"""Share of the mean variance added to the within-object covariance."""
PIXELS_A_PICTURE = 300
OVERLAP = 0.5
"""A region is of the object that fills at least this share of it."""


class Composite(NamedTuple):
    """A composed picture, degraded as a generator's might be, with the truth."""

    picture: Pixels
    masks: np.ndarray
    """(objects, SIDE, SIDE) bool."""
    names: tuple[str, ...]
    kind: str


class Fit(NamedTuple):
    """What is known of the composites after one look, ready to fit heads to."""

    cuts: torch.Tensor
    labels: torch.Tensor
    places: torch.Tensor
    kinds: torch.Tensor


def composites(composer: Composer, count: int, seed: int) -> Iterator[Composite]:
    """Pictures of one to three objects; every object and every background equally often."""
    rng = np.random.default_rng(seed)
    kinds, names = backgrounds.kinds(), sorted(composer.sprites)
    bag: list[str] = []
    for index in range(count):
        size = int(rng.choice([1, 2, 3], p=[0.35, 0.5, 0.15]))
        if len(bag) < size:
            bag += [names[k] for k in rng.permutation(len(names))]
        chosen, bag = list(dict.fromkeys(bag[:size])), bag[size:]
        drawn = composer.compose(rng, chosen, kinds[index % len(kinds)], flip=0.3)
        picture = degrade(drawn.image, rng) if rng.random() < 0.75 else drawn.image
        yield Composite(picture, drawn.masks > 0.5, drawn.names, drawn.kind)


def fit_segmenter(backbone: Backbone, samples: Sequence[Composite]) -> list[torch.Tensor]:
    """A two-layer head on local features, by Adam on random places of the pictures."""
    generator = torch.Generator().manual_seed(SEED)
    rows, wanted = [], []
    for start in range(0, len(samples), 16):
        some = samples[start : start + 16]
        local = backbone.local_features([s.picture for s in some]).permute(0, 2, 3, 1).flatten(1, 2)
        truth = torch.from_numpy(np.stack([s.masks.any(0) for s in some])).float()
        truth = F.avg_pool2d(truth[:, None], SIDE // GRID).flatten(1)
        for features, share in zip(local, truth, strict=True):
            picked = torch.randperm(GRID * GRID, generator=generator)[:PIXELS_A_PICTURE]
            rows.append(features[picked].half())
            wanted.append(share[picked])
    X, y = torch.cat(rows), torch.cat(wanted)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        net = torch.nn.Sequential(
            torch.nn.Linear(X.shape[1], HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 1)
        )
    optimizer = torch.optim.Adam(net.parameters(), 2e-3, weight_decay=1e-5)
    for epoch in range(6):
        order = torch.randperm(len(X), generator=generator)
        total = 0.0
        for batch in order.split(2048):
            loss = F.binary_cross_entropy_with_logits(net(X[batch].float())[:, 0], y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(batch)
        print(f"segmenter epoch {epoch}: loss {total / len(X):.4f}", flush=True)
    layers = (net[0], net[2])
    return [torch.cat([layer.weight.T, layer.bias[None]]).detach() for layer in layers]  # type: ignore[union-attr]


def look(judge: Judge, samples: Sequence[Composite], names: Sequence[str]) -> Fit:
    """Features of the objects, cut out by truth and by the segmenter, and of the pictures."""
    kinds = backgrounds.kinds()
    cuts, labels, places = [], [], []
    for start in range(0, len(samples), 16):
        some = samples[start : start + 16]
        pictures = [sample.picture for sample in some]
        places.append(place_features(judge.backbone, pictures))
        batch: list[Pixels] = []
        for sample, foreground in zip(some, judge.foreground(pictures), strict=True):
            for name, mask in zip(sample.names, sample.masks, strict=True):
                if mask.sum() >= 150:
                    batch.append(cut(sample.picture, mask, SIDE))
                    labels.append(names.index(name))
            for region in candidates(foreground):
                shares = (sample.masks & region).sum((1, 2)) / region.sum()
                if shares.max() >= OVERLAP:
                    batch.append(cut(sample.picture, region, SIDE))
                    labels.append(names.index(sample.names[int(shares.argmax())]))
        cuts.append(judge.backbone.pooled_features(batch))
        print(f"looked at {start + len(some)} of {len(samples)}", flush=True)
    found = torch.tensor([kinds.index(sample.kind) for sample in samples])
    return Fit(torch.cat(cuts), torch.tensor(labels), torch.cat(places), found)


def fit_identity(features_MD: torch.Tensor, labels_M: torch.Tensor) -> list[torch.Tensor]:
    """Mean and linear discriminant projection that keeps objects apart and their views together."""
    X = features_MD.double()
    mean = X.mean(0)
    classes = labels_M.unique()
    centres = torch.stack([X[labels_M == label].mean(0) for label in classes])
    residual = X - centres[torch.searchsorted(classes, labels_M)]
    within = residual.T @ residual / (len(X) - len(classes))
    within += SHRINK * within.diagonal().mean() * torch.eye(len(within), dtype=torch.double)
    whiten = torch.linalg.inv(torch.linalg.cholesky(within)).T
    _, _, directions = torch.linalg.svd((centres - mean) @ whiten, full_matrices=False)
    return [mean.float(), (whiten @ directions[:DIMENSIONS].T).float()]


def fit_places(features_MD: torch.Tensor, kinds_M: torch.Tensor, count: int) -> torch.Tensor:
    """Logistic regression by L-BFGS with a small ridge."""
    X = torch.cat([features_MD, torch.ones(len(features_MD), 1)], 1)
    weight = torch.zeros(X.shape[1], count, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=150, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(X @ weight, kinds_M) + 2e-4 * (weight[:-1] ** 2).sum() / count
        loss.backward()
        return loss

    optimizer.step(closure)
    print(f"places: loss {float(closure().detach()):.4f}", flush=True)
    return weight.detach()


def fit(count: int) -> Heads:
    """All heads from `count` composites of training objects."""
    sets = objects.catalogue()
    assets = objects.fetch(objects.data_dir())
    composer = Composer(objects.load_sprites(assets, sets.training()), seed=SEED, variants=24)
    names, kinds = sorted(composer.sprites), backgrounds.kinds()
    samples = list(composites(composer, count, SEED))
    backbone = Backbone()
    first, second = fit_segmenter(backbone, samples[: count // 2])
    empty = torch.zeros(0)
    partial = Heads(first, second, empty, empty, empty, kinds, "")
    judge = Judge(backbone, partial)
    unseen = samples[-64:]
    hits = []
    for sample in unseen:
        found = judge.foreground([sample.picture])[0]
        truth = sample.masks.any(0)
        hits.append((found & truth).sum() / max(1, (found | truth).sum()))
    print(f"segmenter: IoU {np.mean(hits):.3f} on {len(unseen)} unseen composites", flush=True)
    known = look(judge, samples, names)
    mean, projection = fit_identity(known.cuts, known.labels)
    place = fit_places(known.places, known.kinds, len(kinds))
    return partial._replace(identity_mean=mean, identity=projection, place=place)


def write(heads: Heads, path: Path) -> None:
    """Write the heads in half precision; the sum of the bytes is their version."""
    tensors = {
        name: value.half().contiguous()
        for name, value in heads._asdict().items()
        if isinstance(value, torch.Tensor)
    }
    digest = hashlib.sha256(save(tensors)).hexdigest()[:16]
    metadata = {"places": json.dumps(heads.places), "sum": digest}
    write_atomic(path, save(tensors, metadata))


def main(arguments: list[str] | None = None) -> int:
    """Fit and write; minutes on two cores."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--composites", type=int, default=1000)
    words.add_argument("--out", type=Path, default=HEADS_FILE)
    options = words.parse_args(arguments)
    started = time.monotonic()
    write(fit(options.composites), options.out)
    print(f"{options.out} in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
