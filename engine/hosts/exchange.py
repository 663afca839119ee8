"""The exchange host: one export or import, asked for by a JSON line, answered with event lines.

    {"do": "export", "run": "/path/of/run", "targets": ["comfyui"], "out": "/folder", ...}
    {"do": "import", "source": "/path/of/pack-or-folder", "base": "", "look": false, ...}

The further keys are the fields of `ExportRequest` and `ImportRequest`. SIGTERM ends it cleanly:
what was being written is removed.
"""

from __future__ import annotations

import json
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from engine.core.errors import BasError, UserError
from engine.core.lean_imports import lean_imports
from engine.hosts.event_lines import EventLines
from engine.runs.events import Event
from engine.runs.exchange_events import ExportEnded, ImportEnded
from engine.runs.folder import RunDir

DONE, FAILED, CANCELLED = 0, 1, 143


def serve_exchange(requests: TextIO, events: TextIO) -> int:
    """Answer one request; returns the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(CANCELLED))
    emit = EventLines(events)
    try:
        record = json.loads(requests.readline())
        kind = record.pop("do")
        answer, failed = KINDS[kind]
    except (ValueError, KeyError, TypeError, AttributeError):
        print("error: this is no request - see the module's description", file=sys.stderr)
        return UserError.exit_code
    try:
        emit(answer(record, emit))
        return DONE
    except BasError as error:
        emit(failed(error.message, error.remedy))
        return error.exit_code
    except (MemoryError, RuntimeError, OSError) as error:
        traceback.print_exc(file=sys.stderr)
        emit(failed(f"{kind} failed: {error}".splitlines()[0], "see the log, or try again"))
        return FAILED


def _export(record: dict[str, Any], emit: Callable[[Event], None]) -> Event:
    # Each job imports what it needs: the exporter's model libraries take seconds, and a pack is
    # opened without them.
    with lean_imports():
        from engine.results.exports.exporter import ExportRequest, export_run

    values = {
        **record,
        "run": RunDir(Path(record["run"])),
        "out": Path(record["out"]),
        "targets": tuple(record["targets"]),
    }
    return export_run(_request(ExportRequest, values), emit)


def _import(record: dict[str, Any], emit: Callable[[Event], None]) -> Event:
    with lean_imports():
        from engine.results.exports.importer import ImportRequest, import_source

    values = {
        **record,
        "source": Path(record["source"]),
        "concepts": tuple(record.get("concepts", ())),
    }
    return import_source(_request(ImportRequest, values), emit)


def _request(kind: type[Any], values: dict[str, Any]) -> Any:
    try:
        return kind(**values)
    except TypeError as error:
        raise UserError(f"incomplete request: {error}", "update bas") from error


def _export_failed(message: str, remedy: str) -> Event:
    return ExportEnded(outcome="failed", message=message, remedy=remedy)


def _import_failed(message: str, remedy: str) -> Event:
    return ImportEnded(outcome="failed", message=message, remedy=remedy)


KINDS = {"export": (_export, _export_failed), "import": (_import, _import_failed)}
