"""Names under which concepts live in other programs: files, embeddings, words of a prompt.

A1111 takes an embedding's file name for its word and finds it wherever that word stands, so a name
must be no word of its own: an embedding called `teapot` would replace every teapot. ComfyUI cuts
prompts at blanks and commas and reads brackets and colons as weights.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

STAMP = re.compile(r"-\d{4}-\d{6}(-\d+)?$")
"""What `bas` puts behind a run's name by itself."""
IsWord = Callable[[str], bool]


def plain(text: str) -> str:
    """`text` in the letters that every program takes in a name, `[a-z0-9_]`; may be empty."""
    bare = unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", bare).strip("_")


def stem_of(run: str, name: str = "") -> str:
    """What the files of an export are called: the person's name for it, else the run's."""
    return plain(name) or plain(STAMP.sub("", run)) or "bas"


def trigger_words(stem: str, concepts: Sequence[str], is_word: IsWord) -> tuple[str, ...]:
    """A name for each concept, all different, none of them words that the text encoder knows.

    A coined name (`zorbl`) stays as it is; one made of known words (`teapot`, `red_car`) gets the
    stem before it (`kitchen_teapot`).
    """
    chosen: list[str] = []
    for index, concept in enumerate(concepts):
        name = plain(concept) or f"thing_{index}"
        if all(is_word(part) for part in name.split("_")):
            name = f"{stem}_{name}"
        unique, count = name, 2
        while unique in chosen:
            unique, count = f"{name}_{count}", count + 1
        chosen.append(unique)
    return tuple(chosen)
