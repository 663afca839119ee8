"""`make bench-cuda`: what a step takes on a GPU, counted at true size on an emulated one.

Tensors have shapes and no numbers, so a true Stable Diffusion fits into no memory at all. Kernels
are dispatched operations that are no views and no bare allocations; peak memory is that of tensors,
without cuDNN's workspaces, fragmentation and the context (about 1 GB). Seconds need a card.
"""

from __future__ import annotations

import argparse
import gc
from typing import NamedTuple

from tests.emulated_cuda.guard import missing

if missing():
    raise SystemExit(f"the emulated GPU is not to be had here: {missing()}")

from tests.emulated_cuda.emulate import emulated_cuda  # noqa: I001  (before torch)

import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.adapters.choose import choose_adapter
from engine.adapters.contract import Adapter
from engine.core.method_config import LoraConfig, OptimizerConfig
from engine.families.contract import Conditioning, Family, Geometry, Recording
from engine.families.devices import half_type, make_accelerator
from engine.training.batches import Batch, DrawnBatch, DrawnRow
from engine.training.optimizer_step import OptimizerStep
from engine.training.phases import (
    make_optimizer, phase_parameters, select_parameters,
)  # fmt: skip
from engine.training.step import TrainingStep
from tests.bench.shapes import CONCEPTS, FIRST_PLACEHOLDER, PROMPT, SD21
from tests.bench.shapes import build_family as build_sd
from tests.bench.shapes import build_xl
from tests.emulated_cuda.device import Counts

GIB = 2**30
CASES = {
    "sd21": ("none", "cross-attention", "unet", "all", "lora"),
    "sdxl": ("none", "lora", "cross-attention", "unet", "all"),
}
HEADER = "  trained          weights     numbers  kernels   casts  copies  waits peak GiB  TFLOP"
SIDES = {"sd21": 512, "sdxl": 1024}


def make_batch(family: Family, rows: int, side: int, grid: int) -> Batch:
    """`rows` samples of which the last one is a scene with three concepts, on the host."""
    encoders = len(family.text.embeddings())
    ids = torch.zeros(rows, encoders, PROMPT, dtype=torch.long)
    ids[..., [4, 6, 8]] = FIRST_PLACEHOLDER + torch.arange(CONCEPTS)
    latent, valid = side // 8, torch.zeros(rows, CONCEPTS)
    valid[-1] = 1
    return Batch(
        latents_BCHW=torch.zeros(rows, 4, latent, latent),
        noise_BCHW=torch.zeros(rows, 4, latent, latent),
        levels_B=torch.zeros(rows, dtype=torch.long),
        input_ids_BEL=ids,
        geometry_BG=torch.tensor([Geometry.whole(side)] * rows, dtype=torch.float32),
        union_masks_B1HW=torch.ones(rows, 1, latent, latent),
        columns_BK=torch.tensor([[4, 6, 8]]).repeat(rows, 1),
        token_masks_BKQ=torch.ones(rows, CONCEPTS, grid * grid),
        valid_BK=valid,
    )


def kernels(counts: Counts) -> int:
    """Without allocations, which launch nothing."""
    return sum(n for name, n in counts.kernels.items() if not name.startswith("aten.empty"))


class Part(NamedTuple):
    """A phase of a run of a true-size model, ready for its steps."""

    family: Family
    adapter: Adapter
    parameters: dict[str, torch.nn.Parameter]
    batch: Batch
    layers: tuple[str, ...]


def make_part(base: str, part: str, device: torch.device, precision: str, *, less: bool) -> Part:
    """`precision`: of the weights; empty for fp32 ones. `less`: with gradient checkpointing."""
    phase, side = phase_of(part), SIDES[base]
    family = build_sd(SD21, device) if base == "sd21" else build_xl(device)
    # Plain meta tensors cannot be copied to the host: they only serve to count operations.
    copied = device.type == "cuda"
    if copied:
        family.codec.park(parked=True)
    adapter = choose_adapter(family, part, LoraConfig(), torch.Generator())
    if precision:
        adapter.halve(family, half_type(precision))
    if less:
        family.checkpoint_activations()
    if phase == 2 and (copied or part == "lora"):
        adapter.begin()
    parameters = phase_parameters(family, adapter, phase)
    select_parameters(family, parameters)
    if phase == 2:
        for weight in adapter.computing:
            weight.requires_grad_(True)
    grid = family.maps.default_grid(side)
    batch = make_batch(family, phase, side, grid)
    return Part(family, adapter, parameters, batch, family.maps.layers(side, grid))


def phase_of(part: str) -> int:
    return 1 if part == "none" else 2


def training_step(made: Part, recorder: Recording) -> TrainingStep:
    return TrainingStep(
        made.family, recorder, made.adapter.modules(), masked=True, divide_by_area=False,
        attention_weight=0.01, prior_weight=1.0,
    )  # fmt: skip


def operations(base: str, part: str) -> float:
    """Floating-point operations of a step, multiply and add counted as two."""
    made = make_part(base, part, torch.device("meta"), "", less=False)
    counter = FlopCounterMode(display=False)
    with made.family.maps.recorder(made.layers, plain_attention=False) as recorder, counter:
        step = training_step(made, recorder)
        step(made.batch.to(torch.device("meta")), phase_of(part) - 1).total.backward()
    return float(counter.get_total_flops())


def count(base: str, part: str, precision: str, *, halved: bool, less: bool) -> str:
    """A line of the table: the second step of a phase, when all that lasts is there."""
    phase = phase_of(part)
    with emulated_cuda("meta") as gpu:
        kind = precision if halved else ""
        made = make_part(base, part, torch.device("cuda"), kind, less=less)
        gc.collect()
        adapter, batch = made.adapter, made.batch
        with made.family.maps.recorder(made.layers, plain_attention=False) as recorder:
            step = OptimizerStep(
                make_accelerator("cuda", precision, 1),
                training_step(made, recorder),
                make_optimizer(made.parameters, 2e-6, OptimizerConfig(), phase=phase),
                list(made.parameters.values()),
                clip_norm=1.0,
                draw=lambda: DrawnBatch(batch, (DrawnRow((0, 1, 2)),)),
                prior_rows=phase - 1,
                collect=adapter.collect if phase == 2 else lambda: None,
                publish=adapter.publish if phase == 2 else lambda: None,
            )
            for number in (1, 2):
                with gpu.region(f"step {number}") as counts:
                    step.take(number)
        trained = sum(parameter.numel() for parameter in made.parameters.values())
        return (
            f"  {part:16} {'half' if halved else 'autocast':9} {trained / 1e6:8.1f} M"
            f" {kernels(counts):8} {counts.casts:7} {counts.to_gpu:7}"
            f" {sum(counts.syncs.values()):6} {counts.peak / GIB:8.2f}"
        )


def count_drawing(base: str, precision: str) -> str:
    """A line for a denoising step of one picture, both sides of the guidance in one batch."""
    with emulated_cuda("meta") as gpu:
        made = make_part(base, "none", torch.device("cuda"), precision, less=False)
        batch = made.batch.to(torch.device("cuda"))
        with torch.no_grad():
            one = made.family.text.encode(batch.input_ids_BEL)
            given = (
                torch.cat([batch.noise_BCHW] * 2), torch.cat([batch.levels_B] * 2),
                Conditioning.join([one, one]), torch.cat([batch.geometry_BG] * 2),
            )  # fmt: skip
            made.family.predict(*given)  # Weights are laid side by side once.
            with gpu.region("drawing") as counts:
                made.family.predict(*given)
    return f"  a denoising step {'half':22} {kernels(counts):8} {counts.casts:7}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", choices=tuple(CASES), action="append")
    parser.add_argument("--part", choices=CASES["sd21"], action="append")
    parser.add_argument("--precision", choices=("bf16", "fp16"), default="bf16")
    parser.add_argument("--checkpointing", action="store_true", help="recompute activations")
    parser.add_argument(
        "--autocast", action="store_true", help="also with fp32 weights that are cast at use"
    )
    chosen = parser.parse_args()
    for base in chosen.base or CASES:
        kind = "gradient checkpointing" if chosen.checkpointing else "all activations kept"
        print(
            f"{base}, {SIDES[base]} px, batch 1 (phase 2: and a prior row), "
            f"{chosen.precision}, {kind}"
        )
        print(HEADER)
        for part in chosen.part or CASES[base]:
            done = operations(base, part) / 1e12
            gc.collect()
            for halved in (False, True) if chosen.autocast else (True,):
                line = count(base, part, chosen.precision, halved=halved, less=chosen.checkpointing)
                print(f"{line} {done:6.2f}", flush=True)
                gc.collect()
        print(count_drawing(base, chosen.precision), flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
