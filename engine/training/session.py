"""One phase while it runs: what it trains, its optimiser, its samples, its steps."""

from __future__ import annotations

from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import nn

from engine.adapters.contract import Adapter
from engine.core.config import TrainConfig
from engine.families.contract import Family, Geometry, Posterior, Recording
from engine.method.losses import expected_union_area
from engine.runs.events import PhasePlan
from engine.training.batches import DrawnBatch, Prompts, draw_batch
from engine.training.checkpoints import CheckpointState, load_optimizer, load_weights, weight_names
from engine.training.optimizer_step import OptimizerStep, StepResult
from engine.training.phases import (
    make_optimizer,
    phase_parameters,
    row_parameters,
    select_parameters,
)
from engine.training.pictures import TrainingPictures, cutout_share
from engine.training.step import TrainingStep

SCALE, GROWTH = "scaler/scale", "scaler/growth"
"""Names of the loss scale and of the steps since it last changed, in checkpoints."""


class TrainingData(NamedTuple):
    """What the samples are drawn from."""

    pictures: TrainingPictures
    prompts: Prompts
    prior: Posterior | None
    """None where no phase looks at prior pictures."""
    prior_geometry: Geometry


class PhaseSession:
    """A phase of a run, from its first step (or the one it goes on from) to its last.

    Entering phase 2 starts the adapter. `close` lets go of the optimiser, so that a phase's state
    does not outlive it.
    """

    def __init__(
        self,
        family: Family,
        adapter: Adapter,
        plan: PhasePlan,
        config: TrainConfig,
        accelerator: Accelerator,
        recorder: Recording,
        data: TrainingData,
        generator: torch.Generator,
    ) -> None:
        self.plan = plan
        self._family, self._config, self._data = family, config, data
        self._accelerator, self._generator = accelerator, generator
        self._adapter, self._held = adapter, dict[str, nn.Parameter]()
        if plan.number == 2:
            adapter.begin()
        self.parameters = phase_parameters(family, adapter, plan.number)
        clipped = dict(self.parameters)
        exact_clipping = plan.number == 1 and config.optimizer.clip_whole_embedding
        if exact_clipping:
            clipped |= row_parameters(family, words=True)
        select_parameters(family, clipped)
        if plan.number == 2:
            for weight in adapter.computing:
                weight.requires_grad_(True)
        self.optimizer = make_optimizer(
            self.parameters, plan.learning_rate, config.optimizer, phase=plan.number
        )
        # The prior's gradient on the new rows is exactly zero, so phase 1 leaves it out.
        self._with_prior = data.prior is not None and (plan.number == 2 or exact_clipping)
        loss = config.loss
        self._module = TrainingStep(
            family,
            recorder,
            adapter.modules() if plan.number == 2 else (),
            masked=loss.masked,
            divide_by_area=loss.divide_by_area,
            attention_weight=loss.attention_weight,
            prior_weight=loss.prior_weight,
            competing=loss.attention == "competing",
        )
        self._balanced_area: float | None = None
        if loss.balanced:
            masks_NHW = data.pictures.scene.plain.latent_masks_NHW
            self._balanced_area = expected_union_area(masks_NHW, union=config.data.union_sampling)
        self._clipped = list(clipped.values())
        self._stepper: OptimizerStep | None = None
        self._clipped_steps = 0

    @property
    def trained_count(self) -> int:
        """How many numbers the phase trains."""
        return sum(parameter.numel() for parameter in self.parameters.values())

    @property
    def kept(self) -> dict[str, nn.Parameter]:
        """What a checkpoint must hold: the phase's parameters and what moved before them."""
        return row_parameters(self._family, words=True) | self.parameters | self._held

    @property
    def scaling(self) -> dict[str, torch.Tensor]:
        """What a checkpoint holds of fp16's loss scale; nothing in other precisions."""
        scaler = self._accelerator.scaler
        if scaler is None:
            return {}
        state = scaler.state_dict()
        return {
            SCALE: torch.tensor(state["scale"], dtype=torch.float64),
            GROWTH: torch.tensor(state["_growth_tracker"]),
        }

    def restore(self, checkpoint: CheckpointState) -> None:
        """Load a checkpoint's weights, and its optimiser where it was made in this phase."""
        folder = checkpoint.folder
        if self.plan.number == 2:
            rows = row_parameters(self._family, words=True)
            self._held = self._adapter.hold(sorted(weight_names(folder) - rows.keys()))
        load_weights(folder, self.kept)
        self._adapter.publish()
        if checkpoint.phase == self.plan.number:
            load_optimizer(folder, self.parameters, self.optimizer)
        scaler, stored = self._accelerator.scaler, checkpoint.generators
        if scaler is not None and SCALE in stored:
            known = {"scale": float(stored[SCALE]), "_growth_tracker": int(stored[GROWTH])}
            scaler.load_state_dict(scaler.state_dict() | known)

    def take(self, step: int) -> StepResult:
        """One optimiser step; raises TrainingError (`OptimizerStep.take`)."""
        if self._stepper is None:
            # Not before: accelerate wraps the optimiser, whose state `restore` fills.
            self._stepper = OptimizerStep(
                self._accelerator,
                self._module,
                self.optimizer,
                self._clipped,
                clip_norm=self._config.optimizer.clip_norm,
                draw=self._draw_share,
                prior_rows=self._config.batch_size if self._with_prior else 0,
                collect=self._adapter.collect,
                publish=self._adapter.publish,
                nan_remedy="resume with a lower learning rate than "
                f"phase{self.plan.number}.learning_rate={self.plan.learning_rate:g}",
            )
        result = self._stepper.take(step)
        self._clipped_steps += result.grad_norm > self._config.optimizer.clip_norm > 0
        return result

    def clipping(self) -> str:
        """How often gradient clipping acted, for a notice."""
        steps = self.plan.last - self.plan.first + 1
        return f"gradient clipping acted in {self._clipped_steps} of {steps} steps"

    def close(self) -> None:
        """Let go of what accelerate keeps of this phase."""
        self._accelerator.free_memory()

    def _draw_share(self) -> DrawnBatch:
        """The next batch of this process.

        Every process draws everybody's batches from equal generators and keeps its own: N
        processes of one batch a step train on what one process of N batches a step (gradient
        accumulation) does, and either can go on with the other's run.
        """
        together = [self._draw() for _ in range(self._accelerator.num_processes)]
        return together[self._accelerator.process_index]

    def _draw(self) -> DrawnBatch:
        config, data = self._config, self._data
        low, high = 0.0, 1.0
        if self.plan.number == 2:
            low, high = config.phase2.noise_low, config.phase2.noise_high
        return draw_batch(
            data.pictures,
            data.prompts,
            self._family.noise,
            self._generator,
            size=config.batch_size,
            crop=cutout_share(data.pictures) if config.data.cutouts else config.data.crop,
            flip=config.data.flip,
            union=config.data.union_sampling,
            compose=config.data.compose,
            noise_low=low,
            noise_high=high,
            balanced_area=self._balanced_area,
            rivals=config.loss.attention == "competing",
            prior=data.prior if self._with_prior else None,
            prior_geometry=data.prior_geometry,
        )
