"""What `bas eval run` is given, checked before anything is written."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.evaluate.job_plan import SceneSource
    from engine.evaluate.suites import Suite


def command_words(
    suite: str,
    size: str,
    single: Mapping[str, object],
    repeated: Mapping[str, Sequence[str] | None],
) -> str:
    """The command that makes this evaluation again, for the report."""
    words = ["bas", "eval", "run", suite, "--size", size]
    words += [word for key, value in single.items() if value for word in (key, str(value))]
    for key, values in repeated.items():
        words += [word for value in values or () for word in (key, value)]
    return shlex.join(words)


def scenes(
    suite: Suite, size: str, listed: Path | None, coco: Path | None
) -> tuple[list[SceneSource], str]:
    """The scenes to run, and the sum of the list they come from."""
    from engine.core.errors import UserError
    from engine.evaluate.job_plan import suite_scenes

    if suite.scenes and listed is None:
        return suite_scenes(suite, size), ""
    if listed is None or coco is None:
        raise UserError(
            f"the suite {suite.name} has no scenes of its own",
            "choose some with `bas eval select`, then give --scenes LIST.json --coco IMAGES",
        )
    from engine.evaluate.coco import load_list_scenes, read_list

    chosen = read_list(listed)
    count = suite.sizes[size].scenes if size in suite.sizes else len(chosen.scenes)
    return load_list_scenes(chosen, coco, count), chosen.digest


def sources(words: Sequence[str]) -> dict[str, str]:
    """`["clip=/models/clip"]` as a table; raises UserError."""
    from engine.core.errors import UserError

    known = ("clip", "dino", "maskformer")
    found: dict[str, str] = {}
    for word in words:
        key, equals, where = word.partition("=")
        if key not in known or not equals or not where:
            raise UserError(f"--scorer {word!r} is no NAME=WHERE", f"NAME is {', '.join(known)}")
        path = Path(where).expanduser()
        found[key] = str(path.resolve()) if path.is_dir() else where
    return found
