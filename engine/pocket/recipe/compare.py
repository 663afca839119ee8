"""Compares recipes for Break-A-Scene: ``python -m engine.pocket.recipe.compare VARIANTS.toml``.

The file names variants by their settings::

    [paper]
    "data.compose" = 0.0
    [composed]
    "data.compose" = 0.5

Every variant learns every scene with every seed; each result is a file with its sheet beside it,
so that the same command goes on with a comparison that was stopped. The table gives each figure,
and its difference to the first variant with an interval by paired bootstrap over scenes.
"""

import argparse
import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.core.errors import UserError
from engine.core.settings import build_config, flatten
from engine.pocket import MODEL_DIR
from engine.pocket.recipe import objects
from engine.pocket.recipe.composer import composer_of
from engine.pocket.recipe.drawing import load_pipeline
from engine.pocket.recipe.evaluate_scenes import measured_scene, summary
from engine.pocket.recipe.evaluation_scenes import SETS
from engine.pocket.recipe.scene_judges import make_judges

RESAMPLES = 2000


def read_variants(path: Path) -> dict[str, dict[str, Any]]:
    """Dotted settings of each variant; raises UserError."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"cannot read the variants {path}: {error}", "mend the file") from error
    variants = {name: flatten(settings) for name, settings in table.items()}
    for settings in variants.values():
        build_config(settings)
    return variants


def differences(
    own: Mapping[str, dict], first: Mapping[str, dict], *, seed: int = 0
) -> dict[str, tuple[float, float, float]]:
    """Own figures minus those of the first variant: mean, and a 95 % interval over the scenes.

    Both hold results by scene and seed (``"A/0"``), the same of them; whole scenes are drawn anew.
    """
    keys = sorted(own.keys() & first.keys())
    scenes = sorted({key.split("/")[0] for key in keys})
    by_scene = [[key for key in keys if key.split("/")[0] == scene] for scene in scenes]

    def difference(chosen: Sequence[str]) -> dict[str, float]:
        mine, theirs = summary([own[k] for k in chosen]), summary([first[k] for k in chosen])
        return {key: mine[key] - theirs[key] for key in mine.keys() & theirs.keys()}

    mean = difference(keys)
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {key: [] for key in mean}
    for _ in range(RESAMPLES if len(scenes) > 1 else 0):
        chosen = [key for index in rng.integers(0, len(scenes), len(scenes))
                  for key in by_scene[index]]  # fmt: skip
        for key, value in difference(chosen).items():
            drawn.setdefault(key, []).append(value)
    intervals = {
        key: np.quantile(values, [0.025, 0.975]) if values else (np.nan, np.nan)
        for key, values in drawn.items()
    }
    return {key: (mean[key], float(intervals[key][0]), float(intervals[key][1])) for key in mean}


def report(results: Mapping[str, Mapping[str, dict]]) -> str:
    """The table of all variants as Markdown; only scenes and seeds that every variant has."""
    names = [name for name in results if results[name]]
    common = set.intersection(*(set(results[name]) for name in names))
    if not common:
        return "nothing that every variant has yet"
    kept = {name: {key: results[name][key] for key in sorted(common)} for name in names}
    figures = {name: summary(list(kept[name].values())) for name in names}
    gaps = {name: differences(kept[name], kept[names[0]]) for name in names[1:]}
    lines = [
        f"{len(common)} runs each: {', '.join(sorted(common))}",
        "",
        "| figure | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
    ]
    for key in figures[names[0]]:
        cells = [_number(key, figures[names[0]][key])]
        for name in names[1:]:
            value, gap = figures[name].get(key), gaps[name].get(key)
            if value is None or gap is None:
                cells.append("")
                continue
            cells.append(f"{_number(key, value)} [{gap[1]:+.2f}, {gap[2]:+.2f}]")
        lines.append(f"| {key} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _number(key: str, value: float) -> str:
    whole = key.startswith(("seconds", "cpu", "scenes", "order_pairs"))
    return f"{value:.0f}" if whole else f"{value:.3f}"


def collect(out: Path, variants: Sequence[str]) -> dict[str, dict[str, dict]]:
    """What is there already: variant -> ``scene/seed`` -> figures."""
    return {
        name: {
            path.stem.replace("-", "/"): json.loads(path.read_text())
            for path in sorted((out / name).glob("*.json"))
        }
        for name in variants
    }


def run(arguments: Sequence[str] | None) -> int:
    """The work of ``main``; raises UserError."""
    words = argparse.ArgumentParser(
        prog="python -m engine.pocket.recipe.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words.add_argument("variants", type=Path, help="TOML file: a table of settings a variant")
    words.add_argument("--out", type=Path, required=True, help="folder of the results")
    words.add_argument("--only", action="append", help="this variant only; may be repeated")
    words.add_argument("--set", choices=tuple(SETS), default="tuning", help="which scenes")
    words.add_argument("--scenes", help="names such as A,D,F; all of the set by default")
    words.add_argument("--seeds", default="0", help="training seeds such as 0,1")
    words.add_argument("--model", type=Path, default=MODEL_DIR)
    words.add_argument("--table", action="store_true", help="print what is there, learn nothing")
    options = words.parse_args(arguments)
    variants = read_variants(options.variants)
    unknown = set(options.only or ()) - variants.keys()
    if unknown:
        raise UserError(f"no variant {sorted(unknown)[0]!r}", f"use {', '.join(variants)}")
    names = options.only or list(variants)
    scenes = options.scenes.split(",") if options.scenes else list(SETS[options.set])
    for scene in scenes:
        if scene not in SETS[options.set]:
            raise UserError(f"no scene {scene!r}", f"use {', '.join(SETS[options.set])}")
    if not options.table:
        _learn_all(options, {name: variants[name] for name in names}, scenes)
    print(report(collect(options.out, names)))
    return 0


def _learn_all(
    options: argparse.Namespace, variants: Mapping[str, dict[str, Any]], scenes: Sequence[str]
) -> None:
    """Learn what is missing; variants side by side, so that a stop leaves comparable results."""
    torch.set_num_threads(1)
    heldout = composer_of(objects.catalogue().heldout)
    judge = make_judges(heldout, load_pipeline(options.model).vae)
    for seed in options.seeds.split(","):
        for scene in scenes:
            for name, settings in variants.items():
                kept = options.out / name / f"{scene}-{seed}.json"
                if kept.exists():
                    continue
                kept.parent.mkdir(parents=True, exist_ok=True)
                figures = measured_scene(
                    options.model, heldout, judge, scene, kept, seed=int(seed), settings=settings
                )
                print(f"{name} {scene}/{seed}: {json.dumps(summary([figures]))}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Learn, measure, print the table; exit code of a UserError where there is one."""
    try:
        return run(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
