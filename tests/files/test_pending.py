"""Files of tensors that are made one by one, against safetensors' own writer."""

from __future__ import annotations

import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.files.pending import Pending, pending, save_pending

TENSORS = {
    "b.half": torch.randn(3, 5).half(),
    "a.half": torch.randn(7).half(),
    "single": torch.randn(2, 3, 4),
    "bfloat": torch.randn(3).bfloat16(),
    "empty": torch.zeros(0, 4),
    "scalar": torch.tensor(2.5),
    "ids \u00fc": torch.arange(5),
    "bytes": torch.arange(3, dtype=torch.uint8),
    "across": torch.randn(3, 4).T,
}


@pytest.mark.parametrize("metadata", [None, {"format": 'pt \u00fc "quoted"'}])
def test_the_file_is_the_one_that_safetensors_writes(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    # Of two precisions of one width, each program has its own first.
    for name in ("a.half", "bfloat"):
        tensors = {key: t.contiguous() for key, t in TENSORS.items() if key != name}
        if name == "a.half":
            del tensors["b.half"]
        save_file(tensors, tmp_path / "theirs", metadata)
        ours = {key: t for key, t in TENSORS.items() if key in tensors}
        save_pending(tmp_path / "ours", pending(ours), metadata)
        assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_one_tensor_is_made_at_a_time_and_as_announced(tmp_path: Path) -> None:
    made: list[weakref.ref[torch.Tensor]] = []

    def make() -> torch.Tensor:
        assert all(tensor() is None for tensor in made)
        ones = torch.ones(2, 4)
        made.append(weakref.ref(ones))
        return ones

    promise = Pending((2, 4), torch.float32, make)
    half = promise.then(lambda t: t[:, :3]).to(torch.float16)
    tall = Pending.stack([Pending.of(torch.zeros(1, 3)), Pending.of(torch.ones(2, 3))])
    save_pending(tmp_path / "x", {"a": half, "b": half, "tall": tall})
    assert len(made) == 2 and (half.shape, tall.shape) == ((2, 3), (3, 3))
    with pytest.raises(ValueError, match=r"a is torch.float32 \[2, 4\], not torch.float32 \[9\]"):
        save_pending(tmp_path / "y", {"a": promise._replace(shape=(9,))})
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
