"""Generated pictures on disk, with the recipe that each carries in its PNG text."""

from __future__ import annotations

import shlex
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image

from bas_tui import client
from engine.core.errors import UserError
from engine.runs.folder import RunDir, edited_photo_file, region_file
from engine.runs.requests import Additions

MAX_LISTED = 400
_N = TypeVar("_N", int, float)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a picture was made."""

    prompt: str
    negative: str = ""
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    strength: float | None = None
    """How much of the run's weight change was added; None: all of it."""
    run: str = ""
    base: str = ""
    opening: str = ""
    """Words that the model read before the prompt."""
    score: float | None = None
    """Presence of the named thing that is there least; pictures of one prompt compare by it."""
    verdict: str = ""
    """`2 of 2`, or what is missing; empty where nothing is said."""
    photo: str = ""
    """The photo that was edited; empty for a new picture."""
    photo_digest: str = ""
    masks: tuple[str, ...] = ()
    """Digests of its regions; they name the files beside the picture (`engine.runs.folder`)."""
    start: float | None = None
    """How much of that photo's regions was kept."""
    decoder_steps: int | None = None
    """How long the decoder was fitted to that photo; None: not at all."""
    noise: float | None = None
    """How much noise lay over the picture that it began with; None: it began with noise alone."""
    places: str = ""
    """Where its things stood in the collage that it began with: `teapot=75,60 penguin=25,60,40`."""
    loras: str = ""
    """`FILE:X` of each LoRA that lay over it, with commas between them."""
    embeddings: str = ""
    """`[NAME=]FILE` of each further embedding, likewise."""
    others: str = ""
    """`RUN:X` of each further run, likewise."""

    def read_prompt(self) -> str:
        """The prompt, the words that the model read before it in brackets."""
        return f"({self.opening}) {self.prompt}" if self.opening else self.prompt

    def details(self) -> str:
        """Seed, steps and guidance in a few words."""
        words = [f"seed {self.seed}"] if self.seed is not None else []
        words += [f"{self.steps} steps"] if self.steps is not None else []
        words += [f"guidance {self.guidance:g}"] if self.guidance is not None else []
        words += [f"strength {self.strength:g}"] if self.strength is not None else []
        words += [f"decoder {self.decoder_steps}"] if self.decoder_steps else []
        if self.verdict:
            words += [self.verdict]
        elif self.score is not None:
            words += [f"presence {self.score:.2f}"]
        return " · ".join(words)

    @property
    def additions(self) -> Additions:
        """The added files and runs, by name."""
        return Additions.read(self.loras, self.embeddings, self.others)

    def command(self, folder: Path | None = None) -> str:
        """The command that draws the same picture, as far as its file tells.

        `folder`: where the picture lies, and beside it an edit's photo and regions and the places
        of added files; without them they are for the person to name.
        """
        words = ["bas", "gen", shlex.quote(self.prompt)]
        run = ["--run", shlex.quote(self.run)] if self.run else []
        strength, nearly = self.strength, ""
        if self.photo:
            prompts = self.prompt.split(" | ")
            photo, *regions = self._edited(folder, len(prompts))
            words = ["bas", "edit", shlex.quote(photo), *map(shlex.quote, prompts)]
            for region in regions:
                words += ["--mask", shlex.quote(region)]
            words += ["--start", f"{self.start:g}"] if self.start is not None else []
            words += ["--decoder-steps", str(self.decoder_steps)] if self.decoder_steps else []
            nearly = "" if "REGION" not in regions else "  # name its photo and regions"
        elif self.noise is not None and self.places:
            for place in self.places.split():
                words += ["--place", shlex.quote(place)]
            words += ["--loose", f"{self.noise:g}"]
        elif self.noise is not None and self._may_vary():
            words = ["bas", "vary", *run[1:], "--prompt", shlex.quote(self.prompt)]
            run, strength = [], self.noise
            nearly = "  # nearly: or it was bas gen with --place"
        elif self.noise is not None:
            words += ["--place", "NAME=X,Y", "--loose", f"{self.noise:g}"]
        words += [*run, "--count", "1"]
        for flag, value in (("seed", self.seed), ("steps", self.steps)):
            words += [f"--{flag}", str(value)] if value is not None else []
        words += ["--guidance", f"{self.guidance:g}"] if self.guidance is not None else []
        words += ["--strength", f"{strength:g}"] if strength is not None else []
        added = self.additions if folder is None else client.located(self.additions, folder)
        for flag, value in client.addition_options(added):
            words += [flag, shlex.quote(value)]
        words += ["--negative", shlex.quote(self.negative)] if self.negative else []
        return " ".join(words) + nearly

    def _edited(self, folder: Path | None, regions: int) -> list[str]:
        """The photo, then its regions; what is not there any more by a word in its place."""
        if folder is not None and len(self.masks) == regions:
            files = [edited_photo_file(folder, self.photo, self.photo_digest)]
            files += [region_file(folder, digest) for digest in self.masks]
            if all(file.is_file() for file in files):
                return list(map(str, files))
        return [self.photo, *["REGION"] * regions]

    def _may_vary(self) -> bool:
        """Whether `bas vary` has all that the picture was drawn with."""
        return self.strength is None and not self.additions


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A generated picture on disk."""

    path: Path
    recipe: Recipe

    def command(self) -> str:
        """The command that draws it again."""
        return self.recipe.command(self.path.parent)


def read_picture(path: Path) -> Picture | None:
    """The picture with its recipe; None for a file without one (a contact sheet) or damaged."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            text = dict(getattr(image, "text", {}))
    except Exception:  # A damaged file makes a decoder raise nearly anything.
        return None
    if "prompt" not in text:
        return None
    return Picture(
        path=path,
        recipe=Recipe(
            prompt=str(text["prompt"]),
            negative=str(text.get("negative", "")),
            seed=_number(text.get("seed"), int),
            steps=_number(text.get("steps"), int),
            guidance=_number(text.get("guidance"), float),
            strength=None if (strength := _number(text.get("strength"), float)) == 1 else strength,
            run=str(text.get("run", "")),
            base=str(text.get("base", "")),
            opening=str(text.get("opening", "")),
            score=_number(text.get("score"), float),
            verdict=str(text.get("verdict", "")),
            photo=str(text.get("photo", "")),
            photo_digest=str(text.get("photo_digest", "")),
            masks=tuple(str(text.get("masks", "")).split()),
            start=_number(text.get("start"), float),
            decoder_steps=_number(text.get("decoder_steps"), int),
            noise=_number(text.get("noise"), float),
            places=str(text.get("place", "")),
            loras=str(text.get("lora", "")),
            embeddings=str(text.get("embedding", "")),
            others=str(text.get("with", "")),
        ),
    )


Known = dict[tuple[Path, int], Picture | None]
"""Files that were read, by path and time of change."""


def list_pictures(run: RunDir, known: Known | None = None) -> list[Picture]:
    """The pictures made with a run, newest first. Reads every file that is not in `known`, and
    adds it there: call it off the event loop."""
    known = {} if known is None else known
    files: list[tuple[int, Path]] = []
    # As hosts name them, who know nothing of links in the way they were asked for.
    for path in run.pictures.resolve().glob("*.png"):
        with suppress(OSError):  # One that is removed meanwhile hides no other.
            files.append((path.stat().st_mtime_ns, path))
    files.sort(reverse=True)
    found: list[Picture] = []
    for changed, path in files[:MAX_LISTED]:
        if (path, changed) not in known:
            known[path, changed] = read_picture(path)
        if (picture := known[path, changed]) is not None:
            found.append(picture)
    return found


def save_copy(picture: Picture, target: Path) -> Path:
    """Copy a picture to a file or into a folder; raises UserError, and overwrites nothing."""
    target = target.expanduser()
    if target.is_dir():
        target = target / picture.path.name
    if not target.suffix:
        target = target.with_suffix(".png")
    if target.suffix.lower() != ".png":
        raise UserError(f"{target.name} is no PNG name", "pictures are saved as .png")
    if target.exists():
        raise UserError(f"{target} exists", "choose another name")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture.path, target)
    except OSError as error:
        raise UserError(
            f"cannot write {target}: {error.strerror}", "choose another place"
        ) from error
    return target


def _number(text: object, kind: type[_N]) -> _N | None:
    try:
        return kind(str(text))
    except ValueError:
        return None
