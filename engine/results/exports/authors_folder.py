"""Opens a diffusers folder with learned tokens, as the authors' script writes it, as a run.

With a base model, the run holds what was learned: rows and the difference of the weights. Without
one it keeps the whole model in `base/`, the tokens taken out of it.

Shape legend: V rows of an embedding matrix, D its width.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open

from engine.core.config import TrainConfig
from engine.core.errors import UserError
from engine.core.settings import build_config
from engine.families.components import load_tokenizer
from engine.families.contract import Family
from engine.families.loading import load_for
from engine.files.weights_io import save_tensors
from engine.models.detection import check_folder
from engine.models.facts import RECIPE_FILE, recipe_settings
from engine.models.headers import is_pickle, is_safetensors, read_json
from engine.models.kinds import FamilyKind
from engine.models.resolve import Report
from engine.models.weight_files import folder_weights
from engine.results.exports.base_facts import base_facts
from engine.results.exports.clip_files import bare_name, write_json
from engine.results.exports.imported import Imported, named, write_concepts
from engine.results.exports.learned import CHANGES
from engine.results.exports.loaded import EMBEDDING, weights_of
from engine.results.exports.lora_names import published_weight
from engine.runs.events import Notice, Progress
from engine.runs.folder import RunDir
from engine.runs.manifest import ConceptEntry

ASSET = re.compile(r"<asset(\d+)>")
TOKEN = re.compile(r"<[^<>|\s]+>")
FAR = 0.2
"""A relative difference of all weights beyond this is no training of this method."""
ROUNDING = 2.0**-10
"""Relative difference of words up to which they are the same, stored in half precision."""
CONVERT = (
    'if you trust it: python -c "from diffusers import DiffusionPipeline as P; '
    "P.from_pretrained('{0}').save_pretrained('{0}-safe')\""
)


class _Theirs(NamedTuple):
    """The folder, opened."""

    folder: Path
    kind: FamilyKind
    concepts: tuple[ConceptEntry, ...]
    first: int
    """The id of the first learned token: the size of the vocabulary before them."""
    words: tuple[torch.Tensor, ...]
    """Each text encoder's matrix without the learned rows, (V, D)."""
    rows: dict[str, torch.Tensor]
    """`placeholder_rows` of each text encoder."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The text encoders' component names."""
        return _texts(self.kind)

    def tensors(self, part: str) -> Iterator[tuple[str, torch.Tensor]]:
        """The tensors of a component, one at a time."""
        return _tensors(self.folder, self.kind, part)


def open_folder(
    folder: Path, run: RunDir, *, place: Path, base: str, names: Sequence[str], report: Report
) -> Imported:
    """Put the folder's concepts into a new run folder, which will be renamed to `place`.

    Raises UserError for what is no such folder.
    """
    theirs = _open(folder, names)
    if base:
        return _keep_difference(theirs, run, base, report)
    return _keep_whole(theirs, run, place, report)


def _open(folder: Path, names: Sequence[str]) -> _Theirs:
    unet = folder / "unet"
    files = list(unet.iterdir()) if unet.is_dir() else []
    if any(map(is_pickle, files)) and not any(map(is_safetensors, files)):
        raise UserError(
            f"{folder} holds pickled weights, which can run code and are never opened",
            CONVERT.format(folder),
        )
    kind = check_folder(folder, trained=True)
    matrices = [_matrix(folder, kind, part) for part in _texts(kind)]
    tokenizer = load_tokenizer(folder, kind.tokenizers[0])
    tokens = _learned_tokens(tokenizer, min(map(len, matrices)))
    concepts = _concepts(tokens, names, matrices[0])
    ids = [tokens[concept.token] for concept in concepts]
    first = min(tokens.values())
    return _Theirs(
        folder,
        kind,
        tuple(
            ConceptEntry(token=f"<asset{index}>", name=concept.name, initializer="")
            for index, concept in enumerate(concepts)
        ),
        first,
        tuple(matrix_VD[:first] for matrix_VD in matrices),
        {
            f"placeholder_rows{_ending(index)}": matrix_VD[ids].float()
            for index, matrix_VD in enumerate(matrices)
        },
    )


def _learned_tokens(tokenizer: Any, rows: int) -> dict[str, int]:
    """Tokens behind the vocabulary, `<...>` each, by id."""
    added = {str(token): id_ for id_, token in tokenizer.added_tokens_decoder.items()}
    tokens = {
        token: id_
        for token, id_ in sorted(added.items(), key=lambda item: item[1])
        if TOKEN.fullmatch(token) and id_ < rows
    }
    if not tokens:
        raise UserError(
            "the folder's tokenizer knows no learned tokens such as <asset0>",
            "to train on it: bas train --base FOLDER",
        )
    return tokens


def _concepts(
    tokens: dict[str, int], names: Sequence[str], rows_VD: torch.Tensor
) -> tuple[ConceptEntry, ...]:
    """`<asset0>`... where there are such, else every token; others of equal rows name them."""
    assets = [token for token in tokens if ASSET.fullmatch(token)] or list(tokens)
    expected = [f"<asset{index}>" for index in range(len(assets))]
    if assets != expected and any(ASSET.fullmatch(token) for token in assets):
        raise UserError(
            f"the folder's tokens have gaps ({' '.join(assets)})",
            "it must have <asset0>, <asset1>, ...",
        )
    aliases = [token for token in tokens if token not in assets]

    def own_name(asset: str) -> str:
        row_D = rows_VD[tokens[asset]]
        equal = [token for token in aliases if torch.equal(rows_VD[tokens[token]], row_D)]
        return (equal or [asset])[0].strip("<>")

    chosen = named([own_name(asset) for asset in assets], names, "the folder")
    return tuple(
        ConceptEntry(token=token, name=name, initializer="")
        for token, name in zip(assets, chosen, strict=True)
    )


def _keep_difference(theirs: _Theirs, run: RunDir, base: str, report: Report) -> Imported:
    loaded = load_for(
        base, TrainConfig(), device=torch.device("cpu"), precision="fp32", report=report
    )
    if loaded.kind != theirs.kind.name:
        raise UserError(
            f"{theirs.folder} is {theirs.kind.title}, {base} is another kind",
            "name the base model that it was trained from",
        )
    message = f"{base} it is: the run holds how {theirs.folder.name} differs from it, no more"
    report(Notice(level="info", message=message))
    for part in _left_behind(theirs, loaded.family):
        report(
            Notice(
                level="warning",
                message=f"{theirs.folder.name} has {part}, which is left behind for {base}'s",
                remedy="import it without --base to keep it whole",
            )
        )
    changes, share = _difference(theirs, weights_of(loaded.family), base, report)
    rows = dict(theirs.rows)
    ids, moved = torch.zeros(0, dtype=torch.long), []
    for text_encoder, words_VD in zip(loaded.family.text.encoders, theirs.words, strict=True):
        encoder: Any = text_encoder
        before_VD = encoder.get_input_embeddings().weight.detach().float()
        if before_VD.shape != words_VD.shape:
            raise UserError(
                f"{theirs.folder} has {len(words_VD)} words, {base} has {len(before_VD)}",
                "name the base model that it was trained from",
            )
        far = (words_VD.float() - before_VD).abs() > ROUNDING * before_VD.abs() + 1e-6
        moved.append(far.any(1))
        ids = torch.stack(moved).any(0).nonzero().flatten()
    for index, words_VD in enumerate(theirs.words):
        rows[f"word_rows{_ending(index)}"] = words_VD[ids].float()
    rows["word_ids"] = ids
    message = f"{len(changes)} weights of {base} changed by {share:.2%}, {len(ids)} words moved"
    report(Notice(level="info", message=message))
    imported = Imported(
        base=base,
        base_hash=loaded.base_hash,
        concepts=theirs.concepts,
        # The paper's way of training, whatever this kind's own would be.
        settings=recipe_settings(base) | {"phase2.train": "all"},
    )
    write_concepts(run.concepts, imported, rows, {CHANGES: changes})
    return imported


def _left_behind(theirs: _Theirs, family: Family) -> Iterator[str]:
    """Parts of the folder that draw otherwise than the base model's and are in no difference."""
    noise: Any = family.noise
    codec: Any = family.codec
    scheduler = read_json(theirs.folder / "scheduler" / "scheduler_config.json") or {}
    predicts = scheduler.get("prediction_type", "epsilon")
    if predicts != getattr(noise, "config", {}).get("prediction_type", predicts):
        yield f"another prediction type ({predicts})"
    own = codec.vae.state_dict() if "vae" in theirs.kind.weights and hasattr(codec, "vae") else {}
    for name, tensor in theirs.tensors("vae") if own else ():
        value = own.get(name)
        if value is None:
            continue
        there, value = tensor.float(), value.float()
        if there.shape != value.shape or bool(
            ((there - value).abs() > ROUNDING * value.abs() + 1e-6).any()
        ):
            yield "an autoencoder of its own"
            return


def _difference(
    theirs: _Theirs, values: dict[str, torch.nn.Parameter], base: str, report: Report
) -> tuple[dict[str, torch.Tensor], float]:
    """What changed in each weight of the base model, and the relative size of it all."""
    own = {published_weight(name): name for name in values}
    changes: dict[str, torch.Tensor] = {}
    moved = total = 0.0
    done = 0
    for part in ("unet", *theirs.texts):
        for name, tensor in theirs.tensors(part):
            if EMBEDDING in name or name.endswith("position_ids"):
                continue
            weight = own.get(published_weight(f"{part}.{name}"))
            if weight is None or values[weight].shape != tensor.shape:
                raise UserError(
                    f"{theirs.folder} is of another kind than {base} ({name} has no counterpart)",
                    "name the base model that it was trained from",
                )
            before = values[weight].detach().float()
            change = tensor.float() - before
            moved += float(change.double().square().sum())
            total += float(before.double().square().sum())
            if bool(change.any()):
                changes[weight] = change.half()
            done += 1
            report(Progress(stage="load", done=done, total=len(own), label="difference"))
    share = (moved / total) ** 0.5
    if share > FAR:
        raise UserError(
            f"{theirs.folder} was not trained from {base}: its weights are {share:.0%} away",
            "name the base model that it was trained from",
        )
    return changes, share


def _keep_whole(theirs: _Theirs, run: RunDir, place: Path, report: Report) -> Imported:
    """The run keeps a base model of its own: the folder without the learned tokens."""
    folder, own = theirs.folder, run.path / "base"
    for part in sorted(theirs.kind.parts):
        (own / part).mkdir(parents=True)
        if part in theirs.texts:
            continue
        for path in sorted((folder / part).iterdir()):
            if path.is_file() and not is_pickle(path):
                report(Progress(stage="load", done=0, total=0, label=f"{part}/{path.name}"))
                _link_or_copy(path, own / part / path.name)
    for tokenizer in theirs.kind.tokenizers:
        _forget_tokens(own / tokenizer)
    rows = dict(theirs.rows)
    for index, (part, words_VD) in enumerate(zip(theirs.texts, theirs.words, strict=True)):
        tensors = {
            name: words_VD if EMBEDDING in name else tensor for name, tensor in theirs.tensors(part)
        }
        save_tensors(own / part / "model.safetensors", tensors, {"format": "pt"})
        config = read_json(folder / part / "config.json") or {}
        write_json(own / part / "config.json", config | {"vocab_size": theirs.first})
        rows[f"word_rows{_ending(index)}"] = torch.zeros(0, words_VD.shape[1])
    rows["word_ids"] = torch.zeros(0, dtype=torch.long)
    model_index = read_json(folder / "model_index.json") or {}
    if "safety_checker" in model_index:
        model_index["safety_checker"] = [None, None]
    write_json(own / "model_index.json", model_index)
    if (folder / RECIPE_FILE).is_file():
        shutil.copyfile(folder / RECIPE_FILE, own / RECIPE_FILE)
    settings = recipe_settings(str(own)) | {"phase2.train": "all"}
    _, facts = base_facts(str(own), build_config(settings), lambda _event: None)
    imported = Imported(
        base=str(place / "base"),
        base_hash=facts.sha256,
        concepts=theirs.concepts,
        settings=settings,
    )
    write_concepts(run.concepts, imported, rows, {})
    return imported


def _forget_tokens(tokenizer: Path) -> None:
    """Take the learned tokens out of a copied tokenizer's files."""
    (tokenizer / "added_tokens.json").unlink(missing_ok=True)
    path = tokenizer / "tokenizer.json"
    table = read_json(path)
    if table is not None:
        known = table["model"]["vocab"]
        added = [token for token in table["added_tokens"] if token["content"] in known]
        _replace_json(path, table | {"added_tokens": added})
    path = tokenizer / "tokenizer_config.json"
    config = read_json(path)
    if config is not None and "added_tokens_decoder" in config:
        decoder = config.pop("added_tokens_decoder")
        kept = {key: t for key, t in decoder.items() if not TOKEN.fullmatch(t["content"])}
        _replace_json(path, config | ({"added_tokens_decoder": kept} if kept else {}))


def _replace_json(path: Path, table: dict[str, Any]) -> None:
    """Write a file anew: it may be a link to the folder's own."""
    path.unlink()
    write_json(path, table)


def _texts(kind: FamilyKind) -> tuple[str, ...]:
    return tuple(part for part in kind.weights if part.startswith("text_encoder"))


def _ending(index: int) -> str:
    return f"_{index + 1}" if index else ""


def _matrix(folder: Path, kind: FamilyKind, part: str) -> torch.Tensor:
    found = [tensor for name, tensor in _tensors(folder, kind, part) if EMBEDDING in name]
    if not found:
        raise UserError(f"{folder / part} has no words", "copy or download it again")
    return found[0]


def _tensors(folder: Path, kind: FamilyKind, part: str) -> Iterator[tuple[str, torch.Tensor]]:
    for file in folder_weights(folder, part, kind.weights[part]).files:
        with safe_open(folder / part / file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no mapping
                if not bare_name(name).endswith("position_ids"):
                    yield name, opened.get_tensor(name)


def _link_or_copy(source: Path, place: Path) -> None:
    """Large files are shared where the disk allows it."""
    try:
        os.link(os.path.realpath(source), place)
    except OSError:
        shutil.copyfile(source, place)
