"""A request to the generation host: what to draw, as an object and as a protocol line."""

from __future__ import annotations

import dataclasses
import json
import re
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from engine.core.errors import UserError
from engine.core.prompt_grammar import TOKEN
from engine.runs.folder import RunDir

MAX_COUNT = 64
MAX_REGIONS = 16
MAX_DECODER_STEPS = 1000
BOX = re.compile(r"\d+(\.\d+)?(,\d+(\.\d+)?){3}")
"""A box in place of a mask file: four numbers, in percent."""
TOLD = re.compile(r"(.+?):(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)(?:, |$)")
"""An addition in a picture's recipe, of which several stand in a row; names may hold any sign."""


@dataclass(frozen=True, kw_only=True)
class EditRegion:
    """A region of a photo and what to draw there."""

    mask: Path
    """A picture of the photo's size, white where it may change."""
    prompt: str
    box: tuple[float, ...] = ()
    """In place of a mask: left, top, right and bottom as shares of the photo's sides."""

    @classmethod
    def parse(cls, text: str, prompt: str) -> EditRegion:
        """The region of a mask's path, or of a box in percent (`10,20,50,90`).

        Raises UserError for a box without an inside.
        """
        if not BOX.fullmatch(text):
            return cls(mask=Path(text).expanduser(), prompt=prompt)
        box = tuple(float(number) / 100 for number in text.split(","))
        left, top, right, bottom = box
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise UserError(
                f"{text} is no box", "give left, top, right, bottom in percent, such as 10,20,50,90"
            )
        return cls(mask=Path(), prompt=prompt, box=box)


@dataclass(frozen=True, kw_only=True)
class PhotoEdit:
    """A photo whose regions are drawn anew, one after another."""

    photo: Path
    regions: tuple[EditRegion, ...]
    start: float = 0.25
    """0..1: how much of what is there is kept; 0 draws from noise alone."""
    decoder_steps: int = 0
    """How long a copy of the decoder is fitted to the photo, for each region of each picture."""

    @property
    def prompts(self) -> str:
        """What is drawn, as one line."""
        return " | ".join(region.prompt for region in self.regions)

    @classmethod
    def of(cls, record: dict[str, Any]) -> PhotoEdit:
        """The edit of a protocol record; raises KeyError or TypeError for what cannot be one."""
        regions = tuple(
            EditRegion(
                mask=Path(region["mask"]),
                prompt=str(region["prompt"]),
                box=tuple(map(float, region.get("box", ()))),
            )
            for region in record["regions"]
        )
        return cls(
            photo=Path(record["photo"]),
            regions=regions,
            start=float(record["start"]),
            decoder_steps=int(record.get("decoder_steps", 0)),
        )


class Addition(NamedTuple):
    """Something to draw with besides the run: a file, or another run's folder."""

    source: str
    strength: float = 1.0
    """Times its weight change; of no meaning for embeddings."""
    name: str = ""
    """The word of an embedding; empty: the file's name."""


class Additions(NamedTuple):
    """Everything to draw with besides the run."""

    loras: tuple[Addition, ...] = ()
    """Other people's LoRA files."""
    embeddings: tuple[Addition, ...] = ()
    """Other people's embedding files."""
    others: tuple[Addition, ...] = ()
    """Further runs on the same base model, whose things may stand in the prompt, too."""

    def __bool__(self) -> bool:
        return any(self[:])

    @classmethod
    def read(cls, loras: str, embeddings: str, others: str) -> Additions:
        """What `told` has told; sources are names without folders."""
        plain, named, runs = (
            tuple(Addition(name, float(number)) for name, number in TOLD.findall(text))
            for text in (loras, embeddings, others)
        )
        words = tuple(
            one._replace(name=name, source=source) if equals else one
            for one in named
            for name, equals, source in [one.source.partition("=")]
        )
        return cls(plain, words, runs)

    def told(self) -> dict[str, str]:
        """For a picture's recipe: names and strengths."""
        kinds = zip(("lora", "embedding", "with"), self, strict=True)
        return {
            kind: ", ".join(
                (f"{one.name}=" if one.name else "") + f"{Path(one.source).name}:{one.strength:g}"
                for one in additions
            )
            for kind, additions in kinds
            if additions
        }


NOTHING = Additions()

LOOSE = 0.65
"""Share of the noise levels that is usually added to a collage of placed things."""
LOOSEST = 0.95
"""The most that leaves them a place: pictures begin with noise alone where it is 1."""


@dataclass(frozen=True, kw_only=True)
class ThingPlace:
    """Where a learned thing is to stand; all numbers are shares of the picture's side."""

    token: str
    """`<asset0>` or `<name>`."""
    x: float
    y: float
    """Its middle, from the left and from the top."""
    width: float = 0.0
    """0: as in the scene."""

    @classmethod
    def parse(cls, text: str) -> ThingPlace:
        """The place of `teapot=30,60` or `teapot=30,60,40`, in percent; raises UserError."""
        name, equals, numbers = text.partition("=")
        try:
            x, y, *width = (float(number) / 100 for number in numbers.split(","))
            if not equals or not name.strip() or len(width) > 1:
                raise ValueError
        except ValueError as error:
            raise UserError(
                f"{text!r} is no place",
                'write the middle in percent, and a width if you like: "teapot=30,60,40"',
            ) from error
        place = cls(token=f"<{name.strip().strip('<>')}>", x=x, y=y, width=sum(width))
        place.check()
        return place

    @property
    def text(self) -> str:
        """As `parse` reads it."""
        width = f",{100 * self.width:.6g}" if self.width else ""
        return f"{self.token[1:-1]}={100 * self.x:.6g},{100 * self.y:.6g}{width}"

    def check(self) -> None:
        """Raises UserError for a place outside the picture."""
        if not (0 <= self.x <= 1 and 0 <= self.y <= 1 and 0 <= self.width <= 1):
            raise UserError(f"{self.token} cannot stand there", "use 0 to 100 percent")


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """What to draw. `seed`, `steps`, `guidance` of None mean: random, and the run's own."""

    run: RunDir
    prompt: str
    out: Path
    """Folder of the pictures; the host makes it."""
    negative: str = ""
    seed: int | None = None
    count: int = 1
    steps: int | None = None
    guidance: float | None = None
    strength: float = 1.0
    """Times the learned weight change: 0 draws with the base's weights (and the learned tokens)."""
    edit: PhotoEdit | None = None
    """Draw into this photo; `prompt` is then only what the request is called."""
    picture: Path | None = None
    """Begin with this picture in place of noise."""
    noise: float = 1.0
    """Share of the noise levels that is added to it."""
    places: tuple[ThingPlace, ...] = ()
    """Begin with the run's things cut out and put here, in place of a picture."""
    arrange: bool = False
    """Put the things that the prompt names at places of chance, other ones in every picture."""
    pick: int = 0
    """Keep only so many of the pictures, those with the most complete things; 0: all."""
    additions: Additions = NOTHING
    step_previews: bool = False
    device: str = "auto"
    request: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    def line(self) -> str:
        """The request as one JSON line, without the newline."""
        record = vars(self) | {"run": self.run.path, "edit": None}
        record["places"] = [vars(place) for place in self.places]
        if self.edit is not None:
            record["edit"] = dataclasses.asdict(self.edit)
        return json.dumps(record, default=lambda path: str(path.resolve()))

    @classmethod
    def parse(cls, record: dict[str, Any]) -> GenerationRequest:
        """The request of a protocol line; raises UserError for what cannot be one."""
        known = {field.name for field in dataclasses.fields(cls)}
        values: dict[str, Any] = {key: value for key, value in record.items() if key in known}
        try:
            values |= {"run": RunDir(Path(values["run"])), "out": Path(values["out"])}
            if values.get("edit") is not None:
                values["edit"] = PhotoEdit.of(values["edit"])
                values["prompt"] = values["edit"].prompts
            places = values.get("places") or ()
            values["places"] = tuple(ThingPlace(**place) for place in places)
            if values.get("picture") is not None:
                values["picture"] = Path(values["picture"])
            kinds = values.get("additions", ())
            values["additions"] = Additions(*(tuple(Addition(*one) for one in k) for k in kinds))
            request = cls(**values)
            request.check()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"incomplete request: {error}", "name run, prompt and out") from error
        return request

    @property
    def prompts(self) -> tuple[str, ...]:
        """Everything that the text encoders will read."""
        if self.edit is None:
            return (self.prompt,)
        return tuple(region.prompt for region in self.edit.regions)

    def check(self) -> None:
        """Raises UserError for what cannot be drawn."""
        if self.edit is not None:
            if not 1 <= len(self.edit.regions) <= MAX_REGIONS:
                raise UserError(
                    f"cannot edit {len(self.edit.regions)} regions", f"name 1 to {MAX_REGIONS}"
                )
            if not 0 <= self.edit.start < 1:
                raise UserError(
                    f"the start cannot be {self.edit.start}", "use 0 to below 1, 0.25 is usual"
                )
            if not 0 <= self.edit.decoder_steps <= MAX_DECODER_STEPS:
                raise UserError(
                    f"the decoder cannot take {self.edit.decoder_steps} steps",
                    f"use 0 to {MAX_DECODER_STEPS}, 75 is usual",
                )
        if not all(prompt.strip() for prompt in self.prompts):
            raise UserError("the prompt is empty", 'try "a photo of <asset0>"')
        if not 0 < self.noise <= 1:
            raise UserError(f"the noise cannot be {self.noise}", "use above 0 to 1, 0.8 is usual")
        if (self.places or self.arrange) and self.noise > LOOSEST:
            raise UserError(
                f"at a noise of {self.noise:g} nothing has a place",
                f"use up to {LOOSEST}, {LOOSE} is usual",
            )
        for place in self.places:
            place.check()
        if self.arrange and (self.places or self.picture is not None):
            raise UserError("things are placed already", "leave --arrange or the places out")
        if self.pick:
            self._check_pick()
        if not 1 <= self.count <= MAX_COUNT:
            raise UserError(f"cannot make {self.count} pictures", f"ask for 1 to {MAX_COUNT}")
        if self.steps is not None and not 1 <= self.steps <= 1000:
            raise UserError(f"cannot take {self.steps} steps", "use 1 to 1000, 50 is usual")
        if self.guidance is not None and not 0 <= self.guidance <= 100:
            raise UserError(f"guidance cannot be {self.guidance}", "use 0 to 100, 7.5 is usual")
        if not 0 <= self.strength <= 2:
            raise UserError(f"the strength cannot be {self.strength}", "use 0 to 2, 1 is usual")
        for addition in (*self.additions.loras, *self.additions.others):
            if not -4 <= addition.strength <= 4:
                name = Path(addition.source).name
                raise UserError(
                    f"the strength of {name} cannot be {addition.strength}",
                    "use -4 to 4, 1 is usual",
                )
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise UserError(f"the seed cannot be {self.seed}", "use a whole number, 0 or more")

    def _check_pick(self) -> None:
        if not 1 <= self.pick <= self.count:
            raise UserError(
                f"cannot pick {self.pick} of {self.count} pictures", "draw more than are picked"
            )
        if self.edit is not None or len(set(TOKEN.findall(self.prompt))) < 2:
            raise too_few_to_pick()


def too_few_to_pick() -> UserError:
    """Of a request to pick among pictures of less than two things."""
    return UserError(
        "pictures are picked by how surely several learned things are all there",
        "name two or more in the prompt, or leave the pick out",
    )
