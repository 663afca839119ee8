"""Run folders whose host this process passes for."""

from __future__ import annotations

import json
import os

from engine.runs.events import Event, to_line
from engine.runs.folder import RunDir
from engine.runs.liveness import process_start


def append(run: RunDir, *events: Event) -> None:
    with run.events.open("a") as log:
        log.writelines(f"{to_line(event)}\n" for event in events)


def make_live(run: RunDir) -> None:
    pid = os.getpid()
    run.pid_file.write_text(json.dumps({"pid": pid, "started": process_start(pid)}))
