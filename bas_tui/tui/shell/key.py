"""What a key does: data only. `bas_tui.tui.shell.bindings` makes bindings, help, keymap of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Key:
    """One thing a person can do, and the keys that do it."""

    id: str
    """`scope.name`; the keymap file and the help refer to it."""
    keys: str
    """Comma-separated Textual key names; the first is shown. A key that tmux, an editor or a Mac
    may eat has a plain twin."""
    action: str
    """Textual action, looked up on the widget or screen of the scope, or `app.<name>`."""
    label: str
    """A word or two for the footer and the palette."""
    help: str
    """One sentence for F1 and the palette."""
    show: bool = False
    """Whether the footer shows it."""
    command: str = ""
    """The equivalent command line, with fields such as {run} that the screen fills in."""
    priority: bool = False
    """Whether the key works even while a text field has the focus."""
