"""A run's prompts: tokens, nouns behind them, the grammar of its training."""

from __future__ import annotations

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
    assert resolve_prompt(prompt, CONCEPTS, with_nouns=True) == (
        "<asset0> mug and <asset1> dog with <asset2>"
    )
    written = "<cup> mug and <rex> doggy"
    assert resolve_prompt(written, CONCEPTS, with_nouns=True) == (
        "<asset0> mug and <asset1> dog doggy"
    )


def test_a_run_knows_its_grammar() -> None:
    plain, comma = manifest(), manifest(prompt_join="comma", prompt_nouns=True)
    assert (plain.join, plain.with_nouns) == ("and", False)
    assert (comma.join, comma.with_nouns) == ("comma", True)
    assert all_together(CONCEPTS, plain.join) == "<asset0> and <asset1> and <asset2>"
    assert all_together(CONCEPTS, comma.join, by_name=True) == "<cup>, <rex> and <odd>"
    assert all_together(CONCEPTS[:2], comma.join) == "<asset0> and <asset1>"
