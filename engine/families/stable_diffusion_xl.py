"""Stable Diffusion XL (arXiv 2307.01952): two text encoders, size and crop conditioning.

Shape legend: B batch, C latent channels, H and W latent size, E text encoders (2), L prompt
positions, K placeholder slots, N placeholder tokens, G geometry numbers (6).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from engine.families.components import (
    in_own_memory,
    load_part,
    load_scheduler_config,
    load_tokenizer,
    scheduler_with,
)
from engine.families.contract import Conditioning
from engine.families.discrete_noise import DiscreteNoise
from engine.families.joined_projections import join_projections
from engine.families.load_request import LoadRequest
from engine.families.quiet import quiet_libraries
from engine.families.recorder import CrossAttentionMaps
from engine.families.single_file import END, OPEN_CLIP_PAD, ModelFile
from engine.families.tokens import (
    PlaceholderEmbedding,
    add_placeholders,
    encode_prompts,
    initial_rows,
    learned_rows,
    prompt_limit,
    token_columns,
)
from engine.families.unet_targets import UnetTargets
from engine.families.vae_codec import VaeCodec
from engine.models.detection import check_file
from engine.models.facts import native_resolution
from engine.models.headers import read_json
from engine.models.kinds import STABLE_DIFFUSION_XL

ENCODERS: dict[str, Any] = {
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
}


class TwoClipTexts:
    """Both encoders read every prompt; a token has a row of its own in each.

    The states are their last but one hidden states side by side, without a final norm; the second
    encoder's projection of its end position is the pooled embedding.
    """

    def __init__(
        self,
        tokenizers: tuple[CLIPTokenizer, CLIPTokenizer],
        encoders: tuple[CLIPTextModel, CLIPTextModelWithProjection],
        *,
        zero_empty: bool,
    ) -> None:
        """`zero_empty`: an empty negative prompt is all zeros (`force_zeros_for_empty_prompt`)."""
        self.tokenizers, self.encoders, self.zero_empty = tokenizers, encoders, zero_empty
        pairs = list(zip(tokenizers, encoders, strict=True))
        self.limit = min(prompt_limit(*pair) for pair in pairs)
        for tokenizer, encoder in pairs:
            _pool_at_the_end_marker(encoder, tokenizer)

    def tokenize(self, prompts: Sequence[str]) -> torch.Tensor:
        """Ids for both encoders, which differ in their padding; int64 (B, 2, L)."""
        ids = [encode_prompts(tokenizer, prompts, self.limit) for tokenizer in self.tokenizers]
        return torch.stack(ids, dim=1)

    def length(self, prompt: str) -> int:
        """Positions that the prompt would need, end markers included."""
        return len(self.tokenizers[0](prompt).input_ids)

    def initial_rows(
        self, initializers: Sequence[str], generator: torch.Generator, *, default: str = ""
    ) -> tuple[torch.Tensor, ...]:
        """Start values of the new rows from each encoder's own words; (N, width) each."""
        return tuple(
            initial_rows(tokenizer, encoder, initializers, generator, default=default)
            for tokenizer, encoder in zip(self.tokenizers, self.encoders, strict=True)
        )

    def add_tokens(self, rows: Sequence[torch.Tensor], word_ids: Sequence[int] = ()) -> None:
        """Teach both tokenizers and encoders `<asset0>`..., starting from `rows`."""
        for tokenizer, encoder, own in zip(self.tokenizers, self.encoders, rows, strict=True):
            add_placeholders(tokenizer, encoder, own, word_ids)

    def embeddings(self) -> tuple[PlaceholderEmbedding, ...]:
        """The learned rows of each encoder."""
        return tuple(learned_rows(encoder) for encoder in self.encoders)

    def columns(self, input_ids_BEL: torch.Tensor, token_ids_BK: torch.Tensor) -> torch.Tensor:
        """Position of each token in its prompt, equal for both encoders; int64 (B, K)."""
        return token_columns(input_ids_BEL[:, 0], token_ids_BK)

    def token_ids(self, tokens: Sequence[str]) -> torch.Tensor:
        """Ids of the placeholder tokens, equal in both tokenizers; int64 (N,)."""
        return torch.tensor(self.tokenizers[0].convert_tokens_to_ids(list(tokens)))

    def encode(self, input_ids_BEL: torch.Tensor) -> Conditioning:
        """States (B, L, 2048 in SDXL) and the pooled embedding (B, 1280)."""
        first: Any = self.encoders[0](input_ids_BEL[:, 0], output_hidden_states=True)
        second: Any = self.encoders[1](input_ids_BEL[:, 1], output_hidden_states=True)
        states_BLD = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        return Conditioning(states_BLD, {"text_embeds": second.text_embeds})

    def unconditional(self, negative: str, count: int) -> Conditioning:
        """The negative prompt's; all zeros for none, as the model was taught."""
        ids_1EL = self.tokenize([negative]).to(self.encoders[0].device)
        states_1LD, extra = self.encode(ids_1EL)
        if self.zero_empty and not negative:
            states_1LD = torch.zeros_like(states_1LD)
            extra = {key: torch.zeros_like(value) for key, value in extra.items()}
        return Conditioning(
            states_1LD.repeat(count, 1, 1),
            {key: value.repeat(count, 1) for key, value in extra.items()},
        )


class StableDiffusionXL:
    """One UNet, two CLIP text encoders, one VAE."""

    def __init__(
        self,
        *,
        name: str,
        unet: UNet2DConditionModel,
        text_encoder: CLIPTextModel,
        text_encoder_2: CLIPTextModelWithProjection,
        tokenizer: CLIPTokenizer,
        tokenizer_2: CLIPTokenizer,
        vae: AutoencoderKL,
        scheduler_config: dict[str, Any],
        device: torch.device,
        zero_empty: bool = True,
    ) -> None:
        self.name = name
        self.unet = unet
        self.device = device
        for model in (unet, text_encoder, text_encoder_2, vae):
            model.requires_grad_(False).eval()
            model.to(device)
        join_projections(unet, (text_encoder, text_encoder_2))
        self.noise = DiscreteNoise(scheduler_config, device)
        self.text = TwoClipTexts(
            (tokenizer, tokenizer_2), (text_encoder, text_encoder_2), zero_empty=zero_empty
        )
        self.codec = VaeCodec(vae, device)
        self.maps = CrossAttentionMaps(unet, self.codec.factor)
        self.targets = UnetTargets(
            {"unet": unet, "text_encoder": text_encoder, "text_encoder_2": text_encoder_2}
        )
        self.resolution = native_resolution(unet.config, vae.config)

    def predict(
        self,
        noised_BCHW: torch.Tensor,
        levels_B: torch.Tensor,
        conditioning: Conditioning,
        geometry_BG: torch.Tensor,
    ) -> torch.Tensor:
        """The UNet's output (B, C, H, W); it is told where a crop lies in which picture."""
        dtype = self.unet.dtype
        return self.unet(
            noised_BCHW.to(dtype),
            levels_B,
            conditioning.states_BLD.to(dtype),
            added_cond_kwargs={
                "text_embeds": conditioning.extra["text_embeds"].to(dtype),
                "time_ids": geometry_BG,
            },
            return_dict=False,
        )[0]

    def checkpoint_activations(self) -> None:
        """Recompute the UNet's activations in the backward pass."""
        self.unet.enable_gradient_checkpointing()


def _pool_at_the_end_marker(encoder: Any, tokenizer: CLIPTokenizer) -> None:
    """Let the encoder pool where the end marker stands.

    Old configurations say `eos_token_id: 2`, and transformers then takes the position of the
    largest id: of the last placeholder token, once there are any.
    """
    encoder.config.eos_token_id = tokenizer.eos_token_id
    for module in encoder.modules():
        if hasattr(module, "eos_token_id"):
            module.eos_token_id = tokenizer.eos_token_id


def load(request: LoadRequest) -> StableDiffusionXL:
    """The model of a diffusers folder or of a single file; raises UserError."""
    path = request.path
    dtype, vae_dtype = (None, None) if request.mapped else (request.dtype, torch.float32)
    zero_empty = True
    with quiet_libraries():
        if path.is_dir():
            stems = STABLE_DIFFUSION_XL.weights
            unet = load_part(
                UNet2DConditionModel, path, "unet", stems["unet"], request.variants,
                torch_dtype=dtype,
            )  # fmt: skip
            encoders = tuple(
                load_part(model, path, component, stems[component], request.variants, dtype=dtype)
                for component, model in ENCODERS.items()
            )
            vae = request.vae(lambda: load_part(
                AutoencoderKL, path, "vae", stems["vae"], request.variants,
                torch_dtype=vae_dtype,
            ))  # fmt: skip
            tokenizers = load_tokenizer(path, "tokenizer"), load_tokenizer(path, "tokenizer_2")
            scheduler = scheduler_with(load_scheduler_config(path), request.prediction)
            index = read_json(path / "model_index.json") or {}
            zero_empty = bool(index.get("force_zeros_for_empty_prompt", True))
        else:
            told = check_file(path, own_vae=request.own_vae is not None)
            file = ModelFile(path, told, "sdxl")
            unet = file.unet(dtype)
            encoders = (
                file.clip(
                    CLIPTextModel, "text_encoder", "conditioner.embedders.0.transformer.", dtype
                ),
                file.open_clip(
                    CLIPTextModelWithProjection, "text_encoder_2",
                    "conditioner.embedders.1.model.", dtype,
                ),
            )  # fmt: skip
            vae = request.vae(lambda: file.vae(vae_dtype))
            tokenizers = (
                file.tokenizer("tokenizer", END), file.tokenizer("tokenizer_2", OPEN_CLIP_PAD)
            )  # fmt: skip
            scheduler = file.scheduler_config(request.prediction)
    if not request.mapped:
        in_own_memory((unet, vae, *encoders))
    return StableDiffusionXL(
        name=request.name,
        unet=unet,
        text_encoder=encoders[0],
        text_encoder_2=encoders[1],
        tokenizer=tokenizers[0],
        tokenizer_2=tokenizers[1],
        vae=vae,
        scheduler_config=scheduler,
        device=request.device,
        zero_empty=zero_empty,
    )
