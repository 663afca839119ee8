"""The event log and the control socket: numbers, torn lines, slow and rude viewers."""

from __future__ import annotations

import json
import socket
import stat
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from engine.core.errors import UserError
from engine.runs.commands import Command, CommandQueue
from engine.runs.control import ControlServer
from engine.runs.event_log import QUEUE_LINES, EventLog
from engine.runs.events import MachineLoad, Notice, StepDone, from_line
from tests.full_disk import SmallDisk


def notice(text: str) -> Notice:
    return Notice(level="info", message=text)


def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    assert [log.append(notice("a")).seq, log.append(notice("b")).seq] == [0, 1]
    log.close()
    again = EventLog(path)
    assert again.append(notice("c")).seq == 2
    again.close()
    assert [json.loads(line)["seq"] for line in path.read_text().splitlines()] == [0, 1, 2]


def test_a_torn_last_line_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.append(notice("a"))
    log.close()
    with path.open("ab") as file:
        file.write(b'{"kind":"notice","seq":1,"mess')
    again = EventLog(path)
    again.append(notice("b"))
    again.close()
    lines = path.read_text().splitlines()
    assert len(lines) == 3
    with pytest.raises(UserError):
        from_line(lines[1])
    assert json.loads(lines[2])["seq"] == 1


def test_history_then_live_without_gap_or_double(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    for index in range(50):
        log.append(notice(str(index)))
    closed = threading.Event()
    followed = log.follow(10, closed)
    seen = [json.loads(line)["seq"] for line in islice(followed, 5)]
    for index in range(50, 100):
        log.append(notice(str(index)))
    seen += [json.loads(line)["seq"] for line in islice(followed, 85)]
    assert seen == list(range(10, 100))
    closed.set()
    assert list(followed) == []
    log.close()


def test_what_is_told_is_no_part_of_the_run(tmp_path: Path) -> None:
    log, closed = EventLog(tmp_path / "events.jsonl"), threading.Event()
    log.append(notice("a"))
    log.tell(MachineLoad(cpu=0.5, memory_used=1, memory_total=2, disk_free=3))
    asked, other = log.follow(0, closed, told=True), log.follow(0, closed)
    assert [json.loads(line)["seq"] for line in islice(asked, 2)] == [0, -1]
    assert json.loads(next(other))["seq"] == 0
    log.tell(MachineLoad(cpu=0.75, memory_used=1, memory_total=2, disk_free=3))
    log.append(notice("b"))
    live = [from_line(line) for line in islice(asked, 2)]
    assert isinstance(live[0], MachineLoad) and live[0].cpu == 0.75 and live[0].gpu != live[0].gpu
    assert json.loads(next(other))["seq"] == 1
    closed.set()
    log.close()
    assert "machine" not in (tmp_path / "events.jsonl").read_text()


def test_a_slow_viewer_loses_lines_and_slows_nobody(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    closed = threading.Event()
    followed = log.follow(0, closed)
    log.append(notice("first"))
    assert json.loads(next(followed))["seq"] == 0
    for index in range(QUEUE_LINES + 500):
        log.append(notice(str(index)))
    closed.set()
    assert len(list(followed)) == QUEUE_LINES
    log.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, EventLog, CommandQueue]]:
    log, commands = EventLog(tmp_path / "events.jsonl"), CommandQueue()
    path = tmp_path / "s.sock"
    server = ControlServer(path, log, commands.post)
    yield path, log, commands
    server.close()
    assert not path.exists()
    log.close()


def talk(path: Path, *lines: object) -> socket.socket:
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(10)
    link.connect(str(path))
    link.sendall("".join(json.dumps(line) + "\n" for line in lines).encode())
    return link


def test_commands_and_replies(served: tuple[Path, EventLog, CommandQueue]) -> None:
    path, _, commands = served
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with talk(
        path,
        {"from": None},
        {"command": "pause"},
        {"command": "dance"},
        {"command": "set", "key": "preview.every", "value": 7},
        {"command": "set", "key": "seed", "value": 7},
        {"command": "set", "key": "preview.every", "value": -1},
    ) as link:
        replies = [json.loads(line) for line in islice(link.makefile(), 5)]
    assert [reply["reply"] for reply in replies] == ["ok", "error", "ok", "error", "error"]
    assert all(reply["remedy"] for reply in replies if reply["reply"] == "error")
    expected = [Command(word="pause"), Command(word="set", key="preview.every", value=7)]
    assert commands.poll() == expected


def test_events_come_from_the_asked_number(served: tuple[Path, EventLog, CommandQueue]) -> None:
    path, log, _ = served
    for index in range(3):
        log.append(notice(str(index)))
    with talk(path, {"from": 1}) as link:
        lines = link.makefile()
        assert [json.loads(line)["seq"] for line in islice(lines, 2)] == [1, 2]
        log.append(StepDone(step=1, phase=1, loss=1, masked=1, attention=0, prior=0,
                            grad_norm=1, seconds=0.1))  # fmt: skip
        assert json.loads(next(lines))["kind"] == "step"


def test_rude_viewers_hurt_nobody(served: tuple[Path, EventLog, CommandQueue]) -> None:
    path, log, _ = served
    talk(path, {"from": 0}).close()
    with talk(path) as link:
        link.sendall(b"\xff\xfe nonsense\n")
    with talk(path, {"from": 0}) as link:
        log.append(notice("still here"))
        assert json.loads(next(link.makefile()))["message"] == "still here"


def test_a_full_disk_costs_no_event(small_disk: SmallDisk) -> None:
    path = small_disk.path / "events.jsonl"
    log = EventLog(path)
    log.append(notice("before"))
    ballast = small_disk.fill()
    for index in range(200):
        log.append(notice(f"{index} {'x' * 200}"))
    assert log.trouble is not None and not log.retry()
    closed = threading.Event()
    closed.set()
    seen = [json.loads(line)["seq"] for line in log.follow(0, closed)]
    assert seen == list(range(201)), "a viewer that comes now has them all the same"
    ballast.unlink()
    assert log.retry() and log.trouble is None
    log.append(notice("after"))
    log.close()
    assert [json.loads(line)["seq"] for line in path.read_text().splitlines()] == list(range(202))
