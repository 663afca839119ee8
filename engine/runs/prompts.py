"""Prompts with concept tokens, as text: `<assetK>` and the concepts' own names mean the same."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from engine.core.errors import UserError
from engine.core.prompt_grammar import PAPER_GRAMMAR, TOKEN, Grammar
from engine.runs.manifest import ConceptEntry

HIDDEN = re.compile("\0(\\d+)\0")


def resolve_prompt(
    prompt: str,
    concepts: Sequence[ConceptEntry],
    grammar: Grammar = PAPER_GRAMMAR,
    words: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The prompt with every `<name>` replaced by its `<assetK>`, spoken as in training.

    `words`: what else may stand there (`<style>`) and what becomes of it; it is no thing, and no
    article is put before it. Raises UserError for an unknown token, naming the known ones.
    """
    hidden: list[str] = []
    table = {concept.token: concept.token for concept in concepts}
    table |= {f"<{concept.name}>": concept.token for concept in concepts}
    nouns = {concept.token: concept.initializer for concept in concepts}

    def exchange(match: re.Match[str]) -> str:
        token = table.get(match.group(0).lower(), table.get(match.group(0)))
        if token is None and match.group(0) in words:
            hidden.append(words[match.group(0)])
            return f"\0{len(hidden) - 1}\0"
        if token is None:
            named = ", ".join([known(concepts), *words])
            raise UserError(f"unknown token {match.group(0)}", f"this run knows {named}")
        return token

    spoken = grammar.spoken(TOKEN.sub(exchange, prompt), nouns)
    return HIDDEN.sub(lambda match: hidden[int(match.group(1))], spoken)


def with_guests(
    concepts: Sequence[ConceptEntry], guests: Sequence[Sequence[ConceptEntry]]
) -> tuple[ConceptEntry, ...]:
    """A run's concepts and those of other runs: tokens count on, taken names get a number.

    `<asset0>` and every name of the run itself stay what they are; another run's `<teapot>` becomes
    `<teapot-2>` where there is one already.
    """
    everyone = list(concepts)
    for guest in (entry for entries in guests for entry in entries):
        taken = {entry.name for entry in everyone} | {entry.token[1:-1] for entry in everyone}
        token = f"<asset{len(everyone)}>"
        # A thing that nobody named is called by its token, which now is another one.
        name = guest.name if f"<{guest.name}>" != guest.token else token[1:-1]
        everyone.append(replace(guest, token=token, name=free_name(name, taken)))
    return tuple(everyone)


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, with a number behind it where it is taken."""
    free, count = name, 2
    while free in taken:
        free, count = f"{name}-{count}", count + 1
    return free


def all_together(
    concepts: Sequence[ConceptEntry], grammar: Grammar, *, by_name: bool = False
) -> str:
    """All of a run's tokens (or `<name>`s), for a person's prompt."""
    things = [concept for concept in concepts if not concept.is_background]
    grounds = [concept for concept in concepts if concept.is_background]
    names = [f"<{c.name}>" if by_name else c.token for c in (*things, *grounds)]
    return grammar.together(names[: len(things)], *names[len(things) :][:1])


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
