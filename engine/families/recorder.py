"""Records cross-attention probabilities of chosen layers through diffusers' attention processors.

Shape legend: B batch, H heads, Q query positions, L prompt positions, K placeholder slots.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor

from engine.core.errors import UserError
from engine.families.joined_projections import JoinedAttention


def attention_grids(unet: UNet2DConditionModel, latent_size: int) -> dict[str, int]:
    """Processor names of cross-attention layers in down and up blocks -> query grid side."""
    down_types = unet.config["down_block_types"]
    up_types = unet.config["up_block_types"]
    sides: dict[str, int] = {}
    for index, kind in enumerate(down_types):
        if "CrossAttn" in kind:
            sides[f"down_blocks.{index}."] = latent_size >> index
    for index, kind in enumerate(up_types):
        if "CrossAttn" in kind:
            sides[f"up_blocks.{index}."] = latent_size >> (len(up_types) - 1 - index)
    return {
        name: side
        for name in unet.attn_processors
        for prefix, side in sides.items()
        if name.startswith(prefix) and ".attn2." in name
    }


def layers_on_grid(unet: UNet2DConditionModel, latent_size: int, grid: int) -> tuple[str, ...]:
    """Processor names of the cross-attention layers with a `grid` x `grid` query (paper: 16).

    Raises UserError when the model has none at this resolution, and names those it has.
    """
    grids = attention_grids(unet, latent_size)
    names = tuple(name for name, side in grids.items() if side == grid)
    if not names:
        sides = ", ".join(str(side) for side in sorted(set(grids.values())))
        raise UserError(
            f"this model has no {grid}x{grid} cross-attention at this resolution",
            f"set loss.attention_grid to one of: {sides}",
        )
    return names


class CrossAttentionMaps:
    """A UNet's cross-attention as the method supervises it (paper, section 3.2)."""

    def __init__(self, unet: UNet2DConditionModel, factor: int) -> None:
        """`factor`: picture pixels along a latent position."""
        self._unet, self._factor = unet, factor

    def default_grid(self, resolution: int) -> int:
        """The grid that is nearest to a quarter of the latents' side: 16 on SD, 32 on SDXL."""
        side = resolution // self._factor
        grids = sorted(set(attention_grids(self._unet, side).values()))
        return min(grids, key=lambda grid: abs(grid - side / 4), default=max(1, side // 4))

    def layers(self, resolution: int, grid: int) -> tuple[str, ...]:
        """Layers of the down and up blocks with a grid x grid query; raises UserError."""
        return layers_on_grid(self._unet, resolution // self._factor, grid)

    def recorder(self, layers: Sequence[str], *, plain_attention: bool) -> Recorder:
        """A recorder of these layers, to be entered for the training."""
        return Recorder(self._unet, layers, plain_attention=plain_attention)


class Recorder:
    """Replaces the processors of the chosen layers while it is entered; restores them after.

    Outside `capture` the layers compute as they would without it. The replaced processors stay in
    place over a backward pass, because gradient checkpointing runs the layers again there and must
    meet the same arithmetic; only the recording is closed.
    """

    def __init__(
        self, unet: UNet2DConditionModel, layers: Sequence[str], *, plain_attention: bool = False
    ) -> None:
        """`plain_attention`: matmul and softmax in every other layer too (faster on small CPUs)."""
        self._unet = unet
        self._layers = frozenset(layers)
        self._before: dict[str, Any] = {}
        self._plain = plain_attention
        self._columns_BK: torch.Tensor | None = None
        self._sink: list[torch.Tensor] | None = None

    def __enter__(self) -> Recorder:
        self._before = dict(self._unet.attn_processors)
        other = AttnProcessor()
        chosen: dict[str, Any] = {
            name: (
                _RecordingProcessor(self, before)
                if name in self._layers
                else (other if self._plain else before)
            )
            for name, before in self._before.items()
        }
        self._unet.set_attn_processor(chosen)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._unet.set_attn_processor(dict(self._before))

    @contextmanager
    def capture(self, columns_BK: torch.Tensor) -> Iterator[list[torch.Tensor]]:
        """Collect the probabilities of prompt positions `columns_BK` (int64) of one forward pass.

        The list holds one (B, H, Q, K) tensor per layer when the context closes.
        """
        self._columns_BK = columns_BK
        self._sink = []
        try:
            yield self._sink
        finally:
            self._sink = None

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Run the model with other batch shapes (previews) without gathering columns."""
        columns, self._columns_BK = self._columns_BK, None
        try:
            yield
        finally:
            self._columns_BK = columns


class _RecordingProcessor:
    """Cross-attention that can hand out probabilities; plain softmax(QK^T / sqrt(d)) V."""

    def __init__(self, owner: Recorder, before: Any) -> None:
        """`before`: the processor in whose place it stands."""
        self._owner = owner
        self._joined = before if isinstance(before, JoinedAttention) else None

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,  # noqa: ARG002 - the processor interface of diffusers
        **kwargs: object,  # noqa: ARG002
    ) -> torch.Tensor:
        assert encoder_hidden_states is not None, "only cross-attention layers are recorded"
        assert attention_mask is None, "SD's UNet passes no attention mask"
        assert attn.to_k is not None and attn.to_v is not None and attn.to_out is not None
        heads, joined = attn.heads, self._joined
        if joined is None:
            states_BLE = encoder_hidden_states
            projected = attn.to_q(hidden_states), attn.to_k(states_BLE), attn.to_v(states_BLE)
        else:
            projected = joined.project(attn, hidden_states, encoder_hidden_states)
        query_BHQD, key_BHLD, value_BHLD = (
            x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in projected
        )
        columns_BK = self._owner._columns_BK
        if columns_BK is None:
            out_BHQD = F.scaled_dot_product_attention(
                query_BHQD, key_BHLD, value_BHLD, scale=attn.scale
            )
        else:
            scores_BHQL = _scores(query_BHQD, key_BHLD, attn.scale)
            # The loss divides maps by their maximum: half precision would quantise the quotient.
            probs_BHQL = scores_BHQL.float().softmax(dim=-1)
            index_BHQK = columns_BK[:, None, None, :].expand(-1, heads, query_BHQD.shape[2], -1)
            picked_BHQK = probs_BHQL.gather(-1, index_BHQK)
            if self._owner._sink is not None:
                self._owner._sink.append(picked_BHQK)
            out_BHQD = probs_BHQL.to(value_BHLD.dtype) @ value_BHLD
        if joined is not None:
            return joined.output(out_BHQD)
        out_BQE = out_BHQD.transpose(1, 2).flatten(2)
        out_BQE = attn.to_out[1](attn.to_out[0](out_BQE))
        if attn.residual_connection:
            out_BQE = out_BQE + hidden_states
        return out_BQE / attn.rescale_output_factor


def _scores(query_BHQD: torch.Tensor, key_BHLD: torch.Tensor, scale: float) -> torch.Tensor:
    """Q K^T / sqrt(d). In fp16 the unscaled product can overflow, so half precision is widened."""
    key_BHDL = key_BHLD.transpose(-1, -2)
    if query_BHQD.dtype == torch.float32:
        return query_BHQD @ key_BHDL * scale
    with torch.autocast(query_BHQD.device.type, enabled=False):
        return (query_BHQD.float() * scale) @ key_BHDL.float()
