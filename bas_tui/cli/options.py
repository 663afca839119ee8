"""Options and arguments that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from engine.runs.folder import RunDir

APPLICATION = "The application"


def complete_run(incomplete: str) -> list[str]:
    """Run names for the shell."""
    from engine.runs.library import list_runs

    return [run.name for run in list_runs() if run.name.startswith(incomplete)]


def run_to_draw(name: str | None) -> RunDir:
    """The run that a command draws from; says so where it is not the newest one, nor named."""
    from bas_tui.cli import stderr
    from engine.runs.library import find_learned_run, find_run

    run = find_learned_run(name)
    if name is None and (newest := find_run(None)) != run:
        stderr.note("warning", f"from {run.name}: {newest.name}, the newest, has no concepts yet")
    return run


def complete_prompt(incomplete: str) -> list[tuple[str, str]]:
    """The newest run's tokens for the shell, in place of the `<...` at the end of the prompt."""
    from bas_tui.client.prompt_checks import token_names
    from engine.core.errors import UserError
    from engine.runs.library import find_learned_run
    from engine.runs.manifest import read_manifest

    start = incomplete.rfind("<")
    if start < 0 or ">" in incomplete[start:]:
        start = len(incomplete)
    try:
        run = find_learned_run(None)
        names = token_names(read_manifest(run).concepts)
    except UserError:
        return []
    head = incomplete[:start]
    return [(head + name, run.name) for name in names if name.startswith(incomplete[start:])]


def complete_base(incomplete: str) -> list[tuple[str, str]]:
    """Named base models for the shell."""
    from engine.models.names import BASE_MODELS

    return [
        (model.name, model.title)
        for model in BASE_MODELS.values()
        if model.name.startswith(incomplete)
    ]


def complete_weights(incomplete: str) -> list[str]:
    """Folders and safetensors files for the shell, behind a `NAME=` too."""
    from pathlib import Path

    head, equals, start = incomplete.rpartition("=")
    folder = Path(start if start.endswith("/") or not start else Path(start).parent).expanduser()
    if not folder.is_dir():
        return []
    shown = start[: len(start) - len(Path(start).name)] if not start.endswith("/") else start
    return [
        f"{head}{equals}{shown}{path.name}{'/' if path.is_dir() else ''}"
        for path in sorted(folder.iterdir())
        if path.name.startswith("" if start.endswith("/") else Path(start).name)
        and (path.is_dir() or path.suffix == ".safetensors")
    ]


def complete_method(incomplete: str) -> list[tuple[str, str]]:
    """Presets for the shell."""
    from engine.core.methods import METHODS

    return [(m.name, m.title) for m in METHODS.values() if m.name.startswith(incomplete)]


def complete_setting(incomplete: str) -> list[str]:
    """Keys for --set, up to the equals sign."""
    from engine.core.settings import setting_keys

    return [f"{key}=" for key in setting_keys() if key.startswith(incomplete)]


class Images(StrEnum):
    """How pictures are shown in the terminal."""

    auto = "auto"
    blocks = "blocks"
    half = "half"
    quadrant = "quadrant"
    sextant = "sextant"
    kitty = "kitty"
    iterm = "iterm"
    sixel = "sixel"
    none = "none"


class AppImages(StrEnum):
    """What pictures are made of in the application."""

    auto = "auto"
    blocks = "blocks"
    half = "half"
    quadrant = "quadrant"
    sextant = "sextant"
    kitty = "kitty"


class Device(StrEnum):
    """Where pictures are computed."""

    auto = "auto"
    cuda = "cuda"
    mps = "mps"
    cpu = "cpu"


class Executor(StrEnum):
    """Where many jobs run."""

    local = "local"
    ray = "ray"


class Color(StrEnum):
    """Colours of the terminal application."""

    auto = "auto"
    truecolor = "truecolor"
    eight_bit = "256"
    sixteen = "16"
    none = "none"


RunArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[RUN]",
        help="A run's name or the start of it.",
        autocompletion=complete_run,
        show_default="the newest",
    ),
]
RunOption = Annotated[
    str | None,
    typer.Option(
        "--run",
        "-r",
        metavar="RUN",
        help="A run's name or the start of it.",
        autocompletion=complete_run,
        show_default="the newest",
    ),
]
BaseOption = Annotated[
    str | None,
    typer.Option(
        "--base",
        "-b",
        metavar="BASE",
        help="A name of `bas models`, a diffusers folder, a .safetensors file or a hub id.",
        autocompletion=complete_base,
        show_default="sd21 with an NVIDIA GPU, else pocket",
    ),
]
InvertedOption = Annotated[
    bool | None,
    typer.Option(
        "--masks-inverted/--masks-as-drawn",
        metavar="",
        help="The things are black (or transparent) in the masks; or white, however it looks.",
        show_default="asks where it looks inverted",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting, as `bas settings` lists them. May be repeated.",
        autocompletion=complete_setting,
        show_default=False,
    ),
]
MethodOption = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="NAME",
        help="One of the paper's baselines or ablations: "
        "ti-m, db-m, cd-m, no-phase1, no-masked-loss, no-attention-loss, no-union-sampling.",
        autocompletion=complete_method,
    ),
]
ImagesOption = Annotated[
    Images,
    typer.Option(
        metavar="KIND",
        help="How to show pictures: kitty, sixel and iterm send real pixels; blocks takes the "
        "sharpest characters that the terminal has (or name them: half, quadrant, sextant); auto "
        "takes pixels where the terminal says that it has them; none.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", metavar="", help="Machine-readable lines on stdout.")
]
PlainOption = Annotated[
    bool,
    typer.Option("--plain", metavar="", help="Lines instead of a live display or the application."),
]
DetachOption = Annotated[
    bool,
    typer.Option("--detach", "-d", metavar="", help="Start it and return; see `bas watch`."),
]
AppImagesOption = Annotated[
    AppImages,
    typer.Option(
        "--images",
        metavar="KIND",
        help="Pictures in the application: kitty sends real pixels (kitty, Ghostty; in tmux with "
        "allow-passthrough), blocks takes characters, auto what the terminal has.",
        rich_help_panel=APPLICATION,
    ),
]
LowBandwidthOption = Annotated[
    bool | None,
    typer.Option(
        "--low-bandwidth/--full-bandwidth",
        metavar="",
        help="Redraw less.",
        show_default="on over SSH",
        rich_help_panel=APPLICATION,
    ),
]
ColorOption = Annotated[
    Color,
    typer.Option(
        metavar="COLORS",
        help="auto, truecolor, 256, 16 or none; SSH and tmux hide truecolor.",
        rich_help_panel=APPLICATION,
    ),
]


SegmenterOption = Annotated[
    str,
    typer.Option(
        "--segmenter",
        metavar="NAME|FOLDER|ID",
        help="What finds masks: embedded, or the folder or hub id (owner/name[@revision]) of SAM, "
        "SAM 2, SAM 3 or EdgeTAM.",
        autocompletion=complete_weights,
    ),
]
WordsByOption = Annotated[
    str,
    typer.Option(
        "--words-by",
        metavar="FOLDER|ID",
        help="What reads words beside it: the folder or hub id of SAM 3, CLIPSeg or Grounding "
        "DINO. The segmenter cuts what it finds.",
        autocompletion=complete_weights,
        show_default=False,
    ),
]
