"""Safetensors files of tensors that are made one by one, so that a whole model needs no memory.

safetensors' own writer wants every tensor of a file at once. A header, though, says shapes and
precisions only: it is written first, then each tensor is made, written and forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from engine.files.atomic import new_file

NAMES = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.int16: "I16",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float32: "F32",
    torch.float64: "F64",
}
"""How safetensors calls the precisions."""
ALIGNMENT = 8
"""Of the first tensor in the file, bytes."""


class Pending(NamedTuple):
    """A tensor that is made when it is wanted."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    make: Callable[[], torch.Tensor]

    @classmethod
    def of(cls, tensor: torch.Tensor) -> Pending:
        """One that is there already."""
        return cls(tuple(tensor.shape), tensor.dtype, lambda: tensor)

    def then(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Pending:
        """With `change` done to it, which may depend on nothing but the tensor."""
        told = change(torch.empty(self.shape, dtype=self.dtype, device="meta"))
        return Pending(tuple(told.shape), told.dtype, lambda: change(self.make()))

    def to(self, dtype: torch.dtype) -> Pending:
        """In this precision."""
        return Pending(self.shape, dtype, lambda: self.make().to(dtype))

    @staticmethod
    def stack(parts: Sequence[Pending]) -> Pending:
        """The parts on top of each other, along their first axis; all of one precision."""
        first = parts[0]
        height = sum(part.shape[0] for part in parts)
        return Pending(
            (height, *first.shape[1:]),
            first.dtype,
            lambda: torch.cat([part.make() for part in parts]),
        )


def pending(tensors: Mapping[str, torch.Tensor]) -> dict[str, Pending]:
    """Named tensors that are there already."""
    return {name: Pending.of(tensor) for name, tensor in tensors.items()}


def save_pending(
    path: Path, tensors: MutableMapping[str, Pending], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file, one tensor in memory at a time; it appears in one piece.

    `tensors` is emptied on the way, so that what a tensor was made from can be let go.
    Byte for byte what safetensors writes: wide precisions first, then by name. Raises OSError where
    the disk does not take it, and ValueError for a tensor that is not as it was announced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    with new_file(path) as temporary, temporary.open("wb") as file:
        file.write(_header(tensors, order, metadata))
        for name in order:
            wanted = tensors.pop(name)
            tensor = wanted.make().detach().cpu()
            if (tuple(tensor.shape), tensor.dtype) != (wanted.shape, wanted.dtype):
                raise ValueError(
                    f"{name} is {tensor.dtype} {[*tensor.shape]}, "
                    f"not {wanted.dtype} {[*wanted.shape]}"
                )
            # As bytes, for numpy knows no bfloat16.
            file.write(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
            del wanted, tensor


def _header(
    tensors: Mapping[str, Pending], order: Sequence[str], metadata: Mapping[str, str] | None
) -> bytes:
    """The length of the JSON text (8 bytes, little-endian), and the text, padded with blanks."""
    table: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for name in order:
        shape, dtype, _ = tensors[name]
        end = at + dtype.itemsize * torch.Size(shape).numel()
        table[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text
