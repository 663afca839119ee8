"""What the checks say of masks, each at a case that needs it and beside one that does not."""

from __future__ import annotations

import numpy as np

from engine.scenes.checks import SceneConcept, check_scene
from engine.scenes.findings import Finding

SIDE = 128


def box(name: str, left: int, top: int, right: int, bottom: int) -> SceneConcept:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top:bottom, left:right] = True
    return SceneConcept(name, mask)


def check(*concepts: SceneConcept, grid: int = 16) -> list[Finding]:
    findings = check_scene((SIDE, SIDE), concepts, grid=grid)
    for finding in findings:
        assert "\n" not in finding.message + finding.remedy and finding.remedy
    return findings


def test_good_masks_have_no_finding() -> None:
    assert check(box("cup", 5, 5, 60, 60), box("pen", 70, 10, 120, 100)) == []


def test_no_mask() -> None:
    (finding,) = check()
    assert finding.level == "error" and "--masks" in finding.remedy


def test_size_mismatch_says_both_sizes_and_spares_the_rest() -> None:
    wrong = SceneConcept("cup", np.ones((30, 40), bool))
    (finding,) = check(wrong, box("pen", 70, 10, 120, 100))
    assert finding.level == "error" and finding.concept == "cup"
    assert "40x30" in finding.message and "128x128" in finding.message


def test_empty_mask_is_an_error_and_comes_first() -> None:
    findings = check(box("big", 0, 0, SIDE, SIDE), box("none", 0, 0, 0, 0))
    assert [(f.level, f.concept) for f in findings] == [("error", "none"), ("warning", "big")]
    assert "empty" in findings[0].message


def test_mask_over_95_percent() -> None:
    (finding,) = check(box("all", 0, 0, SIDE, 125))
    assert finding.level == "warning" and "98%" in finding.message
    assert check(box("most", 2, 2, 125, 122)) == []


def test_inverted_mask() -> None:
    hole = box("cup", 40, 40, 100, 100)
    (finding,) = check(SceneConcept("cup", ~hole.mask))
    assert "inverted" in finding.message
    assert check(SceneConcept("background", ~hole.mask)) == []


def test_nearly_equal_masks() -> None:
    (finding,) = check(box("cup", 10, 10, 90, 90), box("mug", 10, 10, 91, 90))
    assert "nearly equal" in finding.message and "'cup' and 'mug'" in finding.message


def test_overlap_counts_against_the_smaller_mask() -> None:
    (finding,) = check(box("dog", 0, 0, 100, 100), box("shirt", 80, 80, 110, 110))
    assert finding.concept == "shirt" and "44%" in finding.message
    assert check(box("dog", 0, 0, 100, 100), box("shirt", 98, 80, 120, 110)) == []


def test_masks_that_the_grid_hardly_sees() -> None:
    # At 16x16 every eighth pixel is sampled, from the first on.
    thin = box("thread", 1, 0, 4, SIDE)
    (finding,) = check(thin)
    assert "16x16" in finding.message and "all 16 cells" in finding.message
    assert check(thin, grid=64) == []
    assert check_scene((SIDE, SIDE), [thin], rule="touch") == []
    (finding,) = check(box("dot", 60, 60, 66, 66))
    assert "smaller than a cell" in finding.message


def test_more_than_four_concepts() -> None:
    boxes = [box(f"c{k}", 25 * k, 0, 25 * k + 20, 60) for k in range(5)]
    assert check(*boxes[:4]) == []
    (finding,) = check(*boxes)
    assert finding.level == "warning" and "5 concepts" in finding.message


def test_equal_names() -> None:
    (finding,) = check(box("cup", 0, 0, 40, 40), box("cup", 60, 60, 100, 100))
    assert finding.level == "error" and "'cup'" in finding.message
