"""Words that do something when they are clicked."""

from __future__ import annotations

from textual.content import Content
from textual.style import Style


def clickable(content: Content | str, action: str) -> Content:
    """The words with a click action, such as `screen.canvas('size', -1)`.

    Textual's markup can write actions too, but neither negative numbers nor brackets in them. The
    widget sets `auto_links = False`, or the words lose their colours.
    """
    words = content if isinstance(content, Content) else Content(content)
    return words.stylize(Style.from_meta({"@click": action}))
