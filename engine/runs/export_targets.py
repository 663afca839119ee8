"""Where a run's concepts can go, and what that is for."""

from __future__ import annotations

from typing import Literal

Target = Literal["a1111", "comfyui", "diffusers", "checkpoint", "pack"]
TARGETS: dict[Target, str] = {
    "a1111": "A1111, Forge, reForge: LoRA, embeddings, and both in one file",
    "comfyui": "ComfyUI: LoRA and embeddings",
    "diffusers": "Python: a pipeline folder, and the same as small files",
    "checkpoint": "a whole model in one file for A1111, Forge, ComfyUI: nothing is lost",
    "pack": "one file to share: bas import makes a run of it",
}
WITH_LORA: tuple[Target, ...] = ("a1111", "comfyui", "diffusers")
"""Those that hold the change as a LoRA."""
DEFAULT_RANK = 32
MAX_RANK = 128
README = "README.txt"
HEAD = "bas export"
"""How every README of an export begins: by it an older one is known, and may be replaced."""
