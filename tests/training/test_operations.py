"""The lean step stays lean: exact operation counts at the true SD 2.1-base shapes."""

from __future__ import annotations

import pytest

from tests.bench.__main__ import TARGETS, count_operations


@pytest.mark.parametrize("phase", TARGETS)
def test_operations_of_a_step(phase: int) -> None:
    operations = count_operations(phase)
    assert operations <= TARGETS[phase]
    # Far below the target means that part of the work was lost, not saved.
    assert operations > 0.9 * TARGETS[phase]
