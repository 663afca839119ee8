"""The generation process of the application: one for all screens, so that one model is loaded."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bas_tui.client import Generator


class DrawingProcess:
    """Started by the first drawing."""

    def __init__(self) -> None:
        self._generator: Generator | None = None

    def generator(self) -> Generator:
        """What takes requests; call it on the event loop."""
        if self._generator is None:
            from bas_tui.client import Generator

            self._generator = Generator()
        return self._generator

    def close(self) -> None:
        """End the process; it may take seconds, so nobody waits."""
        if self._generator is not None:
            threading.Thread(target=self._generator.close, daemon=True).start()
