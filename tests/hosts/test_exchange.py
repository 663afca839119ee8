"""The exchange host on a tiny trained run: one request in, events out."""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.hosts.exchange import serve_exchange
from engine.runs.description import describe
from engine.runs.events import Event, from_line
from engine.runs.exchange_events import ExportEnded, ExportSaved, ImportEnded
from engine.runs.folder import RunDir
from tests.hosts.test_draw import run

__all__ = ["run"]


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def ask(record: dict[str, Any]) -> tuple[int, list[Event]]:
    written = io.StringIO()
    code = serve_exchange(io.StringIO(json.dumps(record) + "\n"), written)
    events = [from_line(line) for line in written.getvalue().splitlines()]
    return code, [event for event in events if event is not None]


def test_an_export_and_its_import(run: RunDir, tiny_pipeline: Path, tmp_path: Path) -> None:
    order = {"do": "export", "run": str(run.path), "targets": ["pack"], "out": str(tmp_path / "o")}
    code, events = ask(order)
    assert code == 0 and [event.seq for event in events] == list(range(len(events)))
    (saved,) = [event for event in events if isinstance(event, ExportSaved)]
    ended = events[-1]
    assert isinstance(ended, ExportEnded) and ended.names == ("teapot", "penguin")
    (pack,) = Path(saved.folder).glob("*.bas.safetensors")
    code, events = ask({"do": "import", "source": str(pack), "base": str(tiny_pipeline)})
    ended = events[-1]
    assert code == 0 and isinstance(ended, ImportEnded)
    assert describe(RunDir(Path(ended.run))).state == "finished"


def test_what_cannot_be_done_is_one_event(run: RunDir, tmp_path: Path) -> None:
    order = {"do": "export", "run": str(run.path), "targets": ["checkpoint"], "out": str(tmp_path)}
    code, events = ask(order)
    ended = events[-1]
    assert code == 2 and isinstance(ended, ExportEnded) and ended.outcome == "failed"
    assert "no Stable Diffusion" in ended.message and ended.remedy
    code, events = ask(order | {"wish": 1})
    assert code == 2 and isinstance(events[-1], ExportEnded) and "wish" in events[-1].message
    assert serve_exchange(io.StringIO("{}\n"), io.StringIO()) == 2
