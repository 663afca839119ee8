"""Pocket: the embedded text-to-image model, its demo scenes and the recipe that makes it.

Importing this package loads the standard library only; the recipe's modules import torch.
"""

from pathlib import Path

MODEL_DIR = Path(__file__).parent / "model"
"""The model in diffusers layout, readable by ``StableDiffusionPipeline.from_pretrained``."""

SCENES_DIR = Path(__file__).parent / "scenes"
"""Demo scenes: ``<name>/scene.png`` and one ``<name>/masks/<object>.png`` per object."""

DEFAULT_DEMO = "teapot_penguin"


def demo_scenes() -> tuple[str, ...]:
    """Names of the demo scenes, the default one first."""
    names = sorted(path.parent.name for path in SCENES_DIR.glob("*/scene.png"))
    return tuple(sorted(names, key=lambda name: name != DEFAULT_DEMO))


def demo_scene(name: str) -> tuple[Path, dict[str, Path]]:
    """The picture of a demo scene and the mask file of each of its objects, by object name.

    Raises:
        KeyError: no demo scene has this name.
    """
    if name not in demo_scenes():
        raise KeyError(name)
    folder = SCENES_DIR / name
    masks = {path.stem: path for path in sorted((folder / "masks").glob("*.png"))}
    return folder / "scene.png", masks
