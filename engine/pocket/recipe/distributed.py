"""A few processes that train one model by averaging gradients.

On a CPU two one-thread processes are several times faster than one process of two threads on a busy
machine; on a GPU one process is enough.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.distributed as dist

from engine.core.process_environment import TRAINING_ENVIRONMENT

RANK, WORLD, MEETING = "POCKET_RANK", "POCKET_WORLD", "POCKET_MEETING"


class Team:
    """This process's place among the processes of a stage (all on one machine)."""

    def __init__(self, rank: int, world: int, meeting: Path | None = None):
        self.rank, self.world = rank, world
        self._meeting = meeting
        self._buffers: torch.Tensor | None = None
        self._turn = 0

    @property
    def leader(self) -> bool:
        """Whether this process writes files and progress."""
        return self.rank == 0

    def average(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Average the gradients over the team, in place. Every parameter has a gradient.

        The first call must be the largest. Through memory that the processes share, which spares
        sending some 80 MB through sockets. Two buffers take turns, so one barrier a call is enough.
        """
        if self.world == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        sizes = [gradient.numel() for gradient in gradients]
        if self._buffers is None:
            self._buffers = self._share(sum(sizes))
        buffers = self._buffers[self._turn, :, : sum(sizes)]
        self._turn = 1 - self._turn
        torch.cat([gradient.flatten().cpu() for gradient in gradients], out=buffers[self.rank])
        dist.barrier()
        # Piece by piece, while it is in the processor's cache and without a fresh block of 90 MB.
        pieces = buffers.split(sizes, dim=1)
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.mean(0).view_as(gradient))

    def _share(self, size: int) -> torch.Tensor:
        assert self._meeting is not None
        path = self._meeting.with_name(self._meeting.name + "-gradients")
        count = 2 * self.world * size
        if self.leader:
            with path.open("wb") as file:
                file.truncate(4 * count)
        dist.barrier()
        shared = torch.from_file(str(path), shared=True, size=count, dtype=torch.float32)
        dist.barrier()
        if self.leader:
            # Mapped by all: the name can go, the memory stays until the last process ends.
            path.unlink()
        return shared.view(2, self.world, size)

    def part(self) -> None:
        """Leave the team, all together: a process that ends while others still talk aborts them."""
        if self.world > 1:
            dist.barrier()
            dist.destroy_process_group()

    def agree(self, value: float) -> float:
        """The leader's value, on every process."""
        if self.world == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(shared, 0)
        return shared.item()


def launch(arguments: Sequence[str], world: int, workdir: Path) -> int:
    """Run ``engine.pocket.recipe.build`` in ``world`` processes; return the worst exit code.

    Args:
        arguments: the command line of the build.
        workdir: where the processes meet (a file in it, no network port).
    """
    # Memory rather than disk where there is such a folder: gradients pass through it.
    memory = Path("/dev/shm")
    meeting = (memory if memory.is_dir() else workdir) / f"pocket-meeting-{os.getpid()}"
    command = [sys.executable, "-m", "engine.pocket.recipe.build", *arguments]
    workers = []
    for rank in range(world):
        place = {RANK: str(rank), WORLD: str(world), MEETING: str(meeting)}
        workers.append(
            subprocess.Popen(command, env={**TRAINING_ENVIRONMENT, **os.environ, **place})
        )
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
    meeting = Path(os.environ[MEETING])
    team = Team(int(os.environ[RANK]), int(os.environ[WORLD]), meeting)
    if team.world > 1:
        dist.init_process_group(
            "gloo", init_method=f"file://{meeting}", rank=team.rank, world_size=team.world
        )
    return team
