"""The objects that scenes are composed of: names, sets, and their RGBA pictures.

The pictures are renders of Fluent emoji from the npm package ``@lobehub/fluent-emoji-3d`` (MIT
licence), fetched once by the package client into a cache folder; users of the model need none.
"""

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from engine.core.errors import UserError

PACKAGE = "@lobehub/fluent-emoji-3d@1.1.0"

# Pictures are kept at these heights or widths (the longer side, pixels): a fixed ladder makes
# composing a copy instead of a resize, and spares the model a continuum of scales.
SIZES = (40, 48, 56, 64, 80, 96)

# The names on which recall is measured; they get the largest share of the training samples.
FOCUS = [
    "dog",
    "cat",
    "panda",
    "tiger",
    "horse",
    "cow",
    "pig",
    "rabbit",
    "bear",
    "frog",
    "monkey",
    "giraffe",
    "zebra",
    "whale",
    "fish",
    "butterfly",
    "ladybug",
    "duck",
    "parrot",
    "dinosaur",
    "rose",
    "palm_tree",
    "christmas_tree",
    "potted_plant",
    "grapes",
    "lemon",
    "banana",
    "red_apple",
    "pear",
    "tomato",
    "carrot",
    "bread",
    "pizza",
    "french_fries",
    "ice_cream",
    "birthday_cake",
    "house",
    "castle",
    "tent",
    "bus",
    "fire_engine",
    "police_car",
    "bicycle",
    "ship",
    "flying_saucer",
    "umbrella",
    "star",
    "basketball",
    "wrapped_gift",
    "drum",
    "violin",
    "laptop",
    "light_bulb",
    "hammer",
]
FOCUS = tuple(name.replace("_", " ") for name in FOCUS)


class Catalogue(NamedTuple):
    """Object names by set, each mapped to its picture's file stem."""

    core: dict[str, str]
    other: dict[str, str]
    heldout: dict[str, str]
    reserved: dict[str, str]

    def training(self) -> dict[str, str]:
        """The objects that training may use: ``core`` and ``other``, nothing else."""
        return {**self.core, **self.other}


def catalogue() -> Catalogue:
    """Read the object sets that ship with the package."""
    sets = json.loads((Path(__file__).parent / "objects.json").read_text())
    return Catalogue(**sets)


def data_dir() -> Path:
    """Cache folder of the build's data: ``BAS_POCKET_DATA`` or the user's cache folder."""
    named = os.environ.get("BAS_POCKET_DATA")
    if named:
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "bas" / "pocket"


def fetch(folder: Path) -> Path:
    """Fetch the pictures with the npm client into ``folder``; return the pictures' folder.

    Does nothing when they are there already. Needs ``npm`` on the PATH.
    """
    assets = folder / "assets"
    if assets.is_dir():
        return assets
    if shutil.which("npm") is None:
        raise UserError(
            f"the objects' pictures are not in {folder} and npm is not there to fetch them",
            "install Node.js, or set BAS_POCKET_DATA to a folder that has them",
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = ["npm", "pack", "--silent", "--pack-destination", scratch, PACKAGE]
        subprocess.run(command, check=True, capture_output=True)
        (archive,) = Path(scratch).glob("*.tgz")
        with tarfile.open(archive) as tar:
            tar.extractall(scratch, filter="data")
        shutil.move(Path(scratch) / "package" / "assets", assets)
    return assets


def load_picture(assets: Path, stem: str) -> Image.Image:
    """One object's RGBA picture, cropped to its visible part."""
    picture = Image.open(assets / f"{stem}.webp").convert("RGBA")
    box = picture.getchannel("A").point(lambda alpha: 255 * (alpha > 16)).getbbox()
    return picture.crop(box)


def scale_picture(picture: Image.Image, size: int) -> np.ndarray:
    """Scale to ``size`` pixels on the longer side: uint8 (height, width, 4), straight alpha."""
    ratio = size / max(picture.size)
    wide, high = (max(4, round(side * ratio)) for side in picture.size)
    # Colours are scaled premultiplied, else the transparent border bleeds into the edge.
    scaled = picture.convert("RGBa").resize((wide, high), Image.Resampling.LANCZOS)
    return np.asarray(scaled.convert("RGBA"))


def load_sprites(assets: Path, stems: dict[str, str]) -> dict[str, dict[int, np.ndarray]]:
    """Every object at every size of the ladder: name -> size -> uint8 (height, width, 4)."""
    sprites = {}
    for name, stem in stems.items():
        picture = load_picture(assets, stem)
        sprites[name] = {size: scale_picture(picture, size) for size in SIZES}
    return sprites
