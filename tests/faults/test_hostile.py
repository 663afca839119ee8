"""Files and words of strangers: 200 and more generated inputs a class; one line, no traceback."""

from __future__ import annotations

import io
import json
import random
import re
import stat
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from PIL import Image
from rich.segment import Segment
from textual.color import Color

from bas_tui.cli import stderr, stdout
from bas_tui.tui.drawing.plain_filter import PlainFilter
from engine.core.errors import BasError, UserError
from engine.files.weights_io import load_tensors, save_tensors
from engine.models.detection import check_file, check_folder
from engine.models.headers import read_header
from engine.models.sizes import base_sizes
from engine.results.exports.pack import PackFacts, read_facts, read_pack, write_pack
from engine.results.exports.pack_import import look_at
from engine.results.pictures import save_generated
from engine.runs.commands import Command
from engine.runs.description import describe
from engine.runs.event_reading import read_events
from engine.runs.events import Notice, RunEnded
from engine.runs.folder import RunDir
from engine.runs.liveness import socket_path
from engine.runs.manifest import ConceptEntry, Manifest, read_manifest, write_manifest
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


COMMANDS = re.compile("[\\0-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\ud800-\\udfff]")


def hostile_words(chance: random.Random) -> str:
    """Text that would clear, retitle, write to the clipboard of, or read from a terminal."""
    pieces = [
        "\x1b[2J", "\x1b]0;owned\x07", "\x1b]52;c;YQ==\x1b\\\\", "\x9b31m", "\x1bP+q544e\x1b\\\\",
        "\x1b[6n", "\x1b_Gi=1;\x1b\\\\", "\r", "\b\b\b", "\x7f", "\u202e", "teapot", "<asset0>",
        " ", "é", "茶",
        chr(chance.randrange(0xA0)), chr(chance.randrange(0x2000, 0x2070)),
    ]  # fmt: skip
    return "".join(chance.choice(pieces) for _ in range(chance.randint(1, 8)))


def test_words_command_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In run.toml, in events, on the streams, in the application, in a picture's text."""
    chance = random.Random(6)
    run = make_run(tmp_path / "run")
    for _ in range(COUNT):
        words = hostile_words(chance)
        table = {
            "run": {"name": words, "created": 0.0, "base": words, "scene_source": words},
            "concepts": [{"token": "<asset0>", "name": words, "initializer": words}],
        }
        run.manifest.write_text(tomli_w.dumps(table))
        events = [
            {"kind": "notice", "seq": 0, "level": "warning", "message": words, "remedy": words},
            {"kind": "run_ended", "seq": 1, "outcome": "failed", "message": words, "step": 0},
        ]
        run.events.write_text("".join(json.dumps(event) + "\n" for event in events))
        manifest, info = read_manifest(run), describe(run)
        notice, ended = read_events(run)
        assert isinstance(notice, Notice) and isinstance(ended, RunEnded)
        stderr.say(words)
        stderr.note("warning", words, words)
        stdout.table(("name",), [(manifest.concepts[0].name,)])
        (shown,) = PlainFilter().apply([Segment(words)], Color(0, 0, 0))
        path = save_generated(np.zeros((8, 8, 3), np.uint8), tmp_path, "x", {"prompt": words})
        with Image.open(path) as opened:
            kept = str(opened.info["prompt"])
        path.unlink()
        streams = capsys.readouterr()
        said = [
            manifest.name, manifest.base, manifest.concepts[0].name, info.message, notice.message,
            notice.remedy, ended.message, shown.text, kept, streams.out, streams.err,
        ]  # fmt: skip
        assert [text for text in said if COMMANDS.search(text)] == []
        assert len(shown.text) == len(words)


def make_pack(path: Path) -> bytes:
    """A small honest pack."""
    concepts = tuple(
        ConceptEntry(token=f"<asset{k}>", name=f"n{k}", initializer="") for k in (0, 1)
    )
    facts = PackFacts(
        title="t", base="sd21", base_sha256="0" * 64, kind="sd2", concepts=concepts, settings={},
        method="break-a-scene", step=4, prompts=("<n0>",), licence="", base_licence="",
        scene_sha256="", created=0.0, versions={}, rank=0,
    )  # fmt: skip
    rows = {"placeholder_rows": torch.zeros(2, 8), "word_rows": torch.zeros(1, 8)}
    tensors = {**rows, "word_ids": torch.tensor([5]), "preview": torch.zeros(8, 8, 3).byte()}
    write_pack(path, facts, tensors)
    return path.read_bytes()


def test_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers of strangers, torn files, flipped bytes, files of another kind."""
    monkeypatch.setenv("BAS_HOME", str(tmp_path / "home"))
    chance = random.Random(7)
    path = tmp_path / "x.bas.safetensors"
    whole = make_pack(path)
    assert [concept.name for concept in read_facts(path)[0].concepts] == ["n0", "n1"]
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    refused = 0
    for _ in range(COUNT):
        changed = json.loads(json.dumps(header))
        for _ in range(chance.randint(1, 3)):
            told = changed["__metadata__"]
            place = told if isinstance(told, dict) and chance.random() < 0.7 else changed
            key = chance.choice([*place, "unet.../../x", "change/../../etc", chance.choice(WORDS)])
            value = junk(chance)
            place[key] = json.dumps(value) if chance.random() < 0.5 else value
        text = json.dumps(changed).encode()
        kinds = [
            lambda text=text: struct.pack("<Q", len(text)) + text + whole[8 + length :],
            lambda: whole[: chance.randrange(len(whole))],
            lambda: bytes(b ^ (chance.random() < 0.005) * chance.randrange(256) for b in whole),
            lambda: b"PK\x03\x04" + chance.randbytes(500),
        ]
        path.write_bytes(kinds[chance.choice([0, 0, 0, 1, 2, 3])]())
        events: list[Any] = []
        for read in (read_facts, read_pack, partial(look_at, report=events.append)):
            try:
                read(path)
            except BasError as error:
                refused += 1
                assert "\n" not in str(error) and not COMMANDS.search(str(error))
        assert not any(COMMANDS.search(str(vars(event))) for event in events)
    assert refused > COUNT
    assert {p.name for p in tmp_path.iterdir()} <= {"home", "x.bas.safetensors"}
    assert {p.name for p in (tmp_path / "home").rglob("*") if p.is_file()} <= {"pack-preview.png"}


def test_the_socket_is_in_a_folder_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = tmp_path / "bas"
    folder.mkdir()
    folder.chmod(0o777)
    assert socket_path(make_run(tmp_path / "run")).parent == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.rmdir()
    folder.symlink_to(tmp_path / "run")
    with pytest.raises(UserError, match="is not yours"):
        socket_path(make_run(tmp_path / "run"))
