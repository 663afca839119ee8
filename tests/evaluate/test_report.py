"""Tables and reports from known scores."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bas_tui.cli.main import app
from engine.core.errors import UserError
from engine.evaluate import store
from engine.evaluate.comparison import compare
from engine.evaluate.job_plan import create_evaluation
from engine.evaluate.report_files import compared_record, write_report
from engine.evaluate.report_text import differences
from engine.evaluate.runner import RESULT, take_result
from engine.evaluate.statistics import bootstrap_mean
from engine.evaluate.suites import Suite
from engine.evaluate.tables import make_tables
from engine.runs.manifest import Manifest, write_manifest
from tests.evaluate.conftest import Scored, plan_of, result, scenes

pytest.importorskip("matplotlib")


def known(scene: str, method: str, axis: str, number: int) -> float:
    """ti-m: good prompt, bad identity; scenes differ."""
    better = 0.1 if scene == "scene1" else 0.0
    if axis == "copy":
        return 0.9 if method == "ti-m" and number == 0 else 0.1
    base = {"prompt": {"ti-m": 0.8}, "identity": {"ti-m": 0.2}}[axis].get(method, 0.5)
    return base + better


def test_the_table_is_the_mean_of_the_scores(scored: Scored) -> None:
    tables = make_tables(scored(known))
    ours, baseline = tables.rows
    assert ours.method == "break-a-scene"
    assert ours.identity.mean == pytest.approx(0.55)
    assert baseline.identity.mean == pytest.approx(0.25)
    assert baseline.prompt.mean == pytest.approx(0.85)
    assert ours.identity.low == pytest.approx(0.5)
    assert ours.identity.high == pytest.approx(0.6)
    assert (ours.copied, baseline.copied) == (0.0, 0.5)
    assert (ours.pictures, ours.jobs, tables.jobs_done) == (4, 2, 4)
    assert ours.pareto
    assert baseline.pareto
    assert {cell.group for cell in tables.by_size} == {"1", "2"}
    found = {(cell.method, cell.group): cell.identity for cell in tables.by_scene}
    assert found["ti-m", "scene1"] == pytest.approx(0.3)


def test_what_is_not_found_counts_as_zero_and_is_said(scored: Scored) -> None:
    row = make_tables(scored(lambda *_: 0.0, found=False)).rows[0]
    assert row.identity.mean == 0
    assert row.found == 0
    assert math.isnan(row.identity_found)


def test_a_beaten_method_is_not_on_the_front(scored: Scored) -> None:
    def worse(scene: str, method: str, axis: str, number: int) -> float:
        del scene, axis, number
        return 0.4 if method == "ti-m" else 0.5

    assert [row.pareto for row in make_tables(scored(worse)).rows] == [True, False]


def test_the_report_holds_everything_and_repeats(scored: Scored, tmp_path: Path) -> None:
    folder = scored(known)
    page = write_report(folder, tmp_path / "a")
    again = write_report(folder, tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (again.parent / path.name).read_bytes(), path.name
    text = page.read_text()
    assert "http" not in text
    assert text.count("data:image/jpeg;base64,") == 2 * (1 + 2 * 2)
    for words in ("break-a-scene", "ti-m", "Differences to the paper", "bas eval run tiny"):
        assert words in text
        assert words in (tmp_path / "a" / "report.md").read_text()
    record = json.loads((tmp_path / "a" / "report.json").read_text())
    assert record["methods"][0]["identity"]["mean"] == pytest.approx(0.55)
    rows = list(csv.DictReader((tmp_path / "a" / "scores.csv").open()))
    assert len(rows) == 4 * (2 + 3 + 2)
    assert {row["text"] for row in rows} == {"a photo of teapot in the snow"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (None, "as the base model's recipe says (setting `initializer`)"),
        ({}, "like a random word of the vocabulary"),
        ({"initializer": "toy animal"}, "near the mean of the words `toy animal`"),
    ],
)
def test_the_report_says_how_tokens_started(
    scored: Scored, settings: dict[str, str] | None, words: str
) -> None:
    folder = scored(known)
    if settings is not None:
        job = store.jobs(folder.store)[0]
        manifest = Manifest(
            name="made", created=0.0, base="pocket", scene_source="", concepts=(), settings=settings
        )
        write_manifest(folder.run(job.scene, job.method), manifest)
    lines = differences(make_tables(folder))
    assert sum(line.endswith(f"every token starts {words}.") for line in lines) == 1


def test_taking_a_result_twice_changes_nothing(scored: Scored) -> None:
    folder = scored(known)
    before = store.scores(folder.store)
    job = store.jobs(folder.store)[1]
    store.add_result(folder.store, job.id, result(folder, job, known))
    assert store.scores(folder.store) == before


def test_failed_and_running_jobs_wait_again(scored: Scored) -> None:
    folder = scored(known)
    store.set_state(folder.store, 1, "failed", "out of memory")
    store.set_state(folder.store, 2, "running")
    assert make_tables(folder).failed[0].message == "out of memory"
    store.reset_unfinished(folder.store)
    states = [job.state for job in store.jobs(folder.store)]
    assert states == ["pending", "pending", "done", "done"]


def test_results_of_another_base_are_not_mixed_in(scored: Scored) -> None:
    folder = scored(known)
    job = store.jobs(folder.store)[0]
    record = result(folder, job, known)
    record["facts"] = {"base_hash": "old", "scorer.s": "1", "device": "cpu"}
    store.add_result(folder.store, job.id, record)
    before = store.scores(folder.store)
    job = store.jobs(folder.store)[1]
    assert not take_result(folder, job)
    path = folder.run(job.scene, job.method).path / RESULT
    path.write_text(json.dumps(record | {"facts": {"base_hash": "new", "scorer.s": "1"}}))
    assert take_result(folder, job)
    changed = store.jobs(folder.store)[1]
    assert (changed.state, changed.message[:15]) == ("failed", "other base_hash")
    assert store.scores(folder.store) == before
    path.write_text(json.dumps(record))
    assert take_result(folder, job)
    assert store.jobs(folder.store)[1].state == "done"


def test_evaluations_are_held_against_a_first_one(scored: Scored) -> None:
    scored(lambda *_: 0.5, name="full")
    scored(lambda scene, *_: 0.5 if scene == "scene0" else 0.7, name="lora")
    scored(lambda *_: 0.5, name="lost", found=False)
    done = CliRunner().invoke(app, ["eval", "compare", "full", "lora", "lost", "--json"])
    lines = [json.loads(line) for line in done.output.splitlines()]
    first, lora, lost = (line for line in lines if line["method"] == lines[0]["method"])
    assert first["name"] == "full" and first["identity"]["difference"]["mean"] == 0
    assert lora["identity"]["mean"] == pytest.approx(0.6)
    assert lora["identity"]["difference"] == pytest.approx({"mean": 0.1, "low": 0.0, "high": 0.2})
    assert lora["pictures"] == 4 and lora["scenes"] == 2
    assert first["together"]["mean"] == 1 and lost["together"]["difference"]["mean"] == -1


def test_a_comparison_of_a_single_scene_has_no_intervals_and_is_json(scored: Scored) -> None:
    full = scored(lambda *_: 0.5, name="full")
    lone = bootstrap_mean([0.5], ["scene0"])
    line = compare(full, [])[0]
    alone = line._replace(identity=line.identity._replace(difference=lone))
    record = json.loads(json.dumps(compared_record(alone), allow_nan=False))
    assert record["identity"]["difference"] == {"mean": 0.5, "low": None, "high": None}


def test_evaluations_of_other_seeds_are_not_compared(scored: Scored, suite: Suite) -> None:
    full = scored(lambda *_: 0.5, name="full")
    other = create_evaluation("other", plan_of(suite, seed=1), scenes(), command="bas eval run")
    with pytest.raises(UserError, match="full has seed 0 and other 1"):
        compare(full, [other])
