"""The sheet that the demo ends with."""

import io
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from bas_tui.cli import sheet
from engine.core.errors import UserError

COLOURS = {"the scene": "navy", "<cup> in snow": "red", "<cup> and <dog>": "lime"}


@pytest.fixture
def columns(tmp_path: Path) -> list[sheet.Column]:
    made = []
    for caption, colour in COLOURS.items():
        path = tmp_path / f"{colour}.png"
        Image.new("RGB", (40, 40), colour).save(path)
        made.append(sheet.Column(caption, [path] * (1 if colour == "navy" else 2)))
    return made


def test_the_file_shows_every_picture_under_its_caption(
    columns: list[sheet.Column], tmp_path: Path
) -> None:
    sheet.save(columns, tmp_path / "sheet.png")
    picture = Image.open(tmp_path / "sheet.png")
    step = sheet.SIDE + sheet.BORDER
    centres = [(sheet.BORDER + sheet.SIDE // 2 + step * k, picture.height // 2) for k in range(3)]
    tops = [picture.getpixel((x, y - step // 2)) for x, y in centres]
    assert tops == [(0, 0, 128), (255, 0, 0), (0, 255, 0)]
    band = picture.crop((0, 0, picture.width, sheet.BORDER + sheet.LEADING)).convert("L")
    for k in range(3):
        letters = band.crop((step * k, 0, step * (k + 1), band.height))
        assert sum(letters.histogram()[:60]) > 20
    with pytest.raises(UserError, match="cannot read"):
        sheet.save([sheet.Column("gone", [tmp_path / "gone.png"])], tmp_path / "other.png")
    assert not (tmp_path / "other.png").exists()


@pytest.mark.parametrize("width", [80, 30])
def test_a_terminal_shows_captions_whole_and_pictures_as_large_as_fit(
    columns: list[sheet.Column], width: int
) -> None:
    console = Console(
        width=width, file=io.StringIO(), record=True, force_terminal=True,
        color_system="truecolor",
    )  # fmt: skip
    console.print(sheet.grid(columns, console.width))
    text, coloured = console.export_text(clear=False), console.export_text(styles=True)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    for word in ("the scene", "<cup> in", "snow", "<dog>"):
        assert word in text
    for colour, pictures in (("0;0;128", 1), ("255;0;0", 2), ("0;255;0", 2)):
        height = sum(f"8;2;{colour}m" in line for line in coloured.splitlines())
        assert height == pictures * {80: 12, 30: 6}[width]
