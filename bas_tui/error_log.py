"""Where tracebacks go: a file, never a terminal."""

from __future__ import annotations

import sys
import time
import traceback

from engine.runs.folder import home


def record(error: BaseException) -> str:
    """Append an error with its traceback; the file's path, or why there is none."""
    path = home() / "bas-errors.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {' '.join(sys.argv)}\n")
            file.writelines(traceback.format_exception(error))
            file.write("\n")
    except OSError:
        return "no file: the folder of runs cannot be written"
    return str(path)
