"""When a run is saved, and how: as much in the background as memory allows, never on a full disk.

A save is a checkpoint and the concepts as they are at that step. Up to `HELD_BYTES` of it, and
never more than half of the free memory, is copied into main memory and written by a thread while
training goes on. What is above that goes to its files first, a part at a time, while training
waits. The thread also does what needs no tensor of the run: the concepts, which it makes from the
files, the checksums, and waiting for the disk.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from engine.core.errors import UserError
from engine.files.atomic import remove_leftovers
from engine.files.space import (
    HELD_BYTES,
    MARGIN,
    free_bytes,
    free_memory,
    give_memory_back,
    is_full,
    say_bytes,
)
from engine.files.weights_io import Shard
from engine.runs.events import CheckpointSaved, Event, Notice, RunEnded
from engine.runs.folder import RunDir
from engine.runs.library import drop_checkpoints
from engine.training.checkpoints import (
    Checkpoint,
    CheckpointState,
    folder_of,
    list_checkpoints,
    new_checkpoint,
    newest_whole,
    prune,
)

SaveConcepts = Callable[[Mapping[str, torch.Tensor]], None]
"""Writes the concepts from the named weights of a checkpoint."""
RETRY_SECONDS = 2.0


class Blocked(NamedTuple):
    """Why the last save could not be written."""

    message: str
    remedy: str
    wanted: int
    """Bytes that must be free before it is worth another try; 0 where that is not known."""


class Saver:
    """Saves one run; of several processes that train it, the first one's saves."""

    def __init__(
        self,
        run: RunDir | None,
        *,
        every: int,
        minutes: float,
        keep: int,
        keep_after: bool,
        moment_bytes: int = 8,
        first: bool = True,
        held_bytes: int = HELD_BYTES,
    ) -> None:
        """`every`: steps between saves in phase 1, and in phase 2 where `minutes` is 0."""
        self._run, self._first = run, first
        self._every, self._minutes, self._keep = every, minutes, keep
        self._keep_after, self._moment_bytes = keep_after, moment_bytes
        self._held_bytes = held_bytes
        self._saved_step = -1
        self._saved_at = self._tried_at = time.monotonic()
        self._thread: threading.Thread | None = None
        self._outcomes: list[Event | Blocked | BaseException] = []
        self.blocked: Blocked | None = None
        """Set while a save waits for room; the loop then waits too."""

    def newest(self) -> tuple[CheckpointState | None, list[Notice]]:
        """The checkpoint to go on from, and what is to be said of newer ones that are damaged.

        Removes what killed writers left: a host has its run folder to itself.
        """
        if self._run is None:
            return None, []
        if self._first:
            for folder in (self._run.path, self._run.checkpoints, self._run.previews):
                remove_leftovers(folder)
        state, wrong = newest_whole(self._run.checkpoints)
        if state is not None:
            self._saved_step = state.step
        goes_on = f"the run goes on from step {state.step + 1 if state else 1}"
        return state, [Notice(level="warning", message=each, remedy=goes_on) for each in wrong]

    def require_room(self, moving: Iterable[nn.Parameter]) -> None:
        """Raises UserError where the disk cannot hold the saves of a run that moves these.

        Two of each must fit: the old one stays until the new one is complete.
        """
        if self._run is None or not self._first:
            return
        numbers = sum(parameter.numel() for parameter in moving)
        # A checkpoint: weights and two moments; the concepts: changes in half precision.
        wanted = 2 * (4 + self._moment_bytes + 2) * numbers + MARGIN
        there = sum(_size(path) for path in (self._run.checkpoints, self._run.concepts))
        missing = wanted - there - free_bytes(self._run.path)
        if missing > 0:
            raise UserError(
                f"the disk of {self._run.path} lacks {say_bytes(missing)} for this run's saves",
                f"free them, then bas resume {self._run.name}; or set BAS_HOME to a larger disk; "
                "or train less: --set phase2.train=cross-attention",
            )

    def due(self, step: int, phase: int) -> bool:
        """Whether a save is due after this step."""
        if phase == 1 or self._minutes == 0:
            return step % self._every == 0
        return time.monotonic() - self._saved_at >= 60 * self._minutes

    def begin_phase(self) -> None:
        """Minutes count from here."""
        self._saved_at = time.monotonic()

    def save(
        self,
        checkpoint: Checkpoint,
        concepts: SaveConcepts,
        *,
        concept_bytes: int,
        last: bool = False,
    ) -> None:
        """Save a step that is not saved yet; `last`: training ends here.

        Of a finished run only the concepts are kept unless its settings ask for the checkpoint.
        `concept_bytes` is what `concepts` is going to write. Whether it could be written is told
        by `news`, at once or after a few steps.
        """
        if self._run is None:
            return
        self._join()
        if checkpoint.step == self._saved_step and not last:
            return
        whole = not last or self._keep_after
        wanted = (checkpoint.bytes if whole else 0) + concept_bytes + MARGIN
        # A save that waited for room is tried where its outcome is seen at once.
        background = not last and self.blocked is None
        room = min(self._held_bytes, (free_memory() - MARGIN) // 2) if background else 0
        self.blocked = None
        work = self._guarded(self._run, checkpoint, concepts, whole=whole, wanted=wanted, room=room)
        next(work, None)
        if not background:
            _exhaust(work)
            return
        self._thread = threading.Thread(target=_exhaust, args=(work,), name="checkpoint")
        self._thread.start()

    def worth_a_try(self) -> bool:
        """Whether a blocked save may succeed now."""
        if self._run is None or self.blocked is None:
            return False
        if time.monotonic() - self._tried_at < RETRY_SECONDS:
            return False
        self._tried_at = time.monotonic()
        return free_bytes(self._run.path) >= self.blocked.wanted

    def wait(self) -> list[Event]:
        """Wait for the save in the background; its news."""
        self._join()
        return self.news()

    def news(self) -> list[Event]:
        """What became of the last save, once; `blocked` is set where it could not be written.

        Raises what went wrong for another reason than the disk.
        """
        events: list[Event] = []
        while self._outcomes:
            outcome = self._outcomes.pop(0)
            if isinstance(outcome, BaseException):
                raise outcome
            if isinstance(outcome, Blocked):
                self.blocked = outcome
            else:
                events.append(outcome)
        return events

    def stopped(self, step: int) -> RunEnded:
        """The last event of a run that was told to stop, with what kept it from being saved."""
        why = self.blocked or ("", "")
        return RunEnded(step=step, outcome="stopped", message=why[0], remedy=why[1])

    def tidy(self) -> None:
        """Remove the checkpoints of a finished run, unless its settings keep them."""
        self._join()
        if self._run is not None and self._first:
            drop_checkpoints(self._run, keep=self._keep_after)

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _guarded(
        self,
        run: RunDir,
        checkpoint: Checkpoint,
        concepts: SaveConcepts,
        *,
        whole: bool,
        wanted: int,
        room: int,
    ) -> Iterator[None]:
        """Write a save, with its outcome; training may go on after the first yield."""
        try:
            if whole and len(list_checkpoints(run.checkpoints)) > 1:
                # One whole one stays; with the new one there are again two, never three.
                prune(run.checkpoints, max(1, self._keep - 1))
            if (free := free_bytes(run.path)) < wanted:
                self._outcomes.append(_full(run, wanted, free))
                return
            if whole:
                yield from self._write(run, checkpoint, concepts, room)
                path = str(folder_of(run.checkpoints, checkpoint.step).relative_to(run.path))
                self._outcomes.append(CheckpointSaved(step=checkpoint.step, path=path))
            else:
                concepts(checkpoint.weights)
            self._saved_step, self._saved_at = checkpoint.step, time.monotonic()
        except OSError as error:
            if is_full(error):
                self._outcomes.append(_full(run, wanted, free_bytes(run.path)))
            else:
                message = f"step {checkpoint.step} cannot be saved: {error.strerror or error}"
                remedy = f"make {run.path} writable; the run waits and goes on by itself"
                self._outcomes.append(Blocked(message, remedy, 0))
        except BaseException as error:
            self._outcomes.append(error)

    def _write(
        self, run: RunDir, checkpoint: Checkpoint, concepts: SaveConcepts, room: int
    ) -> Iterator[None]:
        """Write a checkpoint, then the concepts from its files; then it appears."""
        with new_checkpoint(run.checkpoints, checkpoint, keep=self._keep) as filling:
            held = deque[Shard]()
            for shard in filling.shards:
                if shard.bytes <= room:
                    room -= shard.bytes
                    held.append(shard)
                else:
                    shard.write(filling.folder)
            # Only now, so that memory never holds a part that passes through beside them.
            for _ in range(len(held)):
                held.append(held.popleft().copied())
            yield
            while held:
                held.popleft().write(filling.folder)
            concepts(filling.weights())
        give_memory_back()


def _exhaust(work: Iterator[None]) -> None:
    for _ in work:
        pass


def _full(run: RunDir, wanted: int, free: int) -> Blocked:
    return Blocked(
        f"the disk of {run.path} is full: the next save needs {say_bytes(wanted)}, "
        f"{say_bytes(free)} are free",
        "free some space; the run waits and goes on by itself",
        wanted,
    )


def _size(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    except OSError:
        return 0
