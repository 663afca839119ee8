"""Measures the pocket model: ``python -m engine.pocket.recipe.evaluate`` prints the figures.

Every draw is seeded. Sheets of pictures are written too: figures of a judge are no reason not to
look.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from engine.core.errors import UserError
from engine.pocket import MODEL_DIR
from engine.pocket.recipe.base_figures import base_figures
from engine.pocket.recipe.evaluate_scenes import demo_sheets, scene_figures
from engine.pocket.recipe.evaluation_scenes import EVALUATION


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
    words.add_argument(
        "--seed", type=int, help="seed of the training (default: the scene's number)"
    )
    words.add_argument("--each", type=int, default=2, help="pictures for each name and place")
    options = words.parse_args(arguments)
    started = time.monotonic()
    figures: dict = {}
    if options.part in ("base", "all"):
        figures["base"] = base_figures(options.model, options.out, options.each)
    if options.part in ("scenes", "all"):
        names = list(EVALUATION)[options.first : options.first + options.scenes]
        figures["scenes"] = scene_figures(options.model, options.out, names, seed=options.seed)
    if options.part in ("demo", "all"):
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
