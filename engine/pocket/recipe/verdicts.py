"""Does the network's own verdict find the complete pictures?
``python -m engine.pocket.recipe.verdicts --out DIR``.

Each scene for tuning is learned and kept, all its things are drawn together on grey, and every
picture gets each thing's presence by ``engine.drawing.verdict`` and the judges' word on whether all
things are there. Few pictures of most scenes lack one, so others are drawn without one of the
things and asked about all. Every picture is a line of a file, so that the same command goes on with
what was stopped.
``--runs`` takes runs that are there already; their concepts must be objects of the catalogue.
"""

import argparse
import json
import math
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from engine.core.errors import UserError
from engine.core.settings import flatten
from engine.drawing.sampler import draw_latents
from engine.drawing.verdict import presence
from engine.pocket import MODEL_DIR
from engine.pocket.recipe import objects
from engine.pocket.recipe.composer import composer_of
from engine.pocket.recipe.drawing import load_pipeline
from engine.pocket.recipe.evaluation_scenes import TUNING, compose
from engine.pocket.recipe.kept_runs import learned_run
from engine.pocket.recipe.scene_judges import (
    SceneJudges,
    judge_joint,
    make_judges,
    scene_references,
)
from engine.results.learned_model import load_learned
from engine.runs.folder import RunDir
from engine.runs.manifest import ConceptEntry
from engine.runs.prompts import all_together, resolve_prompt
from engine.scenes.scene import Scene, open_saved_scene

FIRST_SEED = 70_000
BEST_OF = 4
RECIPE = tomllib.loads((MODEL_DIR / "bas_recipe.toml").read_text(encoding="utf-8"))
THRESHOLD = float(RECIPE["sampling"]["missing_below"])
"""What users get; it was chosen on scenes A, D, J and L."""


def auc(scores: Sequence[float], complete: Sequence[bool]) -> float:
    """Probability that a complete picture scores above one that is not; NaN without both."""
    yes = np.array([s for s, there in zip(scores, complete, strict=True) if there])
    no = np.array([s for s, there in zip(scores, complete, strict=True) if not there])
    if not len(yes) or not len(no):
        return math.nan
    above = (yes[:, None] > no[None]).mean() + (yes[:, None] == no[None]).mean() / 2
    return float(above)


def best_of(scores: Sequence[float], complete: Sequence[bool], count: int = BEST_OF) -> float:
    """Share of complete pictures among the best scored of each `count`, in the order drawn."""
    groups = range(0, len(scores) - count + 1, count)
    picked = [max(range(start, start + count), key=lambda i: scores[i]) for start in groups]
    return float(np.mean([complete[i] for i in picked])) if picked else math.nan


def report(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A Markdown table: a row a scene, then the means.

    *AUC* tells complete pictures of all things from incomplete ones, as the judges see them, *left
    out* pictures drawn of all things from those drawn without one; *missed* and *wrongly* are of
    the threshold's words: left-out things not called missing, found things called missing.
    """
    lines = [
        "| scene | pictures | complete | AUC | best of 4 | left out | AUC | missed | wrongly |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    rows = []
    for name, found in results.items():
        whole, cut = _kinds(found)
        scores, complete = [_least(one) for one in whole], [bool(one["complete"]) for one in whole]
        asked = auc([*scores, *map(_least, cut)], [True] * len(whole) + [False] * len(cut))
        missed, wrongly = _wrong_words(found)
        row = (
            float(np.mean(complete)), auc(scores, complete), best_of(scores, complete), asked,
            missed, wrongly,
        )  # fmt: skip
        rows.append(row)
        lines.append(_line(name, len(whole), len(cut), row))
    everything = [one for found in results.values() for one in found]
    table = np.array(rows)
    means = [float(np.nanmean(c)) if not np.isnan(c).all() else math.nan for c in table.T]
    whole, cut = _kinds(everything)
    lines.append(_line("mean", len(whole), len(cut), means))
    pooled = auc([_least(one) for one in whole], [bool(one["complete"]) for one in whole])
    asked = auc([_least(one) for one in everything], [one["left"] is None for one in everything])
    missed, wrongly = _wrong_words(everything)
    lines.append(
        f"\nAll pictures together: AUC {pooled:.2f}, with those that lack a thing {asked:.2f}; "
        f"missed {missed:.2f}, wrongly {wrongly:.2f} at {THRESHOLD}"
    )
    return "\n".join(lines)


def _line(name: str, whole: int, cut: int, row: Sequence[float]) -> str:
    complete, natural, best, asked, missed, wrongly = (f"{value:.2f}" for value in row)
    cells = (name, whole, complete, natural, best, cut, asked, missed, wrongly)
    return f"| {' | '.join(map(str, cells))} |"


def _least(one: Mapping[str, Any]) -> float:
    return min(one["presences"])


def _kinds(
    found: Sequence[Mapping[str, Any]],
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Pictures drawn of all things, and those drawn without one."""
    return [o for o in found if o["left"] is None], [o for o in found if o["left"] is not None]


def _wrong_words(found: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Shares of left-out things that are not called missing, and of found ones that are."""
    left = [one["presences"][one["left"]] for one in found if one["left"] is not None]
    there = [
        value
        for one in found
        for index, (value, seen) in enumerate(zip(one["presences"], one["found"], strict=True))
        if seen and one["left"] != index
    ]
    missed = float(np.mean([value >= THRESHOLD for value in left])) if left else math.nan
    return missed, float(np.mean([value < THRESHOLD for value in there])) if there else math.nan


def kept_lines(path: Path) -> list[dict[str, Any]]:
    """The pictures that a file knows; a torn last line is drawn again."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def judge_run(
    run: RunDir, judges: SceneJudges, kept: Path, pictures: int, left_out: int
) -> list[dict[str, Any]]:
    """The judged pictures of a run, those that are missing drawn now."""
    found = kept_lines(kept)
    kept.write_text("".join(json.dumps(one) + "\n" for one in found))
    done = {(one["left"], one["seed"]) for one in found}
    model = load_learned(run, device=torch.device("cpu"), report=lambda _event: None)
    family, config, manifest = model.family, model.config, model.manifest
    concepts, grammar = manifest.concepts, manifest.grammar
    scene = open_saved_scene(run.scene)
    # The catalogue's names have blanks.
    named = [concept._replace(name=concept.name.replace("_", " ")) for concept in scene.concepts]
    known = scene_references(judges, Scene(image=scene.image, concepts=tuple(named)))

    def spoken(shown: Sequence[ConceptEntry]) -> str:
        typed = f"{config.prompt} {all_together(shown, grammar)} on a gray background"
        return resolve_prompt(typed, concepts, grammar)

    prompt = spoken(concepts)
    without = [grammar.without(prompt, one.token, one.initializer) for one in concepts]
    wanted: list[tuple[int | None, int]] = [(None, seed) for seed in range(pictures)]
    wanted += [(left, seed) for left in range(len(concepts)) for seed in range(left_out)]
    with kept.open("a") as file, model.computing():
        for left, number in wanted:
            seed = FIRST_SEED + number
            if (left, seed) in done:
                continue
            shown = [concept for index, concept in enumerate(concepts) if index != left]
            (latents,) = draw_latents(
                family, [spoken(shown)], seeds=[seed], steps=config.sampling.steps,
                guidance=config.sampling.guidance,
            )  # fmt: skip
            presences = presence(family, latents, prompt, without, side=family.resolution)
            seen = judge_joint(judges, known, Image.fromarray(family.codec.decode(latents)[0]))
            one = {
                "left": left, "seed": seed, "presences": presences,
                "complete": seen.verdict.complete, "found": [*map(bool, seen.verdict.found)],
            }  # fmt: skip
            file.write(json.dumps(one) + "\n")
            file.flush()
            found.append(one)
    return found


def run(arguments: Sequence[str] | None) -> int:
    """The work of ``main``; raises UserError."""
    words = argparse.ArgumentParser(
        prog="python -m engine.pocket.recipe.verdicts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words.add_argument("--out", type=Path, required=True, help="folder of runs and results")
    words.add_argument("--scenes", default=",".join(TUNING), help="names such as A,D,F")
    words.add_argument("--runs", type=Path, nargs="+", help="these run folders, no scenes")
    words.add_argument("--settings", type=Path, help="TOML settings of the runs")
    words.add_argument(
        "--pictures", type=int, default=20, help="pictures of all things, each scene"
    )
    words.add_argument("--left-out", type=int, default=4, help="pictures without each thing")
    options = words.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    heldout = composer_of(objects.catalogue().heldout)
    judges = make_judges(heldout, load_pipeline(MODEL_DIR).vae)
    settings = flatten(tomllib.loads(options.settings.read_text())) if options.settings else {}
    results: dict[str, list[dict[str, Any]]] = {}
    for name in [path.name for path in options.runs or ()] or options.scenes.split(","):
        if options.runs:
            folder = next(path for path in options.runs if path.name == name)
            learned = RunDir(folder)
        else:
            scene = compose(heldout, name)
            learned = learned_run(options.out / "runs" / name, scene, settings)
        results[name] = judge_run(
            learned, judges, options.out / f"{name}.jsonl", options.pictures, options.left_out
        )
        print(report(results), flush=True)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Learn, draw, judge, print the table; exit code of a UserError where there is one."""
    try:
        return run(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
