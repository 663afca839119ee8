"""Prompts over learned tokens, as text and cursor: completion, insertion, history."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from engine.core.prompt_grammar import Join, join_names
from engine.files.atomic import write_atomic
from engine.runs.folder import RunDir
from engine.runs.manifest import ConceptEntry

HISTORY_NAME = "prompts.txt"
HISTORY_LENGTH = 200
TOKEN_TEXT = re.compile(r"<[^<>\s]+>")
_LIST = re.compile(r"<[^<>\s]+>(?:(?:, | and )<[^<>\s]+>)*\s*$")
_OPEN = re.compile(r"<[^<>\s]*$")


class Typed(NamedTuple):
    """A line and the place of the cursor in it."""

    text: str
    cursor: int


class Completion(NamedTuple):
    """Something that `<...` can become."""

    token: str
    """As it goes into the prompt: `<asset0>` or `<teapot>`."""
    concept: int
    """Position of its concept."""


def started_token(typed: Typed) -> str:
    """The token that is being typed at the cursor, such as `<tea`; empty outside of one."""
    match = _OPEN.search(typed.text[: typed.cursor])
    return match.group(0) if match else ""


def completions(typed: Typed, concepts: Sequence[ConceptEntry]) -> list[Completion]:
    """What the started token can become: names first where they fit, then tokens.

    `<2` means the second concept. Every concept is offered once for a bare `<`.
    """
    start = started_token(typed)
    if not start:
        return []
    word = start[1:].lower()
    if word.isdigit():
        place = int(word) - 1
        return [Completion(concepts[place].token, place)] if 0 <= place < len(concepts) else []
    found: list[Completion] = []
    for place, concept in enumerate(concepts):
        name, token = f"<{concept.name}>", concept.token
        if concept.name.lower().startswith(word):
            found.append(Completion(name, place))
        elif token[1:].startswith(word):
            found.append(Completion(token, place))
    return found


def complete(typed: Typed, token: str) -> Typed:
    """Put a whole token in place of the started one."""
    start = typed.cursor - len(started_token(typed))
    after = typed.text[typed.cursor :]
    # The rest of a token that the cursor stands in goes as well.
    after = re.sub(r"^[^<>\s]*>", "", after)
    return _join(typed.text[:start], token, after)


def insert(typed: Typed, token: str, join: Join = "and") -> Typed:
    """Put a token at the cursor, with blanks where words would touch it.

    Behind other tokens it joins them as the run's training prompts do: `<a> and <b>`.
    """
    before, after = typed.text[: typed.cursor], typed.text[typed.cursor :]
    if listed := _LIST.search(before):
        names = [*TOKEN_TEXT.findall(listed.group(0)), token]
        return _join(before[: listed.start()], join_names(names, join), after)
    if before and not before[-1].isspace():
        before += " "
    return _join(before, token, after)


def _join(before: str, token: str, after: str) -> Typed:
    if after[:1].isspace() or after[:1] in (",", ".", ";", ":", "!", "?"):
        return Typed(before + token + after, len(before) + len(token))
    return Typed(f"{before}{token} {after}", len(before) + len(token) + 1)


@dataclass
class History:
    """Prompts of one run, oldest first, and a place in them while the person looks through."""

    prompts: list[str]
    place: int | None = None
    draft: str = ""
    """What was typed before looking back."""

    def earlier(self, now: str) -> str:
        """The prompt before; the first one stays."""
        if not self.prompts:
            return now
        if self.place is None:
            self.draft, self.place = now, len(self.prompts)
        self.place = max(0, self.place - 1)
        return self.prompts[self.place]

    def later(self, now: str) -> str:
        """The prompt after; past the last one comes what was being typed."""
        if self.place is None:
            return now
        self.place += 1
        if self.place >= len(self.prompts):
            self.place = None
            return self.draft
        return self.prompts[self.place]

    def add(self, prompt: str) -> None:
        """A prompt was used: it becomes the last one and occurs once."""
        prompt = " ".join(prompt.split())
        if prompt:
            self.prompts = [old for old in self.prompts if old != prompt][-HISTORY_LENGTH + 1 :]
            self.prompts.append(prompt)
        self.place = None


def read_history(run: RunDir) -> History:
    """The prompts that were used with a run; empty where there is no file."""
    try:
        text = (run.path / HISTORY_NAME).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return History([])
    return History([line for line in text.splitlines() if line.strip()][-HISTORY_LENGTH:])


def write_history(run: RunDir, history: History) -> None:
    """Store them in the run's folder; a read-only one is no reason to fail."""
    with contextlib.suppress(OSError):
        write_atomic(run.path / HISTORY_NAME, ("\n".join(history.prompts) + "\n").encode())
