"""The pocket model's text encoder, UNet and noise schedule, untrained."""

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from engine.pocket.recipe.tokenizer import MAX_TOKENS


@dataclass(frozen=True, kw_only=True)
class BaseShape:
    """Sizes of the text encoder and the UNet."""

    latent_channels: int = 8
    widths: tuple[int, int, int] = (128, 192, 256)
    """Channels at 16 x 16, 8 x 8 and 4 x 4."""

    heads: tuple[int, int, int] = (2, 4, 4)
    """Attention heads at each level; few, because a CPU pays for each."""

    text_width: int = 192
    text_layers: int = 2
    text_heads: int = 4


def build_text_encoder(shape: BaseShape, vocabulary: int, start: int, end: int) -> CLIPTextModel:
    """A text encoder; its token rows start large enough to be told apart at once."""
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=shape.text_width,
        intermediate_size=4 * shape.text_width,
        num_hidden_layers=shape.text_layers,
        num_attention_heads=shape.text_heads,
        max_position_embeddings=MAX_TOKENS,
        hidden_act="quick_gelu",
        projection_dim=shape.text_width,
        bos_token_id=start,
        eos_token_id=end,
        pad_token_id=end,
    )
    encoder = CLIPTextModel(config)
    with torch.no_grad():
        torch.nn.init.normal_(encoder.get_input_embeddings().weight, 0, 0.3)
    return encoder


def build_unet(shape: BaseShape) -> UNet2DConditionModel:
    """A UNet that sees the caption by cross-attention and, pooled, in its time embedding.

    The pooled way (``addition_embed_type="text"``, which needs no input beyond the encoder's
    states) scales and shifts every residual block's norm: what is in the picture is then known
    everywhere long before attention has learned to look.
    """
    # Annotated by diffusers as one number; a number for each level is documented and works.
    heads: Any = shape.heads
    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=shape.latent_channels,
        out_channels=shape.latent_channels,
        block_out_channels=shape.widths,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=heads,
        cross_attention_dim=shape.text_width,
        use_linear_projection=True,
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",
        addition_embed_type_num_heads=shape.text_heads,
    )
    with torch.no_grad():
        for name, module in unet.named_modules():
            if not isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
                continue
            if name.endswith(("conv2", "proj_out")) or name == "conv_out":
                # Residual branches begin at zero, as in Dhariwal and Nichol 2021.
                for parameter in module.parameters():
                    torch.nn.init.zeros_(parameter)
            elif "samplers" in name or name.endswith("conv_shortcut"):
                torch.nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
    return unet


def build_scheduler() -> DDIMScheduler:
    """Cosine betas, v-prediction, "trailing" steps (they begin at pure noise)."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
        timestep_spacing="trailing",
    )
