"""`emulated_cuda()`: one GPU for the length of a block. Import this before torch.

    with emulated_cuda() as gpu:
        base = api.load_base(folder, device="cuda")
        with gpu.region("training") as counts:
            for event in api.train(base.family, scene, config): ...
    assert counts.casts == 0

Blind to: cuDNN and cuBLAS kernels, streams, fragmentation of memory, speed. fp16 and bf16
arithmetic is that of the CPU kernels.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from typing import Any, Literal
from unittest import mock

from tests.emulated_cuda.guard import load_guard

load_guard()

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

from tests.emulated_cuda.device import CudaTensor, EmulatedCuda, aten  # noqa: E402

_true_attention = F.scaled_dot_product_attention


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Flash attention as on a GPU: one kernel, no matrix of probabilities."""
    if not isinstance(query, CudaTensor):
        return _true_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    if torch.is_autocast_enabled("cuda"):
        dtype = torch.get_autocast_dtype("cuda")
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
        if attn_mask is not None and attn_mask.is_floating_point():
            attn_mask = attn_mask.to(dtype)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        zeros = torch.zeros_like(attn_mask, dtype=query.dtype)
        attn_mask = zeros.masked_fill(~attn_mask, float("-inf"))
    return aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale
    )[0]


def _never_called(*_: torch.Tensor) -> torch.Tensor:
    raise AssertionError("operations of CudaTensors go to the mode")


def _plain_mode(mode: bool = True) -> Any:
    return torch.no_grad() if mode else torch.enable_grad()


@contextlib.contextmanager
def emulated_cuda(
    values: Literal["cpu", "meta"] = "cpu", capability: tuple[int, int] = (9, 0)
) -> Iterator[EmulatedCuda]:
    """One emulated GPU of that compute capability."""
    gpu = EmulatedCuda(values)
    memory = 80 << 30
    properties = types.SimpleNamespace(
        major=capability[0], minor=capability[1], name="Emulated GPU", total_memory=memory,
        multi_processor_count=132, gcnArchName="",
    )  # fmt: skip
    patches: dict[str, Any] = {
        "is_available": lambda: True, "device_count": lambda: 1, "current_device": lambda: 0,
        "get_device_properties": lambda *_: properties, "set_device": lambda *_: None,
        "get_device_capability": lambda *_: capability, "synchronize": lambda *_: None,
        "empty_cache": lambda: None, "get_device_name": lambda *_: "Emulated GPU",
        "_lazy_init": lambda: None, "mem_get_info": lambda *_: (memory - gpu.live, memory),
        "is_bf16_supported": lambda *_, **__: True,
        "max_memory_allocated": lambda *_: gpu.regions[""].peak,
        "reset_peak_memory_stats": lambda *_: None,
    }  # fmt: skip
    with contextlib.ExitStack() as stack:
        for name, replacement in patches.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, replacement))
        stack.enter_context(mock.patch.object(F, "scaled_dot_product_attention", _attention))
        # torch takes its fused multi-tensor kernels for its own classes only.
        stack.enter_context(
            mock.patch.object(torch.nn.utils.clip_grad, "_has_foreach_support", lambda *_: True)
        )
        # A view of a normal tensor in inference mode cannot be a wrapper.
        stack.enter_context(mock.patch.object(torch, "inference_mode", _plain_mode))
        inside: Any = torch._C
        # `torch.tensor(..., device="cuda")` must reach the mode before it moves.
        stack.callback(inside._set_only_lift_cpu_tensors, inside._only_lift_cpu_tensors())
        inside._set_only_lift_cpu_tensors(True)
        # Device threads of autograd need a real device.
        stack.enter_context(torch.autograd.set_multithreading_enabled(False))
        # `module.to()` keeps its parameter objects, as on a GPU, though their class changes.
        swap: Any = torch.__future__
        stack.callback(
            swap.set_swap_module_params_on_conversion, swap.get_swap_module_params_on_conversion()
        )
        swap.set_swap_module_params_on_conversion(True)
        # A GPU has a kernel of its own for this one; without it torch takes it apart into six.
        kernels = torch.library.Library("aten", "IMPL")
        stack.callback(kernels._destroy)
        kernels.impl("silu_backward", _never_called, "CUDA")
        EmulatedCuda.active = gpu
        try:
            with gpu:
                yield gpu
        finally:
            EmulatedCuda.active = None
