"""Other people's files and other runs that pictures are drawn with: shown, added, taken out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from textual.content import Content
from textual.reactive import reactive

from bas_tui import client
from bas_tui.tui.shell.ask import Ask, PathSuggester
from bas_tui.tui.shell.clickable import ClickableWords, clickable
from engine.core.errors import UserError
from engine.models.additions import addition_header, embedding_keys, made_for
from engine.runs.folder import RunDir
from engine.runs.requests import NOTHING, Additions

KINDS = ("LoRA", "embedding", "run")


class AddedLine(ClickableWords):
    """How many there are; a click asks for more."""

    def __init__(self, key: str) -> None:
        """`key`: what the screen's key for it is."""
        super().__init__()
        self._key = key

    additions: reactive[Additions] = reactive(NOTHING, layout=True)

    def render(self) -> Content:
        """Names, or what can be added."""
        names = [Path(one.source).stem for kind in self.additions for one in kind]
        words = f" with {names[0][:16]}" if len(names) == 1 else f" with {len(names)} others"
        style = "bold $accent" if names else "$primary"
        text = f"{words if names else ' add a LoRA ...'} ({self._key})"
        return clickable(Content.styled(text, style), "screen.add()")


def ask_for_more(run: RunDir, known: Additions, done: Callable[[Additions], None]) -> Ask:
    """A dialog: a file or a run to add; those that are there can be chosen to be taken out."""
    flat = [(kind, one) for kind in range(3) for one in known[kind]]
    choices = [
        (f"take out: {KINDS[kind]} {Path(one.source).name} x{one.strength:g}", f"-{index}")
        for index, (kind, one) in enumerate(flat)
    ]

    def act(words: str) -> None:
        if words.startswith("-") and words[1:].isdigit() and int(words[1:]) < len(flat):
            kind, gone = flat[int(words[1:])]
            parts = list(known)
            parts[kind] = tuple(one for one in known[kind] if one is not gone)
            done(Additions(*parts))
        elif words.strip():
            done(client.with_one_more(run, words, known))

    return Ask(
        "Draw with another file or run",
        hint="style.safetensors:0.7, NAME=embedding.safetensors, or a run",
        check=act, remark=_remark, choices=choices,
        suggester=PathSuggester((".safetensors",)),
    )  # fmt: skip


def _remark(words: str) -> str:
    """What the file is and what it fits, as far as its header tells."""
    name = words.strip()
    for start in (name, name.rpartition(":")[0], name.partition("=")[2]):
        path = Path(start).expanduser()
        if start and path.is_file():
            try:
                header = addition_header(path)
            except UserError as error:
                return str(error)
            if embedding_keys(header.shapes):
                return "an embedding; its name is its word in prompts"
            return f"a LoRA for {made_for(header) or 'a base model it does not name'}"
    return ":0.7 behind a LoRA or run is its strength; right completes a path"
