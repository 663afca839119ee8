"""Pieces of self-contained HTML reports: pictures as data, text that cannot be markup."""

from __future__ import annotations

import base64
import html
import io
import re
from pathlib import Path

from PIL import Image


def escaped(line: str) -> str:
    """Escaped text, with `code` in its own type."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(line))


def open_png(path: Path) -> Image.Image:
    """One of the product's own PNG files as RGB."""
    with Image.open(path, formats=("PNG",)) as opened:
        return opened.convert("RGB")


def jpeg_data(picture: Image.Image, size: tuple[int, int]) -> str:
    """The picture scaled to (width, height) pixels, as a data URI."""
    buffer = io.BytesIO()
    picture.resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
