"""Replays recorded steps of the authors' released script: the mathematics must agree.

The recording (on a random-weight pipeline) holds every random draw, and afterwards losses, gradient
norms, the placeholder rows and a few weights. Seven steps ship with the tests; where `BAS_PARITY`
names a folder with all twelve, those are replayed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine.adapters.full import FullChange
from engine.core.method_config import OptimizerConfig
from engine.drawing.sampler import whole_pictures
from engine.families.contract import Posterior
from engine.families.devices import make_accelerator
from engine.families.recorder import Recorder
from engine.families.stable_diffusion import StableDiffusion, load_folder
from engine.families.tokens import token_columns
from engine.training.batches import Batch, DrawnBatch, DrawnRow
from engine.training.optimizer_step import OptimizerStep, StepResult
from engine.training.phases import make_optimizer, phase_parameters, select_parameters
from engine.training.pictures import Picture, encode_picture
from engine.training.step import TrainingStep
from tests.training.recording import Recording, shipped_recording, whole_recording

LAMBDA = 0.01
WORDS = ("creature", "bowl", "stone")
LEARNING_RATES = {1: 5e-4, 2: 2e-6}


class Replay:
    """The recorded draws as batches."""

    def __init__(self, family: StableDiffusion, recording: Recording) -> None:
        self.steps, self.golden = recording.steps, recording.tensors
        image = np.array(Image.open(recording.scene / "img.jpg").convert("RGB"))
        # The script does not binarise its masks; the project does, so the soft ones are read here.
        files = [recording.scene / f"mask{index}.png" for index in range(3)]
        masks = np.stack([np.asarray(Image.open(file))[..., 0] / 255 for file in files])
        self.pair = encode_picture(family, Picture(image, masks, (0, 1, 2)), 16)
        used = {record["prior_image"] for record in self.steps if record["phase"] == 2}
        self.priors = {name: self._prior(family, recording.priors / name) for name in used}

    def _prior(self, family: StableDiffusion, file: Path) -> Posterior:
        image = np.asarray(Image.open(file).convert("RGB"))
        return family.codec.encode(image[None])

    def batch(self, record: dict[str, Any], *, with_prior: bool) -> DrawnBatch:
        """The step's batch: the scene row, preceded by the prior row where asked."""
        key = f"step{record['step']:02d}"
        variant = self.pair.mirrored if record["flip"] else self.pair.plain
        assert variant is not None
        # Without a prior row any of them fills its place, which is cut off at the end.
        prior = self.priors[record["prior_image"] if with_prior else next(iter(self.priors))]
        mean = torch.stack([prior.mean[0], variant.mean_CHW])
        std = torch.stack([prior.std[0], variant.std_CHW])
        subset = tuple(record["concepts"])
        scene_ids = self.golden[f"{key}.input_ids"]
        prior_ids = torch.zeros_like(scene_ids)
        beach = torch.tensor([2046, 320, 515, 519, 521, 525, 2047])
        prior_ids[0, : len(beach)] = beach
        tokens = torch.full((1, 3), -1)
        tokens[0, : len(subset)] = torch.tensor([2048 + index for index in subset])
        grids = torch.zeros(1, 3, 256)
        grids[0, : len(subset)] = variant.grid_masks_NQ[list(subset)]
        union = variant.latent_masks_NHW[list(subset)].amax(0)[None, None]
        columns = token_columns(scene_ids, tokens)
        both = Batch(
            latents_BCHW=mean + std * self.golden[f"{key}.vae_eps"],
            noise_BCHW=self.golden[f"{key}.noise"],
            levels_B=self.golden[f"{key}.timesteps"],
            input_ids_BEL=torch.cat([prior_ids, scene_ids])[:, None],
            geometry_BG=whole_pictures(512, 2, mean.device),
            union_masks_B1HW=torch.cat([torch.ones_like(union), union]),
            columns_BK=torch.cat([torch.zeros_like(columns), columns]),
            token_masks_BKQ=torch.cat([torch.zeros_like(grids), grids]),
            valid_BK=torch.cat([torch.zeros(1, 3), (tokens >= 0).float()]),
        )
        rows = slice(0 if with_prior else 1, None)
        return DrawnBatch(Batch(*(tensor[rows] for tensor in both)), (DrawnRow(subset),))


def test_replay_of_the_released_script(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = os.environ.get("BAS_PARITY")
    recording = whole_recording(Path(whole)) if whole else shipped_recording(tmp_path)
    assert {record["phase"] for record in recording.steps} == {1, 2}
    family = load_folder(recording.pipeline, device=torch.device("cpu"))
    replay = Replay(family, recording)
    words = [320, 515, 516, 518, 519, 521, 525, 2046, 2047, 0]
    family.text.add_tokens(family.text.initial_rows(WORDS, torch.Generator()), words)
    layers = family.maps.layers(512, 16)
    assert len(layers) == 5
    accelerator = make_accelerator("cpu", "fp32", 1)
    stepper: OptimizerStep | None = None
    box: list[DrawnBatch] = []
    with Recorder(family.unet, layers) as recorder:
        for record in replay.steps:
            step, phase = record["step"], record["phase"]
            drawn = replay.batch(record, with_prior=phase == 2)
            if stepper is None or replay.steps[step - 2]["phase"] != phase:
                parameters = phase_parameters(family, FullChange(family, "all"), phase)
                select_parameters(family, parameters)
                module = TrainingStep(
                    family,
                    recorder,
                    masked=True,
                    divide_by_area=False,
                    attention_weight=LAMBDA,
                    prior_weight=1.0,
                )
                optimizer = make_optimizer(parameters, LEARNING_RATES[phase], OptimizerConfig())
                stepper = OptimizerStep(
                    accelerator,
                    module,
                    optimizer,
                    list(parameters.values()),
                    clip_norm=1.0,
                    draw=box.pop,
                    prior_rows=1 if phase == 2 else 0,
                )
            box.append(drawn)
            check(record, stepper.take(step), replay.golden, family)


def check(
    record: dict[str, Any],
    result: StepResult,
    golden: dict[str, torch.Tensor],
    family: StableDiffusion,
) -> None:
    """Losses to 1e-5 relative, rows to 1e-6 absolute (the recorded total includes the prior)."""
    key = f"step{record['step']:02d}"
    attention = record["attention_loss_times_lambda"]
    assert LAMBDA * result.attention == pytest.approx(attention, rel=1e-5), key
    rows = family.text.embeddings()[0].placeholder_rows
    torch.testing.assert_close(rows.data, golden[f"{key}.rows_after"], rtol=0, atol=1e-6)
    if record["phase"] == 1:
        return
    assert result.loss == pytest.approx(record["loss"], rel=1e-5), key
    norm = record["grad_norm_before_clip"]
    assert result.grad_norm == pytest.approx(norm, rel=1e-4), key
    weights = family.targets.weights()
    for name, value in golden.items():
        prefix = f"{key}.unet_after."
        if name.startswith(prefix):
            trained = weights["unet." + name.removeprefix(prefix)].data
            torch.testing.assert_close(trained, value, rtol=0, atol=1e-6)
    fc1 = weights["text_encoder.encoder.layers.0.mlp.fc1.weight"].data
    torch.testing.assert_close(fc1, golden[f"{key}.text_after.layer0.fc1"], rtol=0, atol=1e-6)
