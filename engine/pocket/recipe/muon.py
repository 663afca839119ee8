"""Muon: the momentum of every weight matrix is made orthogonal before it becomes a step.

Jordan 2024 (kellerjordan.github.io/posts/muon); step sizes as in Liu et al. 2025 (arXiv 2502.16982,
section 2.2), so that AdamW's learning rates fit; polynomials from Amsel et al. 2025 (arXiv
2505.16932). torch.optim.Muon takes no convolutions, computes in bfloat16, which is slow on most
CPUs, and cannot share the work between processes.
"""

from collections.abc import Sequence

import torch

from engine.families.devices import choose_precision
from engine.pocket.recipe.distributed import Team

POLYNOMIALS = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
)


def orthogonal(matrix_MN: torch.Tensor) -> torch.Tensor:
    """A matrix of the same singular vectors whose singular values are all near 1.

    Singular values below a thousandth of the Frobenius norm stay smaller.
    """
    tall = matrix_MN.shape[0] > matrix_MN.shape[1]
    wide = matrix_MN.T if tall else matrix_MN
    wide = wide / (1.01 * wide.norm() + 1e-7)
    fast = choose_precision("bf16", wide.device) == "bf16"
    if fast:
        wide = wide.to(torch.bfloat16)
    # Gram matrices of small singular values need the bits of float32.
    if not fast and wide.shape[1] >= 2 * wide.shape[0]:
        wide = _gram_polynomial(wide @ wide.T) @ wide
    else:
        for a, b, c in POLYNOMIALS:
            gram = wide @ wide.T
            wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.T if tall else wide


def _gram_polynomial(gram_MM: torch.Tensor) -> torch.Tensor:
    """What all ``POLYNOMIALS`` together multiply a matrix of this Gram matrix with.

    All factors are polynomials of the Gram matrix and commute: a matrix much wider than high is
    then touched twice only instead of twice for each polynomial.
    """
    product = torch.eye(len(gram_MM), device=gram_MM.device)
    for index, (a, b, c) in enumerate(POLYNOMIALS):
        factor = torch.addmm(gram_MM, gram_MM, gram_MM, beta=b, alpha=c)
        factor.diagonal().add_(a)
        product = product @ factor if index else factor
        if index + 1 < len(POLYNOMIALS):
            gram_MM = factor @ gram_MM @ factor
    return product


def shares(parameters: Sequence[torch.nn.Parameter], world: int) -> list[int]:
    """The process that makes each matrix orthogonal, so that all have about the same work."""
    work = [p.numel() * min(p.shape[0], p.numel() // p.shape[0]) for p in parameters]
    owners, loads = [0] * len(work), [0] * world
    for index in sorted(range(len(work)), key=lambda index: -work[index]):
        owners[index] = loads.index(min(loads))
        loads[owners[index]] += work[index]
    return owners


class Muon:
    """Muon for weights of two and more dimensions; later dimensions count as one."""

    def __init__(
        self, parameters: Sequence[torch.nn.Parameter], weight_decay: float, momentum: float = 0.95
    ):
        self.parameters = list(parameters)
        self.weight_decay, self.momentum = weight_decay, momentum
        self.state: dict[torch.Tensor, dict[str, torch.Tensor]] = {}
        """Each weight's momentum (``exp_avg``), from the first step on."""

    @torch.no_grad()
    def step(self, rate: float, team: Team) -> None:
        """Change the weights; all of the team together, with the same gradients.

        Args:
            rate: the learning rate, as for AdamW.

        The gradients are overwritten: each process puts its share of the directions there, times
        the size of the team, and zero elsewhere, so that their average holds all.
        """
        owners = shares(self.parameters, team.world)
        for parameter, owner in zip(self.parameters, owners, strict=True):
            gradient = parameter.grad
            assert gradient is not None
            state = self.state.setdefault(parameter, {"exp_avg": torch.zeros_like(parameter)})
            average = state["exp_avg"].lerp_(gradient, 1 - self.momentum)
            if owner != team.rank:
                gradient.zero_()
                continue
            direction = gradient.lerp(average, self.momentum).flatten(1)
            size = 0.2 * max(direction.shape) ** 0.5 * team.world
            gradient.copy_(orthogonal(direction).mul_(size).view_as(parameter))
        team.average(self.parameters)
        for parameter in self.parameters:
            assert parameter.grad is not None
            parameter.mul_(1 - rate * self.weight_decay)
            parameter.add_(parameter.grad, alpha=-rate)
