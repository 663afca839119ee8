"""Names of concepts: what a person or a program called a mask, as a word for prompts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

NAME_LENGTH = 40

_DEFAULT_NAME = re.compile(r"((mask|asset|label|concept|object|segment)s?)?_*\d*")
_PROGRAMS = (
    # Label Studio's export of brush labels.
    re.compile(r"task-\d+-annotation-\d+-by-.+?-tag-(?P<name>.+?)(-\d+)?"),
    # Roboflow's exports.
    re.compile(r"(?P<name>.+)\.rf\.[0-9a-f]{8,}"),
    # ComfyUI's mask editor names no thing.
    re.compile(r"(?P<name>)clipspace-.*"),
)


def concept_names(labels: Sequence[str]) -> tuple[list[str], list[str]]:
    """A name for each label (a file's stem, a class), all different, and what to say about it.

    Names keep letters and digits of any script, Latin ones without accents; an emoji gives its
    name. What a program adds around the name goes; so do, where a name is too long, words that
    all labels share.
    """
    plain = [_without_program(unicodedata.normalize("NFC", label)) for label in labels]
    slugs = [_slug(label) for label in plain]
    if len(slugs) > 1 and any(len(slug) > NAME_LENGTH for slug in slugs):
        slugs = _without_common(slugs)
    names: list[str] = []
    notes: list[str] = []
    for position, slug in enumerate(slugs):
        name = asset_name(_shortened(slug), position)
        wanted, count = name, 2
        while name in names:
            name, count = f"{wanted[: NAME_LENGTH - 3]}_{count}", count + 1
        names.append(name)
        drawn = any(unicodedata.category(character) == "So" for character in labels[position])
        if name != wanted or len(slug) > NAME_LENGTH or drawn:
            notes.append(f"{labels[position]} is called <{name}>")
    return names, notes


def concept_name(label: str, position: int) -> str:
    """One label's name; `mask3` and the like become `asset<position>`.

    Default names follow the position, so that they are always the token's own name.
    """
    return asset_name(_shortened(_slug(_without_program(label))), position)


def asset_name(slug: str, position: int) -> str:
    """The slug, or the token's own name where it says nothing."""
    return f"asset{position}" if _DEFAULT_NAME.fullmatch(slug) else slug


def _without_program(label: str) -> str:
    for pattern in _PROGRAMS:
        if match := pattern.fullmatch(label):
            return match["name"]
    return label


def _slug(text: str) -> str:
    """Letters and digits in lower case, all else as underscores."""
    parts: list[str] = []
    for character in unicodedata.normalize("NFKC", text).casefold():
        base = unicodedata.normalize("NFKD", character)
        category = unicodedata.category(character)
        if base[0].isascii() and base[0].isalnum():
            parts.append(base.encode("ascii", "ignore").decode())
        elif category[0] in "LN" or (category[0] == "M" and not _is_selector(character)):
            parts.append(character)
        elif category == "So":
            words = unicodedata.name(character, "").lower()
            parts.append(f" {words} ")
        elif category != "Cf" and not _is_selector(character):
            parts.append(" ")
    return re.sub(r"[\s_-]+", "_", "".join(parts)).strip("_")


def _is_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f"


def _shortened(slug: str) -> str:
    """At most NAME_LENGTH characters, cut between words where that leaves half of them."""
    if len(slug) <= NAME_LENGTH:
        return slug
    cut = slug[: NAME_LENGTH + 1].rfind("_")
    return slug[: cut if cut >= NAME_LENGTH // 2 else NAME_LENGTH].strip("_")


def _without_common(slugs: Sequence[str]) -> list[str]:
    """The slugs without the words that all of them begin and end with."""
    words = [slug.split("_") for slug in slugs]
    shortest = min(map(len, words))
    first = next((k for k in range(shortest) if len({w[k] for w in words}) > 1), shortest)
    rest = [w[first:] for w in words]
    shortest = min(map(len, rest))
    last = next((k for k in range(shortest) if len({w[-1 - k] for w in rest}) > 1), shortest)
    cut = ["_".join(w[: len(w) - last]) for w in rest]
    return cut if all(cut) and len(set(cut)) == len(set(slugs)) else list(slugs)
