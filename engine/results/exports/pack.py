"""A concept pack: one `.bas.safetensors` file from which `bas import` makes a run that draws.

    placeholder_rows, placeholder_rows_2, word_rows, word_rows_2, word_ids    as in rows.safetensors
    change/<weight>                          trained minus base weight, or
    lora/<layer>.lora_A.weight, .lora_B.weight                     a LoRA, strength 1
    preview (H, W, 3) uint8                  what it draws
    picture (H, W, 3), masks (N, 64, 64)     the photo, small, and its masks: only where wanted

The header says what the pack is, all as text (`PackFacts`). Nothing in a pack is executable, and
no path is ever taken from one.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import torch

from engine.core.errors import UserError
from engine.files.weights_io import load_tensors, save_tensors
from engine.models.headers import Header, read_header
from engine.runs.manifest import ConceptEntry

ENDING = ".bas.safetensors"
FORMAT = "1"
CHANGE, LORA = "change/", "lora/"
ROWS = ("placeholder_rows", "placeholder_rows_2", "word_rows", "word_rows_2", "word_ids")
PICTURES = ("preview", "picture", "masks")
MASK_SIDE = 64
MAX_TEXT = 100_000
MAX_CONCEPTS = 64
MAX_SIDE = 4096
WEIGHT = re.compile(r"(unet|text_encoder|text_encoder_2)(\.\w+)+")
CONCEPT_NAME = re.compile(r"[^\W_][\w-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class PackFacts:
    """The header of a pack; lists and tables are JSON texts there."""

    title: str
    base: str
    """What the run was trained on: a name of `bas models` or a repository; never a path."""
    base_sha256: str
    kind: str
    """sd1, sd2, sdxl or other."""
    concepts: tuple[ConceptEntry, ...]
    settings: dict[str, Any]
    method: str
    step: int
    prompts: tuple[str, ...]
    """Worth trying, with `<name>` tokens."""
    licence: str
    base_licence: str
    scene_sha256: str
    created: float
    versions: dict[str, str]
    rank: int
    """Of the factors that the change was cut to; 0: as it was trained."""


def write_pack(path: Path, facts: PackFacts, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write a pack with the sha256 of its tensors."""
    header = {"bas_pack": FORMAT, "sha256": tensors_sha256(tensors)}
    for field in fields(facts):
        value = getattr(facts, field.name)
        if field.name == "concepts":
            value = [vars(concept) for concept in facts.concepts]
        header[field.name] = value if isinstance(value, str) else json.dumps(value)
    save_tensors(path, tensors, header)


def read_facts(path: Path) -> tuple[PackFacts, Header]:
    """What a pack is, by its header alone; raises UserError for everything that is none."""
    if not path.is_file():
        raise UserError(f"there is no file {path}", "name a pack or a folder")
    header = read_header(path)
    told = header.metadata
    if "bas_pack" not in told:
        raise UserError(
            f"{path} is no concept pack",
            "make one with bas export --to pack, or see bas gen --lora",
        )
    if told["bas_pack"] != FORMAT:
        raise UserError(
            f"{path} is a pack of format {printable(told['bas_pack'])[:20]}", "update bas"
        )
    try:
        facts = _facts(told)
        _check_tensors(header, len(facts.concepts))
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is damaged or no honest pack ({printable(str(error))[:200]})",
            "ask for it again",
        ) from error
    return facts, header


def read_pack(path: Path) -> tuple[PackFacts, dict[str, torch.Tensor]]:
    """A pack's facts and tensors; raises UserError where anything is not as the header says."""
    facts, header = read_facts(path)
    tensors = load_tensors(path)
    if tensors_sha256(tensors) != header.metadata.get("sha256"):
        raise UserError(f"{path} has other tensors than its author wrote", "ask for it again")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise UserError(f"{path} holds values that are no numbers ({name})", "ask for it again")
    return facts, tensors


def tensors_sha256(tensors: Mapping[str, torch.Tensor]) -> str:
    """Over the names and bytes of all tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}\n{tensor.dtype}\n{tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def printable(text: str) -> str:
    """`text` without control characters: a pack's words end up in terminals."""
    kept = (letter for letter in text if unicodedata.category(letter)[0] != "C")
    return "".join(kept)


def _facts(told: Mapping[str, str]) -> PackFacts:
    values: dict[str, Any] = {}
    for field in fields(PackFacts):
        text = told[field.name]
        if len(text) > MAX_TEXT:
            raise ValueError(f"{field.name} is too long")
        values[field.name] = printable(text) if field.type == "str" else json.loads(text)
    concepts = values["concepts"]
    if not isinstance(concepts, list) or not 1 <= len(concepts) <= MAX_CONCEPTS:
        raise ValueError("it has no concepts")
    entries = [
        ConceptEntry(
            token=f"<asset{index}>",
            name=str(entry["name"]),
            initializer=printable(str(entry["initializer"])),
        )
        for index, entry in enumerate(cast(list[dict[str, Any]], concepts))
    ]
    names = [entry.name for entry in entries]
    if not all(CONCEPT_NAME.fullmatch(name) for name in names) or len(set(names)) < len(names):
        raise ValueError("its concepts have no usable names")
    values["concepts"] = tuple(entries)
    values["prompts"] = tuple(printable(str(prompt)) for prompt in values["prompts"])
    values["versions"] = {
        printable(str(key)): printable(str(value)) for key, value in values["versions"].items()
    }
    values["settings"] = {
        printable(str(key)): printable(value) if isinstance(value, str) else value
        for key, value in values["settings"].items()
    }
    values["step"], values["rank"] = int(values["step"]), int(values["rank"])
    values["created"] = float(values["created"])
    if not math.isfinite(values["created"]) or values["step"] < 0:
        raise ValueError("its numbers are none")
    return PackFacts(**values)


def _check_tensors(header: Header, count: int) -> None:
    """Raise ValueError for names that no pack has, and shapes that cannot be."""
    for name, shape in header.shapes.items():
        if name in ROWS or name in PICTURES:
            continue
        prefix, slash, weight = name.partition("/")
        bare = weight.removesuffix(".lora_A.weight").removesuffix(".lora_B.weight")
        if f"{prefix}{slash}" not in (CHANGE, LORA) or not WEIGHT.fullmatch(bare):
            raise ValueError(f"a tensor called {name[:80]}")
        if f"{prefix}/" == LORA and (bare == weight or len(shape) not in (2, 4)):
            raise ValueError(f"a factor called {name[:80]}")
    rows = header.shapes.get("placeholder_rows", ())
    if len(rows) != 2 or rows[0] != count:
        raise ValueError("its rows are not those of its concepts")
    if any(len(header.shapes[name]) != 2 for name in ROWS[:-1] if name in header.shapes):
        raise ValueError("its rows are no rows")
    for name in ("preview", "picture"):
        shape = header.shapes.get(name)
        if shape and (len(shape) != 3 or shape[2] != 3 or max(shape) > MAX_SIDE):
            raise ValueError(f"its {name} is no picture")
