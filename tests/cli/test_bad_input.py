"""Every mistake of a person: exit code 2, one line with the remedy, nothing left behind."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

Bas = Callable[..., Result]
Shell = Callable[..., subprocess.CompletedProcess[str]]


def write_mask(path: Path, mask: np.ndarray, size: int = 64) -> Path:
    full = np.zeros((size, size), dtype=np.uint8)
    full[mask] = 255
    Image.fromarray(full).save(path)
    return path


def box(rows: slice, columns: slice, size: int = 64) -> np.ndarray:
    mask = np.zeros((size, size), dtype=bool)
    mask[rows, columns] = True
    return mask


def other_size(desk: Path) -> list[str]:
    mask = desk / "m.png"
    Image.new("L", (50, 30), 255).save(mask)
    return ["train", str(desk / "img.png"), "-m", str(mask)]


def empty_mask(desk: Path) -> list[str]:
    mask = write_mask(desk / "m.png", box(slice(0), slice(0)))
    return ["train", str(desk / "img.png"), "--masks", str(mask)]


def equal_masks(desk: Path) -> list[str]:
    teapot = desk / "masks" / "teapot.png"
    copy = desk / "copy.png"
    copy.write_bytes(teapot.read_bytes())
    return ["train", str(desk / "img.png"), "--masks", str(teapot), "--masks", str(copy)]


def no_mask(desk: Path) -> list[str]:
    picture = desk.parent / "alone.png"
    picture.write_bytes((desk / "img.png").read_bytes())
    return ["train", str(picture)]


def five_concepts(desk: Path) -> list[str]:
    for k in range(5):
        write_mask(desk / "masks" / f"x{k}.png", box(slice(2, 62), slice(12 * k, 12 * k + 10)))
    (desk / "masks" / "teapot.png").unlink()
    (desk / "masks" / "penguin.png").unlink()
    return ["train", str(desk)]


def no_picture(desk: Path) -> list[str]:
    (desk / "img.png").write_bytes(b"not a picture")
    return ["train", str(desk / "img.png")]


def pickle(desk: Path) -> list[str]:
    (desk / "model.ckpt").write_bytes(b"x")
    return ["train", str(desk), "--base", str(desk / "model.ckpt")]


def settings_file(desk: Path, text: str) -> list[str]:
    (desk / "s.toml").write_text(text)
    return ["train", str(desk), "--settings", str(desk / "s.toml")]


MISTAKES: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "no such scene": (lambda desk: ["train", str(desk / "no.jpg")], "check the path"),
    "no picture": (no_picture, " - "),
    "mask of another size": (other_size, "size"),
    "empty mask": (empty_mask, "empty"),
    "no mask at all": (no_mask, "--masks"),
    "no such grid": (
        lambda d: ["train", str(d), "--base", "pocket", "--set", "loss.attention_grid=5"],
        "set loss.attention_grid to one of: 8, 16",
    ),
    "no such mask": (lambda d: ["train", str(d / "img.png"), "-m", str(d / "no.png")], " - "),
    "base: unknown name": (lambda d: ["train", str(d), "--base", "pokcet"], "did you mean pocket"),
    "base: no such folder": (lambda d: ["train", str(d), "--base", "./no"], "check the path"),
    "base: no model in it": (lambda d: ["train", str(d), "--base", str(d)], "model_index.json"),
    "base: a pickle": (pickle, "convert it to safetensors"),
    "base: offline": (lambda d: ["train", str(d), "--base", "sd21"], "--base pocket"),
    "setting: unknown": (lambda d: ["train", str(d), "--set", "phase1.stepz=1"], "phase1.steps"),
    "setting: no number": (lambda d: ["train", str(d), "--set", "phase1.steps=x"], "whole number"),
    "setting: out of range": (lambda d: ["train", str(d), "--set", "data.flip=2"], "between"),
    "setting: no equals sign": (lambda d: ["train", str(d), "--set", "seed"], "key=value"),
    "settings: no file": (lambda d: ["train", str(d), "--settings", "no.toml"], "check the path"),
    "settings: no TOML": (lambda d: settings_file(d, "phase1 = ["), "mend"),
    "settings: unknown key": (lambda d: settings_file(d, "seeed = 1"), "did you mean seed"),
    "init: no such concept": (lambda d: ["train", str(d), "--init", "cat=dog"], "teapot"),
    "init: no equals sign": (lambda d: ["train", str(d), "--init", "teapot"], "NAME=WORD"),
    "name: no name": (lambda d: ["train", str(d), "--name", "a/b"], "letters"),
    "method: unknown": (lambda d: ["train", str(d), "--method", "nonsense"], "no-phase1"),
    "usage: no scene": (lambda _: ["train"], "bas train --help"),
    "usage: no such option": (lambda d: ["train", str(d), "--nope"], "bas train --help"),
    "usage: no such command": (lambda _: ["trian"], "bas --help"),
    "usage: no number": (lambda _: ["gen", "x", "-n", "many"], "bas gen --help"),
    "usage: out of range": (lambda _: ["gen", "x", "-n", "0"], "bas gen --help"),
    "gen: no run": (lambda _: ["gen", "x"], "bas demo"),
    "edit: two prompts, one mask": (lambda _: ["edit", "x.png", "a", "b", "-m", "m.png"], "--mask"),
    "edit: mask of another size": (
        lambda d: ["edit", str(d / "img.png"), "a", *other_size(d)[2:]],
        "full size",
    ),
    "watch: no such run": (lambda _: ["watch", "nothing"], "bas runs"),
    "stop: no run": (lambda _: ["stop"], "bas demo"),
    "checkpoint: no run": (lambda _: ["checkpoint"], "bas demo"),
    "preview: no run": (lambda _: ["preview", "--every", "5"], "bas demo"),
    "resume: no run": (lambda _: ["resume", "--set", "seed=1"], "bas demo"),
    "rm: no such run": (lambda _: ["rm", "nothing", "--yes"], "bas runs"),
    "demo: no such scene": (lambda _: ["demo", "--scene", "moon"], "teapot_penguin"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_costs_one_line(mistake: str, bas: Bas, desk: Path, home: Path) -> None:
    make, remedy = MISTAKES[mistake]
    result = bas(*make(desk))
    assert result.exit_code == 2, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and " - " in lines[0]
    assert remedy in lines[0]
    assert result.stdout == "" and "Traceback" not in result.stderr
    assert not home.exists() or not any(home.rglob("*"))


def test_five_concepts_are_too_many_or_warned_of(bas: Bas, desk: Path, home: Path) -> None:
    """The scene's checks decide whether it is an error; here nothing may be half-written."""
    result = bas(*five_concepts(desk), "--base", "./no")
    assert result.exit_code == 2 and not home.exists()


@pytest.mark.parametrize("mistake", ["no such scene", "base: a pickle", "usage: no such option"])
def test_a_mistake_costs_one_line_in_a_process_too(
    mistake: str, shell: Shell, desk: Path, home: Path
) -> None:
    make, remedy = MISTAKES[mistake]
    result = shell(*make(desk))
    assert result.returncode == 2 and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1 and remedy in result.stderr
    assert not home.exists()


def test_what_nobody_foresaw_costs_one_line_and_a_log(
    bas: Bas, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.runs import library

    def broken() -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(library, "list_runs", broken)
    result = bas("runs")
    log = home / "bas-errors.log"
    assert result.exit_code == 1 and len(result.stderr.splitlines()) == 1
    assert "ZeroDivisionError: by zero" in result.stderr and str(log) in result.stderr
    assert "Traceback" in log.read_text()
