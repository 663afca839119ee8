"""The statistics of report and study: cluster bootstrap, Pareto front, Krippendorff's alpha."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
LEVEL = 0.95


class Interval(NamedTuple):
    """A mean with its bootstrap interval; `low` and `high` are nan for fewer than two clusters."""

    mean: float
    low: float
    high: float


def bootstrap_mean(
    values: Sequence[float], clusters: Sequence[str], *, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """Mean of the values and a percentile interval over resampled clusters (scenes).

    Pictures of one scene are not independent, so whole scenes are drawn with replacement. Equal
    input gives an equal interval. Raises ValueError for no values.
    """
    if not len(values):
        raise ValueError("no values")
    # Sums by cluster: a resampled mean is a ratio of sums.
    names = sorted(set(clusters))
    index = {name: number for number, name in enumerate(names)}
    sums, counts = np.zeros(len(names)), np.zeros(len(names))
    for value, cluster in zip(values, clusters, strict=True):
        sums[index[cluster]] += value
        counts[index[cluster]] += 1
    mean = float(sums.sum() / counts.sum())
    if len(names) < 2:
        return Interval(mean, float("nan"), float("nan"))
    drawn = np.random.default_rng(seed).integers(0, len(names), (resamples, len(names)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean, float(low), float(high))


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of points that no other point beats on one axis without losing on the other."""
    return [
        index
        for index, (x, y) in enumerate(points)
        if not any(a >= x and b >= y and (a > x or b > y) for a, b in points)
    ]


def krippendorff_alpha(ratings: npt.NDArray[np.float64], *, level: str = "ordinal") -> float:
    """Krippendorff's alpha of ratings (raters, units); nan where a rater gave none.

    `level` is "nominal", "ordinal" or "interval". Units with fewer than two ratings do not count.
    1: perfect agreement, 0: chance. nan where nothing can be compared or nothing varies.
    K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011).
    """
    rated = ~np.isnan(ratings)
    ratings = np.where(rated, ratings, 0.0)[:, rated.sum(0) >= 2]
    rated = rated[:, rated.sum(0) >= 2]
    values = np.unique(ratings[rated])
    if len(values) < 2:
        return float("nan")
    # counts: how often each value was given to each unit.
    counts = np.stack([((ratings == value) & rated).sum(0) for value in values]).astype(float)
    per_unit = counts.sum(0)
    coincidences = (counts / (per_unit - 1)) @ counts.T
    coincidences -= np.diag((counts / (per_unit - 1)).sum(1))
    totals = coincidences.sum(1)
    distance = _distances(values, totals, level)
    observed = (coincidences * distance).sum()
    expected = (np.outer(totals, totals) * distance).sum() / (totals.sum() - 1)
    return float(1 - observed / expected)


def _distances(
    values: npt.NDArray[np.float64], totals: npt.NDArray[np.float64], level: str
) -> npt.NDArray[np.float64]:
    if level == "nominal":
        return 1.0 - np.eye(len(values))
    if level == "interval":
        return (values[:, None] - values[None]) ** 2
    if level != "ordinal":
        raise ValueError(f"unknown level {level!r}")
    # Between two ranks lie all ratings from one to the other, half of those at both ends.
    ranks = np.cumsum(totals) - totals / 2
    return (ranks[:, None] - ranks[None]) ** 2
