"""What a full disk looks like through every library."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from engine.core.memory import is_out_of_memory
from engine.files.space import free_bytes, free_memory, is_full, say_bytes
from engine.files.weights_io import save_tensors
from tests.full_disk import SmallDisk


def test_a_full_disk_is_told_from_other_failures(small_disk: SmallDisk) -> None:
    assert not is_full(OSError(errno.EROFS, "read-only"))
    with pytest.raises(OSError) as caught:
        save_tensors(small_disk.path / "a.safetensors", {"a": torch.zeros(2 * small_disk.size)})
    assert is_full(caught.value)
    assert list(small_disk.path.iterdir()) == []
    with pytest.raises(OSError) as caught:
        (small_disk.path / "b").write_bytes(bytes(2 * small_disk.size))
    assert is_full(caught.value)


def test_room_and_its_words(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "not" / "yet") == free_bytes(tmp_path) > 0
    assert free_memory() > 0
    words = [say_bytes(n) for n in (0, 3_200, 240_000_000, 13.9e9, 123.4e9)]
    assert words == ["0 kB", "3 kB", "240 MB", "13.9 GB", "123 GB"]


def test_a_cpu_runs_out_of_memory_in_words() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**58, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError()) and is_out_of_memory(torch.OutOfMemoryError("CUDA"))
    with pytest.raises(RuntimeError) as caught:
        torch.mv(torch.zeros(2, 2), torch.zeros(3))
    assert not is_out_of_memory(caught.value)
