"""`bas train`: from a picture with masks to a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bas_tui.cli import options, stderr

if TYPE_CHECKING:
    from engine.runs.folder import RunDir
    from engine.scenes.scene import Scene


AUTO = "auto"


def train(
    scene: Annotated[
        Path,
        typer.Argument(
            metavar="SCENE", help="An image, or a folder with img.jpg and mask0.png, mask1.png ..."
        ),
    ],
    masks: Annotated[
        list[Path] | None,
        typer.Option(
            "--masks",
            "-m",
            metavar="M",
            help="A mask per thing (its file name names it), a folder of them, one label map, a "
            "labelme or COCO file, an array. May be repeated. See also: bas masks",
        ),
    ] = None,
    masks_inverted: options.InvertedOption = None,
    base: options.BaseOption = None,
    vae: Annotated[
        Path | None,
        typer.Option(
            "--vae",
            metavar="FILE",
            help="An autoencoder in place of the base model's own: a file or a folder.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the run.")] = None,
    init: Annotated[
        list[str] | None,
        typer.Option(
            "--init",
            metavar="NAME=WORD|auto",
            help="A word the thing NAME resembles; its token starts there. May be repeated. "
            "auto: the base model looks for the words of all others, and tells them.",
        ),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option("--settings", metavar="FILE.toml", help="Settings from a TOML file."),
    ] = None,
    set_: options.SetOption = None,
    method: options.MethodOption = None,
    background: Annotated[
        bool,
        typer.Option(
            "--background",
            metavar="",
            help="Learn what surrounds the things, too: <background> in prompts.",
        ),
    ] = False,
    gpus: Annotated[
        int,
        typer.Option(
            "--gpus",
            metavar="N",
            min=1,
            max=64,
            help="GPUs of this machine that share every step: N samples a step, one on each.",
        ),
    ] = 1,
    detach: options.DetachOption = False,
    plain: options.PlainOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Learn a token for every masked thing of one picture.

    Example:  bas train desk.jpg --masks teapot.png --masks plant.png --init teapot=pot

    The run trains in its own process: closing this terminal does not end it.
    """
    run = make_run(
        scene,
        masks or (),
        base=base,
        name=name,
        words=init or (),
        settings_file=settings,
        set_words=share_steps(gpus, set_ or ()),
        method=method,
        vae=vae,
        inverted=masks_inverted,
        background=background,
    )
    raise typer.Exit(launch(run, detach=detach, plain=plain, as_json=as_json))


def share_steps(gpus: int, words: Sequence[str]) -> list[str]:
    """The settings with which N GPUs share a step; says what a step then is."""
    from engine.core.settings import parse_words

    if gpus == 1:
        return list(words)
    passes = parse_words(words).get("gradient_accumulation", "1")
    if passes == "1":
        stderr.say(f"a step sees {gpus} samples, one on each GPU (gradient_accumulation={gpus})")
        passes = str(gpus)
    return [*words, f"gradient_accumulation={passes}", f"gpus={gpus}"]


def make_run(
    scene: Path,
    masks: Sequence[Path],
    *,
    base: str | None = None,
    name: str | None = None,
    words: Sequence[str] = (),
    settings_file: Path | None = None,
    set_words: Sequence[str] = (),
    method: str | None = None,
    stem: str | None = None,
    vae: Path | None = None,
    inverted: bool | None = None,
    background: bool = False,
) -> RunDir:
    """Check everything, say what was chosen, and create the run folder; raises UserError.

    `stem` begins the run's name where there is no `name`; without either the scene's file does.
    """
    from bas_tui import client
    from engine.core.settings import build_config
    from engine.models.facts import attention_grid, latent_side
    from engine.models.names import default_base
    from engine.runs.manifest import read_manifest
    from engine.runs.prompts import known
    from engine.scenes.background import with_background

    if AUTO in words:
        set_words = [*set_words, "initializer_search=true"]
    initializers = parse_initializers([word for word in words if word != AUTO])
    chosen = base or default_base()
    if vae is not None:
        set_words = [*set_words, f"base.vae={vae.expanduser().resolve()}"]
    changes = read_settings(settings_file, set_words)
    recorded = client.resolve_base(chosen, ask_hub=False, own_vae=bool(changes.get("base.vae")))
    merged = merge_settings(recorded, changes, method=method)
    config = build_config(merged)
    loaded = ask_and_load(scene, masks, grid=attention_grid(recorded, config), inverted=inverted)
    if background:
        loaded = with_background(loaded, latent_side(recorded, config))
    run = client.create_run(
        loaded,
        base=recorded,
        name=name,
        stem=stem,
        settings=merged,
        scene_source=str(scene.expanduser().resolve()),
        initializers=initializers,
        method=method or "break-a-scene",
    )
    # Said only now: a mistake is answered by its own line and nothing else.
    say_scene(loaded)
    say_base(chosen, by_default=base is None)
    stderr.say(f"run {run.name} learns {known(read_manifest(run).concepts)}")
    return run


def ask_and_load(
    scene: Path, masks: Sequence[Path], *, grid: int = 16, inverted: bool | None = None
) -> Scene:
    """The scene; where masks look inverted, a person at the terminal is asked what they mean.

    Raises InvertedMasksError where nobody can be asked.
    """
    from engine.scenes.scene import InvertedMasksError, load_scene

    try:
        return load_scene(scene, masks, grid=grid, inverted=inverted)
    except InvertedMasksError as error:
        if not stderr.is_interactive():
            raise
        stderr.note("warning", error.message)
        answer = stderr.ask("Is the thing the black (transparent) part? [y]es, [n]o, stop:")
        if not answer or answer[0] not in "yn":
            raise
        return load_scene(scene, masks, grid=grid, inverted=answer[0] == "y")


def launch(run: RunDir, *, detach: bool, plain: bool, as_json: bool) -> int:
    """Start the run's host and, unless detached, show it to its end; the exit code."""
    from bas_tui.cli import stdout
    from bas_tui.cli.attach import attach
    from engine.runs.event_reading import read_events

    known = read_events(run)
    pid = start(run)
    if detach:
        if as_json:
            stdout.json_line({"run": run.name, "path": str(run.path), "pid": pid})
        else:
            stdout.line(run.name)
            stderr.say(f"look at it: bas watch {run.name} · end it: bas stop {run.name}")
        return stderr.DONE
    show_from = known[-1].seq + 1 if known else 0
    code = attach(run, as_json=as_json, plain=plain, owner=True, show_from=show_from)
    if code == stderr.DONE and not as_json:
        stdout.line(run.name)
    return code


def start(run: RunDir) -> int:
    """Start the run's host; loading its libraries takes seconds, so say that it lives."""
    from bas_tui import client

    try:
        with stderr.waiting("starting the run's own process"):
            return client.start_host(run)
    except KeyboardInterrupt:
        stderr.say(f"{run.name} goes on without this terminal · end it: bas stop {run.name}")
        raise


def say_base(base: str, *, by_default: bool) -> None:
    """Which base model trains, and why where nobody chose it."""
    from engine.models.facts import FEW_STEPS_WARNING, base_facts

    gpu = "without" if base == "pocket" else "with"
    why = f" (the default {gpu} an NVIDIA GPU; choose another with --base)"
    stderr.say(f"base model {base}{why if by_default else ''}")
    if base_facts(base).few_steps:
        stderr.note("warning", FEW_STEPS_WARNING)


def say_scene(scene: Scene) -> None:
    """What was done to the person's files, and what is odd about them."""
    for line in scene.notes:
        stderr.note("info", line)
    for finding in scene.findings:
        stderr.note(finding.level, finding.message, finding.remedy)


def parse_initializers(words: Sequence[str]) -> dict[str, str]:
    """`["teapot=pot"]` -> `{"teapot": "pot"}`; raises UserError."""
    from engine.core.errors import UserError

    values: dict[str, str] = {}
    for word in words:
        concept, equals, start = word.partition("=")
        if not equals or not concept.strip() or not start.strip():
            raise UserError(f"--init {word!r} is no NAME=WORD", "write it like --init teapot=pot")
        values[concept.strip().strip("<>")] = start.strip()
    return values


def read_settings(file: Path | None, words: Sequence[str]) -> dict[str, Any]:
    """Dotted settings that a person gives: those of the file, then the words, which win."""
    from engine.core.settings import parse_words, read_toml

    return {**(read_toml(file.expanduser()) if file is not None else {}), **parse_words(words)}


def merge_settings(
    base: str, changes: Mapping[str, Any], *, method: str | None = None
) -> dict[str, Any]:
    """Dotted settings: the base's recipe, then the method, then a person's; later ones win."""
    from engine.core.methods import method_settings
    from engine.models.facts import recipe_settings

    merged = recipe_settings(base)
    if method is not None:
        merged = method_settings(method, merged)
    return {**merged, **changes}
