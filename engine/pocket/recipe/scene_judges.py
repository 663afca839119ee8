"""What pictures of learned tokens show: kept things and lost ones, twins, ghosts, mixtures, order.

Every figure has the judges' own accuracy beside it, from real composites that went through the
autoencoder (`accuracies`). Shapes: N concepts of a scene, R regions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from engine.evaluate.scorers import matching
from engine.evaluate.scorers.backbone import Backbone
from engine.evaluate.scorers.matching import Verdict
from engine.evaluate.scorers.patches import thing_patches
from engine.evaluate.scorers.regions import Mask, Thing, things
from engine.pocket.recipe import judges
from engine.pocket.recipe.base_figures import joint_judge_accuracy
from engine.pocket.recipe.composer import Composer
from engine.pocket.recipe.evaluation_scenes import as_scene
from engine.pocket.recipe.judges import Classifier, Features
from engine.pocket.recipe.silhouettes import Fit, best_fit
from engine.scenes.scene import Scene

QUANTILE = 0.95
"""A thing is there where something is more like it than this share of all other things is."""


@dataclass(frozen=True, kw_only=True)
class SceneJudges:
    """Everything that judges the pictures of a scene of known objects."""

    objects: Classifier
    places: Classifier
    features: Features
    backbone: Backbone
    references: dict[str, torch.Tensor]
    """Patch features of each object in a composite."""
    thresholds: dict[str, float]
    """Similarity from which on an object is there."""


class Single(NamedTuple):
    """One picture of one token alone."""

    rank: int
    """Of the object among all by the classifier, 1 = best."""
    match_rank: int
    """The same by maximal cosine."""
    similarity: float
    """Maximal cosine of the largest thing with the concept in the scene."""
    extra: bool
    """More than one thing is there."""
    free: bool
    """None of the scene's other objects is recognised."""
    fit: Fit


class Joint(NamedTuple):
    """One picture of all tokens."""

    seen: tuple[bool, ...]
    """Each object, by the classifier."""
    verdict: Verdict
    kept_order: tuple[bool, ...]
    """For each pair of found things: left and right as in the scene."""


def make_judges(composer: Composer, vae) -> SceneJudges:
    """Judges of the composer's objects, fitted to composites that went through ``vae``."""
    features, backbone = Features(), Backbone()
    references, thresholds = _references(composer, backbone, vae)
    return SceneJudges(
        objects=judges.object_judge(composer, features, vae),
        places=judges.background_judge(composer, features, vae),
        features=features,
        backbone=backbone,
        references=references,
        thresholds=thresholds,
    )


class SceneReferences(NamedTuple):
    """A scene as the judges of its pictures know it."""

    names: tuple[str, ...]
    patches: list[torch.Tensor]
    """Patch features of each concept."""
    masks: list[Mask]
    centres: list[float]
    """Mean column of each."""


def scene_references(judge: SceneJudges, scene: Scene) -> SceneReferences:
    """What the judges look for."""
    masks = [concept.mask for concept in scene.concepts]
    patches = thing_patches(judge.backbone, [scene.image] * len(masks), masks)
    centres = [Thing(mask, True).centre for mask in masks]
    return SceneReferences(scene.names, patches, masks, centres)


def found_things(picture: Image.Image, count: int) -> list[Thing]:
    """Things that stand out from a plain ground, at least ``count`` places of them."""
    return things(
        judges.standing_out(picture), count, least=judges.LEAST, share=judges.SMALLEST_SHARE
    )


def similarities(
    judge: SceneJudges, patches: Sequence[torch.Tensor], picture: Image.Image, found: list[Thing]
) -> np.ndarray:
    """Maximal cosine of each concept with each thing, (N, R)."""
    pixels = np.asarray(picture)
    regions = thing_patches(judge.backbone, [pixels] * len(found), [t.mask for t in found])
    return matching.max_cosine(patches, regions)


def judge_single(
    judge: SceneJudges, scene: SceneReferences, index: int, picture: Image.Image
) -> Single:
    """Judge a picture of concept ``index`` alone on a plain ground."""
    name = scene.names[index]
    seen = judge.objects.best(judge.features(judges.views(picture, len(scene.names))))
    rank = judge.objects.ranks(judge.features([judges.largest(picture)]), name)[0]
    free = not any(other in seen for other in scene.names if other != name)
    found = found_things(picture, 1)
    if not found:
        return Single(rank, len(judge.references), 0.0, False, free, Fit(0.0, 0.0))
    others = [row for other, row in judge.references.items() if other != name]
    table = similarities(judge, [scene.patches[index], *others], picture, found[:1])[:, 0]
    match_rank = int((table > table[0]).sum()) + 1
    fit = best_fit(found[0].mask, scene.masks[index])
    return Single(rank, match_rank, float(table[0]), len(found) > 1, free, fit)


def judge_joint(judge: SceneJudges, scene: SceneReferences, picture: Image.Image) -> Joint:
    """Judge a picture of all of a scene's concepts on a plain ground."""
    labels = judge.objects.best(judge.features(judges.views(picture, len(scene.names))))
    found = found_things(picture, len(scene.names))
    table = similarities(judge, scene.patches, picture, found)
    verdict = matching.judge(
        table,
        range(len(scene.names)),
        [judge.thresholds[name] for name in scene.names],
        [thing.whole for thing in found],
    )
    centres = [
        found[region].centre if there else None
        for region, there in zip(verdict.regions, verdict.found, strict=True)
    ]
    seen = tuple(name in labels for name in scene.names)
    return Joint(seen, verdict, matching.kept_order(centres, scene.centres))


def accuracies(judge: SceneJudges, composer: Composer, vae, count: int = 60) -> dict:
    """The judges on real composites of the composer's objects: what a perfect model would get,
    and how often they cry wolf or sleep."""
    figures: dict = {
        "judge_accuracy_identity": judge.objects.accuracy,
        "judge_accuracy_places": judge.places.accuracy,
    }
    for together, word in ((2, "pairs"), (3, "threes")):
        found, wrong = joint_judge_accuracy(
            composer, judge.objects, judge.features, vae, together, count
        )
        figures |= {f"judge_accuracy_{word}": found, f"judge_wrong_{word}": wrong}
    figures |= _single_accuracies(judge, composer, vae, count)
    for together, word in ((2, "pairs"), (3, "threes")):
        figures |= _joint_accuracies(judge, composer, vae, together, word, count)
    return figures


def _composite(
    judge: SceneJudges,
    composer: Composer,
    vae,
    rng: np.random.Generator,
    shown: Sequence[str],
    asked: Sequence[str],
) -> tuple[SceneReferences, Image.Image, list[float]]:
    """A scene of ``asked`` to take the references from, and a picture of ``shown`` on grey with
    the mean column of each thing in it."""
    scene = composer.compose(rng, list(asked), "forest", grid=8)
    drawn = composer.compose(rng, list(shown), "plain gray", grid=8)
    (picture,) = judges.through(vae, [drawn.image])
    references = scene_references(judge, as_scene(scene.image, asked, scene.masks))
    centres = [Thing(mask > 0.5, True).centre for mask in drawn.masks]
    return references, picture, centres


def _single_accuracies(judge: SceneJudges, composer: Composer, vae, count: int) -> dict:
    rng = np.random.default_rng(71)
    names = sorted(composer.sprites)
    alone, twins, others = [], [], []
    for number in range(count):
        name = names[number % len(names)]
        other = str(rng.choice([candidate for candidate in names if candidate != name]))
        for shown, results in (([name], alone), ([name, name], twins), ([name, other], others)):
            scene, picture, _ = _composite(judge, composer, vae, rng, shown, [name, other])
            results.append(judge_single(judge, scene, 0, picture))
    return {
        "judge_match_top1": float(np.mean([single.match_rank == 1 for single in alone])),
        "judge_similarity": float(np.mean([single.similarity for single in alone])),
        "judge_extra_wrong": float(np.mean([single.extra for single in alone])),
        "judge_extra_seen": float(np.mean([single.extra for single in [*twins, *others]])),
        "judge_silhouette": float(np.mean([single.fit.iou for single in alone])),
        "judge_thin": float(np.nanmean([single.fit.thin for single in alone])),
    }


def _joint_accuracies(
    judge: SceneJudges, composer: Composer, vae, together: int, word: str, count: int
) -> dict:
    rng = np.random.default_rng(72)
    names = sorted(composer.sprites)
    right, doubled, order = [], [], []
    for _ in range(count):
        asked = [names[i] for i in rng.choice(len(names), together, replace=False)]
        scene, picture, centres = _composite(judge, composer, vae, rng, asked, asked)
        result = judge_joint(judge, scene, picture)
        right.append(result)
        # The judges answer as the true places would.
        truth = matching.kept_order(centres, scene.centres)
        if len(result.kept_order) == len(truth):
            order += [a == b for a, b in zip(result.kept_order, truth, strict=True)]
        shown = [asked[0], *asked[:-1]]
        scene, picture, _ = _composite(judge, composer, vae, rng, shown, asked)
        doubled.append(judge_joint(judge, scene, picture))
    return {
        f"judge_matched_{word}": float(np.mean([r.verdict.complete for r in right])),
        f"judge_matched_wrong_{word}": float(np.mean([r.verdict.complete for r in doubled])),
        f"judge_mixed_wrong_{word}": float(np.mean([r.verdict.mixed for r in right])),
        f"judge_mixed_seen_{word}": float(np.mean([r.verdict.mixed for r in doubled])),
        f"judge_joint_extra_wrong_{word}": float(np.mean([r.verdict.extra for r in right])),
        f"judge_order_{word}": float(np.mean(order)),
    }


def _references(
    composer: Composer, backbone: Backbone, vae, each: int = 6
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Patch features of every object, and the similarity from which on it is there."""
    rng = np.random.default_rng(4003)
    names = sorted(composer.sprites)
    shown = [composer.compose(rng, [name], "forest", grid=8) for name in names]
    own = thing_patches(
        backbone, [scene.image for scene in shown], [scene.masks[0] > 0.5 for scene in shown]
    )
    pictures, masks, labels = [], [], []
    for turn in range(each):
        order = rng.permutation(len(names)).tolist()
        together = (1, 2, 3)[turn % 3]
        for start in range(0, len(order), together):
            group = order[start : start + together]
            scene = composer.compose(rng, [names[k] for k in group], "plain gray", grid=8)
            (picture,) = judges.through(vae, [scene.image])
            for index, mask in zip(group, scene.masks, strict=True):
                if (mask > 0.5).sum() >= judges.LEAST:
                    pictures.append(np.asarray(picture))
                    masks.append(mask > 0.5)
                    labels.append(index)
    crops = thing_patches(backbone, pictures, masks)
    table = matching.max_cosine(own, crops)
    belongs = np.array(labels)[None] == np.arange(len(names))[:, None]
    thresholds = {}
    for name, row, mine in zip(names, table, belongs, strict=True):
        thresholds[name] = float(np.quantile(row[~mine], QUANTILE))
    return dict(zip(names, own, strict=True)), thresholds


def places_followed(
    judge: SceneJudges, pictures: Sequence[Image.Image], kinds: Sequence[str]
) -> list[bool]:
    """Whether each picture's background is the one that its prompt names."""
    found = judge.places.best(judges.background_features(judge.features, pictures))
    return [a == b for a, b in zip(found, kinds, strict=True)]
