"""`bas export` and `bas import`: what they ask for, what they say, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from bas_tui.cli.exchange import complete_target
from bas_tui.client import Exchange, ExportOrder
from engine.runs.exchange_events import ExportEnded
from engine.runs.folder import RunDir
from engine.runs.library import find_run

Bas = Callable[..., Result]
Fake = Callable[..., None]


@pytest.fixture
def run(bas: Bas, fake: Fake, desk: Path) -> RunDir:
    """A run that has learned something."""
    fake(steps=1)
    bas("train", str(desk), "--name", "kitchen")
    found = find_run("kitchen")
    found.concepts.mkdir()
    (found.concepts / "concepts.json").write_text("{}")
    return found


def test_export_prints_folders_and_says_the_words(bas: Bas, run: RunDir, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = bas("export", "--to", "pack,comfyui", "-o", str(out), "--name", "k", "--rank", "auto")
    assert result.exit_code == 0, result.output
    # In the order of the list, whatever was asked for first.
    assert result.stdout == f"{out}/k-comfyui\n{out}/k-pack\n"
    for words in ("kept of the change at rank", "50.0%  75.0%", "41.0 dB", "comfyui: 1.5 MB",
                  "teapot  kitchen_teapot", "README.txt"):  # fmt: skip
        assert words in result.stderr, words
    events = [json.loads(line) for line in bas("export", "--to", "all", "--json").stdout.split("\n")
              if line]  # fmt: skip
    folders = [event["folder"] for event in events if event["kind"] == "export_saved"]
    assert [Path(folder).parent for folder in folders] == [run.exports] * 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say where to"),
        (("--to", "krita"), "there is no --to krita"),
        (("--to", "pack", "--rank", "0"), "--rank cannot be '0'"),
        (("--to", "pack", "--rank", "x"), "--rank cannot be 'x'"),
    ],
)
def test_what_cannot_be_asked_for(bas: Bas, run: RunDir, words: tuple[str, ...], said: str) -> None:
    result = bas("export", run.name, *words)
    assert result.exit_code == 2 and said in result.stderr and result.stdout == ""


def test_an_export_that_fails_or_dies_says_why(bas: Bas, fake: Fake, run: RunDir) -> None:
    fake(mode="fail")
    result = bas("export", run.name, "--to", "pack")
    assert result.exit_code == 2 and "it does not fit - take another" in result.stderr
    fake(mode="die")
    result = bas("export", run.name, "--to", "pack")
    assert result.exit_code == 1 and "no memory" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_cancelled_export_ends_its_process(fake: Fake, run: RunDir, tmp_path: Path) -> None:
    fake(mode="slow")
    job = Exchange(ExportOrder(run=run, targets=("pack",), out=tmp_path))
    next(job)
    job.cancel()
    (ended,) = list(job)
    assert isinstance(ended, ExportEnded) and ended.message == "cancelled"


def test_import_names_the_run(bas: Bas, run: RunDir, tmp_path: Path) -> None:
    del run
    pack = tmp_path / "kitchen.bas.safetensors"
    result = bas("import", str(pack))
    assert result.exit_code == 2 and "there is no" in result.stderr
    pack.write_text("")
    result = bas("import", str(pack))
    assert (result.exit_code, result.stdout) == (0, "kitchen\n")
    for words in ("<teapot>", "sd21", "5.0 MB", "800 steps of db-m", "not said", "bas gen"):
        assert words in result.stderr
    result = bas("import", str(pack), "--look")
    assert (result.exit_code, result.stdout) == (0, "")


def test_the_shell_completes_where_to() -> None:
    assert [name for name, _ in complete_target("")][-1] == "all"
    assert [name for name, _ in complete_target("co")] == ["comfyui"]
