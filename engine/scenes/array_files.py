"""Reads masks that a script saved with numpy: stacks of masks, label maps, probabilities.

Shapes: HxW, or N masks of HxW.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.core.errors import UserError
from engine.scenes.checks import BoolMask
from engine.scenes.image_files import MAX_PIXELS

MAX_LABELS = 64
REMEDY = "save one array of bool, or of whole numbers with 0 as background"


def read_array_masks(path: Path) -> list[BoolMask]:
    """The masks of a .npy file: (H, W), (N, H, W) or (H, W, N), bool, labels, or 0..1.

    Raises UserError for anything else. Never unpickles.
    """
    values = _read(path)
    values = values.reshape([side for side in values.shape if side > 1] or [1])
    if values.dtype.kind == "f" and (values == np.round(values)).all() and values.max() > 1:
        values = values.astype(np.int64)
    if values.ndim == 3:
        # The number of masks is the smallest side.
        if values.shape[2] < min(values.shape[:2]):
            values = np.moveaxis(values, 2, 0)
        if values.shape[0] > MAX_LABELS:
            raise UserError(f"the array {path} holds {values.shape[0]} masks", REMEDY)
        return [mask for part in values for mask in _binary(part, path)]
    if values.ndim != 2:
        raise UserError(f"the array {path} has {values.ndim} dimensions, no mask", REMEDY)
    if values.dtype == np.bool_ or values.dtype.kind == "f":
        return _binary(values, path)
    if int(values.min()) < 0:
        raise UserError(f"the array {path} has labels below 0", REMEDY)
    labels = [label for label in np.unique(values).tolist() if label]
    if len(labels) > MAX_LABELS:
        raise UserError(f"the array {path} has {len(labels)} values; it is no label map", REMEDY)
    return [values == label for label in labels] or [np.zeros(values.shape, np.bool_)]


def _binary(values: npt.NDArray[Any], path: Path) -> list[BoolMask]:
    """One mask from bool, from 0 and another value, or from probabilities."""
    if values.dtype == np.bool_:
        return [np.array(values)]
    if values.dtype.kind == "f":
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise UserError(
                f"the array {path} has values outside 0..1 (logits?)", "save logits > 0 instead"
            )
        return [np.array(values > 0.5)]
    if len(np.unique(values)) > 2 or int(values.min()) != 0:
        raise UserError(f"a mask of the array {path} has more values than 0 and one other", REMEDY)
    return [np.array(values != 0)]


def _read(path: Path) -> npt.NDArray[Any]:
    """The array as it lies in the file, unread until its size is known to be sane."""
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        reason = error.strerror or "it is no numpy file"
        raise UserError(f"cannot read the array {path}: {reason}", "check the path") from error
    except (ValueError, EOFError) as error:
        raise UserError(f"{path} is no plain .npy array", REMEDY) from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
        raise UserError(f"{path} holds no array of numbers", REMEDY)
    if not values.size or values.size > MAX_PIXELS * 4:
        raise UserError(f"the array {path} holds {values.size} values", REMEDY)
    return values
