"""What a model's folder or file holds, told from names, JSON and safetensors headers alone.

No weights are read and no pickle is ever opened, so this is quick and needs no torch.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from engine.core.errors import UserError
from engine.models.headers import (
    DAMAGED,
    is_pickle,
    is_safetensors,
    read_header,
    read_json,
)
from engine.models.kinds import FamilyKind, kind_of_file, kind_of_folder, kinds
from engine.models.weight_files import folder_weights

TOKENIZER_FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"))
TAKE_OTHER = "use --base sd15, sd21 or sdxl, or another model of these kinds"
LAYOUT = "a diffusers folder holds model_index.json, unet/, vae/, text_encoder/, tokenizer/"
LATENT_CHANNELS = 4
NOT_COMPONENTS = frozenset({"safety_checker", "feature_extractor", "image_encoder"})
"""Components that a text-to-image pipeline may have or not."""

OTHER_KINDS = {
    "label_emb.": "a Stable Diffusion XL without its text encoders",
    "joint_blocks.": "a Stable Diffusion 3",
    "double_blocks.": "a FLUX",
    "double_stream_blocks.": "a FLUX",
    "single_transformer_blocks.": "a FLUX",
    "text_encoders.": "a transformer",
    "edm_mean": "a Playground (EDM noise)",
}
"""Beginnings of tensor names that only files of other kinds have."""

OTHER_PIPELINES = {
    "Inpaint": "an inpainting",
    "UnCLIP": "an unCLIP",
    "LatentConsistency": "a latent consistency (few-step)",
    "InstructPix2Pix": "an instruction editing",
    "Upscale": "an upscaling",
    "Depth2Img": "a depth",
    "Flux": "a FLUX",
    "StableDiffusion3": "a Stable Diffusion 3",
}
"""Parts of pipeline class names that no family here can train."""

OTHER_UNETS = {
    "class_embed_type": "a model with class labels (unCLIP and the like)",
    "num_class_embeds": "a model with class labels",
    "encoder_hid_dim_type": "a model that also reads pictures",
    "time_cond_proj_dim": "a latent consistency model, which is told its guidance",
}
"""Keys of a UNet's configuration that must not be set."""

PREDICTIONS: dict[str, Literal["epsilon", "v_prediction"]] = {
    "v": "v_prediction",
    "v_prediction": "v_prediction",
    "v-prediction": "v_prediction",
    "eps": "epsilon",
    "epsilon": "epsilon",
}


class SingleFile(NamedTuple):
    """A whole model in the original (LDM or sgm) layout."""

    kind: FamilyKind
    open_clip: bool
    """Stable Diffusion 2.x: the text encoder has OpenCLIP's names."""
    prediction: Literal["epsilon", "v_prediction", ""]
    """What the file, or the `.yaml` beside it, says; empty where nothing does."""
    resolution: int
    """Native side in pixels after the metadata; 0 where it says nothing."""
    zero_snr: bool = False
    """Trained with a last timestep of pure noise (`ztsnr`, arXiv 2305.08891)."""


def only_these() -> str:
    """The kinds that work, for messages."""
    return f"only {' and '.join(kind.title for kind in kinds())} work"


def check_folder(folder: Path, *, trained: bool = False) -> FamilyKind:
    """The kind of a diffusers folder; raises UserError unless it is whole and of a known kind.

    Reads JSON files and safetensors headers only. `trained`: it may know learned tokens already.
    """
    index = read_json(folder / "model_index.json")
    if index is None:
        raise _no_folder(folder)
    kind = _folder_kind(folder, index)
    for part in sorted(kind.parts):
        if not (folder / part).is_dir():
            raise UserError(f"{folder} has no {part}/", LAYOUT)
    for part in kind.weights:
        if read_json(folder / part / "config.json") is None:
            raise UserError(f"{folder / part} has no readable config.json", DAMAGED)
    _check_scheduler(folder)
    for tokenizer in kind.tokenizers:
        _check_tokenizer(folder / tokenizer, trained=trained)
    _check_unet(folder)
    for part, stem in kind.weights.items():
        for name in folder_weights(folder, part, stem).files:
            read_header(folder / part / name)
    return kind


def model_folder(path: Path) -> Path:
    """The folder itself, or the one snapshot in a copy of the hub's cache.

    Raises UserError where there are several.
    """
    if (path / "model_index.json").is_file():
        return path
    inside = [
        index.parent
        for pattern in ("snapshots/*", "models--*/snapshots/*")
        for index in sorted(path.glob(f"{pattern}/model_index.json"))
    ]
    if len(inside) > 1:
        raise UserError(f"{path} holds {len(inside)} models", f"name one of them: {inside[0]}")
    return inside[0] if inside else path


def check_file(path: Path, *, own_vae: bool = False) -> SingleFile:
    """What a single model file holds; raises UserError for what is no whole model of a known kind.

    Reads the header only; a pickle is refused by its name. With `own_vae` it may lack the VAE.
    """
    if is_pickle(path):
        raise UserError(
            f"{path} is a pickle, which can run code and is never opened",
            "convert it to safetensors",
        )
    if not is_safetensors(path):
        raise UserError(
            f"{path} is no model file", "give a .safetensors file or a diffusers folder"
        )
    shapes, metadata, _ = read_header(path)
    kind, lacking = kind_of_file(shapes)
    if own_vae and lacking == ("VAE",):
        lacking = ()
    if kind is None or lacking:
        raise _no_file(path, shapes, kind, lacking)
    _refuse_other(path, shapes, known=kind)
    first = shapes.get("model.diffusion_model.input_blocks.0.0.weight", ())
    _check_channels(str(path), first[1] if len(first) > 1 else LATENT_CHANNELS)
    prediction, resolution = _model_spec(metadata)
    if "v_pred" in shapes:
        prediction = "v_prediction"
    return SingleFile(
        kind,
        any(name.startswith("cond_stage_model.model.") for name in shapes),
        prediction or _yaml_prediction(path),
        resolution,
        "ztsnr" in shapes,
    )


def configs_beside(path: Path) -> Path | None:
    """The folder `NAME/` of configurations beside `NAME.safetensors`, where there is one."""
    folder = path.with_suffix("")
    return folder if (folder / "model_index.json").is_file() else None


def _no_folder(folder: Path) -> UserError:
    names = [path.name for path in folder.iterdir()]
    if any(name.startswith(("random_states_", "optimizer.")) for name in names):
        return UserError(
            f"{folder} is a checkpoint of a training script, no pipeline",
            "give the folder that the script wrote at its end",
        )
    pickled = sorted(name for name in names if is_pickle(Path(name)))
    loose = sorted(name for name in names if is_safetensors(Path(name)))
    if loose:
        remedy = f"if the model is a single file, name it: {folder / loose[0]}"
    elif pickled:
        remedy = f"{pickled[0]} is a pickle, which is never opened: convert it to safetensors"
    else:
        remedy = LAYOUT
    return UserError(f"{folder} is no diffusers folder: it has no model_index.json", remedy)


def _folder_kind(folder: Path, index: dict[str, Any]) -> FamilyKind:
    pipeline = str(index.get("_class_name", ""))
    components = {
        name
        for name, told in index.items()
        if isinstance(told, list) and any(cast(list[Any], told)) and name not in NOT_COMPONENTS
    }
    other = next((what for part, what in OTHER_PIPELINES.items() if part in pipeline), "")
    kind = None if other else kind_of_folder(pipeline, components)
    if kind is not None:
        return kind
    if not other and "text_encoder_2" in components and "text_encoder" not in components:
        raise UserError(
            f"{folder} is the refiner of Stable Diffusion XL, which cannot draw alone",
            "use the base model: --base sdxl",
        )
    lacking = next((k for k in kinds() if components < k.parts), None)
    if not other and lacking is not None and "unet" in components:
        missing = min(lacking.parts - components)
        raise UserError(f"the model_index.json of {folder} names no {missing}", LAYOUT)
    what = other or (f"a {pipeline}" if pipeline else "an unknown")
    raise UserError(f"{folder} is {what} model; {only_these()}", TAKE_OTHER)


def _check_scheduler(folder: Path) -> None:
    config = read_json(folder / "scheduler" / "scheduler_config.json")
    if config is None:
        raise UserError(f"{folder / 'scheduler'} has no readable scheduler_config.json", DAMAGED)
    if "FlowMatch" in str(config.get("_class_name", "")):
        raise UserError(f"{folder} predicts a flow, not noise; {only_these()}", TAKE_OTHER)
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in ("epsilon", "v_prediction"):
        raise UserError(
            f"{folder} predicts {prediction!r}; only epsilon and v_prediction train", TAKE_OTHER
        )


def _check_tokenizer(folder: Path, *, trained: bool) -> None:
    if not any(all((folder / name).is_file() for name in names) for names in TOKENIZER_FILES):
        raise UserError(
            f"{folder} has neither tokenizer.json nor vocab.json and merges.txt", DAMAGED
        )
    added = read_json(folder / "added_tokens.json") or {}
    table = read_json(folder / "tokenizer.json") or {}
    entries = cast(list[Any], table.get("added_tokens") or [])
    contents = {
        str(cast(dict[str, Any], entry).get("content"))
        for entry in entries
        if isinstance(entry, dict)
    }
    if not trained and "<asset0>" in {*added, *contents}:
        raise UserError(
            f"{folder.parent} already knows <asset0>: it is the result of a training",
            "draw from it with `bas import`, or train on the model that it was made from",
        )


def _check_unet(folder: Path) -> None:
    unet = read_json(folder / "unet" / "config.json") or {}
    vae = read_json(folder / "vae" / "config.json") or {}
    for key, what in OTHER_UNETS.items():
        if unet.get(key) is not None:
            raise UserError(f"{folder} is {what}; {only_these()}", TAKE_OTHER)
    latent = vae.get("latent_channels", LATENT_CHANNELS)
    _check_channels(str(folder), unet.get("in_channels", latent), latent)
    size = unet.get("sample_size")
    if isinstance(size, list) and len({*map(str, cast(list[Any], size))}) > 1:
        raise UserError(f"{folder} draws pictures that are not square ({size} latents)", TAKE_OTHER)


def _check_channels(what: str, channels: Any, latent: Any = LATENT_CHANNELS) -> None:
    if channels != latent:
        kind = {9: "an inpainting model", 5: "a depth model"}.get(
            channels, f"a model with {channels} input channels"
        )
        raise UserError(f"{what} is {kind}; the method needs a text-to-image model", TAKE_OTHER)


def _refuse_other(path: Path, names: Collection[str], known: FamilyKind | None = None) -> None:
    """Raise UserError where a tensor's name tells of another kind of model."""
    plain = [name.removeprefix("model.diffusion_model.") for name in names]
    for part, what in OTHER_KINDS.items():
        if known is not None and part == "label_emb.":
            continue
        if any(name.startswith(part) for name in (*names, *plain)):
            raise UserError(f"{path} is {what} model; {only_these()}", TAKE_OTHER)


def _no_file(
    path: Path, names: Collection[str], kind: FamilyKind | None, lacking: tuple[str, ...]
) -> UserError:
    """Why a file is no whole model."""
    if not any(name.startswith("conditioner.embedders.0.model.") for name in names):
        _refuse_other(path, names, known=kind)
    else:
        return UserError(
            f"{path} is the refiner of Stable Diffusion XL, which cannot draw alone",
            "use the base model: --base sdxl",
        )
    if any("lora" in name.lower() for name in names):
        return UserError(f"{path} is a LoRA, an add-on to a model", "name the model it is for")
    if lacking == ("VAE",):
        return UserError(f"{path} holds no VAE", "name one with --vae FILE_OR_FOLDER")
    if kind is not None:
        return UserError(
            f"{path} holds no {lacking[0]}", "give the whole checkpoint, or a diffusers folder"
        )
    if any(
        name.startswith(("model.diffusion_model.input_blocks.", "input_blocks.", "down_blocks."))
        for name in names
    ):
        return UserError(
            f"{path} holds a UNet and no whole model",
            "give the whole checkpoint, or a diffusers folder",
        )
    return UserError(f"{path} is no Stable Diffusion model; {only_these()}", TAKE_OTHER)


def _model_spec(
    metadata: dict[str, str],
) -> tuple[Literal["epsilon", "v_prediction", ""], int]:
    """Prediction and resolution after the `modelspec.` metadata of a safetensors file."""
    told = metadata.get("modelspec.prediction_type", "").lower()
    architecture = metadata.get("modelspec.architecture", "").lower()
    prediction: Literal["epsilon", "v_prediction", ""] = PREDICTIONS.get(told, "")
    if architecture.endswith("768-v"):
        prediction = "v_prediction"
    side = re.match(r"\d+", metadata.get("modelspec.resolution", ""))
    return prediction, int(side.group()) if side else 0


def _yaml_prediction(path: Path) -> Literal["epsilon", "v_prediction", ""]:
    """`parameterization: "v"` of the original configuration `NAME.yaml` beside the file."""
    try:
        text = path.with_suffix(".yaml").read_text(encoding="utf-8", errors="replace")[:100_000]
    except OSError:
        return ""
    told = re.search(r"^\s*parameterization:\s*[\"']?(\w+)", text, re.MULTILINE)
    return PREDICTIONS.get(told.group(1).lower(), "") if told else ""
