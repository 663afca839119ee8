"""A model hub on this machine's loopback: serves folders by the hub's HTTP interface."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 10_000
"""Larger files are listed with a sha256, as the hub does for files outside of git."""


@dataclass(kw_only=True)
class FakeHub:
    """The repositories to serve, and the requests that came."""

    repositories: dict[str, Path] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    """Names of files that are listed and cannot be had."""
    requests: list[str] = field(default_factory=list)
    """Paths of files that were sent, as `owner/name/file`."""
    address: str = ""


@contextmanager
def serve() -> Iterator[FakeHub]:
    """Run a fake hub as long as the context lasts."""
    hub = FakeHub()

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing on stderr."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        repository = "/".join(parts[2:4] if api else parts[:2])
        rest = parts[4:] if api else parts[2:]
        folder = self.state.repositories.get(repository)
        if folder is None:
            self._send(401, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif api and rest[:1] == ["tree"]:
            self._send(200, json.dumps([_entry(folder, path) for path in _files(folder)]).encode())
        elif api:
            self._send(200, json.dumps(_info(repository, folder)).encode())
        elif repository in self.state.gated:
            self._send(403, b"{}", {"X-Error-Code": "GatedRepo"})
        else:
            self._send_file(repository, folder / "/".join(rest[2:]), body)

    def _send_file(self, repository: str, path: Path, body: bool) -> None:
        if not path.is_file() or path.name in self.state.broken:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            return
        data = path.read_bytes()
        headers = {"ETag": f'"{_sha256(path)}"', "X-Repo-Commit": COMMIT}
        if body:
            name = path.relative_to(self.state.repositories[repository])
            self.state.requests.append(f"{repository}/{name}")
        self._send(200, data, headers, body=body)

    def _send(
        self, status: int, data: bytes, headers: dict[str, str] | None = None, *, body: bool = True
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(data)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _info(repository: str, folder: Path) -> dict[str, object]:
    siblings: list[dict[str, object]] = []
    for path in _files(folder):
        size = path.stat().st_size
        entry: dict[str, object] = {
            "rfilename": path.relative_to(folder).as_posix(),
            "size": size,
            "blobId": _sha256(path)[:40],
        }
        if size > LARGE:
            entry["lfs"] = {"sha256": _sha256(path), "size": size, "pointerSize": 130}
        siblings.append(entry)
    return {"id": repository, "sha": COMMIT, "private": False, "siblings": siblings}


def _entry(folder: Path, path: Path) -> dict[str, object]:
    size = path.stat().st_size
    entry: dict[str, object] = {
        "type": "file",
        "path": path.relative_to(folder).as_posix(),
        "size": size,
        "oid": _sha256(path)[:40],
    }
    if size > LARGE:
        entry["lfs"] = {"oid": _sha256(path), "size": size, "pointerSize": 130}
    return entry
