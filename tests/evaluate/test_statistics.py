"""Bootstrap, Pareto front and Krippendorff's alpha against numbers known elsewhere."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.evaluate.statistics import bootstrap_mean, krippendorff_alpha, pareto_front

NAN = math.nan
# Krippendorff (2011), example C: four observers, twelve units, missing data.
EXAMPLE_C = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)


@pytest.mark.parametrize(
    ("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_alpha_is_the_published_one(level: str, alpha: float) -> None:
    assert krippendorff_alpha(EXAMPLE_C, level=level) == pytest.approx(alpha, abs=5e-4)


def test_alpha_at_its_ends() -> None:
    agreed = np.array([[1.0, 2, 3, 4], [1, 2, 3, 4]])
    assert krippendorff_alpha(agreed) == pytest.approx(1.0)
    rng = np.random.default_rng(0)
    assert abs(krippendorff_alpha(rng.integers(1, 6, (4, 400)).astype(float))) < 0.1
    assert math.isnan(krippendorff_alpha(np.full((2, 5), 3.0)))
    assert math.isnan(krippendorff_alpha(np.array([[1.0, NAN], [NAN, 2.0]])))


def test_alpha_refuses_an_unknown_level() -> None:
    with pytest.raises(ValueError, match="ratio"):
        krippendorff_alpha(EXAMPLE_C, level="ratio")


def test_bootstrap_covers_the_mean_and_repeats() -> None:
    rng = np.random.default_rng(1)
    centres = rng.normal(0.5, 0.2, 12)
    values = [float(c + e) for c in centres for e in rng.normal(0, 0.01, 9)]
    clusters = [f"scene{k}" for k in range(12) for _ in range(9)]
    found = bootstrap_mean(values, clusters)
    assert found.low < found.mean < found.high
    assert found == bootstrap_mean(values, clusters)
    assert found.mean == pytest.approx(np.mean(values))
    # Pictures of a scene are alike: taking them for independent would make this far narrower.
    naive = 2 * 1.96 * np.std(values) / math.sqrt(len(values))
    assert found.high - found.low > 2 * naive


def test_one_cluster_has_no_interval() -> None:
    found = bootstrap_mean([0.2, 0.4], ["a", "a"])
    assert found.mean == pytest.approx(0.3)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    with pytest.raises(ValueError, match="no values"):
        bootstrap_mean([], [])


def test_pareto_front() -> None:
    points = [(1.0, 5.0), (2.0, 4.0), (1.5, 3.0), (5.0, 1.0), (5.0, 0.5), (2.0, 4.0)]
    assert pareto_front(points) == [0, 1, 3, 5]
