"""The console script: makes sure that `engine` is this program's own, then runs the command line.

`engine` is a common name. Another package of that name that is found first would answer every
import with a traceback, or worse, with something of its own.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
BAD_INPUT = 2


def foreign_engine() -> str:
    """Where the `engine` lies that Python would import in place of this program's; else empty."""
    spec = importlib.util.find_spec("engine")
    places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
    found = next((Path(place).resolve() for place in places if place), None)
    own = HERE / "engine"
    if found in (own, own / "__init__.py") and (own / "core" / "errors.py").is_file():
        return ""
    return "nowhere" if found is None else str(found)


def main() -> None:
    """The console script `bas`."""
    place = foreign_engine()
    if place:
        print(
            f"error: another package named `engine` is in the way: {place} - remove it from this "
            "environment (and from PYTHONPATH), or install bas-tui in one of its own",
            file=sys.stderr,
        )
        raise SystemExit(BAD_INPUT)
    from bas_tui.cli.main import main as command_line

    command_line()


if __name__ == "__main__":
    main()
