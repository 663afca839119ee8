"""The engine's processes: `python -m engine run RUN_DIR` trains a run, `generate` draws pictures,
`exchange` exports and imports, `segment` finds masks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from engine.core.lean_imports import lean_imports
from engine.core.process_environment import prepare_threads


def main(arguments: list[str] | None = None) -> int:
    """Choose the host; torch is imported only after the environment is set."""
    parser = argparse.ArgumentParser(prog="python -m engine", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("run", help="train a run folder to its end")
    train.add_argument("run", type=Path)
    commands.add_parser("generate", help="read requests on stdin, write events on stdout")
    commands.add_parser("exchange", help="read one request on stdin, write events on stdout")
    commands.add_parser("segment", help="read questions on stdin, write events on stdout")
    chosen = parser.parse_args(arguments)
    prepare_threads()
    if chosen.command == "run":
        from engine.hosts.train import run_host

        return run_host(chosen.run)
    if chosen.command == "exchange":
        from engine.hosts.exchange import serve_exchange

        return serve_exchange(sys.stdin, sys.stdout)
    if chosen.command == "segment":
        from engine.hosts.segment import serve_segmenter

        return serve_segmenter(sys.stdin, sys.stdout)
    with lean_imports():
        from engine.hosts.draw import serve_generation

    return serve_generation(sys.stdin, sys.stdout)


if __name__ == "__main__":
    raise SystemExit(main())
