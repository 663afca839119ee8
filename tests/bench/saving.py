"""What a save of Stable Diffusion 2.1 with all weights costs: seconds waited for, main memory.

    python -m tests.bench.saving [--share 0.1] [--held 300e6] [--folder FOLDER]

The real `Saver` writes a checkpoint of the model's shapes. What would lie on a GPU is one number
shown in every place, which takes memory only once it is copied, as on a GPU; the base weights are
there in full. `--share` of the tensors, for less memory than the whole takes (10 GB, 33 GB of
disk for two saves). Needs Linux, which tells the most memory a process had.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from engine.adapters.full import FILE, FullChange
from engine.files.atomic import new_folder
from engine.files.space import HELD_BYTES, say_bytes
from engine.files.weights_io import save_tensors
from engine.runs.events import CheckpointSaved
from engine.runs.folder import RunDir
from engine.training.checkpoints import Checkpoint
from engine.training.saving import Saver
from tests.bench.shapes import SD21, build_family


def shapes(share: float) -> dict[str, torch.Size]:
    """Of what phase 2 moves, by name; the first `share` of it."""
    family = build_family(SD21, torch.device("meta"))
    moved = FullChange(family, "all").parameters()
    left = share * sum(weight.numel() for weight in moved.values())
    found: dict[str, torch.Size] = {}
    for name, weight in moved.items():
        if (left := left - weight.numel()) < 0:
            break
        found[name] = weight.shape
    return found


def make_checkpoint(step: int, of: Mapping[str, torch.Size]) -> Checkpoint:
    """Weights and two moments, none of which takes memory."""

    def far(value: float, shape: torch.Size) -> torch.Tensor:
        return torch.tensor(value).expand(shape)

    weights = {name: far(step + 0.25, shape) for name, shape in of.items()}
    moments = {
        f"{name}/{entry}": far(0.5, shape)
        for name, shape in of.items()
        for entry in ("exp_avg", "exp_avg_sq")
    }
    return Checkpoint(step, 2, weights, moments, {"steps0": torch.Generator().get_state()})


def memory(entry: str) -> int:
    """Bytes in main memory now (VmRSS), or the most since `forget` (VmHWM)."""
    found = re.search(rf"{entry}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def forget() -> None:
    """From now on, VmHWM counts from what is taken now."""
    Path("/proc/self/clear_refs").write_text("5")


def measure(folder: Path, share: float, held: int) -> dict[str, float]:
    """Two saves, as a run has them: the seconds of the second, the most memory of both."""
    of = shapes(share)
    before = {name: torch.ones(shape) for name, shape in of.items()}
    run = RunDir(folder / "run")
    run.path.mkdir()
    saver = Saver(run, every=1, minutes=0, keep=2, keep_after=False, held_bytes=held)

    def concepts(weights: Mapping[str, torch.Tensor]) -> None:
        # As `FullChange.write` does, which would want a family with numbers.
        with new_folder(run.concepts) as temporary:
            changes = {name: (weights[name].float() - old).half() for name, old in before.items()}
            save_tensors(temporary / FILE, changes)

    figures: dict[str, float] = {}
    there = memory("VmRSS")
    forget()
    for step in (1, 2):
        checkpoint = make_checkpoint(step, of)
        size = sum(2 * shape.numel() for shape in of.values())
        start = time.perf_counter()
        saver.save(checkpoint, concepts, concept_bytes=size)
        waited = time.perf_counter() - start
        events = saver.wait()
        whole = time.perf_counter() - start
        assert [type(event) for event in events] == [CheckpointSaved], saver.blocked
        figures = {
            "checkpoint": checkpoint.bytes, "concepts": size, "waited": waited,
            "behind": whole - waited, "there": there, "peak": memory("VmHWM"),
        }  # fmt: skip
    return figures


def main() -> None:
    """Measure; the figures as a line of JSON with --json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--held", type=float, default=HELD_BYTES, help="bytes held at most")
    parser.add_argument("--folder", type=Path, help="on the disk to write to")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="bas-saving-") as place:
        found = measure(Path(place), chosen.share, int(chosen.held))
    if chosen.json:
        print(json.dumps(found))
        return
    size, more = say_bytes(found["checkpoint"]), found["peak"] - found["there"]
    print(f"a checkpoint of {size} and concepts of {say_bytes(found['concepts'])}:")
    print(f"training waits {found['waited']:.1f} s; {found['behind']:.1f} s more in the background")
    print(f"at most {say_bytes(found['peak'])} in memory, {say_bytes(more)} of it for the save")


if __name__ == "__main__":
    main()
