"""Which weight a key of a LoRA file means, whichever program named it.

Namings differ in a prefix, in the layout of the paths (the libraries' or the original one) and in
dots or underscores. So every module gets all the names it may have, with underscores alone.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from engine.families.unet_targets import plain_name
from engine.results.exports.layouts import UnetShape, unet_name

UNET_PREFIXES = (
    "lora_unet_",  # kohya, and every web interface
    "unet_",  # diffusers
    "",  # diffusers' first files, of a UNet alone
    "diffusion_model_",  # ComfyUI's own LoRA Save
    "base_model_model_",  # PEFT's adapter files
    "base_model_model_unet_",
    "lycoris_",
)
TEXT_PREFIXES = (
    ("lora_te_", "lora_te1_", "text_encoder_", "clip_l_transformer_", "clip_h_transformer_",
     "text_encoders_clip_l_transformer_", "text_encoders_clip_h_transformer_", "lycoris_te_"),
    ("lora_te2_", "text_encoder_2_", "clip_g_transformer_", "text_encoders_clip_g_transformer_",
     "lycoris_te2_"),
)  # fmt: skip
PARTS = {
    "down": (".lora_down.weight", ".lora_A.weight", ".lora_A.default.weight",
             ".lora_linear_layer.down.weight", ".lora.down.weight", "_lora.down.weight"),
    "up": (".lora_up.weight", ".lora_B.weight", ".lora_B.default.weight",
           ".lora_linear_layer.up.weight", ".lora.up.weight", "_lora.up.weight"),
    "mid": (".lora_mid.weight",),
    "alpha": (".alpha",),
    "diff": (".diff", ".w_norm"),
    "diff_b": (".diff_b", ".b_norm"),
    **{part: (f".{part}",) for part in (
        "hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2",
        "lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2",
    )},
    "dora": (".dora_scale", ".lora_magnitude_vector", ".lora_magnitude_vector.weight"),
}  # fmt: skip
"""The endings of keys, by what the tensor is."""
ENDINGS = {ending: part for part, endings in PARTS.items() for ending in endings}
OLD_TEXT = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out_0": "out_proj"}


class Key(NamedTuple):
    """A key of a LoRA file."""

    module: str
    """Its module, with underscores alone."""
    part: str
    """One of `PARTS`."""


def read_key(key: str) -> Key | None:
    """Module and part; None for a key that no kind of LoRA has."""
    ending = max((end for end in ENDINGS if key.endswith(end)), key=len, default="")
    if not ending:
        return None
    module = key.removesuffix(ending)
    if ending.startswith("_lora."):  # Attention processors of diffusers' first files.
        module = re.sub(r"\.to_out$", ".to_out.0", module.replace(".processor.", "."))
    flat = module.replace(".", "_")
    if "self_attn_to_" in flat:
        head, _, tail = flat.rpartition("self_attn_")
        flat = f"{head}self_attn_{OLD_TEXT.get(tail, tail)}"
    return Key(flat, ENDINGS[ending])


def module_names(modules: Iterable[str], shape: UnetShape) -> dict[str, str]:
    """Every name of every module -> the module; modules as `unet.<path>`, `text_encoder.<path>`."""
    names: dict[str, str] = {}
    for module in modules:
        for name in _names(module, shape):
            names.setdefault(name, module)
    return names


def _names(module: str, shape: UnetShape) -> Iterator[str]:
    network, _, path = module.partition(".")
    if network == "unet":
        paths, prefixes = [path], UNET_PREFIXES
        with contextlib.suppress(KeyError):  # A part that the original layout does not have.
            paths.append(unet_name(path, shape))
    else:
        plain = plain_name(f".{path}").removeprefix(".")
        paths = [f"text_model.{plain}", plain]
        prefixes = TEXT_PREFIXES[1 if network.endswith("_2") else 0]
    for way in paths:
        flat = way.replace(".", "_")
        for prefix in prefixes:
            yield prefix + flat
