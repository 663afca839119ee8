"""Files and words of strangers: 200 and more generated inputs a class; one line, no traceback."""

from __future__ import annotations

import io
import json
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.core.errors import BasError
from engine.files.weights_io import load_tensors, save_tensors
from engine.models.detection import check_file, check_folder
from engine.models.headers import read_header
from engine.models.sizes import base_sizes
from engine.runs.commands import Command
from engine.runs.description import describe
from engine.runs.event_reading import read_events
from engine.runs.folder import RunDir
from engine.runs.manifest import Manifest, read_manifest, write_manifest
from engine.runs.requests import GenerationRequest
from engine.scenes.scene import load_scene

pytestmark = pytest.mark.faults
COUNT = 200
WORDS = [
    "..",
    "../../x",
    "/etc/passwd",
    "\x1b]0;x\x07",
    "\x1b[2J",
    "\0",
    "a" * 70000,
    "é\u202e",
    "{}",
]


def junk(chance: random.Random, depth: int = 0) -> Any:
    """Any JSON value, mostly of the wrong kind."""
    makers: list[Callable[[], Any]] = [
        lambda: None, lambda: chance.choice([True, False]), lambda: chance.randint(-(2**70), 2**70),
        lambda: chance.choice([1e308, -0.0, float("nan"), float("inf")]),
        lambda: chance.choice(WORDS), lambda: "",
    ]  # fmt: skip
    if depth < 3:
        makers += [
            lambda: [junk(chance, depth + 1) for _ in range(chance.randint(0, 4))],
            lambda: {str(junk(chance, 3)): junk(chance, depth + 1) for _ in range(3)},
        ]
    return chance.choice(makers)()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int, height: int, *extra: bytes, data: bytes = bytes(1000), packed: bytes = b""
) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", packed or zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + body + chunk(b"IEND", b"")


BOMB = zlib.compress(bytes(60_000_000))


def hostile_picture(chance: random.Random, whole: bytes) -> bytes:
    kinds: list[Callable[[], bytes]] = [
        lambda: png(100_000, 100_000),
        lambda: png(chance.choice([0, 1, 2**31 - 1, 2**32 - 1]), chance.choice([0, 1, 2**31 - 1])),
        lambda: png(64, 64, chunk(b"zTXt", b"x\0\0" + BOMB)),
        lambda: png(64, 64, chunk(b"iCCP", b"x\0\0" + BOMB), data=bytes(65 * 64)),
        lambda: png(64, 64, *[chunk(b"tEXt", b"../../x\0" + bytes(100))] * 500),
        lambda: png(64, 64, packed=BOMB),
        lambda: whole[: chance.randrange(len(whole))],
        lambda: bytes(b ^ (chance.random() < 0.01) * chance.randrange(256) for b in whole),
        lambda: chance.randbytes(chance.randrange(3000)),
        lambda: b"PK\x03\x04" + chance.randbytes(500),
        lambda: b"GIF89a" + struct.pack("<HH", 65535, 65535) + chance.randbytes(300),
        lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="/etc/passwd"/></svg>',
    ]
    return chance.choice(kinds)()


@pytest.mark.parametrize("place", ["photo", "mask"])
def test_pictures(tmp_path: Path, place: str) -> None:
    chance = random.Random(place)
    good = np.zeros((96, 96), np.uint8)
    good[20:60, 20:60] = 255
    buffer = io.BytesIO()
    Image.fromarray(good).save(buffer, "PNG")
    photo, mask = tmp_path / "photo.png", tmp_path / "masks" / "mask0.png"
    mask.parent.mkdir()
    before = {photo, mask, mask.parent}
    for index in range(COUNT):
        Image.fromarray(np.stack([good] * 3, -1)).save(photo)
        mask.write_bytes(buffer.getvalue())
        (photo if place == "photo" else mask).write_bytes(
            hostile_picture(chance, buffer.getvalue())
        )
        try:
            load_scene(photo, [mask])
        except BasError as error:
            assert "\n" not in str(error), index
        assert set(tmp_path.rglob("*")) == before


def hostile_header(chance: random.Random) -> bytes:
    tensors = {
        chance.choice([*WORDS, "a.weight"]): chance.choice(
            [
                {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 8]},
                {"dtype": "F32", "shape": [-1], "data_offsets": [8, 0]},
                {"dtype": "F64", "shape": [2], "data_offsets": [0, 2**60]},
                {"dtype": junk(chance), "shape": junk(chance), "data_offsets": junk(chance)},
                junk(chance),
            ]
        )
        for _ in range(3)
    }
    tensors["__metadata__"] = junk(chance)
    text = json.dumps(tensors).encode()
    lengths = [len(text), 0, 1, 2**63, 2**64 - 1, len(text) - 1, 10**8]
    length = chance.choice([len(text)] * 5 + lengths)
    return struct.pack("<Q", length) + text + bytes(chance.choice([0, 8, 100]))


def test_weights(tmp_path: Path, tiny_pipeline: Path) -> None:
    chance = random.Random(2)
    path, folder = tmp_path / "model.safetensors", tmp_path / "model"
    for component in ("unet", "vae", "text_encoder"):
        (folder / component).mkdir(parents=True)
    for name in ("unet", "vae", "text_encoder"):
        text = (tiny_pipeline / name / "config.json").read_text()
        (folder / name / "config.json").write_text(text)
    for _ in range(COUNT):
        path.write_bytes(hostile_header(chance))
        for check in (read_header, check_file, load_tensors):
            try:
                check(path)
            except BasError as error:
                assert "\n" not in str(error)
        base_sizes(str(path))
        (folder / "model_index.json").write_text(json.dumps(junk(chance)))
        config = chance.choice(["unet", "vae", "text_encoder"])
        (folder / config / "config.json").write_text(json.dumps(junk(chance)))
        try:
            check_folder(folder)
        except BasError as error:
            assert "\n" not in str(error)
        base_sizes(str(folder))
    save_tensors(path, {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "model.safetensors"]


def make_run(folder: Path) -> RunDir:
    run = RunDir(folder)
    write_manifest(
        run,
        Manifest(name="r", created=0.0, base="pocket", scene_source="", concepts=(), settings={}),
    )
    return run


def test_event_files(tmp_path: Path) -> None:
    chance = random.Random(3)
    run = make_run(tmp_path / "run")
    kinds = ["step", "run_started", "attention", "run_ended", "notice", "checkpoint", "x"]
    for _ in range(COUNT):
        lines: list[bytes] = []
        for _ in range(20):
            record = junk(chance)
            if isinstance(record, dict):
                record |= {"kind": chance.choice([*kinds, junk(chance)]), "seq": junk(chance)}
                fields = [
                    "step",
                    "phase",
                    "loss",
                    "concepts",
                    "maps",
                    "outcome",
                    "message",
                    "phases",
                ]
                record |= {key: junk(chance) for key in fields}
            lines.append(json.dumps(record).encode())
        lines.append(chance.randbytes(100))
        run.events.write_bytes(b"\n".join(lines))
        read_events(run)
        describe(run)
        run.pid_file.write_text(json.dumps(junk(chance)))
        describe(run)


def test_manifests(tmp_path: Path) -> None:
    chance = random.Random(4)
    run = make_run(tmp_path / "run")
    text = run.manifest.read_text()
    for _ in range(COUNT):
        place = chance.randrange(len(text))
        cut = chance.choice(
            ["", "[[concepts]]\ntoken=1\n", '"', "[settings]\nx=1\n", "created='x'\n"]
        )
        run.manifest.write_text(text[:place] + cut + text[place + chance.randrange(9) :])
        try:
            read_manifest(run)
            describe(run)
        except BasError as error:
            assert "\n" not in str(error)


def test_commands_and_requests() -> None:
    chance = random.Random(5)
    for _ in range(COUNT):
        keys = "key value run out prompt seed count steps guidance device request"
        record = {key: junk(chance) for key in keys.split()}
        record["command"] = chance.choice(["set", "stop", junk(chance)])
        for parse in (Command.parse, GenerationRequest.parse):
            try:
                parse(record)
            except BasError as error:
                assert "\n" not in str(error)
