"""Measures the pocket model: ``python -m engine.pocket.recipe.evaluate`` prints the figures.

Every draw is seeded. Sheets of pictures are written too: figures of a judge are no reason not to
look.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from engine.core.errors import UserError
from engine.families.devices import mixed_precision
from engine.pocket import MODEL_DIR, backgrounds
from engine.pocket.recipe import captions, judges, objects
from engine.pocket.recipe.composer import SIDE, Composer
from engine.pocket.recipe.judges import Classifier, Features

STEPS, GUIDANCE = 20, 3.0


def make(pipe, prompts: Sequence[str], seed: int, batch: int = 18) -> list[Image.Image]:
    """One picture a prompt; picture i has the seed ``seed + i``."""
    pictures: list[Image.Image] = []
    for start in range(0, len(prompts), batch):
        some = list(prompts[start : start + batch])
        numbers = range(seed + start, seed + start + len(some))
        generators = [torch.Generator().manual_seed(number) for number in numbers]
        with mixed_precision("cpu"):
            out = pipe(
                some, num_inference_steps=STEPS, guidance_scale=GUIDANCE, generator=generators
            )
        pictures.extend(picture.resize((SIDE, SIDE)) for picture in out.images)
    return pictures


def sheet(rows: Sequence[Sequence[Image.Image]], path: Path) -> None:
    """Write pictures as a table."""
    wide = max(len(row) for row in rows)
    page = Image.new("RGB", (wide * SIDE, len(rows) * SIDE), (40, 40, 40))
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            page.paste(picture.resize((SIDE, SIDE)), (x * SIDE, y * SIDE))
    path.parent.mkdir(parents=True, exist_ok=True)
    # A palette: half the bytes, and no eye sees the difference at this size.
    page.quantize(256).save(path, optimize=True)


def chunks(pictures: Sequence[Image.Image], wide: int) -> list[Sequence[Image.Image]]:
    """Rows of ``wide`` pictures."""
    return [pictures[start : start + wide] for start in range(0, len(pictures), wide)]


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


def load_pipeline(folder: Path):
    """The model as a StableDiffusionPipeline in single precision."""
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def composer_of(names: dict[str, str]) -> Composer:
    """A composer of these objects, with its own backgrounds."""
    assets = objects.fetch(objects.data_dir())
    return Composer(objects.load_sprites(assets, names), seed=901, variants=12)


def base_figures(folder: Path, out: Path, each: int = 2) -> dict:
    """The figures of the base model; sheets go to ``out``."""
    from engine.pocket.recipe.build import heldout_scenes
    from engine.pocket.recipe.vae_training import psnr

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


def main(arguments: list[str] | None = None) -> int:
    """Print the figures as JSON and write them beside the sheets."""
    try:
        return run(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def run(arguments: list[str] | None) -> int:
    """The work of ``main``; raises UserError."""
    words = argparse.ArgumentParser(
        prog="python -m engine.pocket.recipe.evaluate", description=__doc__
    )
    words.add_argument("--model", type=Path, default=MODEL_DIR)
    words.add_argument("--out", type=Path, default=Path("docs/pocket"))
    words.add_argument("--part", choices=("base", "scenes", "demo", "all"), default="all")
    words.add_argument("--scenes", type=int, default=12, help="how many Break-A-Scene scenes")
    words.add_argument("--first", type=int, default=0, help="number of the first scene")
    words.add_argument("--each", type=int, default=2, help="pictures for each name and place")
    options = words.parse_args(arguments)
    started = time.monotonic()
    figures: dict = {}
    if options.part in ("base", "all"):
        figures["base"] = base_figures(options.model, options.out, options.each)
    if options.part in ("scenes", "all"):
        from engine.pocket.recipe.evaluate_scenes import scene_figures

        numbers = range(options.first, options.first + options.scenes)
        figures["scenes"] = scene_figures(options.model, options.out, numbers)
    if options.part in ("demo", "all"):
        from engine.pocket.recipe.evaluate_scenes import demo_sheets

        demo_sheets(options.model, options.out)
    if options.part == "demo":
        return 0
    text = json.dumps(figures, indent=1)
    print(text)
    print(f"evaluated in {time.monotonic() - started:.0f} s")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"figures-{options.part}.json").write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
