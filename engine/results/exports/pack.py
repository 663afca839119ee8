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
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Any, cast

import torch

from engine.core.errors import UserError
from engine.files.weights_io import load_tensors, save_tensors
from engine.models.headers import Header, read_header
from engine.runs.export_targets import MAX_RANK
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
MAX_STEP = 10**9
LAST_SECOND = 253_402_300_799
"""Of the year 9999: dates end there."""
FLOATS = ("F16", "BF16", "F32")
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
    except _Dishonest as problem:
        raise UserError(
            f"{path} is damaged or no honest pack ({printable(str(problem))[:200]})",
            "ask for it again",
        ) from problem
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
    ids = tensors["word_ids"].tolist()
    if len(set(ids)) < len(ids) or min(ids, default=0) < 0:
        raise UserError(f"{path} is damaged or no honest pack (its words)", "ask for it again")
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


class _Dishonest(Exception):
    """What is wrong with a pack, in a few words."""


def _facts(told: Mapping[str, str]) -> PackFacts:
    """The header's texts as facts; raises _Dishonest for what no pack says."""
    for field in fields(PackFacts):
        if field.name not in told:
            raise _Dishonest(f"it says no {field.name}")
        if len(told[field.name]) > MAX_TEXT:
            raise _Dishonest(f"its {field.name} is too long")
    texts = {field.name: printable(told[field.name]) for field in fields(PackFacts)}
    table = _value(told, "versions", dict)
    versions = zip(table, _strings(table.values(), "versions"), strict=True)
    return PackFacts(
        title=texts["title"],
        base=texts["base"],
        base_sha256=texts["base_sha256"],
        kind=texts["kind"],
        method=texts["method"],
        licence=texts["licence"],
        base_licence=texts["base_licence"],
        scene_sha256=texts["scene_sha256"],
        concepts=_concepts(told),
        settings={
            printable(key): _setting(value) for key, value in _value(told, "settings", dict).items()
        },
        step=int(_number(told, "step", MAX_STEP)),
        prompts=tuple(_strings(_value(told, "prompts", list), "prompts")),
        created=float(_number(told, "created", LAST_SECOND)),
        versions={printable(key): version for key, version in versions},
        rank=int(_number(told, "rank", MAX_RANK)),
    )


def _value(told: Mapping[str, str], name: str, kind: type[Any] | UnionType) -> Any:
    try:
        value = json.loads(told[name])
    except (ValueError, RecursionError) as error:
        raise _Dishonest(f"its {name} cannot be read") from error
    if not isinstance(value, kind):
        raise _Dishonest(f"its {name} is something else")
    return value


def _number(told: Mapping[str, str], name: str, most: int) -> int | float:
    value = _value(told, name, int | float)
    if isinstance(value, bool) or not 0 <= value <= most:
        raise _Dishonest(f"its {name} is no such number")
    return value


def _strings(values: Iterable[Any], name: str) -> list[str]:
    found = list(values)
    if not all(isinstance(value, str) for value in found):
        raise _Dishonest(f"its {name} are no texts")
    return [printable(value) for value in found]


def _setting(value: Any, *, nested: bool = False) -> Any:
    if isinstance(value, list) and not nested:
        return [_setting(each, nested=True) for each in cast(list[Any], value)]
    if not isinstance(value, str | int | float):
        raise _Dishonest("its settings are none")
    return printable(value) if isinstance(value, str) else value


def _concepts(told: Mapping[str, str]) -> tuple[ConceptEntry, ...]:
    entries = _value(told, "concepts", list)
    if not 1 <= len(entries) <= MAX_CONCEPTS:
        raise _Dishonest("it has no concepts")
    if not all(isinstance(entry, dict) for entry in entries):
        raise _Dishonest("its concepts are none")
    names = _strings((entry.get("name") for entry in entries), "concepts")
    nouns = _strings((entry.get("initializer") for entry in entries), "concepts")
    if not all(CONCEPT_NAME.fullmatch(name) for name in names) or len(set(names)) < len(names):
        raise _Dishonest("its concepts have no usable names")
    return tuple(
        ConceptEntry(token=f"<asset{index}>", name=name, initializer=noun)
        for index, (name, noun) in enumerate(zip(names, nouns, strict=True))
    )


def _check_tensors(header: Header, count: int) -> None:
    """Raise _Dishonest for names, shapes and types that no pack of `count` things has."""
    for name, shape in header.shapes.items():
        wanted = {"word_ids": ("I64",), **dict.fromkeys(PICTURES, ("U8",))}.get(name, FLOATS)
        if header.dtypes[name] not in wanted:
            raise _Dishonest(f"{name[:80]} is {header.dtypes[name][:10]}")
        if name in ROWS or name in PICTURES:
            continue
        prefix, slash, weight = name.partition("/")
        bare = weight.removesuffix(".lora_A.weight").removesuffix(".lora_B.weight")
        if f"{prefix}{slash}" not in (CHANGE, LORA) or not WEIGHT.fullmatch(bare):
            raise _Dishonest(f"a tensor called {name[:80]}")
        if f"{prefix}/" == LORA and (bare == weight or len(shape) not in (2, 4)):
            raise _Dishonest(f"a factor called {name[:80]}")
    _check_rows(header.shapes, count)
    for name in ("preview", "picture"):
        shape = header.shapes.get(name, (1, 1, 3))
        if len(shape) != 3 or shape[2] != 3 or not 1 <= min(shape) <= max(shape) <= MAX_SIDE:
            raise _Dishonest(f"its {name} is no picture")
    if header.shapes.get("masks", (count, MASK_SIDE, MASK_SIDE)) != (count, MASK_SIDE, MASK_SIDE):
        raise _Dishonest("its masks are not those of its concepts")


def _check_rows(shapes: Mapping[str, tuple[int, ...]], count: int) -> None:
    """A row for each concept, and one for each moved word, of every text encoder."""
    words = shapes.get("word_ids", ())
    for ending in ("", "_2"):
        rows, moved = shapes.get(f"placeholder_rows{ending}"), shapes.get(f"word_rows{ending}")
        if ending and rows is None and moved is None:
            continue
        if rows is None or len(rows) != 2 or rows[0] != count:
            raise _Dishonest("its rows are not those of its concepts")
        if len(words) != 1 or moved != (words[0], rows[1]):
            raise _Dishonest("its moved words have no rows")
