"""Break-A-Scene on scenes of held-out objects: what the learned tokens are worth.

Each scene's figures are kept as a file, so an evaluation that was stopped goes on.
"""

import json
import math
import resource
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from engine.core.config import TrainConfig
from engine.core.settings import build_config
from engine.families.stable_diffusion import load_folder
from engine.models.facts import recipe_settings
from engine.pocket import SCENES_DIR, backgrounds, demo_scenes
from engine.pocket.recipe import export, objects
from engine.pocket.recipe.composer import composer_of
from engine.pocket.recipe.drawing import load_pipeline, make, sheet
from engine.pocket.recipe.evaluation_scenes import EVALUATION, compose, entropy
from engine.pocket.recipe.scene_judges import (
    SceneJudges,
    accuracies,
    judge_joint,
    judge_single,
    make_judges,
    places_followed,
    scene_references,
)
from engine.scenes.scene import Scene, load_scene
from engine.training.loop import train

PLACES = ("snow", "beach", "forest", "wood", "space", "plain blue")
SINGLES, JOINTS = 4, 12
"""Pictures of each token alone, and of all together, on grey."""


class Learned(NamedTuple):
    """A model that has learned a scene's tokens."""

    pipe: Any
    config: TrainConfig
    seconds: float
    cpu_seconds: float


def learn(
    folder: Path, scene: Scene, seed: int, settings: Mapping[str, Any] | None = None
) -> Learned:
    """Train the tokens with the model's own recipe and ``settings`` on top."""
    torch.manual_seed(seed)
    family = load_folder(folder, device=torch.device("cpu"))
    quiet = {"seed": seed, "preview.every": 0, "preview.attention_every": 0}
    config = build_config(recipe_settings(str(folder.resolve())), settings or {}, quiet)
    started, cpu = time.monotonic(), time.process_time()
    for _event in train(family, scene, config):
        pass
    seconds, cpu_seconds = time.monotonic() - started, time.process_time() - cpu
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler.from_config(family.noise.config)
    pipe = export.pipeline(
        family.unet, family.text.encoder, family.text.tokenizer, family.codec.vae, scheduler
    )
    return Learned(pipe, config, seconds, cpu_seconds)


def measure(
    learned: Learned, scene: Scene, judge: SceneJudges, seed: int
) -> tuple[dict, list[list[Image.Image]]]:
    """Figures of one learned scene, and its pictures: a row for each token, then by place."""
    pipe = learned.pipe
    known = scene_references(judge, scene)
    grammar = learned.config.grammar
    tokens = [grammar.name(f"<asset{index}>") for index in range(len(known.names))]
    rows, singles = [], []
    for index, token in enumerate(tokens):
        pictures = make(pipe, [f"a photo of {token} on a gray background"] * SINGLES,
                        seed + 50 * index)  # fmt: skip
        rows.append(pictures)
        singles += [judge_single(judge, known, index, picture) for picture in pictures]
    together = grammar.together(tokens)
    single = [f"a photo of {tokens[0]} {backgrounds.phrases(place)[0]}" for place in PLACES]
    joint = [f"a photo of {together} {backgrounds.phrases(place)[0]}" for place in PLACES]
    single_pictures, joint_pictures = make(pipe, single, seed + 500), make(pipe, joint, seed + 600)
    plain = make(pipe, [f"a photo of {together} on a gray background"] * JOINTS, seed + 700)
    joints = [judge_joint(judge, known, picture) for picture in plain]
    figures = {
        "names": known.names,
        "ranks": [single.rank for single in singles],
        "match_ranks": [single.match_rank for single in singles],
        "similarity": [single.similarity for single in singles],
        "extra": [single.extra for single in singles],
        "free": [single.free for single in singles],
        "silhouette": [single.fit.iou for single in singles],
        "thin": [single.fit.thin for single in singles if not math.isnan(single.fit.thin)],
        "all": [all(joint.seen) for joint in joints],
        "each": [there for joint in joints for there in joint.seen],
        "matched": [joint.verdict.complete for joint in joints],
        "mixed": [joint.verdict.mixed for joint in joints],
        "joint_extra": [joint.verdict.extra for joint in joints],
        "joint_similarity": [value for joint in joints for value in joint.verdict.values],
        "order": [kept for joint in joints for kept in joint.kept_order],
        "place_single": places_followed(judge, single_pictures, PLACES),
        "place_joint": places_followed(judge, joint_pictures, PLACES),
    }
    half = len(plain) // 2
    rows += [plain[:half], plain[half:], single_pictures, joint_pictures]
    picture = Image.fromarray(scene.image)
    return figures, [[picture, *row] for row in rows]


DEMO_PLACES = ("plain gray", "snow", "beach", "forest", "space")


def demo_sheets(folder: Path, out: Path, settings: Mapping[str, Any] | None = None) -> None:
    """Learn the demo's scenes and draw each token alone and all together at ``DEMO_PLACES``.

    One sheet a scene, nothing chosen: the scene at the left, a row for each token, then for all.
    """
    for name in demo_scenes():
        scene = load_scene(SCENES_DIR / name)
        learned = learn(folder, scene, 0, settings)
        grammar = learned.config.grammar
        tokens = [grammar.name(f"<asset{index}>") for index in range(len(scene.concepts))]
        rows = []
        for number, subject in enumerate([*tokens, grammar.together(tokens)]):
            prompts = [f"a photo of {subject} {backgrounds.phrases(p)[0]}" for p in DEMO_PLACES]
            pictures = make(learned.pipe, prompts, 60_000 + 100 * number)
            rows.append([Image.fromarray(scene.image), *pictures])
        sheet(rows, out / f"demo_{name}.png")
        print(f"demo {name}: learned in {learned.seconds:.0f} s", flush=True)


def summary(results: Sequence[dict]) -> dict:
    """The figures over all scenes; what no scene has is left out."""

    def mean(key: str, some: Sequence[dict] = results) -> float:
        values = [value for result in some for value in result[key]]
        return float(np.mean(values)) if values else math.nan

    ranks = np.array([rank for result in results for rank in result["ranks"]])
    match_ranks = np.array([rank for result in results for rank in result["match_ranks"]])
    pairs = [result for result in results if len(result["names"]) == 2]
    threes = [result for result in results if len(result["names"]) == 3]
    figures = {
        "scenes": len(results),
        "identity_top1": float(np.mean(ranks == 1)),
        "identity_top5": float(np.mean(ranks <= 5)),
        "identity_median_rank": float(np.median(ranks)),
        "match_top1": float(np.mean(match_ranks == 1)),
        "similarity": mean("similarity"),
        "joint_similarity": mean("joint_similarity"),
        "extra": mean("extra"),
        "free_of_others": mean("free"),
        "silhouette": mean("silhouette"),
        "thin": mean("thin"),
        "all_present": mean("all"),
        "pairs_all_present": mean("all", pairs),
        "threes_all_present": mean("all", threes),
        "each_present": mean("each"),
        "pairs_matched": mean("matched", pairs),
        "threes_matched": mean("matched", threes),
        "mixed": mean("mixed"),
        "joint_extra": mean("joint_extra"),
        "order": mean("order"),
        "order_pairs": sum(len(result["order"]) for result in results),
        "place_single": mean("place_single"),
        "place_joint": mean("place_joint"),
        # Contents times prompt: a picture must show the thing and the place.
        "identity_times_place": float(np.mean(ranks == 1)) * mean("place_single"),
        "seconds_a_scene": float(np.mean([result["seconds"] for result in results])),
        "cpu_seconds_a_scene": float(np.mean([result["cpu_seconds"] for result in results])),
        "peak_memory_gb": max(result["peak_gb"] for result in results),
    }
    return {key: value for key, value in figures.items() if not math.isnan(value)}


def measured_scene(
    folder: Path,
    composer,
    judge: SceneJudges,
    name: str,
    kept: Path,
    *,
    seed: int,
    settings: Mapping[str, Any] | None = None,
) -> dict:
    """Figures of scene ``name``, from the file ``kept`` where it is there; else learned, measured
    and written there, with the sheet beside it."""
    if not kept.exists():
        scene = compose(composer, name)
        learned = learn(folder, scene, seed, settings)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        figures, rows = measure(learned, scene, judge, 40_000 + 1000 * entropy(name)[1])
        figures |= {
            "seconds": learned.seconds,
            "cpu_seconds": learned.cpu_seconds,
            "peak_gb": peak,
        }
        sheet(rows, kept.with_suffix(".png"))
        kept.write_text(json.dumps(figures, indent=1) + "\n")
    return json.loads(kept.read_text())


def scene_figures(
    folder: Path, out: Path, names: Iterable[str] = tuple(EVALUATION), *, seed: int | None = None
) -> dict:
    """Learn and measure the scenes; sheets and each scene's figures go to ``out/scenes``.

    The training's seed is the scene's number where none is given.
    """
    heldout = composer_of(objects.catalogue().heldout)
    vae = load_pipeline(folder).vae
    judge = make_judges(heldout, vae)
    results = []
    for name in names:
        own = entropy(name)[1] if seed is None else seed
        kept = out / "scenes" / f"{name}.json"
        results.append(measured_scene(folder, heldout, judge, name, kept, seed=own))
        print(f"scene {name}: {json.dumps(summary(results[-1:]))}", flush=True)
    return accuracies(judge, heldout, vae) | summary(results)
