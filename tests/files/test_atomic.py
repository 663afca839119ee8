"""Whole or absent: what a killed writer leaves, and what removes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from engine.core.errors import BasError
from engine.files.atomic import checksum, new_folder, remove_leftovers, write_atomic, write_new
from engine.files.weights_io import (
    StoredTensors,
    load_shards,
    load_tensors,
    make_shards,
    save_tensors,
    shard_paths,
)

ROOT = Path(__file__).parents[2]


def test_a_block_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "concepts"
    with new_folder(target) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), new_folder(target) as folder:
        (folder / "a").write_text("new")
        raise ZeroDivisionError
    assert (target / "a").read_text() == "old"
    with new_folder(target) as folder:
        (folder / "a").write_text("newer")
    assert (target / "a").read_text() == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["concepts"]


@pytest.mark.parametrize("moment", ["fill", "aside"])
def test_a_kill_within_a_folder(tmp_path: Path, moment: str) -> None:
    """Killed while it fills the new one, and between the two renames."""
    with new_folder(tmp_path / "concepts") as folder:
        (folder / "a").write_text("old")
    code = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from engine.files.atomic import new_folder\n"
        "die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "class Dying(type(Path())):\n"
        "    def rename(self, target):\n"
        "        result = super().rename(target)\n"
        f"        return die() if '{moment}' == 'aside' else result\n"
        "with new_folder(Dying(sys.argv[1])) as folder:\n"
        "    (folder / 'a').write_text('new')\n"
        f"    if '{moment}' == 'fill': die()\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "concepts")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.returncode == -signal.SIGKILL
    (tmp_path / "notes.txt").write_text("a person's own")
    assert remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["concepts", "notes.txt"]
    assert (tmp_path / "concepts" / "a").read_text() == "old"


def test_only_own_and_old_leftovers_go(tmp_path: Path) -> None:
    for name in (".DS_Store", ".cache.directory", ".nfs0001", "a.b.c", ".run.toml.bak"):
        (tmp_path / name).write_text("")
    for name in (".run.toml.abcd1234", ".step-000200.x_y_z123", ".weights.safetensors.123.tmp"):
        (tmp_path / name).write_text("")
    assert remove_leftovers(tmp_path, older_than=3600) == []
    assert len(remove_leftovers(tmp_path)) == 3
    assert len(list(tmp_path.iterdir())) == 5
    assert remove_leftovers(tmp_path / "nowhere") == []


def test_a_file_is_old_or_new(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, b"one")
    first = checksum(path)
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two" and checksum(path) != first
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_nothing_gets_its_name_before_it_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a power cut relies on: bytes and entries are forced, then renamed, then the rename."""
    forced: list[Path] = []
    named: list[Path] = []
    sync, rename, replace = os.fsync, Path.rename, os.replace

    def seen(handle: int) -> None:
        sync(handle)
        forced.append(Path(os.readlink(f"/proc/self/fd/{handle}")))

    def check(old: Path, new: Path) -> None:
        assert {old, *(old.iterdir() if old.is_dir() else ())} <= set(forced)
        forced.clear()
        named.append(new)

    def renamed(old: Path, new: Path) -> Path:
        check(old, new)
        return rename(old, new)

    def replaced(old: Path, new: Path) -> None:
        check(old, new)
        replace(old, new)

    monkeypatch.setattr(os, "fsync", seen)
    monkeypatch.setattr(Path, "rename", renamed)
    monkeypatch.setattr(os, "replace", replaced)
    with new_folder(tmp_path / "folder") as folder:
        for shard in make_shards("weights", {"a": torch.ones(2)}):
            shard.write(folder)
        (folder / "state.json").write_text("{}")
    assert named == [tmp_path / "folder"] and forced == [tmp_path]
    write_atomic(tmp_path / "file", b"x")
    assert named[1:] == [tmp_path / "file"] and forced == [tmp_path]


def test_shards_bring_every_tensor_back(tmp_path: Path) -> None:
    tensors = {f"t{k}": torch.randn(k + 1, 100) for k in range(7)} | {"n": torch.tensor(3)}
    tensors |= {
        "flag": torch.tensor([True]),
        "none": torch.zeros(0, 4),
        "across": torch.ones(2, 3).T,
    }
    copies = [shard.copied() for shard in make_shards("weights", tensors, limit=1000)]
    kept = {name: tensor.clone() for name, tensor in tensors.items()}
    for tensor in tensors.values():
        tensor.zero_()
    tensors = kept
    for shard in copies:
        shard.write(tmp_path)
    assert len(list(tmp_path.iterdir())) > 3
    back = {k: v for shard in load_shards(tmp_path, "weights") for k, v in shard.items()}
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    save_tensors(tmp_path / "old" / "weights.safetensors", tensors)
    (single,) = load_shards(tmp_path / "old", "weights")
    assert single.keys() == tensors.keys()
    stored = StoredTensors(shard_paths(tmp_path, "weights"))
    assert len(stored) == len(tensors) and set(stored) == set(tensors)
    assert all(torch.equal(stored[name], tensors[name]) for name in tensors)
    (empty,) = make_shards("none", {})
    empty.write(tmp_path / "old")
    assert list(load_shards(tmp_path / "old", "none")) == [{}]
    (tmp_path / "cut.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(BasError, match="damaged"):
        load_tensors(tmp_path / "cut.safetensors")


def test_writers_at_once_get_names_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        data = [bytes([number]) for number in range(24)]
        paths = list(pool.map(lambda one: write_new(tmp_path, "a", ".png", one), data))
    assert len(set(paths)) == 24 and {path.name for path in paths} >= {"a.png", "a-2.png"}
    assert [path.read_bytes() for path in paths] == data
    assert len(list(tmp_path.iterdir())) == 24
