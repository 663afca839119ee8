"""A run's prompts: tokens, nouns behind them, the grammar of its training."""

from __future__ import annotations

import pytest

from engine.core.prompt_grammar import Grammar
from engine.runs.manifest import ConceptEntry, Manifest
from engine.runs.prompts import all_together, resolve_prompt

CONCEPTS = (
    ConceptEntry(token="<asset0>", name="cup", initializer="mug"),
    ConceptEntry(token="<asset1>", name="rex", initializer="dog"),
    ConceptEntry(token="<asset2>", name="odd", initializer=""),
)


def manifest(**settings: object) -> Manifest:
    return Manifest(
        name="r", created=0, base="b", scene_source="", concepts=CONCEPTS, settings=dict(settings)
    )


def test_nouns_stand_behind_tokens_as_in_training() -> None:
    prompt = "<cup> and <asset1> with <odd>"
    assert resolve_prompt(prompt, CONCEPTS) == "<asset0> and <asset1> with <asset2>"
    nouns = Grammar(nouns=True)
    assert resolve_prompt(prompt, CONCEPTS, nouns) == (
        "<asset0> mug and <asset1> dog with <asset2>"
    )
    written = "<cup> mug and <rex> doggy"
    assert resolve_prompt(written, CONCEPTS, nouns) == "<asset0> mug and <asset1> dog doggy"


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("<cup> in snow", "a <asset0> in snow"),
        ("a photo of <cup>, <rex> and <odd>", "a photo of a <asset0>, a <asset1> and a <asset2>"),
        ("the <cup> beside a blue <rex>", "the <asset0> beside a blue <asset1>"),
        ("A <cup>: <rex> with my <odd>", "A <asset0>: a <asset1> with my <asset2>"),
        ("painting of <cup> and two <rex>", "painting of a <asset0> and two <asset1>"),
    ],
)
def test_articles_stand_where_a_noun_would_need_one(typed: str, read: str) -> None:
    assert resolve_prompt(typed, CONCEPTS, Grammar(article=True)) == read
    both = resolve_prompt(typed, CONCEPTS, Grammar(article=True, nouns=True))
    assert both == read.replace("<asset0>", "<asset0> mug").replace("<asset1>", "<asset1> dog")


def test_what_is_spoken_is_what_was_trained() -> None:
    grammar = Grammar(join="comma", article=True, nouns=True)
    names = [grammar.name(c.token, c.initializer) for c in CONCEPTS]
    trained = grammar.training_prompt("a photo of", names)
    assert trained == "a photo of a <asset0> mug, a <asset1> dog and a <asset2>"
    typed = f"a photo of {all_together(CONCEPTS, grammar, by_name=True)}"
    assert resolve_prompt(typed, CONCEPTS, grammar) == trained


def test_a_run_knows_its_grammar() -> None:
    plain = manifest().grammar
    own = manifest(prompt_join="comma", prompt_nouns=True, prompt_article=True).grammar
    assert plain == Grammar()
    assert own == Grammar(join="comma", nouns=True, article=True)
    assert all_together(CONCEPTS, plain) == "<asset0> and <asset1> and <asset2>"
    assert all_together(CONCEPTS, own, by_name=True) == "<cup>, <rex> and <odd>"
    assert all_together(CONCEPTS[:2], own) == "<asset0> and <asset1>"


def test_the_grammar_is_read_whatever_other_settings_a_run_has() -> None:
    later = {"prompt_join": "comma", "phase3": {"steps": 7}}
    manifest = Manifest(
        name="r", created=1.0, base="pocket", scene_source="", concepts=(), settings=later
    )
    assert manifest.grammar == Grammar(join="comma")


@pytest.mark.parametrize(
    ("grammar", "prompt", "left"),
    [
        (Grammar(), "a photo of <asset0> and <asset1> in snow", "a photo of <asset0> and  in snow"),
        (Grammar(article=True), "a photo of a <asset0>, a <asset1> and a <asset2>",
         "a photo of a <asset0>,  and a <asset2>"),
        (Grammar(nouns=True), "<asset0> mug beside the <asset1> dog and a dog",
         "<asset0> mug beside  and a dog"),
        (Grammar(), "<asset10> and an <asset1> dog", "<asset10> and  dog"),
    ],
)  # fmt: skip
def test_a_prompt_without_one_of_its_things(grammar: Grammar, prompt: str, left: str) -> None:
    assert grammar.without(prompt, "<asset1>", "dog") == left
