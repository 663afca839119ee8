"""Where tracebacks go: a file, never a terminal."""

from __future__ import annotations

import sys
import time
import traceback

from engine.core.errors import BasError
from engine.runs.folder import home


def unexpected(error: Exception, what: str) -> BasError:
    """An error that nobody foresaw, as a person is told of it; its traceback is kept."""
    return BasError(
        f"{what}: {type(error).__name__}: {error}", f"the traceback is in {record(error)}"
    )


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
