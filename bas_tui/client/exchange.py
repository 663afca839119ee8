"""Exports and imports: one process a job, `python -m engine exchange`, its events as they come."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bas_tui.client.host_process import fresh_log, host_command, host_environment, last_words
from engine.core.errors import UserError
from engine.runs.events import Event, from_line
from engine.runs.exchange_events import ExportEnded, ImportEnded
from engine.runs.export_targets import Target
from engine.runs.folder import RunDir, home

CANCEL_SECONDS = 10.0
"""How long a process may take to remove what it was writing."""


@dataclass(frozen=True, kw_only=True)
class ExportOrder:
    """What to export; the fields are those of `engine.results.exports.exporter`."""

    run: RunDir
    targets: tuple[Target, ...]
    out: Path
    name: str = ""
    rank: int | None = None
    half: bool = True
    small: bool = False
    with_picture: bool = False
    licence: str = ""
    pure: bool = False
    check: bool | None = None
    device: str = "auto"
    what_fits: bool = False

    def record(self) -> dict[str, Any]:
        """The request."""
        values = {**vars(self), "run": str(self.run.path), "out": str(self.out.resolve())}
        return {"do": "export", **values}


@dataclass(frozen=True, kw_only=True)
class ImportOrder:
    """What to import; the fields are those of `engine.results.exports.importer`."""

    source: Path
    name: str = ""
    base: str = ""
    concepts: tuple[str, ...] = ()
    partly: bool = False
    look: bool = False

    def record(self) -> dict[str, Any]:
        """The request."""
        return {"do": "import", **asdict(self), "source": str(self.source.resolve())}


class Exchange(Iterator[Event]):
    """The events of one job, up to its `export_ended` or `import_ended`.

    The process is the job's own: `cancel` ends it, and it removes what it was writing.
    """

    def __init__(self, order: ExportOrder | ImportOrder) -> None:
        self._imports = isinstance(order, ImportOrder)
        self._ended = self._cancelled = False
        with fresh_log(self.log) as log:
            self._process = subprocess.Popen(
                host_command("exchange"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                # Ctrl-C is this process's business.
                start_new_session=True,
                env=host_environment(),
            )
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # Should it have died, reading tells so.
            self._process.stdin.write(json.dumps(order.record()).encode() + b"\n")
            self._process.stdin.close()

    @property
    def exit_code(self) -> int:
        """Of the ended process: 0 done, 1 failed while running, 2 bad input."""
        return self._process.returncode

    @property
    def log(self) -> Path:
        """What the process says besides events."""
        return home() / "exchange.log"

    def __next__(self) -> Event:
        if self._ended:
            raise StopIteration
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            try:
                event = from_line(line)
            except UserError:
                continue  # A library printed to stdout.
            if event is not None:
                if isinstance(event, ExportEnded | ImportEnded):
                    self._end()
                return event
        self._end()
        message = f"the process ended: {last_words(self.log)}"
        if self._cancelled:
            message = "cancelled"
        kind = ImportEnded if self._imports else ExportEnded
        return kind(outcome="failed", message=message, remedy=f"the whole story is in {self.log}")

    def cancel(self) -> None:
        """End the job; the iterator still gives its last event."""
        self._cancelled = True
        self._process.terminate()
        try:
            self._process.wait(CANCEL_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _end(self) -> None:
        self._ended = True
        self._process.wait()
