"""A few processes that train one model by averaging gradients.

On a CPU two one-thread processes are several times faster than one process of two threads on a busy
machine; on a GPU one process is enough.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist

RANK, WORLD, MEETING = "POCKET_RANK", "POCKET_WORLD", "POCKET_MEETING"


class Team(NamedTuple):
    """This process's place among the processes of a stage."""

    rank: int
    world: int

    @property
    def leader(self) -> bool:
        """Whether this process writes files and progress."""
        return self.rank == 0

    def average(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Average the gradients over the team, in place. Every parameter has a gradient."""
        if self.world == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        flat /= self.world
        pieces = flat.split([g.numel() for g in gradients])
        torch._foreach_copy_(
            gradients, [p.view_as(g) for p, g in zip(pieces, gradients, strict=True)]
        )

    def agree(self, value: float) -> float:
        """The leader's value, on every process."""
        if self.world == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(shared, 0)
        return shared.item()


def launch(arguments: Sequence[str], world: int, workdir: Path) -> int:
    """Run ``python -m engine.pocket.build`` in ``world`` processes; return the worst exit code.

    Args:
        arguments: the command line of the build.
        workdir: where the processes meet (a file in it, no network port).
    """
    meeting = workdir / f"meeting-{os.getpid()}"
    command = [sys.executable, "-m", "engine.pocket.build", *arguments]
    workers = []
    for rank in range(world):
        place = {RANK: str(rank), WORLD: str(world), MEETING: str(meeting)}
        workers.append(subprocess.Popen(command, env={**os.environ, **place}))
    codes = [worker.wait() for worker in workers]
    meeting.unlink(missing_ok=True)
    return max(abs(code) for code in codes)


def is_worker() -> bool:
    """Whether this process was started by ``launch``."""
    return RANK in os.environ


def join() -> Team:
    """Join the team that this process was started for (a team of one when there is none)."""
    if not is_worker():
        return Team(0, 1)
    team = Team(int(os.environ[RANK]), int(os.environ[WORLD]))
    if team.world > 1:
        meeting = f"file://{os.environ[MEETING]}"
        dist.init_process_group("gloo", init_method=meeting, rank=team.rank, world_size=team.world)
    return team
