"""How prompts name several things: one grammar for training, drawing, completion and evaluation.

A base model draws several things only where they are named as in its own captions; tokens that
were trained in one grammar are drawn best in the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

TOKEN = re.compile(r"<([^<>\s]+)>")
"""A concept's token in a prompt: `<asset0>`, `<teapot>`."""

LEADS = frozenset({
    "of", "and", "or", "with", "without", "beside", "near", "by", "at", "in", "on", "under", "over",
    "above", "below", "behind", "to", "from", "into", "inside", "between", "like", "plus", "next",
    "around", "against", "holding", "wearing",
})  # fmt: skip
"""Words after which a thing needs an article. After others one stands farther ahead, or none."""

BACKGROUND_NAMES = ("background", "bg")
"""A concept of one of these names is what surrounds the things (paper, background extraction)."""

AT = "at"
"""Stands before the background where things are named: `a photo of <asset0> at <asset1>`."""

Join = Literal["and", "comma"]


def join_names(names: Sequence[str], join: Join = "and") -> str:
    """`and`: "a and b and c", as in the paper; `comma`: "a, b and c", as captions have it."""
    if join == "comma" and len(names) > 2:
        return f"{', '.join(names[:-1])} and {names[-1]}"
    return " and ".join(names)


@dataclass(frozen=True, kw_only=True)
class Grammar:
    """How a run's prompts speak of its things (the settings `prompt_...`)."""

    join: Join = "and"
    article: bool = False
    """An article before each token: `a <asset0>`."""
    nouns: bool = False
    """The start word behind each token: `<asset0> cup`."""

    def name(self, token: str, noun: str = "") -> str:
        """A token as training prompts have it."""
        anchored = self.anchored(token, noun)
        return f"a {anchored}" if self.article else anchored

    def anchored(self, token: str, noun: str) -> str:
        """A token without the article."""
        return f"{token} {noun}" if self.nouns and noun else token

    def together(self, names: Sequence[str], background: str = "") -> str:
        """Several things, and where they are: `<asset0> and <asset1> at <asset2>`."""
        things = join_names(names, self.join)
        if background and things:
            return f"{things} {AT} {background}"
        return things or background

    def training_prompt(
        self, opening: str, names: Sequence[str], ending: str = "", background: str = ""
    ) -> str:
        """`a photo of <asset2> and <asset0>`, and what `ending` says of the ground.

        `background` is the name of the background's token, where the picture shows it.
        """
        subject = self.together(names, background)
        return " ".join(part for part in (opening, subject, ending) if part)

    def spoken(self, prompt: str, nouns: Mapping[str, str] = MappingProxyType({})) -> str:
        """A person's prompt with the articles and nouns that training put around its tokens.

        Words that stand there already stay alone: `the <asset0>`, `a blue <asset0>`, `<asset0>
        cup`. `nouns`: the start word of each token.
        """

        def replace(match: re.Match[str]) -> str:
            token, noun = match.group(0), nouns.get(match.group(0), "") if self.nouns else ""
            if noun and re.match(rf"\s*{re.escape(noun)}\b", prompt[match.end() :]):
                noun = ""
            before = prompt[: match.start()].split()
            bare = not before or before[-1].lower() in LEADS or before[-1][-1] in ",;:"
            words = ("a" if self.article and bare else "", token, noun)
            return " ".join(word for word in words if word)

        return TOKEN.sub(replace, prompt)

    def without(self, prompt: str, token: str, noun: str = "") -> str:
        """A prompt, as the text encoders read it, that does not name one of its things.

        The token goes with its article and with the start word that this grammar put behind it; the
        words that joined it to others stay.
        """
        behind = rf"(?:\s+{re.escape(noun)}\b)?" if self.nouns and noun else ""
        return re.sub(rf"(?:\b(?:an?|the)\s+)?{re.escape(token)}{behind}", "", prompt)


PAPER_GRAMMAR = Grammar()
"""`a photo of <asset0> and <asset1>`."""


def noun_phrase(noun: str) -> str:
    """The noun with its article."""
    return f"an {noun}" if noun[:1] in "aeiou" else f"a {noun}"


def ground_phrase(colour: str) -> str:
    """How a plain ground is named: `on a white background`."""
    return f"on {noun_phrase(colour)} background"
