"""`python -m engine.batch`: the driver of a batch, and its jobs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from engine.core.errors import BasError
from engine.core.process_environment import prepare_threads


def main(arguments: list[str] | None = None) -> int:
    """Choose what this process is; torch is loaded by `job` and `prepare` only."""
    words = argparse.ArgumentParser(prog="python -m engine.batch", description=__doc__)
    commands = words.add_subparsers(dest="command", required=True)
    drive = commands.add_parser("drive", help="train every scene of a batch")
    drive.add_argument("folder", type=Path)
    drive.add_argument("--jobs", type=int, default=0)
    drive.add_argument("--executor", choices=("local", "ray"), default="local")
    job = commands.add_parser("job", help="train one run")
    job.add_argument("folder", type=Path)
    prepare = commands.add_parser("prepare", help="make what runs share")
    prepare.add_argument("folder", type=Path)
    chosen = words.parse_args(arguments)
    prepare_threads()
    try:
        return _run(chosen)
    except BasError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _run(chosen: argparse.Namespace) -> int:
    from engine.batch.folder import BatchDir
    from engine.runs.folder import RunDir

    if chosen.command == "drive":
        from engine.batch.runner import drive

        return drive(BatchDir(chosen.folder), jobs=chosen.jobs, executor=chosen.executor)
    from engine.batch import job

    if chosen.command == "job":
        return job.train(RunDir(chosen.folder))
    return job.prepare(BatchDir(chosen.folder))


if __name__ == "__main__":
    sys.exit(main())
