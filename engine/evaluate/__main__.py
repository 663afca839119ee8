"""`python -m engine.evaluate`: the driver of an evaluation, its jobs, and checks of scorers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from engine.core.errors import BasError
from engine.core.lean_imports import lean_imports
from engine.core.process_environment import prepare_threads


def main(arguments: list[str] | None = None) -> int:
    """Choose what this process is; torch is loaded by `job`, `prepare` and `check` only."""
    words = argparse.ArgumentParser(prog="python -m engine.evaluate", description=__doc__)
    commands = words.add_subparsers(dest="command", required=True)
    drive = commands.add_parser("drive", help="do every job of an evaluation")
    drive.add_argument("folder", type=Path)
    drive.add_argument("--jobs", type=int, default=0)
    drive.add_argument("--executor", choices=("local", "ray"), default="local")
    drive.add_argument("--keep-models", action="store_true")
    job = commands.add_parser("job", help="do one job")
    job.add_argument("folder", type=Path)
    job.add_argument("scene")
    job.add_argument("method")
    job.add_argument("--keep-models", action="store_true")
    prepare = commands.add_parser("prepare", help="make what jobs share")
    prepare.add_argument("folder", type=Path)
    commands.add_parser("check", help="measure the embedded scorers on pictures of known content")
    chosen = words.parse_args(arguments)
    prepare_threads()
    try:
        return _run(chosen)
    except BasError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _run(chosen: argparse.Namespace) -> int:
    from engine.evaluate.job_plan import EvaluationDir

    if chosen.command == "drive":
        from engine.evaluate.runner import drive

        return drive(
            EvaluationDir(chosen.folder),
            jobs=chosen.jobs,
            executor=chosen.executor,
            keep_models=chosen.keep_models,
        )
    if chosen.command == "job":
        with lean_imports():
            from engine.evaluate import job

        return job.main(chosen.folder, chosen.scene, chosen.method, chosen.keep_models)
    if chosen.command == "prepare":
        with lean_imports():
            from engine.evaluate.job import prepare

        return prepare(EvaluationDir(chosen.folder))
    from engine.evaluate.scorers.validation import print_validation

    return print_validation()


if __name__ == "__main__":
    sys.exit(main())
