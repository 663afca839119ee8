"""Scenes of held-out objects: those of the evaluation, and others on which recipes are chosen.

Nothing is ever tuned on a scene of the evaluation. The objects are the same few, but no scene for
tuning shows two of them that meet in the evaluation; the catalogue's `reserved` objects are in
neither.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from engine.pocket.recipe.composer import Composer
from engine.scenes.checks import SceneConcept
from engine.scenes.scene import Scene


class SceneRecipe(NamedTuple):
    """What a scene shows and where."""

    names: tuple[str, ...]
    """Held-out objects."""
    kind: str
    """The background."""


EVALUATION: dict[str, SceneRecipe] = {
    f"{number:02d}": SceneRecipe(names, kind)
    for number, (names, kind) in enumerate(
        (
            (("teapot", "penguin"), "grass"),
            (("guitar", "pineapple"), "wood"),
            (("rocket", "cactus"), "desert"),
            (("owl", "mushroom"), "forest"),
            (("teddy bear", "hamburger"), "check"),
            (("unicorn", "balloon"), "snow"),
            (("taxi", "crown"), "street"),
            (("turtle", "sailboat"), "beach"),
            (("elephant", "alarm clock"), "room"),
            (("strawberry", "bell", "key"), "plain blue"),
            (("tractor", "watermelon"), "mountain"),
            (("flamingo", "doughnut", "soccer ball"), "grass"),
        )
    )
}

TUNING: dict[str, SceneRecipe] = {
    # Three things, two, three: the scenes of the first comparisons of composition.
    "A": SceneRecipe(("penguin", "pineapple", "bell"), "room"),
    "D": SceneRecipe(("owl", "crown"), "snow"),
    "F": SceneRecipe(("cactus", "strawberry", "taxi"), "street"),
    # Thin parts: spout and handle, neck, legs, mast.
    "H": SceneRecipe(("teapot", "guitar"), "check"),
    "I": SceneRecipe(("flamingo", "sailboat"), "beach"),
    # A direction, and something small.
    "J": SceneRecipe(("unicorn", "key"), "mountain"),
    "K": SceneRecipe(("turtle", "balloon"), "grass"),
    "L": SceneRecipe(("rocket", "mushroom", "doughnut"), "desert"),
    "M": SceneRecipe(("elephant", "teddy bear"), "forest"),
    "N": SceneRecipe(("watermelon", "hamburger", "alarm clock"), "plain green"),
    "O": SceneRecipe(("tractor", "microscope"), "wood"),
    "P": SceneRecipe(("soccer ball", "jack-o-lantern"), "plain gray"),
}

SETS = {"evaluation": EVALUATION, "tuning": TUNING}


def entropy(name: str) -> list[int]:
    """Seed words of a scene's composition; its drawing seeds come from the second."""
    if name in EVALUATION:
        return [8000, int(name)]
    return [9100, 700 + ord(name)]


def compose(composer: Composer, name: str) -> Scene:
    """A scene as a person would bring it: a picture and a loose mask for each object."""
    recipe = EVALUATION.get(name) or TUNING[name]
    drawn = composer.compose(np.random.default_rng(entropy(name)), recipe.names, recipe.kind)
    return as_scene(drawn.image, recipe.names, drawn.masks)


def as_scene(image: np.ndarray, names: Sequence[str], masks: np.ndarray) -> Scene:
    """A scene of a composed picture and its soft masks."""
    concepts = tuple(
        SceneConcept(name, mask > 0.5) for name, mask in zip(names, masks, strict=True)
    )
    return Scene(image=image, concepts=concepts)
