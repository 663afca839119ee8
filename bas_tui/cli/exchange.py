"""`bas export` and `bas import`: concepts for other programs, and concepts of other people."""

from __future__ import annotations

import sys
import time
from collections import abc
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bas_tui.cli import options, stderr, stdout

if TYPE_CHECKING:
    from bas_tui.client import ExportOrder, ImportOrder
    from engine.runs.events import Event
    from engine.runs.exchange_events import EnergyKept, PackOpened
    from engine.runs.export_targets import Target


class Precision(StrEnum):
    """How whole models are stored."""

    fp16 = "fp16"
    fp32 = "fp32"


def complete_target(incomplete: str) -> list[tuple[str, str]]:
    """Targets for the shell."""
    from engine.runs.export_targets import TARGETS

    everything = {**TARGETS, "all": "all of them"}
    return [(name, what) for name, what in everything.items() if name.startswith(incomplete)]


def export(
    run: options.RunArgument = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="WHERE",
            help="a1111 (and Forge), comfyui, diffusers, checkpoint (a whole model in one file), "
            "pack (to share with bas import), or all. May be repeated.",
            autocompletion=complete_target,
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Where to.", show_default="in the run"),
    ] = None,
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What the files are called, and what the things' words begin with.",
            show_default="the run's name",
        ),
    ] = "",
    rank: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Rank of the LoRA that a full run's change is cut to, or auto: the smallest that "
            "keeps 95 %. With it a pack is cut, too; without, a pack is whole.",
            show_default="32",
        ),
    ] = None,
    check: Annotated[
        bool | None,
        typer.Option(
            "--check/--no-check",
            metavar="",
            help="Draw four pictures with the run and with what was exported, and compare.",
            show_default="where that takes seconds",
        ),
    ] = None,
    precision: Annotated[
        Precision, typer.Option(metavar="PRECISION", help="Of whole models: fp16, or fp32.")
    ] = Precision.fp16,
    small: Annotated[
        bool,
        typer.Option("--small", metavar="", help="diffusers: without the pipeline folder."),
    ] = False,
    pure: Annotated[
        bool,
        typer.Option(
            "--pure",
            metavar="",
            help="LoRA files with matrices only, for programs that refuse norms and biases.",
        ),
    ] = False,
    with_picture: Annotated[
        bool,
        typer.Option(
            "--with-picture", metavar="", help="pack: your photo (small) and its masks besides."
        ),
    ] = False,
    licence: Annotated[
        str, typer.Option(metavar="TEXT", help="The licence that you give to others.")
    ] = "",
    device: Annotated[
        options.Device, typer.Option(metavar="DEVICE", help="For --check: auto, cuda, mps or cpu.")
    ] = options.Device.auto,
    images: options.ImagesOption = options.Images.auto,
    as_json: options.JsonOption = False,
) -> None:
    """Write learned things for A1111, Forge, ComfyUI, diffusers, or to share.

    Example:  bas export teapot --to comfyui --name kitchen

    Each export gets a folder with a README.txt: what goes where, the things' words there, a prompt.
    stdout gets the folders' paths.
    """
    from bas_tui import client
    from bas_tui.cli.generate import check_folder

    found = options.run_to_draw(run)
    client.check_learned(found)
    targets, everything = _targets(to or [])
    order = client.ExportOrder(
        run=found,
        targets=targets,
        what_fits=everything,
        out=check_folder(out or found.exports),
        name=name,
        rank=_rank(rank),
        half=precision is Precision.fp16,
        small=small,
        with_picture=with_picture,
        licence=licence,
        pure=pure,
        check=check,
        device=device.value,
    )
    raise typer.Exit(_follow(order, images.value, as_json))


def import_(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A concept pack (.bas.safetensors), or a diffusers folder with learned tokens, "
            "as the authors' script writes it.",
        ),
    ],
    name: Annotated[
        str,
        typer.Option(metavar="NAME", help="Name of the run.", show_default="after the source"),
    ] = "",
    base: Annotated[
        str,
        typer.Option(
            "--base",
            "-b",
            metavar="BASE",
            help="The base model: of a pack, where it is not the one it names; of a folder, the "
            "one it was trained from (the run then holds the difference and can be exported).",
            autocompletion=options.complete_base,
            show_default="the pack's own; a folder is kept whole",
        ),
    ] = "",
    concept: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Names for the things, in their order, instead of their own. Repeat it.",
            show_default=False,
        ),
    ] = None,
    look: Annotated[
        bool, typer.Option("--look", metavar="", help="Say what is in a pack; make nothing.")
    ] = False,
    partly: Annotated[
        bool,
        typer.Option("--partly", metavar="", help="Take what fits where not everything does."),
    ] = False,
    images: options.ImagesOption = options.Images.auto,
    as_json: options.JsonOption = False,
) -> None:
    """Make a run of other people's concepts.

    Example:  bas import kitchen.bas.safetensors

    Packs hold numbers only: nothing in them is ever executed. stdout gets the run's name.
    """
    from bas_tui import client
    from engine.core.errors import UserError

    source = source.expanduser()
    if not source.exists():
        raise UserError(f"there is no {source}", "name a pack or a folder")
    order = client.ImportOrder(
        source=source,
        name=name,
        base=base,
        concepts=tuple(concept or ()),
        partly=partly,
        look=look,
    )
    raise typer.Exit(_follow(order, images.value, as_json))


def _targets(words: abc.Sequence[str]) -> tuple[tuple[Target, ...], bool]:
    """The targets in their order, and whether they are just all of them."""
    from engine.core.errors import UserError
    from engine.runs.export_targets import TARGETS

    named = [word.strip().lower() for item in words for word in item.split(",") if word.strip()]
    unknown = [word for word in named if word not in (*TARGETS, "all")]
    if unknown or not named:
        listed = "; ".join(f"--to {target}: {what}" for target, what in TARGETS.items())
        problem = f"there is no --to {unknown[0]}" if unknown else "say where to"
        raise UserError(problem, f"{listed}; --to all")
    everything = "all" in named
    return tuple(target for target in TARGETS if target in named or everything), everything


def _rank(word: str | None) -> int | None:
    from engine.core.errors import UserError
    from engine.runs.export_targets import MAX_RANK

    if word is None:
        return None
    if word == "auto":
        return 0
    if not word.isdecimal() or not 1 <= int(word) <= MAX_RANK:
        raise UserError(f"--rank cannot be {word!r}", f"use 1 to {MAX_RANK}, or auto")
    return int(word)


def _follow(order: ExportOrder | ImportOrder, images: stdout.Images, as_json: bool) -> int:
    """Tell a job's events; the exit code. Ctrl-C ends the job."""
    from bas_tui import client

    job = client.Exchange(order)
    try:
        with _telling(images, as_json) as tell:
            for event in job:
                tell(event)
    except KeyboardInterrupt:
        stderr.say("cancelling")
        job.cancel()
        for _ in job:
            pass
        return stderr.INTERRUPTED
    return job.exit_code if job.exit_code in (stderr.DONE, stderr.BAD_INPUT) else stderr.FAILED


@contextmanager
def _telling(images: stdout.Images, as_json: bool) -> abc.Generator[abc.Callable[[Event], None]]:
    if as_json:
        yield stdout.event_line
        return
    if not sys.stderr.isatty():
        yield _Teller(images)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(30), TimeElapsedColumn())
    with Progress(*columns, console=stderr.console(), transient=True) as progress:
        task = progress.add_task("starting", total=None)

        def show(description: str, done: int, total: int) -> None:
            progress.update(task, description=description, completed=done, total=total or None)

        yield _Teller(images, show)


class _Teller:
    """Says every event of a job: results on stdout, the rest on stderr."""

    def __init__(
        self, images: stdout.Images, show: abc.Callable[[str, int, int], None] | None = None
    ) -> None:
        self._images: stdout.Images = images
        self._show = show
        self._kept: list[EnergyKept] = []
        # A check loads the same model twice, which says the same twice.
        self._noticed: set[tuple[str, str]] = set()
        self._for_others = False

    def __call__(self, event: Event) -> None:
        """Say an event."""
        from engine.runs import events
        from engine.runs import exchange_events as kinds

        if isinstance(event, events.Progress):
            if self._show is not None:
                self._show(event.label or event.stage, event.done, event.total)
        elif isinstance(event, events.Notice):
            notice = event.level, event.message
            if notice not in self._noticed:
                self._noticed.add(notice)
                stderr.note(event.level, event.message, event.remedy)
        elif isinstance(event, kinds.EnergyKept):
            self._kept.append(event)
            if event.part == "all layers":
                _say_energy(self._kept)
        elif isinstance(event, kinds.AgreementMeasured):
            mean = sum(event.psnr) / len(event.psnr)
            stderr.say(
                f"pictures of the run and of the export agree to {mean:.1f} dB (worst "
                f"{min(event.psnr):.1f}; above 35 they are hard to tell apart): {event.sheet}"
            )
            stdout.picture(Path(event.sheet), self._images)
        elif isinstance(event, kinds.ExportSaved):
            self._for_others |= event.target != "pack"
            stderr.say(f"{event.target}: {event.bytes / 1e6:.1f} MB")
            stdout.line(event.folder)
        elif isinstance(event, kinds.PackOpened):
            _say_pack(event)
            if event.preview:
                stdout.picture(Path(event.preview), self._images)
        elif isinstance(event, kinds.ExportEnded | kinds.ImportEnded):
            self._end(event)

    def _end(self, event: Event) -> None:
        from engine.runs import exchange_events as kinds

        assert isinstance(event, kinds.ExportEnded | kinds.ImportEnded)
        if event.outcome == "failed":
            stderr.error(event.message, event.remedy)
        elif isinstance(event, kinds.ExportEnded):
            width = max(map(len, event.names))
            if self._for_others:
                stderr.say("words there:")
                for name, word in zip(event.names, event.words, strict=True):
                    stderr.say(f"  {name:{width}}  {word}")
            stderr.say("the README.txt in each folder says what goes where")
        elif event.run:
            name = Path(event.run).name
            stdout.line(name)
            stderr.say(f"draw with it: bas gen PROMPT --run {name}; bas show {name} says more")


def _say_energy(parts: abc.Sequence[EnergyKept]) -> None:
    """What each rank keeps of the change, as a small table."""
    ranks = parts[-1].ranks
    head = "kept of the change at rank"
    stderr.say(f"{head:32}" + "".join(f"{rank:>7}" for rank in ranks))
    for part in parts:
        name = f"{part.part} ({part.share:.0%} of it)"
        stderr.say(f"  {name:30}" + "".join(f"{share:>7.1%}" for share in part.kept))


def _say_pack(pack: PackOpened) -> None:
    cut = f"a LoRA of rank {pack.rank}" if pack.rank else "whole"
    rows = [
        ("pack", pack.title),
        ("things", " ".join(f"<{name}>" for name in pack.names)),
        ("base", f"{pack.base} (sha256 {pack.base_sha256[:12]})"),
        ("change", f"{cut}, {pack.bytes / 1e6:.1f} MB, {pack.step} steps of {pack.method}"),
        ("made", time.strftime("%Y-%m-%d", time.gmtime(pack.created))),
        ("licence", pack.licence or "not said"),
        ("base's", pack.base_licence or "not said"),
        *(("try", prompt) for prompt in pack.prompts),
    ]
    for head, text in rows:
        stderr.say(f"{head:8} {text}")
