"""What a model's folder or file holds, told from names, JSON and safetensors headers alone.

No weights are read and no pickle is ever opened, so this is quick and needs no torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from engine.core.errors import UserError

PICKLES = frozenset({".ckpt", ".bin", ".pt", ".pth", ".pkl"})
WEIGHT_STEMS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
}
TOKENIZER_FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"))
ONLY_SD = "only Stable Diffusion 1.x and 2.x work"
TAKE_SD = "use --base sd15 or sd21, or another model of that kind"
LAYOUT = "a diffusers folder holds model_index.json, unet/, vae/, text_encoder/, tokenizer/"
MAX_HEADER = 100_000_000
LATENT_CHANNELS = 4

OTHER_KINDS = {
    "label_emb.": "a Stable Diffusion XL",
    "conditioner.": "a Stable Diffusion XL",
    "joint_blocks.": "a Stable Diffusion 3",
    "double_blocks.": "a FLUX",
    "double_stream_blocks.": "a FLUX",
    "single_transformer_blocks.": "a FLUX",
}
"""Parts of tensor names that only models of another kind have."""


class Weights(NamedTuple):
    """The safetensors files of one component, as names inside the component's folder."""

    files: tuple[str, ...]
    """In the order of their shards."""
    shard_index: str
    """The JSON file that says which shard holds what; empty for a single file."""
    variant: str
    """`fp16` where the names carry it, else empty."""


class Header(NamedTuple):
    """The header of a safetensors file."""

    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str]


class SingleFile(NamedTuple):
    """A whole Stable Diffusion model in the original (LDM) layout."""

    version: Literal[1, 2]
    """1: OpenAI's CLIP text encoder; 2: OpenCLIP's."""
    prediction: Literal["epsilon", "v_prediction", ""]
    """What the file's metadata says of it; empty where it says nothing."""
    resolution: int
    """Native side in pixels after the metadata; 0 where it says nothing."""


def choose_weights(names: Collection[str], component: str) -> Weights | None:
    """The weights of a component among file names: fp32 before fp16, whole before sharded.

    None when there is no complete set of safetensors files. Copies with other roles (`non_ema`)
    and every other format are passed over.
    """
    stem = WEIGHT_STEMS[component]
    for variant in ("", "fp16"):
        dotted = f".{variant}" if variant else ""
        whole = f"{stem}{dotted}.safetensors"
        if whole in names:
            return Weights((whole,), "", variant)
        index = f"{stem}.safetensors.index{dotted}.json"
        shard = re.compile(
            rf"{stem}(?:{re.escape(dotted)}-\d+-of-(\d+)|-\d+-of-(\d+){re.escape(dotted)})"
            r"\.safetensors"
        )
        shards = [(match, name) for name in sorted(names) if (match := shard.fullmatch(name))]
        if index in names and shards:
            count = int(shards[0][0].group(1) or shards[0][0].group(2))
            if len(shards) == count:
                return Weights(tuple(name for _, name in shards), index, variant)
    return None


def folder_weights(folder: Path, component: str) -> Weights:
    """The weights of a component in a diffusers folder; raises UserError without any."""
    part = folder / component
    names = {path.name for path in part.iterdir() if path.is_file()}
    found = choose_weights(names, component)
    if found is not None:
        return found
    if any(name.endswith(".safetensors") and WEIGHT_STEMS[component] in name for name in names):
        raise UserError(f"{part} lacks some of its weights' files", "copy or download it again")
    if any(Path(name).suffix in PICKLES for name in names):
        raise UserError(
            f"{part} holds pickled weights only, which are never opened",
            "convert them to safetensors, or take a copy of the model that has them",
        )
    raise UserError(f"{part} holds no weights", "copy or download it again")


def check_folder(folder: Path) -> None:
    """Raise UserError unless the folder is a whole Stable Diffusion 1.x or 2.x model.

    Reads JSON files and safetensors headers only.
    """
    index = _read_json(folder / "model_index.json")
    if index is None:
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
        loose = sorted(path.name for path in folder.glob("*.safetensors"))
        if loose:
            remedy = f"if the model is a single file, name it: {folder / loose[0]}"
        elif pickled:
            remedy = f"{pickled[0]} is a pickle, which is never opened: convert it to safetensors"
        else:
            remedy = LAYOUT
        raise UserError(f"{folder} is no diffusers folder: it has no model_index.json", remedy)
    _check_kind(folder, index)
    for part in (*WEIGHT_STEMS, "tokenizer", "scheduler"):
        if not (folder / part).is_dir():
            raise UserError(f"{folder} has no {part}/", LAYOUT)
    for part, name in (*((part, "config.json") for part in WEIGHT_STEMS),
                       ("scheduler", "scheduler_config.json")):  # fmt: skip
        if _read_json(folder / part / name) is None:
            raise UserError(f"{folder / part} has no readable {name}", "copy or download it again")
    if not any(
        all((folder / "tokenizer" / name).is_file() for name in names) for names in TOKENIZER_FILES
    ):
        raise UserError(
            f"{folder / 'tokenizer'} has neither tokenizer.json nor vocab.json and merges.txt",
            "copy or download it again",
        )
    unet = _read_json(folder / "unet" / "config.json") or {}
    vae = _read_json(folder / "vae" / "config.json") or {}
    latent = vae.get("latent_channels", LATENT_CHANNELS)
    _check_channels(str(folder), unet.get("in_channels", latent), latent)
    for part in WEIGHT_STEMS:
        for name in folder_weights(folder, part).files:
            read_header(folder / part / name)


def check_file(path: Path) -> SingleFile:
    """What a single model file holds; raises UserError for all but Stable Diffusion 1.x and 2.x.

    Reads the header only; a pickle is refused by its name.
    """
    if path.suffix in PICKLES:
        raise UserError(
            f"{path} is a pickle, which can run code and is never opened",
            "convert it to safetensors",
        )
    if path.suffix != ".safetensors":
        raise UserError(
            f"{path} is no model file", "give a .safetensors file or a diffusers folder"
        )
    shapes, metadata = read_header(path)
    unet = {
        name.removeprefix("model.diffusion_model."): shape
        for name, shape in shapes.items()
        if name.startswith("model.diffusion_model.")
    }
    for part, kind in OTHER_KINDS.items():
        if any(name.startswith(part) for name in (*shapes, *unet)):
            raise UserError(f"{path} is {kind} model; {ONLY_SD}", TAKE_SD)
    if not unet:
        if any("lora" in name.lower() for name in shapes):
            raise UserError(f"{path} is a LoRA, an add-on to a model", "name the model it is for")
        raise UserError(
            f"{path} holds no whole Stable Diffusion model (no model.diffusion_model. tensors)",
            "give the whole checkpoint, or a diffusers folder",
        )
    for prefix, part in (("first_stage_model.", "VAE"), ("cond_stage_model.", "text encoder")):
        if not any(name.startswith(prefix) for name in shapes):
            raise UserError(
                f"{path} holds no {part}", "give the whole checkpoint, or a diffusers folder"
            )
    first = unet.get("input_blocks.0.0.weight", ())
    _check_channels(str(path), first[1] if len(first) > 1 else LATENT_CHANNELS)
    open_clip = any(name.startswith("cond_stage_model.model.") for name in shapes)
    return SingleFile(2 if open_clip else 1, *_model_spec(metadata))


def configs_beside(path: Path) -> Path | None:
    """The folder `NAME/` of configurations beside `NAME.safetensors`, where there is one."""
    folder = path.with_suffix("")
    return folder if (folder / "model_index.json").is_file() else None


def read_header(path: Path) -> Header:
    """Tensor shapes and metadata of a safetensors file; UserError when it is damaged or cut off."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = int.from_bytes(start, "little")
            fits = len(start) == 8 and 2 <= length <= min(size - 8, MAX_HEADER)
            header = file.read(length) if fits else b""
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})", "check the file") from error
    try:
        table: Any = json.loads(header)
    except ValueError:
        table = None
    if not isinstance(table, dict):
        pointer = start.startswith(b"version ")
        raise UserError(
            f"{path} is {'a Git LFS pointer' if pointer else 'no safetensors file'}",
            "fetch it with git lfs pull" if pointer else "copy or download it again",
        )
    entries = cast(dict[str, Any], table)
    metadata = {str(key): str(value) for key, value in entries.pop("__metadata__", {}).items()}
    try:
        shapes = {name: tuple(entry["shape"]) for name, entry in entries.items()}
        end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(f"{path} is damaged", "copy or download it again") from error
    if 8 + length + end > size:
        raise UserError(f"{path} is cut off", "copy or download it again")
    return Header(shapes, metadata)


def _check_kind(folder: Path, index: dict[str, Any]) -> None:
    name = str(index.get("_class_name", ""))
    if "text_encoder_2" in index or "XL" in name:
        kind = "a Stable Diffusion 3" if "transformer" in index else "a Stable Diffusion XL"
    elif "transformer" in index or "unet" not in index:
        kind = f"a {name}" if name else "an unknown"
    else:
        return
    if "Flux" in name:
        kind = "a FLUX"
    raise UserError(f"{folder} is {kind} model; {ONLY_SD}", TAKE_SD)


def _check_channels(what: str, channels: Any, latent: Any = LATENT_CHANNELS) -> None:
    if channels != latent:
        kind = {9: "an inpainting model", 5: "a depth model"}.get(
            channels, f"a model with {channels} input channels"
        )
        raise UserError(f"{what} is {kind}; the method needs a text-to-image model", TAKE_SD)


def _model_spec(
    metadata: dict[str, str],
) -> tuple[Literal["epsilon", "v_prediction", ""], int]:
    """Prediction and resolution after the `modelspec.` metadata of a safetensors file."""
    told = metadata.get("modelspec.prediction_type", "").lower()
    architecture = metadata.get("modelspec.architecture", "").lower()
    prediction: Literal["epsilon", "v_prediction", ""] = ""
    if told in ("v", "v_prediction", "v-prediction") or architecture.endswith("768-v"):
        prediction = "v_prediction"
    elif told in ("epsilon", "eps"):
        prediction = "epsilon"
    side = re.match(r"\d+", metadata.get("modelspec.resolution", ""))
    return prediction, int(side.group()) if side else 0


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return cast(dict[str, Any], value) if isinstance(value, dict) else None
