"""Whether a run's host lives, and where it listens."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
import warnings
from pathlib import Path

import platformdirs
from platformdirs import RuntimeDirWarning

from engine.core.errors import UserError
from engine.runs.folder import RunDir


def host_pid(run: RunDir) -> int | None:
    """Process id of the run's live host, or None.

    host.pid also holds the process's start time, so a recycled id is not taken for the host.
    """
    try:
        record = json.loads(run.pid_file.read_text())
        pid = int(record["pid"])
        os.kill(pid, 0)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    started = process_start(pid)
    return pid if started is None or started == record.get("started") else None


def host_first_seq(run: RunDir) -> int | None:
    """Number of the first event of the host in host.pid; None where none is there.

    Tells its last word from an earlier host's, whatever the clock did meanwhile.
    """
    try:
        return int(json.loads(run.pid_file.read_text()).get("first", 0))
    except (OSError, ValueError, AttributeError, TypeError):
        return None


def process_start(pid: int) -> str | None:
    """An identifier of the process's start; None where the platform has no /proc."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = line.rsplit(")", 1)[1].split()
    # A zombie still answers kill(pid, 0), but it is no host any more.
    return "zombie" if fields[0] == "Z" else fields[19]


def socket_path(run: RunDir) -> Path:
    """The control socket: in the user's runtime folder, short enough for every platform."""
    digest = hashlib.sha256(str(run.path.resolve()).encode()).hexdigest()[:16]
    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR it falls back to the temporary folder, which is as good here.
        warnings.simplefilter("ignore", RuntimeDirWarning)
        folder = Path(platformdirs.user_runtime_dir("bas", False))
    try:
        _make_private(folder)
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"bas-{os.getuid()}"
        _make_private(folder)
    return folder / f"{digest}.sock"


def _make_private(folder: Path) -> None:
    """A folder that nobody else can enter; raises UserError where it is somebody else's."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UserError(
            f"{folder} is not yours", "set XDG_RUNTIME_DIR to a folder that only you can enter"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)
