import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from engine.families import devices
from engine.pocket.recipe import distributed, muon

SHAPES = [(16, 40), (40, 16), (24, 24), (16, 17)]


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_orthogonal_direction_keeps_the_singular_vectors(monkeypatch, shape, fast):
    monkeypatch.setattr(devices, "has_fast_bf16", lambda: fast)
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    rotated = left.T @ muon.orthogonal(matrix).float() @ right.T
    values = rotated.diagonal()
    assert values[:-1].min() > 0.4 and values.max() < (2.2 if fast else 1.7)
    assert (rotated - torch.diag(values)).abs().max() < (0.3 if fast else 1e-4)


def test_every_matrix_has_one_owner_and_the_work_is_balanced():
    weights = [torch.nn.Parameter(torch.zeros(8, 8 * n)) for n in (1, 2, 3, 4)]
    owners = muon.shares(weights, 2)
    loads = [sum(w.numel() for w, o in zip(weights, owners, strict=True) if o == r) for r in (0, 1)]
    assert loads[0] == loads[1]


SCRIPT = """
import sys
import safetensors.torch
import torch
from engine.pocket.recipe import distributed
from engine.pocket.recipe import muon

torch.set_num_threads(1)
team = distributed.join()
draws = torch.Generator().manual_seed(3)
weights = [torch.nn.Parameter(torch.randn(s, generator=draws)) for s in ((6, 4, 3, 3), (5, 9))]
optimiser = muon.Muon(weights, weight_decay=0.01)
for turn in range(3):
    for weight in weights:
        weight.grad = torch.randn(weight.shape, generator=draws)
    team.average(weights)
    optimiser.step(0.01, team)
vector = torch.cat([w.detach().flatten() for w in weights])
safetensors.torch.save_file({"weights": vector}, sys.argv[1] + str(team.rank))
team.part()
"""


def test_a_team_takes_the_same_step_as_one_process(tmp_path):
    def start(place, name):
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / name)]
        return subprocess.Popen(command, env={**os.environ, **place})

    workers = [start({}, "alone")]
    for rank in range(2):
        place = {
            distributed.RANK: str(rank),
            distributed.WORLD: "2",
            distributed.MEETING: str(tmp_path / "meeting"),
        }
        workers.append(start(place, "team"))
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0, 0]
    alone, first, second = (
        load_file(tmp_path / name)["weights"] for name in ("alone0", "team0", "team1")
    )
    assert torch.equal(first, second)
    torch.testing.assert_close(first, alone)
