"""What the Scene screen remembers from one start to the next: the pictures that were opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bas_tui.tui.shell.services import Services

RECENT = 6


def remembered(bas: Services) -> dict[str, Any]:
    """The record of last time, of which `recent` are paths; empty where there is none."""
    try:
        record = json.loads(bas.prefs.scene or "{}")
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def remember_scene(bas: Services, source: Path) -> None:
    """Put a picture first among the recent ones."""
    record = remembered(bas)
    path = str(source.resolve())
    recent = [path, *(old for old in record.get("recent", []) if old != path)][:RECENT]
    bas.remember(scene=json.dumps({**record, "recent": recent}))
