"""Words that do something when they are clicked."""

from __future__ import annotations

from textual.content import Content
from textual.style import Style
from textual.widget import Widget


class ClickableWords(Widget):
    """A widget whose clickable words keep their own colours."""

    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.auto_links = False


def clickable(content: Content | str, action: str) -> Content:
    """The words with a click action, such as `screen.canvas('size', -1)`.

    Textual's markup can write actions too, but neither negative numbers nor brackets in them.
    """
    words = content if isinstance(content, Content) else Content(content)
    return words.stylize(Style.from_meta({"@click": action}))
