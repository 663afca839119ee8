"""Reads events.jsonl; what is damaged is skipped, the rest is still read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

from engine.core.errors import UserError
from engine.core.plain_text import plain_values
from engine.runs.events import Event, from_line
from engine.runs.folder import RunDir


def read_events(run: RunDir, from_seq: int = 0) -> list[Event]:
    """The events on disk with `seq >= from_seq`; a torn last line and unknown kinds are skipped."""
    events: list[Event] = []
    try:
        lines = run.events.read_bytes().split(b"\n")
    except OSError:
        return events
    for line in lines:
        if not line:
            continue
        try:
            event = from_line(line)
        except UserError:
            continue
        if event is not None and event.seq >= from_seq:
            events.append(event)
    return events


def tail_records(path: Path, size: int = 65536) -> list[dict[str, Any]]:
    """First line and the last `size` bytes of a log, parsed; damaged lines are skipped."""
    try:
        with path.open("rb") as file:
            head = file.read(size)
            end = file.seek(0, os.SEEK_END)
            start = max(len(head), end - size)
            file.seek(start)
            tail = file.read()
    except OSError:
        return []
    if start > len(head):
        tail = tail.partition(b"\n")[2]
        head = head.rpartition(b"\n")[0] + b"\n"
    records: list[dict[str, Any]] = []
    for line in (head + tail).split(b"\n"):
        try:
            record = plain_values(json.loads(line))
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            records.append(cast(dict[str, Any], record))
    return records
