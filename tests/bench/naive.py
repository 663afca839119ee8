"""A step that does the released script's work, written from its description (method.md, trap list).

Both pictures are encoded by the VAE in every step, phase 1 carries its prior half, attention
probabilities of every layer are computed openly and kept, and the optimiser is AdamW's plain loop
over the whole embedding matrix with the other rows restored afterwards.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from engine.families.recorder import Recorder
from engine.families.stable_diffusion import StableDiffusion
from engine.families.tokens import PlaceholderEmbedding
from engine.method.noise import add_noise
from engine.training.batches import Batch
from engine.training.step import TrainingStep


class NaiveStep:
    """One phase of the script's work on the same family."""

    def __init__(self, family: StableDiffusion, phase: int) -> None:
        self._family, self._phase = family, phase
        embedding = family.text.encoder.get_input_embeddings()
        assert isinstance(embedding, PlaceholderEmbedding)
        count = embedding.num_embeddings
        self._matrix = nn.Embedding(count, embedding.embedding_dim)
        self._before = self._matrix.weight.detach().clone()
        family.text.encoder.set_input_embeddings(self._matrix)
        everything = phase == 2
        family.unet.requires_grad_(everything)
        family.text.encoder.requires_grad_(everything)
        self._matrix.requires_grad_(True)
        self.trained = [
            parameter
            for module in (family.unet, family.text.encoder)
            for parameter in module.parameters()
            if parameter.requires_grad
        ]
        self._optimizer = torch.optim.AdamW(self.trained, lr=2e-6, foreach=False, fused=False)
        self._pixels = np.random.default_rng(0).integers(0, 256, (2, 512, 512, 3), np.uint8)

    def take(self, batch: Batch) -> None:
        """Forward, backward and update of a batch of one prior and one scene row."""
        family = self._family
        latents = family.codec.encode(self._pixels).mean
        layers = [name for name in family.unet.attn_processors if ".attn2." in name]
        recorder = Recorder(family.unet, layers, plain_attention=True)
        with recorder, recorder.capture(batch.columns_BK) as recorded:
            noised = add_noise(
                latents, batch.noise_BCHW, batch.levels_B, family.noise.alphas_cumprod_T
            )
            states = family.text.encode(batch.input_ids_BEL)
            predicted = family.predict(noised, batch.levels_B, states, batch.geometry_BG)
        maps = torch.cat([probs for probs in recorded if probs.shape[2] == 256], dim=1)
        loss = F.mse_loss(predicted, batch.noise_BCHW) + 0.01 * (maps.mean(1) ** 2).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        with torch.no_grad():
            kept = self._matrix.weight[-3:].clone()
            self._matrix.weight.copy_(self._before)
            self._matrix.weight[-3:] = kept


def lean_step(family: StableDiffusion, recorder: Recorder) -> TrainingStep:
    """The project's own step with the paper's weights."""
    return TrainingStep(
        family, recorder, masked=True, divide_by_area=False, attention_weight=0.01, prior_weight=1.0
    )
