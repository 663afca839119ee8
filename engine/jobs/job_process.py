"""What every job's process does: it ends with its driver, and is the only one at its folder."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STOPPED = 3
"""Exit code of a job that was asked to end before it was through."""
GRACE_SECONDS = 60.0
"""How long an orphaned job may take to write its checkpoint."""


def end_with_parent() -> None:
    """End politely when the driver dies: nobody would take the result, and a restart goes on."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
        os._exit(STOPPED)

    threading.Thread(target=watch, name="parent", daemon=True).start()


@contextmanager
def only_job(path: Path) -> Iterator[None]:
    """Wait for an orphaned process that still holds the job; the lock dies with its process."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
