"""Files that no person wants to have, and what must be said of them."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (96, 96)


def good_image(folder: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), np.uint8)
    Image.fromarray(noise).save(folder / "img.png")
    return folder / "img.png"


def good_mask(folder: Path, name: str = "cup.png") -> Path:
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[20:60, 20:60] = 255
    Image.fromarray(mask).save(folder / name)
    return folder / name


def truncated(path: Path) -> None:
    whole = path.with_name("whole.jpg")
    Image.effect_noise((200, 200), 90).save(whole, format="JPEG")
    path.write_bytes(whole.read_bytes()[:2000])
    whole.unlink()


def broken_png(path: Path) -> None:
    whole = good_image(path.parent).read_bytes()
    path.write_bytes(whole[:300] + b"garbage" + whole[307:])


def bomb(path: Path) -> None:
    """A small file whose header announces 100000x100000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def large(path: Path) -> None:
    """Over the limit, but under Pillow's own: a 1-bit picture of 9000x9000 pixels."""
    Image.new("1", (9000, 9000)).save(path, format="PNG")


def other_format(path: Path) -> None:
    Image.new("RGB", SIZE).save(path, format="GIF")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path.unlink(missing_ok=True), "there is no"),
    "folder": (lambda path: path.mkdir(), "folder"),
    "fifo": (lambda path: os.mkfifo(path), "no regular file"),
    "empty": (lambda path: path.touch(), "HEIC picture"),
    "text": (lambda path: path.write_text("hello\n" * 99), "HEIC picture"),
    "gif": (other_format, "HEIC picture"),
    "truncated": (truncated, "damaged or cut off"),
    "broken": (broken_png, "damaged or cut off"),
    "bomb": (bomb, "pixels; the limit is 80 million"),
    "large": (large, "pixels; the limit is 80 million"),
}
