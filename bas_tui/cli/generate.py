"""`bas gen`: pictures of a run's concepts in any prompt."""

from __future__ import annotations

from collections import abc
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, NoReturn

import typer

from bas_tui.cli import options, stderr, stdout
from engine.core.plain_text import plain
from engine.runs.requests import LOOSE, LOOSEST

if TYPE_CHECKING:
    from bas_tui.client import GenerationRequest, Generator
    from engine.runs.events import Event

Count = Annotated[int, typer.Option("--count", "-n", metavar="N", min=1, help="How many pictures.")]
Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="The same seed draws the same pictures.",
        show_default="a new one",
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, help="Denoising steps.", show_default="the run's; 50 on most bases"
    ),
]
Guidance = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        min=0.0,
        help="Guidance scale: how closely the prompt is kept.",
        show_default="the run's; 7.5 on most bases",
    ),
]
Strength = Annotated[
    float,
    typer.Option(
        metavar="X",
        min=0.0,
        max=2.0,
        help="How much of the learned weight change is added: less keeps the base model's own "
        "way of drawing, most of all with a LoRA run.",
    ),
]
Loras = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE[:X]",
        help="Another LoRA over it (a style), X times: kohya's, diffusers', ComfyUI's or LyCORIS' "
        ".safetensors for the same kind of base model. May be repeated.",
        autocompletion=options.complete_weights,
        show_default=False,
    ),
]
Embeddings = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[NAME=]FILE",
        help="An embedding (textual inversion); <NAME> stands for it in prompts and --negative, "
        "the file's name where none is given. May be repeated.",
        autocompletion=options.complete_weights,
        show_default=False,
    ),
]
Others = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="RUN[:X]",
        help="Another run on the same base model: its things may stand in prompts, too; its weight "
        "change is added X times. May be repeated.",
        autocompletion=options.complete_run,
        show_default=False,
    ),
]
Negative = Annotated[str, typer.Option(help="What to keep away from.")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="DIR", help="Folder of the pictures.", show_default="in the run"
    ),
]
DeviceOption = Annotated[
    options.Device, typer.Option(metavar="DEVICE", help="auto, cuda, mps or cpu.")
]


def gen(
    prompt: Annotated[
        str,
        typer.Argument(
            metavar="PROMPT",
            help="What to draw. <asset0> or <teapot> stands for a learned thing. One that begins "
            "with a thing is read with the training's words before it (a photo of).",
            autocompletion=options.complete_prompt,
        ),
    ],
    run: options.RunOption = None,
    count: Count = 4,
    seed: Seed = None,
    steps: Steps = None,
    guidance: Guidance = None,
    strength: Strength = 1.0,
    lora: Loras = None,
    embedding: Embeddings = None,
    with_: Others = None,
    negative: Negative = "",
    place: Annotated[
        list[str] | None,
        typer.Option(
            "--place",
            metavar="NAME=X,Y[,W]",
            help="Put a thing with its middle at X, Y percent of the picture, W percent wide. "
            "Once for each thing.",
            show_default=False,
        ),
    ] = None,
    arrange: Annotated[
        bool,
        typer.Option(
            "--arrange",
            help="Put the named things side by side at new places, in every picture others, so "
            "that they do not stand as in the photo.",
        ),
    ] = False,
    loose: Annotated[
        float,
        typer.Option(
            metavar="X",
            min=0.05,
            max=LOOSEST,
            help="With --place or --arrange: how freely the things are redrawn. More keeps fewer "
            "in their places.",
        ),
    ] = LOOSE,
    pick: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            min=1,
            help="Keep only the K pictures in which the named things are most surely there; "
            "the sheet still shows all, those first.",
            show_default="all",
        ),
    ] = None,
    out: Out = None,
    device: DeviceOption = options.Device.auto,
    images: options.ImagesOption = options.Images.auto,
    as_json: options.JsonOption = False,
) -> None:
    """Draw learned things in a new picture.

    Example:  bas gen "<asset0> and <asset1> in snow" -n 4 --seed 7

    Example:  bas gen "<asset0> and <asset1> in the snow" --arrange -n 8

    Example:  bas gen "<teapot> in <ink>" --lora style.safetensors:0.7 --embedding ink.safetensors

    stdout gets the path of every picture; on a terminal the pictures are shown, too.
    """
    from bas_tui import client

    found = options.run_to_draw(run)
    additions = client.read_additions(found, lora or [], embedding or [], with_ or [])
    places = tuple(map(client.ThingPlace.parse, place or ()))
    request = client.GenerationRequest(
        run=found,
        prompt=prompt,
        out=check_folder(out or found.pictures),
        negative=negative,
        seed=seed,
        count=count,
        steps=steps,
        guidance=guidance,
        strength=strength,
        places=places,
        arrange=arrange,
        noise=loose if places or arrange else 1.0,
        pick=pick or 0,
        additions=additions,
        device=device.value,
    )
    finish(request, images=images.value, as_json=as_json)


def finish(request: GenerationRequest, *, images: stdout.Images, as_json: bool) -> NoReturn:
    """Check a request, draw it and end the command with the exit code of what became of it."""
    from bas_tui import client

    client.check_request(request)
    if unnamed := client.unnamed_places(request):
        stderr.note("warning", unnamed, "name it or leave its --place out")
    with client.Generator() as generator:
        drawn = draw(generator, request, images=images, as_json=as_json)
    raise typer.Exit(drawn.code)


def check_folder(out: Path) -> Path:
    """The absolute folder; raises UserError where a file is in its way."""
    from engine.core.errors import UserError

    out = out.expanduser().resolve()
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file", "name a folder with -o")
    return out


class Drawn(NamedTuple):
    """What became of a request: an exit code, and the pictures that are on disk."""

    code: int
    paths: tuple[Path, ...]


def draw(
    generator: Generator,
    request: GenerationRequest,
    *,
    images: stdout.Images = "blocks",
    as_json: bool = False,
) -> Drawn:
    """Make one request's pictures, tell and show them. Ctrl-C cancels."""
    from engine.runs.events import GenerationEnded, PictureSaved

    paths: list[Path] = []
    ended: GenerationEnded | None = None
    events = generator.submit(request)
    cancelled = heard = False
    while ended is None:
        try:
            with _bar(not as_json and stderr.is_live()) as show:
                for event in events:
                    heard = True
                    if as_json:
                        stdout.event_line(event)
                    else:
                        show(event)
                    if isinstance(event, PictureSaved):
                        paths.append(Path(event.path))
                    elif isinstance(event, GenerationEnded):
                        ended = event
                        break
        except KeyboardInterrupt:
            if cancelled or not heard:
                return Drawn(stderr.INTERRUPTED, tuple(paths))
            cancelled = True
            stderr.say("cancelling; Ctrl-C again leaves at once")
            generator.cancel(request.request)
    if not as_json:
        for path in paths:
            stdout.line(str(path))
        if ended.sheet:
            stderr.say(f"all on one sheet: {ended.sheet}")
        shown = Path(ended.sheet) if ended.sheet else paths[0] if paths else None
        if shown is not None and not cancelled:
            stdout.picture(shown, images)
    if ended.outcome == "failed":
        stderr.error(ended.message or "drawing failed", ended.remedy or f"see {generator.log}")
        return Drawn(stderr.FAILED, tuple(paths))
    code = stderr.INTERRUPTED if ended.outcome == "cancelled" else stderr.DONE
    return Drawn(code, tuple(paths))


class _Show:
    """Told every event of a request; where stderr is no terminal it tells warnings only."""

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        from engine.runs.events import Notice

        # What the base model is was said when the run began.
        if isinstance(event, Notice) and event.level != "info":
            self.tell(f"{event.level}: {event.message} - {event.remedy}".rstrip(" -"))

    def tell(self, text: str) -> None:
        """Print a line of talk."""
        stderr.say(text)


@contextmanager
def _bar(live: bool) -> abc.Generator[_Show]:
    if not live:
        yield _Show()
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(30), TimeRemainingColumn())
    with Progress(*columns, console=stderr.console(), transient=True) as progress:
        yield _Bar(progress)


class _Bar(_Show):
    def __init__(self, progress: object) -> None:
        from rich.progress import Progress

        assert isinstance(progress, Progress)
        self._progress = progress
        self._task = progress.add_task("starting", total=None)
        self._count = 1

    def tell(self, text: str) -> None:
        self._progress.console.print(plain(text), style="dim", markup=False, soft_wrap=True)

    def __call__(self, event: Event) -> None:
        from engine.runs import events as kinds

        super().__call__(event)
        if isinstance(event, kinds.Progress):
            self._progress.update(
                self._task,
                description=event.label or event.stage,
                total=event.total or None,
                completed=event.done,
            )
        elif isinstance(event, kinds.GenerationStarted):
            self._count = event.count
            self.tell(f"seed {event.seed}, {event.steps} steps, guidance {event.guidance:g}")
            if event.opening:
                self.tell(f'read with "{event.opening}" before it, as in training')
        elif isinstance(event, kinds.GenerationStep):
            self._progress.update(
                self._task,
                description=f"picture {event.index + 1} of {self._count}",
                total=event.steps * self._count,
                completed=event.index * event.steps + event.step,
            )
