"""The scatter's names: beside their points, never on each other."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from engine.core.methods import METHODS
from engine.evaluate.label_places import Box, place_labels
from engine.evaluate.plots import draw_scatter
from engine.evaluate.statistics import Interval
from engine.evaluate.tables import MethodRow, Tables, make_tables
from tests.evaluate.conftest import Scored

pytest.importorskip("matplotlib")


def crowd(tables: Tables, spread: float, half: float) -> Tables:
    """All methods within `spread` of one point; intervals reach `half` to either side."""
    rng = np.random.default_rng(3)

    def row(name: str) -> MethodRow:
        x, y = 0.5 + spread * rng.uniform(-1, 1), 0.6 + spread * rng.uniform(-1, 1)
        return tables.rows[0]._replace(
            method=name,
            identity=Interval(x, x - half, x + half),
            prompt=Interval(y, y - half, y + half),
        )

    values: dict[str, Any] = vars(tables) | {"rows": tuple(row(name) for name in METHODS)}
    return Tables(**values)


@pytest.mark.parametrize("half", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("spread", [0.0, 0.002, 0.02, 0.2])
def test_names_cover_neither_names_nor_points(scored: Scored, spread: float, half: float) -> None:
    figure = draw_scatter(crowd(make_tables(scored(lambda *_: 0.5)), spread, half))
    from matplotlib.text import Text

    (axes,) = figure.axes
    figure.draw_without_rendering()
    # Of the text alone; an annotation's own extent holds its leader line too.
    names = {t.get_text(): Box(*Text.get_window_extent(t).extents) for t in axes.texts}
    assert set(names) == set(METHODS)
    for one, two in combinations(names.values(), 2):
        assert not one.overlaps(two)
    for text in axes.texts:
        x, y = axes.transData.transform(text.xy)
        assert not any(b.left < x < b.right and b.bottom < y < b.top for b in names.values())
        assert names[text.get_text()].inside(Box(*axes.bbox.extents))


def test_a_lone_point_has_its_name_beside_it() -> None:
    (place,) = place_labels([Box(90, 90, 110, 110)], [(40, 10)], Box(0, 0, 200, 200))
    assert not place.away
    assert place.box == Box(110, 95, 150, 105)


def test_names_stay_in_the_frame() -> None:
    (place,) = place_labels([Box(90, 90, 110, 110)], [(40, 10)], Box(0, 0, 112, 112))
    assert place.box.inside(Box(0, 0, 112, 112))
