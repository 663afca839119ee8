"""Prompt similarity as in the paper: cosine of CLIP's image and text embeddings (section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from engine.evaluate.scorers.base import PROMPT, WHOLE, Measure, SceneView, Shot
from engine.evaluate.scorers.hub_models import pretrained, weights_sum

BATCH = 16


class ClipPrompt:
    """CLIP (the paper: ViT-L/14) from a folder or a hub id; raises UserError."""

    name = "clip"

    def __init__(self, source: str, device: torch.device) -> None:
        purpose = "prompt similarity"
        self._device = device
        self._processor: Any = pretrained(CLIPImageProcessorPil.from_pretrained, source, purpose)
        self._tokenizer: Any = pretrained(CLIPTokenizer.from_pretrained, source, purpose)
        model: Any = pretrained(
            CLIPModel.from_pretrained, source, purpose, use_safetensors=True, dtype=torch.float32
        )
        self._model = model.eval().to(device)
        self.version = weights_sum(self._model)

    @torch.inference_mode()
    def measure(self, scene: SceneView, shots: Sequence[Shot]) -> list[tuple[Measure, ...]]:
        """One measure a shot: picture against the prompt with class words, -1..1."""
        del scene
        answers: list[tuple[Measure, ...]] = []
        for start in range(0, len(shots), BATCH):
            some = shots[start : start + BATCH]
            pixels = self._processor([shot.picture for shot in some], return_tensors="pt")
            text = self._tokenizer(
                [shot.prompt for shot in some],
                padding=True,
                truncation=True,
                max_length=self._model.config.text_config.max_position_embeddings,
                return_tensors="pt",
            )
            out = self._model(
                input_ids=text["input_ids"].to(self._device),
                attention_mask=text["attention_mask"].to(self._device),
                pixel_values=pixels["pixel_values"].to(self._device),
            )
            cosines = torch.cosine_similarity(out.image_embeds, out.text_embeds)
            answers += [(Measure(PROMPT, WHOLE, float(value)),) for value in cosines]
        return answers
