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


JOINS = ("list", "and", "comma")
"""How things are listed: ``a, b and c``, ``a and b and c``, ``a, b, c``."""


def join_phrases(phrases: Sequence[str], join: str = JOINS[0]) -> str:
    """List phrases in one of ``JOINS`` (the tokenizer makes a token of its own of the comma)."""
    if join == "and":
        return " and ".join(phrases)
    if join == "comma" or len(phrases) == 1:
        return ", ".join(phrases)
    return ", ".join(phrases[:-1]) + " and " + phrases[-1]


def caption(
    rng: np.random.Generator,
    names: Sequence[str],
    places: Sequence[str],
    style: str,
    join: str = JOINS[0],
    bare: bool = False,
) -> str:
    """Describe a scene: the objects in random order, one of its background's ``places``.

    Args:
        names: the objects in the scene.
        places: phrases that name the background.
        style: a key of ``STYLE_OPENINGS``, or empty.
        join: one of ``JOINS``.
        bare: leave out the articles.
    """
    order = [names[int(i)] for i in rng.permutation(len(names))]
    openings = STYLE_OPENINGS[style] if style else OPENINGS
    opening = openings[int(rng.integers(len(openings)))]
    place = places[int(rng.integers(len(places)))] if rng.random() < 0.95 else ""
    phrases = order if bare else [noun_phrase(name) for name in order]
    return f"{opening}{join_phrases(phrases, join)} {place}".strip()
