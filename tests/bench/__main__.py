"""`make bench`: operations of a step at the true SD 2.1-base shapes, CPU ratios to a naive step.

The operation counts are exact and do not depend on the machine's load. The ratios are measured
interleaved in one process, in CPU time, on a random-weight pipeline of the same depth.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.adapters.full import FullChange
from engine.core.method_config import OptimizerConfig
from engine.families.devices import make_accelerator
from engine.training.batches import DrawnBatch, DrawnRow
from engine.training.optimizer_step import OptimizerStep
from engine.training.phases import make_optimizer, phase_parameters, select_parameters
from tests.bench.naive import NaiveStep, lean_step
from tests.bench.shapes import GRID, SD21, SMALL, build_family, make_batch

TARGETS = {1: 1.77e12, 2: 5.10e12}


def count_operations(phase: int) -> float:
    """Floating-point operations of one optimiser step, multiply and add counted as two."""
    device = torch.device("meta")
    family = build_family(SD21, device)
    select_parameters(family, phase_parameters(family, FullChange(family, "all"), phase))
    layers = family.maps.layers(512, GRID)
    prior_rows = phase - 1
    counter = FlopCounterMode(display=False)
    with family.maps.recorder(layers, plain_attention=False) as recorder, counter:
        terms = lean_step(family, recorder)(make_batch(1 + prior_rows, device), prior_rows)
        terms.total.backward()
    return float(counter.get_total_flops())


def cpu_ratio(phase: int, rounds: int) -> tuple[float, float, float]:
    """(naive CPU seconds, lean CPU seconds, median of the rounds' ratios)."""
    device = torch.device("cpu")
    naive_family, family = build_family(SMALL, device), build_family(SMALL, device)
    naive = NaiveStep(naive_family, phase)
    parameters = phase_parameters(family, FullChange(family, "all"), phase)
    select_parameters(family, parameters)
    layers = family.maps.layers(512, GRID)
    prior_rows = phase - 1
    batch = make_batch(1 + prior_rows, device)
    naive_batch = make_batch(2, device)
    pairs: list[tuple[float, float]] = []
    with family.maps.recorder(layers, plain_attention=False) as recorder:
        lean = OptimizerStep(
            make_accelerator("cpu", "fp32", 1),
            lean_step(family, recorder),
            make_optimizer(parameters, 2e-6, OptimizerConfig()),
            list(parameters.values()),
            clip_norm=1.0,
            draw=lambda: DrawnBatch(batch, (DrawnRow((0, 1, 2)),)),
            prior_rows=prior_rows,
        )
        for _ in range(rounds + 1):
            start = time.process_time()
            naive.take(naive_batch)
            middle = time.process_time()
            lean.take(1)
            pairs.append((middle - start, time.process_time() - middle))
    warm = pairs[1:]
    ratios = [slow / fast for slow, fast in warm]
    return (
        statistics.median(slow for slow, _ in warm),
        statistics.median(fast for _, fast in warm),
        statistics.median(ratios),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=3, help="timed rounds a phase (0: only count)"
    )
    rounds: int = parser.parse_args().rounds
    print("operations of one step, SD 2.1-base shapes, 512 px, 3 concepts, batch 1")
    for phase, target in TARGETS.items():
        operations = count_operations(phase)
        verdict = "within" if operations <= target else "ABOVE"
        print(f"  phase {phase}: {operations / 1e12:.3f} T   ({verdict} {target / 1e12:.2f} T)")
    if not rounds:
        return
    torch.set_num_threads(1)
    print("CPU seconds of one step, same depth, 64-256 channels, fp32, one thread, interleaved")
    for phase in TARGETS:
        slow, fast, ratio = cpu_ratio(phase, rounds)
        print(f"  phase {phase}: naive {slow:.2f}   lean {fast:.2f}   ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
