"""Random-weight pipelines at the shapes that the benchmarks count and time."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from engine.families.components import load_scheduler_config
from engine.families.contract import Geometry
from engine.families.file_configs import CONFIGS
from engine.families.single_file import clip_tokenizer
from engine.families.stable_diffusion import StableDiffusion
from engine.families.stable_diffusion_xl import StableDiffusionXL
from engine.training.batches import Batch

CONCEPTS = 3
GRID = 16
PROMPT = 77
FIRST_PLACEHOLDER = 49408
WORDS = (320, 1125, 539, 537, 536, 518, 2117, 49406, 49407, 0)


class Shape(NamedTuple):
    """Channels of the three networks; 512 px pictures, 64x64 latents, SD 2.1's depth."""

    unet: tuple[int, ...]
    heads: tuple[int, ...]
    text_width: int
    text_layers: int
    text_heads: int
    vae: tuple[int, ...]


SD21 = Shape((320, 640, 1280, 1280), (5, 10, 20, 20), 1024, 23, 16, (128, 256, 512, 512))
SMALL = Shape((64, 128, 256, 256), (1, 2, 4, 4), 256, 23, 4, (32, 64, 128, 128))


def build_family(shape: Shape, device: torch.device, *, tokens: bool = True) -> StableDiffusion:
    """A pipeline, with placeholder tokens if wanted; on the meta device it costs no memory."""
    with device:
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            sample_size=64,
            block_out_channels=shape.unet,
            attention_head_dim=shape.heads,
            cross_attention_dim=shape.text_width,
            use_linear_projection=True,
        )
        config = CLIPTextConfig(
            vocab_size=FIRST_PLACEHOLDER,
            hidden_size=shape.text_width,
            intermediate_size=4 * shape.text_width,
            num_hidden_layers=shape.text_layers,
            num_attention_heads=shape.text_heads,
            hidden_act="gelu",
            max_position_embeddings=PROMPT,
        )
        text_encoder = CLIPTextModel(config)
        vae = AutoencoderKL(
            block_out_channels=shape.vae,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            sample_size=512,
        )
    scheduler = {
        "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000, "prediction_type": "epsilon",
    }  # fmt: skip
    family = StableDiffusion(
        name="bench", unet=unet, text_encoder=text_encoder, tokenizer=clip_tokenizer("!"), vae=vae,
        scheduler_config=scheduler, device=device,
    )  # fmt: skip
    if tokens:
        family.text.add_tokens([torch.zeros(CONCEPTS, shape.text_width, device=device)], WORDS)
    return family


def build_xl(device: torch.device, *, tokens: bool = True) -> StableDiffusionXL:
    """Stable Diffusion XL 1.0 after its published configuration."""
    folder = CONFIGS / "sdxl"
    with device:
        unet: Any = UNet2DConditionModel.from_config(
            UNet2DConditionModel.load_config(folder / "unet")
        )
        vae: Any = AutoencoderKL.from_config(AutoencoderKL.load_config(folder / "vae"))
        encoders = [
            model(CLIPTextConfig.from_pretrained(folder / part, local_files_only=True))
            for model, part in (
                (CLIPTextModel, "text_encoder"), (CLIPTextModelWithProjection, "text_encoder_2"),
            )
        ]  # fmt: skip
    family = StableDiffusionXL(
        name="bench", unet=unet, text_encoder=encoders[0], text_encoder_2=encoders[1],
        tokenizer=clip_tokenizer("<|endoftext|>"), tokenizer_2=clip_tokenizer("!"), vae=vae,
        scheduler_config=load_scheduler_config(folder), device=device,
    )  # fmt: skip
    if tokens:
        rows = [torch.zeros(CONCEPTS, width, device=device) for width in (768, 1280)]
        family.text.add_tokens(rows, WORDS)
    return family


def make_batch(rows: int, device: torch.device) -> Batch:
    """`rows` samples, the last one a scene row with three concepts."""
    ids = torch.zeros(rows, PROMPT, dtype=torch.long)
    ids[:, :4] = torch.tensor([49406, 320, 1125, 539])
    columns = torch.tensor([[4, 6, 8]]).repeat(rows, 1)
    ids[:, [4, 6, 8]] = FIRST_PLACEHOLDER + torch.arange(CONCEPTS)
    valid = torch.zeros(rows, CONCEPTS)
    valid[-1] = 1
    return Batch(
        latents_BCHW=torch.randn(rows, 4, 64, 64),
        noise_BCHW=torch.randn(rows, 4, 64, 64),
        levels_B=torch.randint(0, 1000, (rows,)),
        input_ids_BEL=ids[:, None],
        geometry_BG=torch.tensor([Geometry.whole(512)] * rows, dtype=torch.float32),
        union_masks_B1HW=torch.ones(rows, 1, 64, 64),
        columns_BK=columns,
        token_masks_BKQ=torch.ones(rows, CONCEPTS, GRID * GRID),
        valid_BK=valid,
    ).to(device)
