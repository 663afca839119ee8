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
    change one setting. Figures are estimates; the last line says what they rest on. Memory is the
    device's; with a GPU, main memory is told too: what a run needs of it, and what it takes where
    there is room.
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
    memory, on_cpu = free_memory() / 1e9, device.kind == "cpu"
    found = plans.options(recorded, config, device, plans.past_step_seconds(recorded, device.kind))
    if as_json:
        for option in found:
            stdout.json_line({"settings": option.words, **vars(option.estimate)})
        return
    say_scene(loaded)
    say_base(chosen, by_default=base is None)
    first = found[0].estimate
    rows = [_row(words or "as it is", each, free, memory, on_cpu=on_cpu) for words, each in found]
    head = ["settings", "time", "prior pictures", "memory", "disk", "kept", "main memory"]
    styles = ["bold", "", "dim", "cyan", "cyan", "dim", "cyan"]
    if not any(row[-1] for row in rows):
        # It is the device's own.
        for columns in (head, styles, *rows):
            columns.pop()
    stdout.table(head, rows, styles)
    have = f"{device.kind}, {device.name}; {say_bytes(free)} of disk are free"
    have += f", {memory:.1f} GB of {'' if on_cpu else 'main '}memory"
    stderr.say(f"here: {have}", "dim")
    stderr.say(f"estimate: {first.source}", "dim")
    if first.warning:
        stderr.note("warning", first.warning)


def _row(words: str, found: Estimate, free: int, memory: float, *, on_cpu: bool) -> list[str]:
    from engine.core.durations import say_seconds
    from engine.files.space import say_bytes

    gigabytes = "unknown"
    if found.gigabytes is not None:
        gigabytes = f"{found.gigabytes[0]:.0f}-{found.gigabytes[1]:.0f} GB"
        if on_cpu and found.gigabytes[0] > memory:
            gigabytes += " (too much)"
    disk = "unknown" if found.disk is None else say_bytes(found.disk)
    if found.disk is not None and found.disk > free:
        disk += " (too much)"
    beside = ""
    if found.main_memory is not None:
        beside = f"{found.main_memory[0]:.0f}-{found.main_memory[1]:.0f} GB"
        if found.main_memory[0] > memory:
            beside += " (too much)"
    return [
        words,
        "unknown" if found.seconds is None else say_seconds(found.seconds),
        "" if found.prior_seconds is None else f"+ {say_seconds(found.prior_seconds)}, once",
        gigabytes,
        disk,
        "" if found.disk_after is None else say_bytes(found.disk_after),
        beside,
    ]
