"""The control socket of a run host: events out, commands in; JSON, one object a line."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.core.errors import BasError, UserError
from engine.runs.commands import Command
from engine.runs.event_log import EventLog


class ControlServer:
    """Serves any number of viewers; none of them can slow or hurt the run."""

    def __init__(self, path: Path, log: EventLog, post: Callable[[Command], None]) -> None:
        """`post` takes each Command; it must not block."""
        path.unlink(missing_ok=True)
        self._path = path
        self._closed = threading.Event()
        self._server = _Server(str(path), _Viewer)
        path.chmod(0o600)
        self._server.log, self._server.post, self._server.closed = log, post, self._closed
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Let viewers read what is left, then end."""
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._path.unlink(missing_ok=True)
        self._thread.join(timeout=2)
        self._server.drain(timeout=2)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    log: EventLog
    post: Callable[[Command], None]
    closed: threading.Event

    def __init__(self, path: str, handler: type[socketserver.StreamRequestHandler]) -> None:
        self._writers: list[threading.Thread] = []
        super().__init__(path, handler)

    def writer(self, thread: threading.Thread) -> None:
        """Remember a viewer's writing thread until it has ended."""
        self._writers = [old for old in self._writers if old.is_alive()] + [thread]

    def drain(self, timeout: float) -> None:
        """Wait for the writers to send what is queued."""
        for thread in self._writers:
            thread.join(timeout=timeout)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A viewer that vanishes is no event for the host's log."""


class _Viewer(socketserver.StreamRequestHandler):
    server: _Server  # type: ignore[assignment]

    def handle(self) -> None:
        """First line: `{"from": seq, "machine": true}`; then commands until the viewer hangs up."""
        self._sending = threading.Lock()
        self._gone = threading.Event()
        try:
            hello = json.loads(self.rfile.readline() or b"{}")
            start, told = hello.get("from"), hello.get("machine") is True
        except (ValueError, AttributeError):
            return
        if isinstance(start, int):
            thread = threading.Thread(target=self._stream, args=(start, told), daemon=True)
            self.server.writer(thread)
            thread.start()
        for raw in self.rfile:
            self._answer(raw)
        self._gone.set()

    def _answer(self, raw: bytes) -> None:
        try:
            self.server.post(Command.parse(json.loads(raw)))
            reply: dict[str, str] = {"reply": "ok"}
        except ValueError:
            error = UserError("that is no JSON", "send one object a line")
            reply = {"reply": "error", "message": error.message, "remedy": error.remedy}
        except BasError as error:
            reply = {"reply": "error", "message": error.message, "remedy": error.remedy}
        self._send(json.dumps(reply))

    def _stream(self, start: int, told: bool) -> None:
        for line in self.server.log.follow(start, self.server.closed, told=told):
            if self._gone.is_set() or not self._send(line):
                return

    def _send(self, line: str) -> bool:
        try:
            with self._sending:
                self.wfile.write(line.encode() + b"\n")
        except OSError:
            self._gone.set()
            return False
        return True
