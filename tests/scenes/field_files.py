"""Writes files as people of the field have them, each after a public report.

The things are a ball and a box on a mottled ground, 256 pixels wide; `BALL` and `BOX` are where.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

SIDE = 256
BALL_EDGES, BOX_EDGES = (20, 38, 102, 153), (140, 89, 235, 217)
LABEL_STUDIO = "task-1234-annotation-5678-by-1-tag-red_{}-0.png"
PAINTED = (0, 30, 255, 145)
"""What somebody painted in ComfyUI's mask editor."""

Mask = npt.NDArray[np.bool_]


def drawn(shape: str, edges: tuple[int, int, int, int]) -> Mask:
    """A filled `ellipse` or `rectangle`."""
    picture = Image.new("L", (SIDE, SIDE))
    getattr(ImageDraw.Draw(picture), shape)(edges, fill=1)
    return np.asarray(picture).astype(bool)


BALL, BOX = drawn("ellipse", BALL_EDGES), drawn("rectangle", BOX_EDGES)
TRUTH = {"ball": BALL, "box": BOX}


def photo() -> Image.Image:
    """The photo: soft patches, and the two things with hard edges."""
    patches = np.random.default_rng(3).integers(60, 200, (16, 16, 3), np.uint8)
    pixels = np.array(Image.fromarray(patches).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    pixels[BALL], pixels[BOX] = (200, 40, 40), (40, 60, 200)
    return Image.fromarray(pixels)


def grey(mask: Mask) -> Image.Image:
    """White on black."""
    return Image.fromarray(mask.astype(np.uint8) * 255)


def write_all(folder: Path) -> Path:
    """Every file, under the name of its kind; the folder."""
    picture = photo()
    picture.save(folder / "photo.png")
    for part in ("masks", "F15_label_studio"):
        (folder / part).mkdir()
    for name, mask in TRUTH.items():
        grey(mask).save(folder / "masks" / f"{name}.png")
        grey(mask).save(folder / "F15_label_studio" / LABEL_STUDIO.format(name))
    _layers(folder, picture)
    _voc(folder / "F03_voc_void_border.png")
    _turned(folder / "F16_exif180", picture)
    _photos(folder, picture)
    _annotations(folder)
    _sam(folder / "sam_everything")
    _label_maps(folder)
    (folder / "onetrainer").mkdir()
    picture.save(folder / "onetrainer" / "photo.jpg", quality=95)
    grey(BALL).save(folder / "onetrainer" / "photo-masklabel.png")
    return folder


def _layers(folder: Path, picture: Image.Image) -> None:
    """Masks in the alpha channel: half-opaque paint; ComfyUI's, where paint is what is clear."""
    layer = np.zeros((SIDE, SIDE, 4), np.uint8)
    layer[..., 0], layer[BALL, 3] = 255, 127
    (folder / "F09_half_opacity").mkdir()
    Image.fromarray(layer).save(folder / "F09_half_opacity" / "ball.png")
    clear = picture.copy()
    clear.putalpha(grey(~drawn("rectangle", PAINTED)))
    (folder / "F04_comfyui_mask").mkdir()
    clear.save(folder / "F04_comfyui_mask" / "clipspace-mask-1207589.1.png")


def _voc(path: Path) -> None:
    """Pascal VOC: an index per thing, and 255 for the five pixels around each."""
    labels = BALL.astype(np.uint8) + 2 * BOX.astype(np.uint8)
    for mask in TRUTH.values():
        wide = np.asarray(grey(mask).filter(ImageFilter.MaxFilter(5))) > 0
        narrow = np.asarray(grey(mask).filter(ImageFilter.MinFilter(5))) > 0
        labels[wide & ~narrow] = 255
    colours = [0] * 768
    colours[3:9], colours[765:] = [128, 0, 0, 0, 128, 0], [224, 224, 192]
    indexed = Image.fromarray(labels, mode="P")
    indexed.putpalette(colours)
    indexed.save(path)


def _turned(folder: Path, picture: Image.Image) -> None:
    """A photo that lies upside down in its file, and a mask that was drawn on it like that."""
    (folder / "masks_as_stored").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 3
    stored = picture.transpose(Image.Transpose.ROTATE_180)
    stored.save(folder / "photo180.jpg", exif=exif, quality=92)
    grey(BALL[::-1, ::-1]).save(folder / "masks_as_stored" / "ball.png")


def _photos(folder: Path, picture: Image.Image) -> None:
    """A JPEG that lost its last two bytes; a portrait of an iPhone with its depth map."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=92, progressive=True)
    (folder / "F18_no_end_marker.jpg").write_bytes(buffer.getvalue()[:-2])
    depth = picture.convert("L").convert("RGB")
    picture.save(folder / "F17_mpo.jpg", "MPO", save_all=True, append_images=[depth])


def _annotations(folder: Path) -> None:
    """labelme's corners of a rectangle; COCO's run lengths, column by column."""
    corners = [BALL_EDGES[:2], BALL_EDGES[2:]]
    shapes = [{"label": "ball", "points": corners, "shape_type": "rectangle"}]
    table = {"shapes": shapes, "imagePath": "photo.png", "imageHeight": SIDE, "imageWidth": SIDE}
    (folder / "F19_labelme.json").write_text(json.dumps(table))
    entries = [
        {
            "image_id": 1, "category_id": k, "iscrowd": 1,
            "segmentation": {"size": [SIDE, SIDE], "counts": _run_lengths(mask)},
        }
        for k, mask in enumerate(TRUTH.values())
    ]  # fmt: skip
    coco = {
        "images": [{"id": 1, "file_name": "photo.png", "width": SIDE, "height": SIDE}],
        "categories": [{"id": k, "name": name} for k, name in enumerate(TRUTH)],
        "annotations": entries,
    }
    (folder / "coco.json").write_text(json.dumps(coco))


def _run_lengths(mask: Mask) -> list[int]:
    counts, value = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


def _sam(folder: Path) -> None:
    """What SAM's script for everything leaves: numbered masks and a table of them."""
    folder.mkdir()
    rows = ["id,area,bbox_x0,bbox_y0,bbox_w,bbox_h"]
    for k, mask in enumerate((BALL, BOX, ~(BALL | BOX))):
        grey(mask).save(folder / f"{k}.png")
        rows.append(f"{k},{int(mask.sum())},0,0,{SIDE},{SIDE}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")


def _label_maps(folder: Path) -> None:
    """One picture of both things: with soft edges, as a JPEG, both; in two orders of a palette."""
    colours = np.zeros((SIDE, SIDE, 3), np.uint8)
    colours[BALL], colours[BOX] = (220, 30, 30), (30, 60, 230)
    hard = Image.fromarray(colours)
    soft = hard.filter(ImageFilter.GaussianBlur(0.6))
    soft.save(folder / "soft_edges.png")
    hard.save(folder / "hard_edges.jpg", quality=90)
    soft.save(folder / "soft_edges.jpg", quality=90)
    for name, (ground, ball, box) in {"first": (0, 1, 2), "last": (2, 0, 1)}.items():
        labels = np.full((SIDE, SIDE), ground, np.uint8)
        labels[BALL], labels[BOX] = ball, box
        indexed = Image.fromarray(labels, mode="P")
        palette = {ground: (0, 0, 0), ball: (220, 30, 30), box: (30, 60, 230)}
        indexed.putpalette([value for k in range(3) for value in palette[k]])
        indexed.save(folder / f"palette_background_{name}.png")
