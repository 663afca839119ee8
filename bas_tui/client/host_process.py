"""Starts detached hosts and sends them commands."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

from engine.core.errors import BasError, UserError
from engine.core.process_environment import engine_environment
from engine.core.settings import build_config, flatten
from engine.files.space import MARGIN, free_bytes
from engine.jobs.driver import last_line
from engine.runs.description import describe
from engine.runs.event_reading import read_events
from engine.runs.events import RunEnded
from engine.runs.folder import RunDir
from engine.runs.liveness import host_first_seq, host_pid, socket_path
from engine.runs.manifest import read_manifest

START_SECONDS = 120.0
"""A cold disk may take this long to load a Python with torch."""
REPLY_SECONDS = 15.0
LEAVE_SECONDS = 10.0
"""How long an ended host may take to leave before another may start."""


def host_command(*arguments: str) -> list[str]:
    """`python -m engine ARGUMENTS`; -P keeps the person's folder off the module path."""
    return [sys.executable, "-P", "-m", "engine", *arguments]


def run_command(run: RunDir) -> list[str]:
    """The command of a run's host; with more than one GPU, of as many processes that share it."""
    gpus = build_config(flatten(read_manifest(run).settings)).gpus
    if gpus == 1:
        return host_command("run", str(run.path))
    launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}", "-m"]
    return [sys.executable, "-P", "-m", *launcher, "engine", "run", str(run.path)]


def host_environment() -> dict[str, str]:
    """The environment of a host."""
    return {**os.environ, **engine_environment()}


def start_host(run: RunDir) -> int:
    """Start the run's host, detached from this terminal and process; its process id.

    Returns once the host has taken the run. Raises UserError when one lives already, BasError with
    the last line of host.log when it crashed on the way.
    """
    _wait_for_the_old_host(run)
    _require_room(run)
    logged = _size(run.events)
    with run.log.open("ab") as log:
        process = subprocess.Popen(
            run_command(run),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=host_environment(),
            cwd=run.path,
        )
    # Someone must collect the exit status, or a dead host stays a zombie while this viewer lives.
    threading.Thread(target=process.wait, name=f"wait-{process.pid}", daemon=True).start()
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        pid = host_pid(run)
        if pid is not None:
            return pid
        if process.poll() is not None:
            if _size(run.events) > logged:
                return process.pid  # It took the run and is through with it already.
            raise BasError(f"the host of {run.name} did not start: {last_words(run.log)}",
                           f"the whole story is in {run.log}")  # fmt: skip
        time.sleep(0.02)
    process.terminate()
    raise BasError(f"the host of {run.name} did not start within {START_SECONDS:.0f} seconds",
                   f"see {run.log}, then: bas resume {run.name}")  # fmt: skip


def send(run: RunDir, command: str, **values: Any) -> None:
    """Send a command (`pause`, `stop`, `set` with key and value, ...) and wait for the host's ok.

    Raises UserError when no host lives or when it refuses.
    """
    deadline = time.monotonic() + REPLY_SECONDS
    line = json.dumps({"from": None}) + "\n" + json.dumps({"command": command, **values}) + "\n"
    sent = False
    while True:
        if host_pid(run) is None:
            if sent and command == "stop":
                return
            done = describe(run).state == "finished"
            remedy = "`bas runs` lists all" if done else f"go on with it: bas resume {run.name}"
            raise UserError(f"{run.name} is {'finished' if done else 'not training'}", remedy)
        try:
            with connect(run) as link:
                link.settimeout(REPLY_SECONDS)
                link.sendall(line.encode())
                sent = True
                reply = _read_reply(link)
        except (OSError, ValueError):
            reply = None
        if reply is not None:
            break
        if time.monotonic() > deadline:
            raise UserError(
                f"the host of {run.name} does not answer", f"see {run.log}, or try again"
            )
        time.sleep(0.1)  # It lives but does not listen yet (or any more).
    if reply.get("reply") != "ok":
        raise UserError(
            str(reply.get("message") or f"the host refused {command!r}"),
            str(reply.get("remedy") or "see `bas --help`"),
        )


def wait_until_gone(run: RunDir, seconds: float = LEAVE_SECONDS) -> bool:
    """Wait for the run's host to leave; whether it did."""
    deadline = time.monotonic() + seconds
    while host_pid(run) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def connect(run: RunDir) -> socket.socket:
    """A connection to the host's control socket; raises OSError where nobody listens."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.settimeout(2.0)
        link.connect(str(socket_path(run)))
    except BaseException:
        link.close()
        raise
    return link


def fresh_log(path: Path) -> BinaryIO:
    """An empty log; written at its end, as a process of another window may write there, too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path.open("ab")


def last_words(log: Path) -> str:
    """The last line that says something in a host's log, for a sentence."""
    return last_line(log) or "it said nothing"


def _read_reply(link: socket.socket) -> dict[str, Any] | None:
    data = b""
    while not data.endswith(b"\n"):
        chunk = link.recv(65536)
        if not chunk:
            return None
        data += chunk
    reply: dict[str, Any] = json.loads(data.splitlines()[-1])
    return reply


def _require_room(run: RunDir) -> None:
    """On a full disk the host could not even say why it does not start."""
    if free_bytes(run.path) < MARGIN:
        raise UserError(
            f"the disk of {run.path} is full", f"free some space, then bas resume {run.name}"
        )


def _wait_for_the_old_host(run: RunDir) -> None:
    """A host that said its last word may take a moment to leave; any other one stays."""
    if host_pid(run) is not None and not (said_last_word(run) and wait_until_gone(run)):
        raise UserError(f"{run.name} is training already", f"look at it: bas watch {run.name}")


def said_last_word(run: RunDir) -> bool:
    """Whether the live host has already written its RunEnded; True where there is no host."""
    first = host_first_seq(run)
    if first is None:
        return True
    return any(isinstance(event, RunEnded) and event.seq >= first for event in read_events(run))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
