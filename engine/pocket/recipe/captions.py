"""Captions of composed scenes: what the model's words mean."""

from collections.abc import Sequence

import numpy as np

# Names that take no article.
MASS_NAMES = frozenset(
    "grapes cherries blueberries peanuts pancakes french_fries popcorn bread broccoli garlic "
    "butter sushi spaghetti jeans shorts glasses goggles skis books bubbles dango chopsticks ice "
    "soap yarn thread fire maracas curry_rice bacon".replace(" ", "\n")
    .replace("_", " ")
    .split("\n")
)

OPENINGS = ("a photo of ", "a photo of ", "a photo of ", "a picture of ", "")

STYLE_OPENINGS = {
    "pixel": ("pixel art of ",),
    "mono": ("a black and white photo of ",),
    "paint": ("a painting of ",),
}


def noun_phrase(name: str) -> str:
    """The name with its article."""
    if name in MASS_NAMES:
        return name
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def join_phrases(phrases: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a , b and c`` (words stay apart from the comma's token)."""
    if len(phrases) == 1:
        return phrases[0]
    return ", ".join(phrases[:-1]) + " and " + phrases[-1]


def caption(
    rng: np.random.Generator, names: Sequence[str], places: Sequence[str], style: str
) -> str:
    """Describe a scene: the objects in random order, one of its background's ``places``.

    Args:
        names: the objects in the scene.
        places: phrases that name the background.
        style: a key of ``STYLE_OPENINGS``, or empty.
    """
    order = [names[int(i)] for i in rng.permutation(len(names))]
    openings = STYLE_OPENINGS[style] if style else OPENINGS
    opening = openings[int(rng.integers(len(openings)))]
    place = places[int(rng.integers(len(places)))] if rng.random() < 0.95 else ""
    return f"{opening}{join_phrases([noun_phrase(name) for name in order])} {place}".strip()
