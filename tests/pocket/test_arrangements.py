"""The measurement of placed things."""

from pathlib import Path

import pytest

from engine.pocket.recipe.arrangements import Way, main, report


def test_the_table_pools_the_scenes() -> None:
    ways = [Way(1.0, False).name, Way(0.65, False).name, Way(0.65, True).name]
    assert ways == ["noise alone", "arranged, 0.65", "arranged, 0.65, with the ground"]
    alone = {"complete": [True, False], "order": [True] * 3, "asked": [], "place": [True]}
    held = {"complete": [True, True], "order": [False] * 3, "asked": [True] * 3, "place": [False]}
    lines = report({"A": {ways[0]: alone, ways[1]: held}, "D": {ways[0]: alone}}).splitlines()
    assert lines[0] == "Scenes A, D"
    assert lines[-2] == "| noise alone | 0.50 (of 4) |  |  | 1.00 (of 6) | 1.00 (of 2) |"
    assert lines[-1].startswith("| arranged, 0.65 | 1.00 (of 2) |  | 1.00 (of 3) | 0.00 (of 3)")


def test_an_unknown_scene_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path / "new"), "--scenes", "A,Z"]) == 2
    assert "no scene 'Z'" in capsys.readouterr().err and not (tmp_path / "new").exists()
