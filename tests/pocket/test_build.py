import os
import subprocess
import sys

from engine.pocket.recipe import build, distributed, tokenizer

WORKER = """
import torch
from engine.pocket.recipe import distributed

torch.set_num_threads(1)
team = distributed.join()
weight = torch.nn.Parameter(torch.zeros(5))
for turn in range(3):
    weight.grad = torch.full((5,), float(turn + 10 * team.rank))
    team.average([weight])
    assert torch.equal(weight.grad, torch.full((5,), turn + 5.0)), weight.grad
assert team.agree(7.0 + team.rank) == 7.0
team.part()
"""


def test_two_processes_average_their_gradients(tmp_path):
    workers = []
    for rank in range(2):
        place = {
            distributed.RANK: str(rank),
            distributed.WORLD: "2",
            distributed.MEETING: str(tmp_path / "meeting"),
        }
        command = [sys.executable, "-c", WORKER]
        workers.append(subprocess.Popen(command, env={**os.environ, **place}))
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]


def test_the_tokenizer_stage_leaves_a_tokenizer(tmp_path):
    assert build.main(["--stage", "tokenizer", "--workdir", str(tmp_path)]) == 0
    words = tokenizer.load(tmp_path / "tokenizer")
    assert words.tokenize("a panda in the snow") == [
        "a</w>",
        "panda</w>",
        "in</w>",
        "the</w>",
        "snow</w>",
    ]
