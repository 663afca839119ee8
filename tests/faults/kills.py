"""Kills run hosts with SIGKILL at random and at chosen moments, and counts what was lost.

    python -m tests.faults.kills --kills 100

Every run is resumed until it has finished; then its losses, its rows and its weights must equal
those of a run that nobody disturbed, bit by bit, and nothing of a dead writer may be left. Hosts
are forked from a process that has torch loaded, so a kill costs a second and not ten.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

from engine.runs.description import describe
from engine.runs.folder import RunDir
from tests.faults.nursery import collect, fork_host, load_everything
from tests.faults.runs import SETTINGS, STEPS, leftovers, make_run, outcome, step_of
from tests.tiny import build_tiny_pipeline


def hidden(folder: Path, start: str) -> bool:
    """Whether something is being written in the folder under a hidden name."""
    try:
        return any(name.startswith(start) for name in os.listdir(folder))
    except OSError:
        return False


MOMENTS: dict[str, Callable[[RunDir], bool]] = {
    "within a checkpoint": lambda run: hidden(run.checkpoints, ".step-"),
    "within concepts": lambda run: hidden(run.path, ".concepts."),
    "within a preview": lambda run: hidden(run.previews, "."),
    "at the switch": lambda run: step_of(run) == int(SETTINGS["phase1.steps"]),
    "at the end": lambda run: step_of(run) == STEPS,
}


@dataclass
class Tally:
    """What happened."""

    kills: Counter[str] = field(default_factory=Counter[str])
    runs: int = 0
    lost: list[str] = field(default_factory=list[str])


def torment(
    run: RunDir,
    expected: dict[str, object],
    chance: random.Random,
    kills: int,
    tally: Tally,
    seconds: float,
) -> None:
    """Kill the run's hosts up to `kills` times, let it finish, compare.

    `seconds`: how long a whole run takes here; kills at random fall within it.
    """
    for _ in range(kills):
        pid = fork_host(run)
        moment = chance.choice(["at random", "at random", *MOMENTS])
        at_random = chance.uniform(0.0, seconds)
        deadline = time.monotonic() + (at_random if moment == "at random" else 20 * seconds)
        first = step_of(run)
        while collect(pid) is None:
            due = time.monotonic() > deadline
            if moment in MOMENTS and MOMENTS[moment](run):
                due = moment != "at the switch" or first != step_of(run) or chance.random() < 0.5
            if due:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                tally.kills[moment] += 1
                break
            time.sleep(0.001)
        if describe(run).state == "finished":
            break
    while describe(run).state != "finished":
        pid = fork_host(run)
        os.waitpid(pid, 0)
        if describe(run).state == "failed":
            break
    tally.runs += 1
    found = outcome(run)
    for part in ("steps", "files"):
        if found[part] != expected[part]:
            tally.lost.append(f"{run.name}: other {part} than the undisturbed run")
    left = leftovers(run)
    if left:
        tally.lost.append(f"{run.name}: left {', '.join(left)}")


def main(kills: int, seed: int, each: int = 6) -> int:
    """Kill until the number is reached; 0 when nothing was lost."""
    chance, tally = random.Random(seed), Tally()
    load_everything()
    with tempfile.TemporaryDirectory(prefix="bas-kills-") as name:
        folder = Path(name)
        os.environ["BAS_HOME"] = str(folder / "home")
        builder = os.fork()
        if builder == 0:
            build_tiny_pipeline(folder / "base")
            os._exit(0)
        os.waitpid(builder, 0)
        whole = make_run(folder / "runs" / "whole", folder / "base")
        started = time.monotonic()
        os.waitpid(fork_host(whole), 0)
        seconds = time.monotonic() - started
        expected = outcome(whole)
        assert describe(whole).state == "finished", whole.log.read_text()
        while sum(tally.kills.values()) < kills:
            run = make_run(folder / "runs" / f"run{tally.runs}", folder / "base")
            wanted = min(each, kills - sum(tally.kills.values()))
            torment(run, expected, chance, wanted, tally, seconds)
            print(f"{sum(tally.kills.values())} kills, {tally.runs} runs", file=sys.stderr)
    print(
        json.dumps({"kills": dict(tally.kills), "runs": tally.runs, "lost": tally.lost}, indent=1)
    )
    total = sum(tally.kills.values())
    print(f"{total} kills in {tally.runs} runs, {len(tally.lost)} lost")
    return int(bool(tally.lost))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    raise SystemExit(main(chosen.kills, chosen.seed))
