"""Where the LoRA and embedding files lie that pictures were drawn with, kept beside the pictures.

A picture itself tells their names alone: it may be shown to anybody.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from engine.files.atomic import write_atomic
from engine.runs.folder import added_files
from engine.runs.requests import Additions


def keep_added(additions: Additions, pictures: Path) -> None:
    """Take note of the files; raises OSError where that cannot be written.

    A person may draw into any folder: a file of that name that is no such list stays as it is.
    """
    files = {one.source for kind in (additions.loras, additions.embeddings) for one in kind}
    known = _known(pictures)
    if known is not None and not files <= known:
        text = json.dumps(sorted(known | files), indent=1, ensure_ascii=False)
        write_atomic(added_files(pictures), f"{text}\n".encode())


def find_added(name: str, pictures: Path) -> Path | None:
    """The file of that name; None where it is gone, or where there are several."""
    known = map(Path, _known(pictures) or ())
    found = [path for path in known if path.name == name and path.is_file()]
    return found[0] if len(found) == 1 else None


def _known(pictures: Path) -> set[str] | None:
    """None: there is a file of that name, and it is somebody else's."""
    try:
        listed: Any = json.loads(added_files(pictures).read_bytes())
    except FileNotFoundError:
        return set()
    except (OSError, ValueError):
        return None
    if type(listed) is not list:
        return None
    items = cast("list[Any]", listed)
    return set(items) if all(isinstance(one, str) for one in items) else None
