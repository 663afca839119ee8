"""Which device and which precision a run uses, and how that is said to the person."""

from __future__ import annotations

import gc
import os
from contextlib import AbstractContextManager, nullcontext

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs

from engine.core.errors import UserError
from engine.models.names import has_cuda_device


def choose_device(requested: str) -> torch.device:
    """`auto`: cuda, else mps, else cpu; raises UserError for a device that is not there."""
    has_mps = torch.backends.mps.is_available()
    if requested == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if has_mps else "cpu")
    kind, _, index = requested.partition(":")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    present = {"cuda": count > 0, "mps": has_mps, "cpu": True}.get(kind, False)
    if not present:
        raise UserError(
            f"there is no {requested} device here",
            "use --set device=cpu, or install a torch build for your GPU",
        )
    if index and not (kind == "cuda" and index.isdecimal() and int(index) < count):
        raise UserError(
            f"there is no {requested} device here",
            f"take one of {', '.join(f'cuda:{k}' for k in range(count)) or kind}",
        )
    return torch.device(requested)


def unused_gpu(device: torch.device) -> str:
    """Why torch computes on the CPU although an NVIDIA GPU is seen here; empty where none is."""
    if device.type != "cpu" or not has_cuda_device():
        return ""
    if torch.version.cuda is None:
        return "this build of torch knows no CUDA"
    return f"its driver is missing or too old for CUDA {torch.version.cuda}"


def choose_precision(requested: str, device: torch.device) -> str:
    """fp32, bf16 or fp16. `auto`: bf16 on cuda, fp16 on older cards, fp32 elsewhere.

    On a CPU bf16 becomes fp32 unless ``has_fast_bf16``, on Apple's GPUs before macOS 14.
    """
    if requested == "auto":
        if device.type != "cuda":
            return "fp32"
        # Before Ampere (8.0) bf16 is emulated, many times slower.
        return "bf16" if torch.cuda.get_device_capability(device)[0] >= 8 else "fp16"
    if device.type == "mps" and requested == "bf16":
        return "bf16" if torch.backends.mps.is_macos_or_newer(14, 0) else "fp32"
    if device.type == "cpu" and (requested == "fp16" or not has_fast_bf16()):
        return "fp32"
    return requested


def free_memory_of_the_dead() -> None:
    """Give back what a model took that nobody holds any more.

    Modules and their hooks refer to each other, so that only the collector finds them; a second
    model that is loaded before would stand beside the first (4.5 GiB, Stable Diffusion 2.1).
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def has_fast_bf16() -> bool:
    """Whether this CPU computes faster in bf16 than in fp32.

    With matrix tiles (AMX) it does. With AVX512-BF16 alone, a training step of the pocket model
    took .38 of fp32's time on an AMD processor and twice fp32's time on another maker's.
    """
    abilities = torch.cpu.get_capabilities()
    amd = "AMD" in str(abilities.get("cpu_name", ""))
    return bool(abilities.get("amx_bf16") or (amd and abilities.get("avx512_bf16")))


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Mixed precision over fp32 weights; a no-op for fp32."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=half_type(precision))


def half_type(precision: str) -> torch.dtype:
    """The numbers of `bf16` or `fp16`."""
    return torch.bfloat16 if precision == "bf16" else torch.float16


def mixed_precision(device: str) -> AbstractContextManager[object]:
    """bf16 autocast where that is faster than fp32 on this kind of device; else a no-op."""
    kind = torch.device(device)
    return autocast(kind, choose_precision("bf16", kind))


def make_accelerator(device: str, precision: str, gradient_accumulation: int) -> Accelerator:
    """The one Accelerator of a run: device, mixed precision and accumulation.

    Under `accelerate launch` it joins the group of processes; otherwise it starts afresh, so that
    a notebook may train twice with different settings.
    """
    chosen = choose_device(device)
    if "WORLD_SIZE" not in os.environ:
        # Accelerate keeps the first precision of a process for ever; only this call undoes that.
        AcceleratorState._reset_state(reset_partial_state=True)
    names = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}
    if chosen.type == "cuda" and chosen.index is not None:
        # Accelerate knows the current GPU only.
        torch.cuda.set_device(chosen)
    # The last layers of SDXL's encoders are never used; without this, several processes wait for
    # their gradients for ever.
    several = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(
        kwargs_handlers=[several],
        cpu=chosen.type == "cpu",
        mixed_precision=names[choose_precision(precision, chosen)],
        gradient_accumulation_steps=gradient_accumulation,
    )


def precision_note(requested: str, accelerator: Accelerator) -> str:
    """One line: where the run trains and in which precision."""
    mixed = accelerator.mixed_precision
    used = "fp32" if mixed == "no" else mixed
    note = f"training on {accelerator.device} in {used}"
    if requested not in ("auto", used):
        note += f" ({requested} is not fast on this processor)"
    return note
