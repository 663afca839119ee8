"""Commands to a running training loop, handed over between threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal, get_args

from engine.core.errors import UserError

Word = Literal["pause", "resume", "stop", "checkpoint", "preview", "set"]
SETTABLE = ("preview.every", "preview.attention_every")


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command; `key` and `value` belong to `set` alone."""

    word: Word
    key: str = ""
    value: int = 0

    @classmethod
    def parse(cls, record: dict[str, object]) -> Command:
        """The command of a protocol line; raises UserError for anything else."""
        word = record.get("command")
        if word not in get_args(Word):
            raise UserError(f"unknown command {word!r}", f"use one of {', '.join(get_args(Word))}")
        key, value = record.get("key", ""), record.get("value", 0)
        if word == "set":
            if key not in SETTABLE:
                raise UserError(f"cannot set {key!r}", f"use one of {', '.join(SETTABLE)}")
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise UserError(f"{key} cannot be {value!r}", "give it a whole number, 0 or more")
            return cls(word="set", key=str(key), value=value)
        return cls(word=word)  # type: ignore[arg-type]


class CommandQueue:
    """First in, first out; safe between the socket's threads and the training thread."""

    def __init__(self) -> None:
        self._waiting: list[Command] = []
        self._changed = threading.Condition()

    def post(self, command: Command) -> None:
        """Hand a command to the loop."""
        with self._changed:
            self._waiting.append(command)
            self._changed.notify_all()

    def poll(self) -> list[Command]:
        """Everything posted since the last call, without waiting."""
        with self._changed:
            commands, self._waiting = self._waiting, []
        return commands

    def wait(self, seconds: float) -> list[Command]:
        """Like `poll`, but waits up to `seconds` for the first command."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting), timeout=seconds)
        return self.poll()

    def asked(self, word: Word) -> bool:
        """Whether such a command waits; it stays where it is."""
        with self._changed:
            return any(command.word == word for command in self._waiting)
