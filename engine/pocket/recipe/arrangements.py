"""Do things stand where they are put, and does the prompt still draw the ground?
``python -m engine.pocket.recipe.arrangements --out DIR``.

Each scene for tuning is learned and kept (the folder of ``verdicts`` holds the same runs). All its
things are drawn together, on grey and at six places, from noise alone and from arrangements of
chance by ``engine.drawing.sampler.Beginning``; the judges say what came of it. Each scene's figures
are a file, so that the same command goes on with what was stopped.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from engine.core.errors import UserError
from engine.drawing.editing import encoded, latent_mask
from engine.drawing.sampler import Beginning, draw_latents
from engine.pocket import MODEL_DIR, backgrounds
from engine.pocket.recipe import objects
from engine.pocket.recipe.composer import composer_of
from engine.pocket.recipe.drawing import load_pipeline, sheet
from engine.pocket.recipe.evaluate_scenes import PLACES
from engine.pocket.recipe.evaluation_scenes import TUNING, compose
from engine.pocket.recipe.kept_runs import learned_run
from engine.pocket.recipe.scene_judges import (
    SceneJudges,
    SceneReferences,
    judge_joint,
    make_judges,
    places_followed,
    scene_references,
)
from engine.results.learned_model import LearnedModel, load_learned
from engine.runs.folder import RunDir
from engine.runs.prompts import all_together, resolve_prompt
from engine.scenes.arrangement import arrangement
from engine.scenes.cutouts import collage
from engine.scenes.scene import Scene, open_saved_scene

FIRST_SEED = 90_000
FIGURES = {
    "complete": "all there",
    "mixed": "mixed",
    "asked": "asked order",
    "order": "order as in the scene",
    "place": "place followed",
}


class Way(NamedTuple):
    """How pictures of all things begin."""

    noise: float
    """Share of the noise levels; 1: with noise alone."""
    ground: bool
    """With the scene's ground around the things, in place of noise that the prompt makes one of."""

    @property
    def name(self) -> str:
        """As the file's keys and the table's rows have it."""
        if self.noise == 1:
            return "noise alone"
        return f"arranged, {self.noise:g}{', with the ground' if self.ground else ''}"


def judge_way(
    model: LearnedModel,
    scene: Scene,
    judges: SceneJudges,
    known: SceneReferences,
    way: Way,
    pictures: int,
) -> tuple[dict[str, list[bool]], list[Image.Image]]:
    """The judged pictures of a run: ``pictures`` of them on grey, one at each of ``PLACES``."""
    concepts, grammar = model.manifest.concepts, model.manifest.grammar
    together = f"{model.config.prompt} {all_together(concepts, grammar)}"
    typed = [f"{together} on a gray background"] * pictures
    typed += [f"{together} {backgrounds.phrases(place)[0]}" for place in PLACES]
    found: dict[str, list[bool]] = {key: [] for key in FIGURES}
    drawn = []
    for number, text in enumerate(typed):
        seed = FIRST_SEED + number
        start, centres = _beginning(model, scene, way, seed)
        (latents,) = draw_latents(
            model.family, [resolve_prompt(text, concepts, grammar)], seeds=[seed],
            steps=model.config.sampling.steps, guidance=model.config.sampling.guidance,
            beginning=start,
        )  # fmt: skip
        drawn.append(Image.fromarray(model.family.codec.decode(latents)[0]))
        if number < pictures:
            seen = judge_joint(judges, known, drawn[-1])
            found["complete"].append(seen.verdict.complete)
            found["mixed"].append(seen.verdict.mixed)
            found["order"] += seen.kept_order
            wanted = known._replace(centres=centres)
            found["asked"] += judge_joint(judges, wanted, drawn[-1]).kept_order if start else ()
    found["place"] = places_followed(judges, drawn[pictures:], PLACES)
    return {key: [*map(bool, values)] for key, values in found.items()}, drawn


def _beginning(
    model: LearnedModel, scene: Scene, way: Way, seed: int
) -> tuple[Beginning | None, list[float]]:
    """The start of a picture, and the column that each thing is asked to stand at."""
    if way.noise == 1:
        return None, []
    masks_NHW = np.stack([concept.mask for concept in scene.concepts])
    rng = np.random.default_rng([seed, 1])
    placings = arrangement(masks_NHW, range(len(masks_NHW)), rng)
    start = collage(scene.image, masks_NHW, placings)
    clean_1CHW = encoded(model.family, start.image)
    cells = None if way.ground else torch.from_numpy(
        latent_mask(start.things_HW, clean_1CHW.shape[-1])
    )  # fmt: skip
    columns = {one.concept: one.x * scene.side for one in placings}
    return Beginning(clean_1CHW, way.noise, cells), [columns[i] for i in range(len(masks_NHW))]


def report(results: Mapping[str, Mapping[str, Mapping[str, Sequence[bool]]]]) -> str:
    """A Markdown table: a row a way, over all scenes; ``results``: scene -> way -> figures."""
    ways = list(dict.fromkeys(way for found in results.values() for way in found))
    lines = [
        f"Scenes {', '.join(results)}",
        "",
        f"| begun with | {' | '.join(FIGURES.values())} |",
        "|---" * (1 + len(FIGURES)) + "|",
    ]
    for way in ways:
        cells = []
        for key in FIGURES:
            values = [one for found in results.values() for one in found.get(way, {}).get(key, ())]
            cells.append(f"{np.mean(values):.2f} (of {len(values)})" if values else "")
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def measured(
    run: RunDir, judges: SceneJudges, kept: Path, ways: Sequence[Way], pictures: int
) -> dict[str, dict[str, list[bool]]]:
    """A run's figures by way; those that the file ``kept`` has are taken from it."""
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    left = [way for way in ways if way.name not in found]
    if left:
        model = load_learned(run, device=torch.device("cpu"), report=lambda _event: None)
        scene = open_saved_scene(run.scene)
        # The catalogue's names have blanks.
        named = tuple(one._replace(name=one.name.replace("_", " ")) for one in scene.concepts)
        known = scene_references(judges, Scene(image=scene.image, concepts=named))
        rows = []
        with model.computing():
            for way in left:
                found[way.name], row = judge_way(model, scene, judges, known, way, pictures)
                rows.append(row)
        sheet(rows, kept.with_suffix(".png"))
        kept.write_text(json.dumps(found) + "\n")
    return {way.name: found[way.name] for way in ways}


def run(arguments: Sequence[str] | None) -> int:
    """The work of ``main``; raises UserError."""
    words = argparse.ArgumentParser(
        prog="python -m engine.pocket.recipe.arrangements",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words.add_argument("--out", type=Path, required=True, help="folder of runs and results")
    words.add_argument("--scenes", default=",".join(TUNING), help="names such as A,D,F")
    words.add_argument("--noise", default="0.5,0.65,0.8", help="shares of the noise levels")
    words.add_argument("--ground", action="store_true", help="the same with the scene's ground")
    words.add_argument("--pictures", type=int, default=12, help="pictures on grey, each scene")
    options = words.parse_args(arguments)
    unknown = [name for name in options.scenes.split(",") if name not in TUNING]
    if unknown:
        raise UserError(f"no scene {unknown[0]!r}", f"use {', '.join(TUNING)}")
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    heldout = composer_of(objects.catalogue().heldout)
    judges = make_judges(heldout, load_pipeline(MODEL_DIR).vae)
    ways = list(_ways([float(share) for share in options.noise.split(",")], options.ground))
    results = {}
    for name in options.scenes.split(","):
        learned = learned_run(options.out / "runs" / name, compose(heldout, name))
        kept = options.out / f"arranged-{name}.json"
        results[name] = measured(learned, judges, kept, ways, options.pictures)
        print(report(results), flush=True)
    return 0


def _ways(shares: Sequence[float], ground: bool) -> Iterator[Way]:
    yield Way(1.0, False)
    for share in shares:
        yield Way(share, False)
        if ground:
            yield Way(share, True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Learn, draw, judge, print the table; exit code of a UserError where there is one."""
    try:
        return run(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
