"""One optimiser step: draw, forward, backward, clip, update, and one synchronisation with the host.

Shape legend: S scene rows, K placeholder slots, Q = grid * grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import nn, optim

from engine.core.errors import TrainingError
from engine.core.memory import is_out_of_memory
from engine.training.batches import DrawnBatch, DrawnRow
from engine.training.step import LossTerms


class StepResult(NamedTuple):
    """Numbers of one optimiser step, on the host; losses are means over its samples."""

    loss: float
    masked: float
    attention: float
    prior: float
    grad_norm: float
    """Before clipping."""
    rows: tuple[DrawnRow, ...]
    """What the scene rows of the last batch showed."""
    maps_SKQ: torch.Tensor
    """Their attention maps, still on the device."""
    masks_SKQ: torch.Tensor
    """The masks that the maps were held against."""


class OptimizerStep:
    """Takes optimiser steps for one phase; device, precision and accumulation are accelerate's."""

    def __init__(
        self,
        accelerator: Accelerator,
        module: nn.Module,
        optimizer: optim.Optimizer,
        clipped: Sequence[nn.Parameter],
        *,
        clip_norm: float,
        draw: Callable[[], DrawnBatch],
        prior_rows: int,
        nan_remedy: str = "resume with a lower learning rate",
        collect: Callable[[], None] = lambda: None,
        publish: Callable[[], None] = lambda: None,
    ) -> None:
        """`clipped`: the parameters whose common gradient norm is clipped at `clip_norm`.

        `nan_remedy`: what to advise when the loss is not a number. `collect` and `publish`: the
        adapter's, after a backward pass and after an update.
        """
        self._accelerator = accelerator
        self._module = accelerator.prepare_model(module)
        self._plain_optimizer = optimizer
        self._optimizer = accelerator.prepare_optimizer(optimizer)
        self._clipped = list(clipped)
        trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
        self._along = [parameter for parameter in self._clipped if id(parameter) not in trained]
        self._clip_norm = clip_norm
        self._draw = draw
        self._nan_remedy = nan_remedy
        self._prior_rows = prior_rows
        self._collect, self._publish = collect, publish

    def take(self, step: int) -> StepResult:
        """One optimiser step.

        Raises TrainingError, before any weight has moved, when the loss or the gradient is not a
        number or the memory does not suffice.
        """
        accelerator = self._accelerator
        try:
            micro_steps = [
                self._accumulate() for _ in range(accelerator.gradient_accumulation_steps)
            ]
            parts = [torch.stack([term.detach().float() for term in m[1][:4]]) for m in micro_steps]
            losses = torch.stack(parts).mean(0)
            drawn, terms, norm = micro_steps[-1]
            loss, masked, attention, prior, grad_norm = self._numbers(losses, norm, step)
            self._optimizer.step()
            self._publish()
            self._optimizer.zero_grad()
            for parameter in self._along:
                parameter.grad = None
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise TrainingError(
                f"out of memory in step {step}",
                "resume with --set phase2.train=cross-attention (or lora, before phase 2 has "
                "begun), a smaller batch_size, or gradient_checkpointing=true",
            ) from error
        masks_SKQ = drawn.batch.token_masks_BKQ[self._prior_rows :]
        return StepResult(
            loss, masked, attention, prior, grad_norm, drawn.rows, terms.maps_SKQ, masks_SKQ
        )

    def _accumulate(self) -> tuple[DrawnBatch, LossTerms, torch.Tensor]:
        """One batch forward and backward; clips when its gradients complete a step."""
        accelerator = self._accelerator
        drawn = self._draw()
        batch = drawn.batch.to(accelerator.device)
        # Any: its annotation claims that it may swallow exceptions, which it does not.
        accumulating: Any = accelerator.accumulate(self._module)
        with accumulating:
            terms: LossTerms = self._module(batch, self._prior_rows)
            accelerator.backward(terms.total)
            # Several processes add up what the networks hold, at the end of a step.
            if accelerator.sync_gradients or accelerator.num_processes == 1:
                self._collect()
            norm = self._clip() if accelerator.sync_gradients else terms.total.detach()
        return drawn, terms, norm

    def _clip(self) -> torch.Tensor:
        scaler = self._accelerator.scaler
        if scaler is not None:
            # This optimiser's alone: accelerate unscales every one it ever prepared, and another
            # phase's may hold the same rows.
            scaler.unscale_(self._plain_optimizer)
            scale = scaler.get_scale() if self._along else 1.0
            for parameter in self._along:
                if parameter.grad is not None:
                    parameter.grad /= scale
        if self._clip_norm > 0:
            norm = nn.utils.clip_grad_norm_(self._clipped, self._clip_norm)
        else:
            gradients = [p.grad for p in self._clipped if p.grad is not None]
            norm = nn.utils.get_total_norm(gradients)
        return torch.as_tensor(norm, device=self._accelerator.device).float()

    def _numbers(self, losses: torch.Tensor, norm: torch.Tensor, step: int) -> list[float]:
        together = torch.cat([losses, norm.reshape(1)])
        if self._accelerator.num_processes > 1:
            reduced: Any = self._accelerator.reduce(together, "mean")
            together = reduced
        numbers: list[float] = together.tolist()
        # fp16 skips steps whose scaled gradient overflowed and lowers its scale: no failure.
        checked = numbers if self._accelerator.scaler is None else numbers[:4]
        if not all(math.isfinite(number) for number in checked):
            raise TrainingError(f"the loss is not a number in step {step}", self._nan_remedy)
        return numbers
