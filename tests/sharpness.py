"""Measures how much of a picture block characters show: PSNR of the shown pixels, and bytes.

    python tests/sharpness.py                    ten bundled pictures in 60x30 cells
    python tests/sharpness.py --cells 30x15 PICTURE.png ...

A benchmark, not a test. The cells are rendered back to pixels and compared with the picture at 12
pixels a cell across and 24 down; bytes are those of truecolor text as `bas gen` writes it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bas_tui.cli.pictures import draw
from bas_tui.tui.drawing.blocks import PARTS, Blocks, mosaic, rendered
from bas_tui.tui.drawing.halfblock import fit, fitted_size

ROOT = Path(__file__).parents[1]
ACROSS, DOWN = 12, 24


def psnr(shown: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> float:
    """Decibels."""
    error = np.square(shown.astype(np.float64) - wanted).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def measure(path: Path, columns: int, rows: int, blocks: Blocks) -> tuple[float, int]:
    """PSNR and bytes of one picture."""
    picture = np.asarray(Image.open(path).convert("RGB"))
    across, down = PARTS[blocks]
    shown = rendered(mosaic(fit(picture, columns, rows, blocks), blocks), blocks)
    large = shown.repeat(DOWN // down, axis=0).repeat(ACROSS // across, axis=1)
    width, height = fitted_size(picture.shape[1], picture.shape[0], columns, rows)
    size = (width * ACROSS, height * DOWN)
    wanted = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
    text = draw(path, columns, rows, images=blocks, colors=1 << 24).text
    return psnr(large, wanted), len(text.encode())


def main() -> None:
    """One line a picture, and the means."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("pictures", nargs="*", type=Path)
    parser.add_argument("--cells", default="60x30", help="columns x rows")
    options = parser.parse_args()
    columns, rows = (int(word) for word in options.cells.split("x"))
    pictures = options.pictures or sorted(ROOT.glob("engine/evaluate/**/scene.png"))[:10]
    table = np.array([[measure(path, columns, rows, kind) for kind in PARTS] for path in pictures])
    print("".join(f"{kind:>20}" for kind in PARTS))
    for line, name in zip(
        (*table, table.mean(axis=0)), (*(path.parent.name for path in pictures), "mean"),
        strict=True,
    ):  # fmt: skip
        print("".join(f"{gain:9.2f} dB{size / 1000:5.1f} kB" for gain, size in line), f"  {name}")


if __name__ == "__main__":
    main()
