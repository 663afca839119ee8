"""Text of strangers without what would command a terminal: names, prompts, messages, file names."""

from __future__ import annotations

import re
from typing import Any, cast

_COMMANDS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""C0 but for tab and newline, DEL, C1, changes of writing direction, halves of surrogate pairs."""
REPLACEMENT = "\ufffd"


def plain(text: str) -> str:
    """The text with a replacement character for every control character, of the same length."""
    return text if text.isprintable() else _COMMANDS.sub(REPLACEMENT, text)


def plain_values(value: Any) -> Any:
    """The same for every text within a JSON or TOML value, keys too."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        table = cast(dict[str, Any], value)
        return {plain(key): plain_values(item) for key, item in table.items()}
    if isinstance(value, list):
        return [plain_values(item) for item in cast(list[Any], value)]
    return value
