"""`bas plan`: what a run would take, before anything is made or loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bas_tui.cli import options, stderr, stdout

if TYPE_CHECKING:
    from engine.models.plan import Estimate


def plan(
    scene: Annotated[
        Path, typer.Argument(metavar="SCENE", help="An image, or a folder with masks beside it.")
    ],
    masks: Annotated[
        list[Path] | None,
        typer.Option("--masks", "-m", metavar="M", help="As for bas train. May be repeated."),
    ] = None,
    masks_inverted: options.InvertedOption = None,
    base: options.BaseOption = None,
    set_: options.SetOption = None,
    method: options.MethodOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Say what a run would take - time, memory, disk - and what other settings would.

    Example:  bas plan desk.jpg --masks masks/ --base sd21

    Nothing is written or downloaded. The first line is the run as it would start; the others
    change one setting. Figures are estimates; the last line says what they rest on.
    """
    from bas_tui import client
    from bas_tui.cli.train import ask_and_load, merge_settings, say_base, say_scene
    from engine.core.settings import build_config, parse_words
    from engine.files.space import free_bytes, free_memory, say_bytes
    from engine.models import plan as plans
    from engine.models.device_guess import guess_device
    from engine.models.facts import attention_grid
    from engine.models.names import default_base
    from engine.runs.folder import runs_dir

    chosen = base or default_base()
    changes = parse_words(set_ or ())
    recorded = client.resolve_base(chosen, ask_hub=False, own_vae=bool(changes.get("base.vae")))
    config = build_config(merge_settings(recorded, changes, method=method))
    grid = attention_grid(recorded, config)
    loaded = ask_and_load(scene, masks or (), grid=grid, inverted=masks_inverted)
    device = guess_device(config.device)
    free = free_bytes(runs_dir())
    memory = free_memory() / 1e9 if device.kind == "cpu" else None
    found = plans.options(recorded, config, device, plans.past_step_seconds(recorded, device.kind))
    if as_json:
        for option in found:
            stdout.json_line({"settings": option.words, **vars(option.estimate)})
        return
    say_scene(loaded)
    say_base(chosen, by_default=base is None)
    first = found[0].estimate
    rows = [_row(words or "as it is", each, free, memory) for words, each in found]
    stdout.table(
        ("settings", "time", "prior pictures", "memory", "disk", "kept"),
        rows,
        ("bold", "", "dim", "cyan", "cyan", "dim"),
    )
    have = f"{device.kind}, {device.name}; {say_bytes(free)} of disk are free"
    have += f", {memory:.1f} GB of memory" if memory is not None else ""
    stderr.say(f"here: {have}", "dim")
    stderr.say(f"estimate: {first.source}", "dim")
    if first.warning:
        stderr.note("warning", first.warning)


def _row(words: str, found: Estimate, free: int, memory: float | None) -> tuple[str, ...]:
    from engine.core.durations import say_seconds
    from engine.files.space import say_bytes

    gigabytes = "unknown"
    if found.gigabytes is not None:
        gigabytes = f"{found.gigabytes[0]:.0f}-{found.gigabytes[1]:.0f} GB"
        if memory is not None and found.gigabytes[0] > memory:
            gigabytes += " (too much)"
    disk = "unknown" if found.disk is None else say_bytes(found.disk)
    if found.disk is not None and found.disk > free:
        disk += " (too much)"
    return (
        words,
        "unknown" if found.seconds is None else say_seconds(found.seconds),
        "" if found.prior_seconds is None else f"+ {say_seconds(found.prior_seconds)}, once",
        gigabytes,
        disk,
        "" if found.disk_after is None else say_bytes(found.disk_after),
    )
