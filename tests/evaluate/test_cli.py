"""`bas eval` and `bas study` on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bas_tui.cli import stderr
from bas_tui.cli.evaluate_view import headline, plot
from bas_tui.cli.main import app
from engine.evaluate.status import Status
from tests.evaluate.conftest import Scored

Bas = Callable[..., Result]


@pytest.fixture
def bas(home: Path) -> Bas:
    del home
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("eval", "run", "imagenet"), "no suite 'imagenet'"),
        (("eval", "run", "paper"), "bas eval select"),
        (("eval", "run", "pocket", "--method", "elite"), "no method 'elite'"),
        (("eval", "run", "pocket", "--set", "phase1.step=2"), "phase1.steps"),
        (("eval", "run", "pocket", "--base", "./nothing"), "no base model at ./nothing"),
        (("eval", "run", "pocket", "--scorer", "lpips=x"), "clip, dino, maskformer"),
        (("eval", "run", "pocket", "--name", "a/b"), "cannot name an evaluation"),
        (("eval", "report"), "no evaluations yet"),
        (("eval", "watch", "none"), "no evaluation 'none'"),
        (("study", "new"), "no evaluations yet"),
        (("study", "report"), "no studies yet"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    bas: Bas, home: Path, words: tuple[str, ...], message: str
) -> None:
    result = bas(*words)
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if line]
    assert line.startswith("error: ")
    assert message in line
    assert not home.exists()


def test_list_and_report(bas: Bas, scored: Scored, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert "no evaluations yet" in bas("eval", "list").stderr
    scored(lambda *_: 0.25)
    assert bas("eval", "list").stdout.split("\t")[:3] == ["made", "done", "4/4"]
    (record,) = (json.loads(line) for line in bas("eval", "list", "--json").stdout.splitlines())
    assert (record["name"], record["state"]) == ("made", "done")
    result = bas("eval", "report", "made", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "break-a-scene\t0.250" in result.stdout
    assert (tmp_path / "out" / "report.html").is_file()
    assert json.loads(bas("eval", "report", "--json").stdout)["jobs_done"] == 4


def test_a_study_from_trials_to_table(
    bas: Bas, scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("scipy")
    scored(lambda *_: 0.25)
    assert bas("study", "new", "made", "--pictures", "2").stdout == "made\n"
    page = tmp_path / "rate.html"
    assert bas("study", "page", "made", "--out", page).exit_code == 0
    trials = json.loads(page.read_text().split("TRIALS = ")[1].split(", IMAGES")[0])
    key = json.loads(next((tmp_path / "home" / "studies").glob("*/key.json")).read_text())
    ratings = [
        {"trial": t["id"], "prompt": 3, "identity": 5 if key[t["id"]]["check"] == "same" else 1}
        for t in trials
    ]
    saved = tmp_path / "made-anna.json"
    saved.write_text(json.dumps({"study": "made", "rater": "anna", "ratings": ratings}))
    assert bas("study", "add", "made", saved).exit_code == 0
    result = bas("study", "report", "made", "--out", tmp_path / "study.md")
    assert "| ti-m | 1.00 ± 0.00 | 3.00 ± 0.00 | 2.69 / 3.88 |" in result.stdout
    assert result.stdout in (tmp_path / "study.md").read_text()
    record = json.loads(bas("study", "report", "made", "--json").stdout)
    assert record["rows"][0]["identity"] == 1.0
    assert bas("study", "rate", "made", "--rater", "ben").exit_code == 2  # no terminal
    monkeypatch.setattr(stderr, "is_interactive", lambda: True)
    # An empty line is no answer and no end; the end of the input is one, and keeps what is whole.
    typed = CliRunner().invoke(
        app, ["study", "rate", "made", "--rater", "ben"], input="\n4\n\n3\n5"
    )
    assert typed.stderr.count("please 1 to 5, or q") == 2
    assert typed.stderr.rstrip().endswith(f"\n1 of {len(trials)} trials are rated")


def test_the_plot_shows_every_method() -> None:
    lines = plot([(0.2, 0.8), (0.8, 0.2), (0.8, 0.2)], ["one", "two", "three"])
    body = [line.partition("│")[2] for line in lines if "│" in line]
    marks = {
        (row, column): mark
        for row, text in enumerate(body)
        for column, mark in enumerate(text)
        if mark != " "
    }
    assert sorted(marks.values()) == ["*", "a"]
    (high,) = [place for place, mark in marks.items() if mark == "a"]
    (low,) = [place for place, mark in marks.items() if mark == "*"]
    assert high[0] < low[0]
    assert high[1] < low[1]
    assert "  * several methods" in lines
    assert plot([(float("nan"), 0.2)], ["none"])


def test_times_are_readable() -> None:
    now = Status(True, 3, 1, 8, 0.5, 600.0, ())
    assert headline(now) == "3 of 8 jobs done, 1 failed, about 10 min left"
