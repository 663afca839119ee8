"""What stands against training with the masks as they are."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from bas_tui.tui.scene.training_view import Inspection

MOST = 8
"""Findings that are shown."""


class ChecksPanel(Vertical):
    """A title with a count over the findings, each with its remedy."""

    DEFAULT_CSS = "ChecksPanel { height: auto; }"

    def compose(self) -> ComposeResult:
        """Title and findings."""
        yield Static("Checks", id="checks-title", classes="section-title")
        yield Static(id="checks")

    def show(self, inspection: Inspection | None, *, short: bool) -> None:
        """Say what was found; on a `short` screen only the first one's remedy."""
        count = len(inspection.findings) if inspection else 0
        title = self.query_one("#checks-title", Static)
        title.update(f"Checks ({count})" if count else "Checks")
        self.query_one("#checks", Static).update(_text(inspection, short))


def _text(inspection: Inspection | None, short: bool) -> Content:
    if inspection is None:
        return Content.styled("open a picture with O", "$faint")
    if not inspection.findings:
        return Content.styled("nothing stands against training", "$success")
    lines: list[Content] = []
    for finding in inspection.findings[:MOST]:
        mark, style = ("✗", "$error") if finding.level == "error" else ("!", "$warning")
        text = Content.assemble(Content.styled(f"{mark} ", f"bold {style}"), finding.message)
        if not short or finding is inspection.findings[0]:
            text = Content.assemble(text, Content.styled(f" - {finding.remedy}", "$faint"))
        lines.append(text)
    return Content("\n").join(lines)
