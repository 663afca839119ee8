"""The library of runs."""

from collections.abc import Iterable

from textual.widget import Widget
from textual.widgets import Static

from bas_tui.tui.bindings import bindings_of
from bas_tui.tui.screens.base import BasScreen


class RunsScreen(BasScreen):
    """Live and finished runs."""

    SCOPE = "runs"
    BINDINGS = bindings_of("runs")

    def compose_body(self) -> Iterable[Widget]:
        yield Static("runs")
