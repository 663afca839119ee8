"""Does the attention's verdict find the complete pictures?
``python -m engine.pocket.recipe.verdicts --out DIR``.

Each scene for tuning is learned and kept, all its things are drawn together on grey, and every
picture gets the score of ``engine.drawing.verdict`` and the judges' word on whether all things are
there. Every picture is a line of a file, so that the same command goes on with what was stopped.
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
from engine.drawing.verdict import judge
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
from engine.runs.prompts import all_together, resolve_prompt
from engine.scenes.scene import Scene, open_saved_scene

FIRST_SEED = 70_000
BEST_OF = 4


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

    Sorting compares pictures of one scene, so its AUC is the mean over scenes that have both kinds;
    a fixed threshold would need the one over all pictures together.
    """
    lines = [
        "| scene | pictures | complete | AUC | best of 4 |",
        "|---|---|---|---|---|",
    ]
    rows = []
    for name, found in results.items():
        scores = [float(one["score"]) for one in found]
        complete = [bool(one["complete"]) for one in found]
        row = float(np.mean(complete)), auc(scores, complete), best_of(scores, complete)
        rows.append(row)
        lines.append(f"| {name} | {len(found)} | {row[0]:.2f} | {row[1]:.2f} | {row[2]:.2f} |")
    everything = [one for found in results.values() for one in found]
    table = np.array(rows)
    pooled = auc([o["score"] for o in everything], [o["complete"] for o in everything])
    means = [float(np.nanmean(c)) if not np.isnan(c).all() else math.nan for c in table.T]
    lines.append(f"| mean | {len(everything)} | {means[0]:.2f} | {means[1]:.2f} | {means[2]:.2f} |")
    lines.append(f"\nAUC over all pictures together: {pooled:.2f}")
    return "\n".join(lines)


def kept_lines(path: Path) -> list[dict[str, Any]]:
    """The pictures that a file knows; a torn last line is drawn again."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def judge_run(run: RunDir, judges: SceneJudges, kept: Path, pictures: int) -> list[dict[str, Any]]:
    """The judged pictures of a run, those that are missing drawn now."""
    found = kept_lines(kept)
    kept.write_text("".join(json.dumps(one) + "\n" for one in found))
    if len(found) >= pictures:
        return found[:pictures]
    model = load_learned(run, device=torch.device("cpu"), report=lambda _event: None)
    family, config, manifest = model.family, model.config, model.manifest
    scene = open_saved_scene(run.scene)
    # The catalogue's names have blanks.
    named = [concept._replace(name=concept.name.replace("_", " ")) for concept in scene.concepts]
    known = scene_references(judges, Scene(image=scene.image, concepts=tuple(named)))
    together = all_together(manifest.concepts, manifest.grammar)
    typed = f"{config.prompt} {together} on a gray background"
    prompt = resolve_prompt(typed, manifest.concepts, manifest.grammar)
    tokens = [concept.token for concept in manifest.concepts]
    with kept.open("a") as file, model.computing():
        for seed in range(FIRST_SEED + len(found), FIRST_SEED + pictures):
            (latents,) = draw_latents(
                family, [prompt], seeds=[seed], steps=config.sampling.steps,
                guidance=config.sampling.guidance,
            )  # fmt: skip
            scores = judge(family, latents, prompt, tokens, side=family.resolution)
            verdict = judge_joint(judges, known, Image.fromarray(family.codec.decode(latents)[0]))
            one = {
                "seed": seed, "score": min(scores), "scores": scores,
                "complete": verdict.verdict.complete, "seen": verdict.seen,
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
    words.add_argument("--pictures", type=int, default=20, help="pictures of each scene")
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
        results[name] = judge_run(learned, judges, options.out / f"{name}.jsonl", options.pictures)
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
