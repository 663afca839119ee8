"""Prompts with concept tokens, as text: `<assetK>` and the concepts' own names mean the same."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.core.errors import UserError
from engine.core.prompt_grammar import PAPER_GRAMMAR, TOKEN, Grammar
from engine.runs.manifest import ConceptEntry


def resolve_prompt(
    prompt: str, concepts: Sequence[ConceptEntry], grammar: Grammar = PAPER_GRAMMAR
) -> str:
    """The prompt with every `<name>` replaced by its `<assetK>`, spoken as in training.

    Raises UserError for an unknown token, naming the known ones.
    """
    table = {concept.token: concept.token for concept in concepts}
    table |= {f"<{concept.name}>": concept.token for concept in concepts}
    nouns = {concept.token: concept.initializer for concept in concepts}

    def replace(match: re.Match[str]) -> str:
        token = table.get(match.group(0).lower(), table.get(match.group(0)))
        if token is None:
            raise UserError(f"unknown token {match.group(0)}", f"this run knows {known(concepts)}")
        return token

    return grammar.spoken(TOKEN.sub(replace, prompt), nouns)


def all_together(
    concepts: Sequence[ConceptEntry], grammar: Grammar, *, by_name: bool = False
) -> str:
    """All of a run's tokens (or `<name>`s), for a person's prompt."""
    names = [f"<{concept.name}>" if by_name else concept.token for concept in concepts]
    return grammar.together(names)


def missing_opening(prompt: str, opening: str) -> str:
    """The training prompt's words, `opening`, where a prompt begins with a token; else empty.

    A token was only ever seen behind these words ("a photo of"), and the text encoder reads from
    the front: at the very start of a text concepts blend on a small model.
    """
    return opening.strip() if TOKEN.match(prompt.lstrip()) else ""


def unknown_tokens(prompt: str, concepts: Sequence[ConceptEntry]) -> tuple[str, ...]:
    """Tokens of the prompt that no concept has, in order of appearance."""
    names = {concept.token for concept in concepts} | {f"<{concept.name}>" for concept in concepts}
    found = (match.group(0) for match in TOKEN.finditer(prompt))
    return tuple(token for token in found if token not in names and token.lower() not in names)


def known(concepts: Sequence[ConceptEntry]) -> str:
    """`<asset0> (<teapot>), <asset1> (<penguin>)`, for messages."""
    return ", ".join(
        concept.token + (f" (<{concept.name}>)" if f"<{concept.name}>" != concept.token else "")
        for concept in concepts
    )
