"""What to draw with besides a run, from a person's words: `FILE:0.7`, `NAME=FILE`, `RUN:0.5`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.core.errors import UserError
from engine.models.additions import (
    addition_header,
    embedding_keys,
    embedding_name,
    embedding_shape,
    vocabulary,
)
from engine.runs.added_files import find_added
from engine.runs.folder import RunDir
from engine.runs.library import find_run
from engine.runs.manifest import read_manifest
from engine.runs.requests import NOTHING, Addition, Additions

FLAGS = ("--lora", "--embedding", "--with")


def read_additions(
    run: RunDir, loras: Sequence[str], embeddings: Sequence[str], others: Sequence[str]
) -> Additions:
    """The additions; raises UserError for files that are missing or of another kind."""
    found = Additions(
        tuple(_lora(words) for words in loras),
        tuple(_embedding(words) for words in embeddings),
        tuple(_other(words) for words in others),
    )
    sources = [str(run.path), *(one.source for one in found.others)]
    if len(set(sources)) < len(sources):
        raise UserError("a run is named twice", "name each run once")
    return found


def with_one_more(run: RunDir, words: str, known: Additions) -> Additions:
    """What is drawn with already and one more, whose kind its file tells; else it is a run's name.

    Raises UserError for what cannot be added.
    """
    name, _ = _strength(words.strip())
    file = Path(name).expanduser()
    if not file.exists():  # It may have a "=" of its own.
        file = Path(name.partition("=")[2] or name).expanduser()
    if not (file.is_file() or file.suffix.lower() == ".safetensors" or "/" in name):
        manifest, other = read_manifest(run), _other(words.strip())
        guest = read_manifest(RunDir(Path(other.source)))
        if guest.base_hash != manifest.base_hash:
            raise UserError(
                f"{guest.name} was learned on another base model ({guest.base})",
                "things of several runs can be drawn together on one base model only",
            )
        found = known._replace(others=(*known.others, other))
    elif embedding_keys(addition_header(file.resolve()).shapes):
        found = known._replace(embeddings=(*known.embeddings, _embedding(words.strip())))
    else:
        found = known._replace(loras=(*known.loras, _lora(words.strip())))
    sources = [str(run.path.resolve()), *(one.source for kind in found for one in kind)]
    if len(set(sources)) < len(sources):
        raise UserError(f"{name} is there already", "name each file and each run once")
    vocabulary(read_manifest(run).concepts, found)
    return found


def addition_options(additions: Additions) -> list[tuple[str, str]]:
    """The same as options of `bas gen` and `bas edit`, with their values."""
    return [
        (flag, _words(one, strength=flag != "--embedding"))
        for flag, kind in zip(FLAGS, additions, strict=True)
        for one in kind
    ]


def _words(one: Addition, *, strength: bool) -> str:
    name = f"{one.name}=" if one.name else ""
    number = f":{one.strength:g}" if strength and one.strength != 1 else ""
    return f"{name}{one.source}{number}"


def located(told: Additions, pictures: Path) -> Additions:
    """What a picture in the folder `pictures` tells, with the files where they are known to lie."""

    def place(one: Addition) -> Addition:
        file = find_added(one.source, pictures)
        return one if file is None else one._replace(source=str(file))

    loras, embeddings = (tuple(map(place, kind)) for kind in (told.loras, told.embeddings))
    return Additions(loras, embeddings, told.others)


def recall_additions(
    run: RunDir, told: Additions, pictures: Path
) -> tuple[Additions, tuple[str, ...]]:
    """The same, to draw with `run`; and the names of what is not there any more or does not fit."""
    found, missing = NOTHING, list[str]()
    for flag, words in addition_options(located(told, pictures)):
        try:
            if flag != "--with" and "/" not in words:
                raise UserError(f"{words} is not where it was", "name its file")
            found = with_one_more(run, words, found)
        except UserError:
            named = flag == "--embedding" and words.partition("=")[2]
            missing.append(Path(named or words).name)
    return found, tuple(missing)


def _lora(words: str) -> Addition:
    name, strength = _strength(words)
    path = Path(name).expanduser().resolve()
    addition_header(path)
    return Addition(str(path), strength)


def _embedding(words: str) -> Addition:
    name, equals, file = words.partition("=")
    if not equals or Path(words).expanduser().exists():
        name, file = "", words
    path = Path(file).expanduser().resolve()
    embedding_shape(path)
    name = name or embedding_name(path)
    if not name or set(name) & set("<> \t"):
        raise UserError(f"an embedding cannot be called {name!r}", "name it: NAME=FILE")
    return Addition(str(path), name=name)


def _other(words: str) -> Addition:
    name, strength = _strength(words)
    return Addition(str(find_run(name).path.resolve()), strength)


def _strength(words: str) -> tuple[str, float]:
    """`style.safetensors:0.7` in its two parts; a file may itself have a colon in its name."""
    name, colon, number = words.rpartition(":")
    if not colon or Path(words).expanduser().exists():
        return words, 1.0
    try:
        strength = float(number)
    except ValueError:
        return words, 1.0
    if not -4 <= strength <= 4:
        raise UserError(f"the strength of {name} cannot be {number}", "use -4 to 4, 1 is usual")
    return name, strength
