"""Break-A-Scene on scenes of held-out objects: what the learned tokens are worth.

Each scene's figures are kept as a file, so an evaluation that was stopped goes on.
"""

import json
import resource
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from engine.core.settings import build_config
from engine.families.loading import load_folder
from engine.models.names import recipe_settings
from engine.pocket import SCENES_DIR, backgrounds, demo_scenes
from engine.pocket.recipe import export, judges, objects
from engine.pocket.recipe.base_figures import all_present, joint_judge_accuracy
from engine.pocket.recipe.composer import Composer, composer_of
from engine.pocket.recipe.drawing import load_pipeline, make, sheet
from engine.pocket.recipe.judges import Classifier, Features
from engine.scenes.checks import SceneConcept
from engine.scenes.scene import Scene, load_scene
from engine.training.loop import train

# Held-out objects of each scene and where they are.
SCENES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("teapot", "penguin"), "grass"),
    (("guitar", "pineapple"), "wood"),
    (("rocket", "cactus"), "desert"),
    (("owl", "mushroom"), "forest"),
    (("teddy bear", "hamburger"), "check"),
    (("unicorn", "balloon"), "snow"),
    (("taxi", "crown"), "street"),
    (("turtle", "sailboat"), "beach"),
    (("elephant", "alarm clock"), "room"),
    (("strawberry", "bell", "key"), "plain blue"),
    (("tractor", "watermelon"), "mountain"),
    (("flamingo", "doughnut", "soccer ball"), "grass"),
)

PLACES = ("snow", "beach", "forest", "wood", "space", "plain blue")


def compose(composer: Composer, number: int) -> Scene:
    """Scene ``number`` as a person would bring it: a picture and a loose mask for each object."""
    names, kind = SCENES[number]
    drawn = composer.compose(np.random.default_rng([8000, number]), names, kind)
    masks = [mask > 0.5 for mask in drawn.masks]
    concepts = tuple(SceneConcept(name, mask) for name, mask in zip(names, masks, strict=True))
    return Scene(image=drawn.image, concepts=concepts)


def learn(folder: Path, scene: Scene, number: int):
    """Train the tokens with the model's own recipe: pipeline, seconds."""
    torch.manual_seed(number)
    family = load_folder(folder, device=torch.device("cpu"))
    config = build_config(read_recipe(folder), {"seed": number, "preview.every": 0})
    started = time.monotonic()
    for _event in train(family, scene, config):
        pass
    seconds = time.monotonic() - started
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler.from_config(family.noise.config)
    pipe = export.pipeline(
        family.unet, family.text.encoder, family.text.tokenizer, family.codec.vae, scheduler
    )
    return pipe, seconds


def read_recipe(folder: Path) -> dict:
    """The settings that the model in ``folder`` recommends."""
    return recipe_settings(str(folder.resolve()))


def measure(
    pipe, scene: Scene, number: int, judge: Classifier, places: Classifier, features: Features
) -> tuple[dict, list[list[Image.Image]]]:
    """Figures of one learned scene, and its pictures: a row for each token, then by place."""
    names = [concept.name for concept in scene.concepts]
    tokens = [f"<asset{index}>" for index in range(len(names))]
    seed = 40_000 + 1000 * number
    rows, ranks, free = [], [], []
    for index, name in enumerate(names):
        prompts = [f"a photo of {tokens[index]} on a gray background"] * 4
        pictures = make(pipe, prompts, seed + 50 * index)
        rows.append(pictures)
        ranks += judge.ranks(features([judges.largest(p) for p in pictures]), name)
        for picture in pictures:
            seen = judge.best(features(judges.views(picture, len(names))))
            free.append(not any(other in seen for other in names if other != name))
    together = " and ".join(tokens)
    single = [f"a photo of {tokens[0]} {backgrounds.phrases(place)[0]}" for place in PLACES]
    joint = [f"a photo of {together} {backgrounds.phrases(place)[0]}" for place in PLACES]
    single_pictures = make(pipe, single, seed + 500)
    joint_pictures = make(pipe, joint, seed + 600)
    plain = make(pipe, [f"a photo of {together} on a gray background"] * 4, seed + 700)
    both = [all_present(picture, names, judge, features) for picture in plain]

    def followed(pictures: Sequence[Image.Image]) -> list[bool]:
        found = places.best(judges.background_features(features, pictures))
        return [a == b for a, b in zip(found, PLACES, strict=True)]

    figures = {
        "names": names,
        "ranks": ranks,
        "free": free,
        "both": both,
        "place_single": followed(single_pictures),
        "place_joint": followed(joint_pictures),
    }
    rows += [plain, single_pictures, joint_pictures]
    picture = Image.fromarray(scene.image)
    return figures, [[picture, *row] for row in rows]


DEMO_PLACES = ("plain gray", "snow", "beach", "forest", "space")


def demo_sheets(folder: Path, out: Path) -> None:
    """Learn the demo's scenes and draw each token alone and all together at ``DEMO_PLACES``.

    One sheet a scene, nothing chosen: the scene at the left, a row for each token, then for all.
    """
    for name in demo_scenes():
        scene = load_scene(SCENES_DIR / name)
        pipe, seconds = learn(folder, scene, 0)
        tokens = [f"<asset{index}>" for index in range(len(scene.concepts))]
        rows = []
        for number, subject in enumerate([*tokens, " and ".join(tokens)]):
            prompts = [f"a photo of {subject} {backgrounds.phrases(p)[0]}" for p in DEMO_PLACES]
            pictures = make(pipe, prompts, 60_000 + 100 * number)
            rows.append([Image.fromarray(scene.image), *pictures])
        sheet(rows, out / f"demo_{name}.png")
        print(f"demo {name}: learned in {seconds:.0f} s", flush=True)


def summary(results: Sequence[dict]) -> dict:
    """The figures over all scenes."""

    def mean(key: str) -> float:
        return float(np.mean([value for result in results for value in result[key]]))

    ranks = np.array([rank for result in results for rank in result["ranks"]])
    return {
        "scenes": len(results),
        "identity_top1": float(np.mean(ranks == 1)),
        "identity_top5": float(np.mean(ranks <= 5)),
        "identity_median_rank": float(np.median(ranks)),
        "place_single": mean("place_single"),
        "place_joint": mean("place_joint"),
        "both_present": mean("both"),
        "free_of_others": mean("free"),
        "seconds_a_scene": float(np.mean([result["seconds"] for result in results])),
        "peak_memory_gb": max(result["peak_gb"] for result in results),
    }


def scene_figures(folder: Path, out: Path, numbers: Iterable[int]) -> dict:
    """Learn and measure the scenes; sheets and each scene's figures go to ``out/scenes``."""
    heldout = composer_of(objects.catalogue().heldout)
    features, vae = Features(), load_pipeline(folder).vae
    judge = judges.object_judge(heldout, features, vae)
    places = judges.background_judge(heldout, features, vae)
    results = []
    for number in numbers:
        kept = out / "scenes" / f"{number:02d}.json"
        if not kept.exists():
            scene = compose(heldout, number)
            pipe, seconds = learn(folder, scene, number)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            figures, rows = measure(pipe, scene, number, judge, places, features)
            figures |= {"seconds": seconds, "peak_gb": peak}
            sheet(rows, kept.with_suffix(".png"))
            kept.write_text(json.dumps(figures, indent=1) + "\n")
            print(f"scene {number}: {json.dumps(summary([figures]))}", flush=True)
        results.append(json.loads(kept.read_text()))
    pairs = joint_judge_accuracy(heldout, judge, features, vae, 2)
    threes = joint_judge_accuracy(heldout, judge, features, vae, 3)
    accuracy = {
        "judge_accuracy_identity": judge.accuracy,
        "judge_accuracy_pairs": pairs[0],
        "judge_wrong_pairs": pairs[1],
        "judge_accuracy_threes": threes[0],
        "judge_wrong_threes": threes[1],
        "judge_accuracy_places": places.accuracy,
    }
    return accuracy | summary(results)
