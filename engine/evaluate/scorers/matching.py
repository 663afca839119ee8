"""Which region of a picture shows which concept: similarities, assignment, verdicts.

The best region for each concept alone lets one region stand for two concepts and sees neither
twins nor mixtures. Here every concept gets a region of its own (MuDI's Detect-and-Compare, arXiv
2404.04243), and a pair is compared place by place instead of as a whole (the masked maximal cosine
that agrees best with people among the metrics of single subjects).

Shapes: P places of a concept, Q places of a region, D features, K asked concepts, R regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import linear_sum_assignment

NOWHERE = -1
"""The region of a concept that got none."""


def max_cosine(
    concepts: Sequence[torch.Tensor], regions: Sequence[torch.Tensor]
) -> npt.NDArray[np.float64]:
    """Mean over a concept's places of the best cosine among a region's; (concepts, regions).

    Concepts are (P, D) each, regions (Q, D) each: features of unit length, of the masked places
    only. 0 where either has no place.
    """
    table = np.zeros((len(concepts), len(regions)))
    if not concepts:
        return table
    places_XD = torch.cat(list(concepts))
    lengths = [len(concept) for concept in concepts]
    for column, region_QD in enumerate(regions):
        if len(region_QD):
            best_X = (places_XD @ region_QD.T).amax(1)
            table[:, column] = [
                float(part.mean()) if len(part) else 0.0 for part in best_X.split(lengths)
            ]
    return table


def assign(similarity_KR: npt.NDArray[np.float64]) -> tuple[int, ...]:
    """A region of its own for each concept, the sum of similarities as large as can be (Hungarian
    method); NOWHERE where there are fewer regions than concepts."""
    regions = [NOWHERE] * len(similarity_KR)
    if similarity_KR.size:
        rows, columns = linear_sum_assignment(similarity_KR, maximize=True)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            regions[row] = column
    return tuple(regions)


class Verdict(NamedTuple):
    """What a picture shows of the concepts that were asked for."""

    regions: tuple[int, ...]
    """Each concept's region, or NOWHERE."""
    values: tuple[float, ...]
    """Its similarity, 0 where there is none."""
    found: tuple[bool, ...]
    """Similarity above the concept's threshold."""
    extra: bool
    """More things than were asked for: twins, ghosts, what nobody named."""
    mixed: bool
    """Some thing stands where a concept should, and is more like another concept of the scene."""

    @property
    def complete(self) -> bool:
        """All that were asked for are there."""
        return all(self.found)


def judge(
    similarity_NR: npt.NDArray[np.float64],
    asked: Sequence[int],
    thresholds: Sequence[float],
    whole: Sequence[bool],
) -> Verdict:
    """The verdict on one picture.

    Args:
        similarity_NR: every concept of the scene, asked for or not, against every region.
        asked: the concepts that the prompt names.
        thresholds: for every concept of the scene, the similarity from which on it is there.
        whole: false for a region that is a part of a larger one, cut because there were fewer
            regions than concepts; a part resembles its own whole, which is no mixture.
    """
    regions = assign(similarity_NR[list(asked)])
    values = tuple(
        float(similarity_NR[concept, region]) if region != NOWHERE else 0.0
        for concept, region in zip(asked, regions, strict=True)
    )
    found = tuple(value > thresholds[concept] for concept, value in zip(asked, values, strict=True))
    # Concepts differ in how similar anything is to them: what counts is by how much each is passed.
    margins_NR = similarity_NR - np.array(thresholds[: len(similarity_NR)])[:, None]
    mixed = any(
        region != NOWHERE and whole[region] and int(margins_NR[:, region].argmax()) != concept
        for concept, region in zip(asked, regions, strict=True)
    )
    return Verdict(regions, values, found, sum(whole) > len(asked), mixed)


def kept_order(
    centres: Sequence[float | None], centres_in_scene: Sequence[float]
) -> tuple[bool, ...]:
    """For each pair of things that are there (a centre, not None): left and right as in the scene?

    A model that has freed its concepts from their scene keeps the order in half of the pairs.
    """
    pairs = combinations(range(len(centres)), 2)
    answers: list[bool] = []
    for first, second in pairs:
        left, right = centres[first], centres[second]
        if left is not None and right is not None:
            same = (left < right) == (centres_in_scene[first] < centres_in_scene[second])
            answers.append(same)
    return tuple(answers)
