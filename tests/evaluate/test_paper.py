"""The `paper` suite from a COCO folder to a table, with tiny models of random weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bas_tui.cli.main import app
from engine.evaluate import store
from engine.evaluate.job_plan import find_evaluation, read_plan
from engine.evaluate.tables import make_tables
from tests.evaluate.test_coco import Coco

pytest.importorskip("matplotlib")


@pytest.mark.usefixtures("home")
def test_from_coco_to_a_table(
    tmp_path: Path, tiny_pipeline: Path, hub_models: dict[str, str]
) -> None:
    coco = Coco(tmp_path / "coco")
    for _ in range(3):
        coco.add((1, 5, 5, 40, 40), (4, 50, 50, 45, 45))
    coco.write()
    listed = tmp_path / "scenes.json"
    words = ["eval", "select", str(coco.images), str(coco.instances), "--out", str(listed)]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert len(json.loads(listed.read_text())["scenes"]) == 3
    words = ["eval", "run", "paper", "--scenes", str(listed), "--coco", str(coco.images)]
    words += ["--base", str(tiny_pipeline), "--method", "cd-m"]
    settings = ("phase1.steps=2", "phase2.steps=2", "sampling.steps=2", "loss.prior_images=1")
    for setting in (*settings, "loss.prior_steps=1", "data.variants=2"):
        words += ["--set", setting]
    for name, folder in hub_models.items():
        words += ["--scorer", f"{name}={folder}"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    folder = find_evaluation(None)
    assert folder.name == "paper-smoke"
    plan = read_plan(folder)
    assert len(plan.scene_list) == 64
    rows = store.scores(folder.store)
    assert {row.scorer for row in rows} == {"clip", "dino", "copy"}
    words_of_pairs = {row.words for row in rows if len(row.subset) == 2}
    assert words_of_pairs == {
        "a photo of dining table and dog at the beach",
        "a photo of dining table and dog in the jungle",
    }
    # Three subsets, two prompts, one picture; one or two concepts in each.
    (row,) = make_tables(folder).rows
    assert row.pictures == 6
    assert len([r for r in rows if r.axis == "identity"]) == 2 * (1 + 1 + 2)
    text = (folder.report / "report.md").read_text()
    assert plan.scene_list in text
    assert "Intervals, the share of found" in text
