"""What the base model can do: names, places, several things in one picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from engine.pocket import backgrounds
from engine.pocket.recipe import captions, judges, objects
from engine.pocket.recipe.composer import Composer, composer_of
from engine.pocket.recipe.drawing import chunks, load_pipeline, make, sheet
from engine.pocket.recipe.judges import Classifier, Features
from engine.pocket.recipe.vae_training import heldout_scenes, psnr


def recall(pipe, judge: Classifier, features: Features, each: int, out: Path) -> dict:
    """Object recall: is "a photo of a NAME on a gray background" recognised as NAME?"""
    names = [name for name in judge.labels for _ in range(each)]
    prompts = [f"a photo of {captions.noun_phrase(n)} on a gray background" for n in names]
    pictures = make(pipe, prompts, 10_000)
    scores = features([judges.largest(picture) for picture in pictures])
    ranks = [judge.ranks(scores[i : i + 1], name)[0] for i, name in enumerate(names)]
    sheet(chunks(pictures, 18), out / "objects.png")
    missed = sorted({name for name, rank in zip(names, ranks, strict=True) if rank > 1})
    return {
        "names": len(judge.labels),
        "recall_top1": float(np.mean(np.array(ranks) == 1)),
        "recall_top5": float(np.mean(np.array(ranks) <= 5)),
        "missed": missed,
    }


def background_accuracy(pipe, judge: Classifier, features: Features, each: int, out: Path) -> dict:
    """Is the place that the prompt names the one in the picture?"""
    rng = np.random.default_rng(5)
    kinds = [kind for kind in backgrounds.PLACES for _ in range(each)]
    prompts = []
    for kind in kinds:
        name = captions.noun_phrase(objects.FOCUS[rng.integers(len(objects.FOCUS))])
        prompts.append(f"a photo of {name} {backgrounds.phrases(kind)[0]}")
    pictures = make(pipe, prompts, 20_000)
    found = judge.best(judges.background_features(features, pictures))
    sheet(chunks(pictures, 15), out / "backgrounds.png")
    hits = [a == b for a, b in zip(found, kinds, strict=True)]
    return {"background_accuracy": float(np.mean(hits))}


def all_present(
    picture: Image.Image, names: Sequence[str], judge: Classifier, features: Features
) -> bool:
    """Whether each of the names is the best label of some view of the picture."""
    seen = judge.best(features(judges.views(picture, len(names))))
    return all(name in seen for name in names)


def pairs(pipe, judge: Classifier, features: Features, count: int, out: Path) -> dict:
    """Two-object prompts: are both there?"""
    rng = np.random.default_rng(6)
    chosen = [
        [judge.labels[i] for i in rng.choice(len(judge.labels), 2, replace=False)]
        for _ in range(count)
    ]
    prompts = [
        f"a photo of {captions.join_phrases([captions.noun_phrase(n) for n in names])} "
        "on a gray background"
        for names in chosen
    ]
    pictures = make(pipe, prompts, 30_000)
    hits = [all_present(p, n, judge, features) for p, n in zip(pictures, chosen, strict=True)]
    sheet(chunks(pictures, 9), out / "pairs.png")
    return {"pairs_both_present": float(np.mean(hits))}


def joint_judge_accuracy(
    composer: Composer, judge: Classifier, features: Features, vae, together: int, count: int = 60
) -> tuple[float, float]:
    """How the judge does on real composites of ``together`` objects.

    Returns:
        Share of composites in which it finds all of their objects, and share in which it is asked
        for one object that is not there (instead of one that is) and still says that all are.
    """
    rng = np.random.default_rng(7)
    names = sorted(composer.sprites)
    found, wrong = [], []
    for _ in range(count):
        *chosen, absent = (names[i] for i in rng.choice(len(names), together + 1, replace=False))
        scene = composer.compose(rng, chosen, "plain gray", grid=8)
        (picture,) = judges.through(vae, [scene.image])
        found.append(all_present(picture, chosen, judge, features))
        wrong.append(all_present(picture, [*chosen[1:], absent], judge, features))
    return float(np.mean(found)), float(np.mean(wrong))


def base_figures(folder: Path, out: Path, each: int = 2) -> dict:
    """The figures of the base model; sheets go to ``out``."""
    pipe, features = load_pipeline(folder), Features()
    sets = objects.catalogue()
    focus = composer_of({name: sets.core[name] for name in objects.FOCUS})
    judge = judges.object_judge(focus, features, pipe.vae)
    places = judges.background_judge(focus, features, pipe.vae)
    found, wrong = joint_judge_accuracy(focus, judge, features, pipe.vae, 2)
    figures = {
        "vae_psnr_heldout": psnr(pipe.vae, heldout_scenes()),
        "judge_accuracy_objects": judge.accuracy,
        "judge_accuracy_backgrounds": places.accuracy,
        "judge_accuracy_pairs": found,
        "judge_wrong_pairs": wrong,
    }
    figures |= recall(pipe, judge, features, each, out)
    figures |= background_accuracy(pipe, places, features, each, out)
    figures |= pairs(pipe, judge, features, 36, out)
    return figures
