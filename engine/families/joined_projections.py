"""Fewer and larger kernels: projections that read the same input are one matrix product.

Queries, keys and values of a self-attention; keys and values of all cross-attentions, which read
the same text; what all residual blocks make of the time embedding. On a fast card a step of batch 1
waits for launches rather than for arithmetic (docs/performance.md). Only in half precision: the
sums of a larger product may round in another way, and in fp32 everything computes as diffusers and
transformers do, to the last bit. Names and checkpoints stay as they are.

Divisions by one, which diffusers computes over every activation, are left out everywhere.

Shape legend: B batch, E width, L positions, D width of a head, C channels, H and W size.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from diffusers.models.resnet import ResnetBlock2D
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.clip.modeling_clip import CLIPAttention, eager_attention_forward

from engine.families.low_rank import LowRankTerm


def join_projections(unet: UNet2DConditionModel, encoders: Sequence[nn.Module]) -> None:
    """Let a UNet and CLIP text encoders compute so; once, when they are loaded."""
    attentions: dict[str, Any] = {
        name: module
        for name, module in unet.named_modules()
        if isinstance(module, Attention) and _is_plain(module)
    }
    blocks: list[Any] = [
        module for module in unet.modules() if type(module) is ResnetBlock2D and _is_usual(module)
    ]
    shared = _SharedInputs(unet, [*attentions.values()], blocks)
    processors = dict(unet.attn_processors)
    for name, attn in attentions.items():
        processors[f"{name}.processor"] = JoinedAttention(attn, shared)
    for block in blocks:
        block.__class__ = _ResidualBlock
        vars(block)["shared"] = shared
    unet.set_attn_processor(processors)
    module: Any
    for encoder in encoders:
        for module in encoder.modules():
            if type(module) is CLIPAttention:
                module.__class__ = _TextAttention
                layers = module.q_proj, module.k_proj, module.v_proj
                vars(module).update(
                    joined=JoinedLayers(layers), out=JoinedLayers([module.out_proj])
                )


class JoinedLayers:
    """Linear layers that read the same input, with their low-rank terms.

    Their weights are laid side by side in memory, where they stay parameters of their own, so that
    one product computes them all.
    """

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        """All with a bias, or all without, and of the same input width."""
        self.layers = tuple(layers)
        self._weights = self._biases = self._a = _SideBySide(())

    def __call__(self, x_BLE: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Each layer's output."""
        terms = self._terms(x_BLE)
        if terms is None or len(self.layers) + len(terms) <= 1:
            return tuple(layer(x_BLE) for layer in self.layers)
        self._weights = self._weights.now([layer.weight for layer in self.layers])
        biases = [layer.bias for layer in self.layers if layer.bias is not None]
        self._biases = self._biases.now(biases)
        self._a = self._a.now([term.a for term in terms])
        groups = self._weights, self._biases, self._a
        together = _Together(
            *(group.joined() for group in groups),
            sizes=[layer.out_features for layer in self.layers],
            ranks=[len(term.a) for term in terms],
        )
        own = [parameter for group in groups for parameter in group.parameters]
        return _Product.apply(x_BLE, together, *own, *(term.b for term in terms))  # type: ignore[return-value]

    def compute_in(self, dtype: torch.dtype) -> bool:
        """Whether the layers' weights are of this type, and it is not fp32."""
        return dtype != torch.float32 and all(layer.weight.dtype == dtype for layer in self.layers)

    def _terms(self, x: torch.Tensor) -> list[LowRankTerm] | None:
        """The low-rank terms, none or one of every layer; None: the layers must be called."""
        if not self.compute_in(x.dtype):
            return None
        hooks = [tuple(layer._forward_hooks.values()) for layer in self.layers]
        terms = [hook for each in hooks for hook in each if isinstance(hook, LowRankTerm)]
        alone = all(len(each) == 1 for each in hooks) and len(terms) == len(hooks)
        if any(hooks) and not (alone and all(term.fits(x) for term in terms)):
            return None
        return terms


class _SideBySide:
    """Parameters that are parts of one tensor; what moves them (`Module.to`) is noticed."""

    def __init__(self, parameters: Sequence[torch.Tensor]) -> None:
        self.parameters = tuple(parameters)
        self._joined: torch.Tensor | None = None

    def now(self, parameters: Sequence[torch.Tensor]) -> _SideBySide:
        """The same where these are its parameters."""
        same = len(parameters) == len(self.parameters) and all(
            map(is_, parameters, self.parameters)
        )
        return self if same else _SideBySide(parameters)

    def joined(self) -> torch.Tensor | None:
        """All of them along the first axis, detached; None where there are none."""
        if not self.parameters or (self._joined is not None and self._lie_there(self._joined)):
            return self._joined
        # What is made in inference mode could not be trained later.
        with torch.inference_mode(False):
            self._lay_out()
        return self._joined

    def _lay_out(self) -> None:
        self._joined = torch.cat([parameter.detach() for parameter in self.parameters])
        parts = self._joined.split([len(parameter) for parameter in self.parameters])
        for parameter, part in zip(self.parameters, parts, strict=True):
            # As `Module.to` does it.
            if torch.__future__.get_swap_module_params_on_conversion():
                made = nn.Parameter(part, requires_grad=parameter.requires_grad)
                torch.utils.swap_tensors(parameter, made)
            else:
                parameter.data = part

    def _lie_there(self, joined: torch.Tensor) -> bool:
        place = joined.data_ptr()
        for parameter in self.parameters:
            if parameter.data_ptr() != place or parameter.device != joined.device:
                return False
            place += parameter.numel() * parameter.element_size()
        return True


class _Together(NamedTuple):
    """What several layers are as one; tensors are detached."""

    weight: torch.Tensor | None
    bias: torch.Tensor | None
    a: torch.Tensor | None
    """The first factors of the low-rank terms."""
    sizes: list[int]
    ranks: list[int]


class _Product(torch.autograd.Function):
    """`x W^T + b` of all layers, and `x A^T B^T` added to each in place.

    Further arguments are all weights, then all biases, first and second factors, where there are
    any: gradients go to them.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, together: _Together, *own: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        weight, bias, a, sizes, ranks = together
        assert weight is not None
        b = own[len(own) - len(ranks) :]
        flat_x = _rows(x)
        out = F.linear(flat_x, weight, bias)
        low = None if a is None else F.linear(flat_x, a)
        if low is not None:
            parts = zip(out.split(sizes, -1), low.split(ranks, -1), b, strict=True)
            for own_out, own_low, own_b in parts:
                own_out.addmm_(own_low, own_b.T)
        ctx.together = together
        ctx.save_for_backward(x, weight, a, low, *b)
        return out.view(*x.shape[:-1], -1).split(sizes, -1)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        x, weight, a, low, *b = ctx.saved_tensors
        _, bias, _, sizes, ranks = ctx.together
        x_needs, _, *own_need = ctx.needs_input_grad
        count = len(sizes)
        # Concatenating a single one would copy it.
        out, flat_x = _rows(torch.cat(grads, -1) if count > 1 else grads[0]), _rows(x)
        to_x = out @ weight if x_needs else None
        none: list[torch.Tensor | None] = [None] * count
        own: list[torch.Tensor | None] = []
        own += (out.T @ flat_x).split(sizes) if any(own_need[:count]) else none
        if bias is not None:
            own += out.sum(0).split(sizes) if any(own_need[count : 2 * count]) else none
        if low is not None:
            to_low = torch.empty_like(low)
            parts = [*zip(out.split(sizes, -1), to_low.split(ranks, -1), b, strict=True)]
            for own_out, own_low, own_b in parts:
                torch.mm(own_out, own_b, out=own_low)
            if to_x is not None:
                to_x.addmm_(to_low, a)
            own += (to_low.T @ flat_x).split(ranks)
            lows = low.split(ranks, -1)
            own += [part[0].T @ own_low for part, own_low in zip(parts, lows, strict=True)]
        return None if to_x is None else to_x.view_as(x), None, *own


class _SharedInputs:
    """What many layers of one forward pass of a UNet make of the text and of the time.

    It is computed before the block that needs it first, thus outside what gradient checkpointing
    runs again, and kept until the next forward pass. So with checkpointing the backward pass comes
    before that; torch raises CheckpointError otherwise.
    """

    def __init__(
        self, unet: UNet2DConditionModel, attentions: Sequence[Any], timed: Sequence[Any]
    ) -> None:
        """`attentions`, `timed`: the UNet's layers and residual blocks that are joined."""
        blocks: list[Any] = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
        reading = [block for block in blocks if getattr(block, "has_cross_attention", False)]
        readers = [attn for attn in attentions if attn.is_cross_attention]
        self._text = JoinedLayers([layer for attn in readers for layer in (attn.to_k, attn.to_v)])
        self._time = JoinedLayers([block.time_emb_proj for block in timed])
        self._nonlinearity = timed[0].nonlinearity if timed else None
        self._outputs: dict[nn.Module, tuple[torch.Tensor, torch.Tensor]] = {}
        """Of layers: the very input that was given, and what they make of it."""
        self._activated: tuple[torch.Tensor, torch.Tensor] | None = None
        """The time embedding, and the same behind its nonlinearity."""
        blocks[0].register_forward_pre_hook(self._read_time, with_kwargs=True)
        if reading:
            reading[0].register_forward_pre_hook(self._read_text, with_kwargs=True)

    def _read_time(self, _block: nn.Module, given: Any, named: Any) -> None:
        self._outputs.clear()
        self._activated = None
        time_BE = named["temb"] if "temb" in named else given[1]
        if self._nonlinearity is not None and self._time.compute_in(time_BE.dtype):
            activated_BE = self._nonlinearity(time_BE)
            self._compute(self._time, activated_BE)
            self._activated = time_BE, activated_BE

    def _read_text(self, _block: nn.Module, _given: Any, named: Any) -> None:
        states_BLE = named.get("encoder_hidden_states")
        if states_BLE is not None and self._text.compute_in(states_BLE.dtype):
            self._compute(self._text, states_BLE)

    def _compute(self, joined: JoinedLayers, x: torch.Tensor) -> None:
        outputs = ((x, out) for out in joined(x))
        self._outputs.update(zip(joined.layers, outputs, strict=True))

    def of(self, layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """The layer's output for the input `x`; another one than the shared is no less right."""
        found = self._outputs.get(layer)
        return layer(x) if found is None or found[0] is not x else found[1]

    def activated(self, time_BE: torch.Tensor) -> torch.Tensor | None:
        """The time embedding behind its nonlinearity; None where the block computes its own."""
        found = self._activated
        return None if found is None or found[0] is not time_BE else found[1]


class JoinedAttention:
    """softmax(Q K^T / sqrt(D)) V of one layer, as diffusers' default processor computes it."""

    def __init__(self, attn: Attention, shared: _SharedInputs) -> None:
        self._shared = shared
        layers: Any = [attn.to_q, attn.to_k, attn.to_v]
        self._own = JoinedLayers(layers[:1] if attn.is_cross_attention else layers)
        outputs: Any = attn.to_out
        self._out, self._dropout = JoinedLayers(outputs[:1]), outputs[1]

    def project(
        self, attn: Attention, x_BLE: torch.Tensor, states_BLE: torch.Tensor | None
    ) -> tuple[torch.Tensor, ...]:
        """Queries of `x`, keys and values of the states, in self-attention of `x`, too."""
        projected = self._own(x_BLE)
        if states_BLE is None:
            return projected
        assert attn.to_k is not None and attn.to_v is not None
        of = self._shared.of
        return *projected, of(attn.to_k, states_BLE), of(attn.to_v, states_BLE)

    def output(self, heads_BHLD: torch.Tensor) -> torch.Tensor:
        """The layer's output of the values that its heads have gathered."""
        (out_BLE,) = self._out(heads_BHLD.transpose(1, 2).flatten(2))
        return self._dropout(out_BLE)

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        if attention_mask is not None:
            given = hidden_states, encoder_hidden_states, attention_mask, temb
            return AttnProcessor2_0()(attn, *given, **kwargs)
        projected = self.project(attn, hidden_states, encoder_hidden_states)
        query_BHLD, key_BHLD, value_BHLD = (
            x.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for x in projected
        )
        return self.output(F.scaled_dot_product_attention(query_BHLD, key_BHLD, value_BHLD))


class _ResidualBlock(ResnetBlock2D):
    """The usual block of Stable Diffusion."""

    shared: _SharedInputs

    def forward(self, input_tensor: torch.Tensor, temb: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        x_BCHW = self.conv1(self.nonlinearity(self.norm1(input_tensor)))
        activated = self.shared.activated(temb)
        if activated is None:
            activated = self.nonlinearity(temb)
        assert self.time_emb_proj is not None
        time_BC11 = self.shared.of(self.time_emb_proj, activated)[:, :, None, None]
        if self.time_embedding_norm == "default":
            x_BCHW = self.norm2(x_BCHW + time_BC11)
        else:
            scale_BC11, shift_BC11 = time_BC11.chunk(2, dim=1)
            x_BCHW = self.norm2(x_BCHW) * (1 + scale_BC11) + shift_BC11
        x_BCHW = self.conv2(self.dropout(self.nonlinearity(x_BCHW)))
        kept = input_tensor if self.conv_shortcut is None else self.conv_shortcut(input_tensor)
        return kept + x_BCHW


class _TextAttention(CLIPAttention):
    """Self-attention of a CLIP text encoder."""

    joined: JoinedLayers
    out: JoinedLayers

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        heads = [
            x_BLE.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for x_BLE in self.joined(hidden_states)
        ]
        chosen = self.config._attn_implementation or "eager"
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(chosen, eager_attention_forward)
        out_BLHD, weights = attend(
            self, *heads, attention_mask, scaling=self.scale, dropout=0.0, **kwargs
        )
        (out_BLE,) = self.out(out_BLHD.flatten(2))
        return out_BLE, weights


def _is_plain(attn: Attention) -> bool:
    """Whether a layer is what Stable Diffusion's UNets have: no norms or projections besides."""
    extras = (attn.spatial_norm, attn.group_norm, attn.norm_cross, attn.norm_q, attn.norm_k)
    return (
        not any(extra for extra in extras)
        and attn.added_kv_proj_dim is None
        and not attn.residual_connection
        and attn.rescale_output_factor == 1
        and None not in (attn.to_k, attn.to_v, attn.to_out)
        and isinstance(attn.processor, AttnProcessor2_0)
    )


def _is_usual(block: ResnetBlock2D) -> bool:
    return (
        not (block.up or block.down or block.skip_time_act)
        and block.output_scale_factor == 1
        and isinstance(block.time_emb_proj, nn.Linear)
        and block.time_embedding_norm in ("default", "scale_shift")
    )


def _rows(x: torch.Tensor) -> torch.Tensor:
    """All leading axes as one: (..., E) as (N, E)."""
    return x.flatten(0, -2)
