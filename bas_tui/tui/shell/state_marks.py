"""How the state of a run, or of a scene of a batch, looks everywhere: a character and a colour."""

from __future__ import annotations

from typing import NamedTuple


class StateMark(NamedTuple):
    """What stands for a state."""

    char: str
    color: str
    """A colour of the theme: `success`, `faint`, ..."""


STATE_MARKS = {
    "live": StateMark("●", "success"),
    "training": StateMark("●", "success"),
    "going on": StateMark("●", "success"),
    "starting": StateMark("○", "accent"),
    "waiting": StateMark("○", "faint"),
    "new": StateMark("○", "faint"),
    "paused": StateMark("‖", "warning"),
    "pausing": StateMark("‖", "warning"),
    "finished": StateMark("✓", "success"),
    "stopped": StateMark("■", "faint"),
    "stopping": StateMark("■", "warning"),
    "failed": StateMark("✗", "error"),
    "interrupted": StateMark("✗", "error"),
    "damaged": StateMark("✗", "error"),
}
UNKNOWN = StateMark("?", "faint")
