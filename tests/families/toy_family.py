"""A third family, as docs/adding-a-family.md walks through it: nothing else knows of it.

Its UNet reads the states of a narrower text encoder through a bridge, which the folder holds as a
component of its own.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPTextModel

from engine.families.clip_text import ClipText
from engine.families.components import load_part, load_scheduler_config, load_tokenizer
from engine.families.contract import Conditioning
from engine.families.discrete_noise import DiscreteNoise
from engine.families.load_request import LoadRequest
from engine.families.recorder import CrossAttentionMaps
from engine.families.unet_targets import UnetTargets
from engine.families.vae_codec import VaeCodec
from engine.models.kinds import FamilyKind

KIND = FamilyKind(
    name="toy",
    title="Toy",
    pipelines=("ToyPipeline",),
    weights={
        "unet": "diffusion_pytorch_model",
        "vae": "diffusion_pytorch_model",
        "text_encoder": "model",
        "bridge": "model",
    },
    settings={"sampling.guidance": 2.0},
    loader="toy_family:load",
)


class Toy:
    """The parts are those that Stable Diffusion uses; `predict` is its own."""

    def __init__(
        self, request: LoadRequest, unet: UNet2DConditionModel, vae: AutoencoderKL,
        text_encoder: CLIPTextModel, bridge: nn.Linear,
    ) -> None:  # fmt: skip
        self.name, self.device, self.unet, self.bridge = request.name, request.device, unet, bridge
        for part in (unet, vae, text_encoder, bridge):
            part.requires_grad_(False).eval().to(self.device)
        self.noise = DiscreteNoise(load_scheduler_config(request.path), self.device)
        self.text = ClipText(load_tokenizer(request.path), text_encoder)
        self.codec = VaeCodec(vae, self.device)
        self.maps = CrossAttentionMaps(unet, self.codec.factor)
        self.targets = UnetTargets(
            {"unet": unet, "text_encoder": text_encoder, "text_encoder_bridge": bridge}
        )
        self.resolution = 64

    def predict(
        self,
        noised_BCHW: torch.Tensor,
        levels_B: torch.Tensor,
        conditioning: Conditioning,
        geometry_BG: torch.Tensor,  # noqa: ARG002
    ) -> torch.Tensor:
        states_BLD = self.bridge(conditioning.states_BLD)
        return self.unet(noised_BCHW, levels_B, states_BLD, return_dict=False)[0]

    def checkpoint_activations(self) -> None:
        self.unet.enable_gradient_checkpointing()


def load(request: LoadRequest) -> Toy:
    """The model of a folder."""

    def part(model: type, name: str, **dtype: torch.dtype):
        return load_part(model, request.path, name, KIND.weights[name], request.variants, **dtype)

    weights = load_file(request.path / "bridge" / "model.safetensors")
    bridge = nn.Linear(weights["weight"].shape[1], weights["weight"].shape[0])
    bridge.load_state_dict(weights)
    return Toy(
        request,
        part(UNet2DConditionModel, "unet", torch_dtype=request.dtype),
        part(AutoencoderKL, "vae", torch_dtype=torch.float32),
        part(CLIPTextModel, "text_encoder", dtype=request.dtype),
        bridge.to(request.dtype),
    )
