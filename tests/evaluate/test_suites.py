"""Suites, plans and the pictures they ask for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from engine.core.errors import UserError
from engine.core.methods import METHODS
from engine.evaluate.job_plan import (
    class_words,
    create_evaluation,
    find_evaluation,
    job_settings,
    list_evaluations,
    plan_shots,
    read_command,
    read_plan,
    suite_scenes,
)
from engine.evaluate.suites import Suite, fill, read_suite, subsets, suite_names
from engine.pocket import backgrounds
from engine.pocket.recipe import objects
from tests.evaluate.conftest import make_scene, plan_of, scenes


def test_the_paper_suite_is_the_papers() -> None:
    suite = read_suite("paper")
    assert len(suite.prompts) == 10
    assert suite.prompts[8].text == "a photo of {tokens} with the Eiffel tower in the background"
    assert suite.subsets == "power set"
    full = suite.sizes["full"]
    assert (full.scenes, full.prompts, full.images) == (50, 10, 2)
    assert full.methods == tuple(METHODS)


def test_the_pocket_suite_shows_nothing_that_was_trained_on() -> None:
    suite = read_suite("pocket")
    heldout = set(objects.catalogue().heldout)
    sources = suite_scenes(suite, "full")
    assert len(sources) == 12
    for source in sources:
        assert set(class_words(source.scene)) <= heldout, source.name
    assert {prompt.place for prompt in suite.prompts} <= set(backgrounds.kinds())
    for prompt in suite.prompts:
        assert prompt.text.removeprefix("a photo of {tokens} ") in backgrounds.phrases(prompt.place)


def test_subsets_are_the_power_set() -> None:
    assert subsets(3, "power set") == ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2))
    assert subsets(3, "singles and all") == ((0,), (1,), (2,), (0, 1, 2))
    assert subsets(2, "all") == ((0, 1),)
    assert subsets(1, "power set") == ((0,),)
    assert fill("a {tokens} b", ["x", "y", "z"]) == "a x and y and z b"


@pytest.mark.usefixtures("home")
def test_shots_are_the_same_for_every_method_and_seeded(suite: Suite) -> None:
    plan = dataclasses.replace(plan_of(suite), prompts=suite.prompts, images=2)
    shots = plan_shots(plan, "scene0", ("teapot", "toy bear"))
    assert len(shots) == 3 * 2 * 2
    assert len({shot.seed for shot in shots}) == len(shots)
    assert shots[-1].tokens == "a photo of <asset0> and <asset1> at the beach"
    assert shots[-1].words == "a photo of teapot and toy bear at the beach"
    assert shots == plan_shots(plan, "scene0", ("teapot", "toy bear"))
    other = plan_shots(dataclasses.replace(plan, seed=1), "scene0", ("teapot", "toy bear"))
    assert {shot.seed for shot in other}.isdisjoint(shot.seed for shot in shots)


def test_settings_of_a_job_are_recipe_size_and_method(suite: Suite) -> None:
    settings = job_settings(plan_of(suite, seed=5), "ti-m")
    assert (settings["phase1.steps"], settings["phase2.steps"]) == (4, 0)
    assert settings["data.cutouts"] is True
    assert (settings["seed"], settings["preview.every"]) == (5, 0)
    # The recipe's own value, which the size did not change.
    assert settings["phase1.learning_rate"] != 5e-4


@pytest.mark.usefixtures("home")
def test_an_evaluation_is_its_plan(suite: Suite) -> None:
    plan = plan_of(suite)
    folder = create_evaluation("one", plan, scenes(), command="bas eval run tiny")
    assert read_plan(folder) == plan
    assert read_command(folder) == "bas eval run tiny"
    assert create_evaluation("one", plan, scenes()) == folder
    with pytest.raises(UserError, match="another plan"):
        create_evaluation("one", plan_of(suite, seed=1), scenes())
    create_evaluation("two", plan_of(suite, seed=1), scenes())
    assert {entry.name for entry in list_evaluations()} == {"one", "two"}
    assert find_evaluation("one") == folder
    with pytest.raises(UserError, match="no evaluation 'three'"):
        find_evaluation("three")
    assert sorted(p.name for p in (folder.scenes / "scene0" / "masks").iterdir()) == [
        "teapot.png",
        "toy-bear.png",
    ]


def test_class_words_are_words() -> None:
    assert class_words(make_scene(0)) == ("teapot", "toy bear")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('scorers = ["copy"]', 'scorers = ["ssim"]', "no scorer 'ssim'"),
        ("{tokens} in the snow", "it in the snow", "has no {tokens}"),
        ('["break-a-scene", "ti-m"]', '["elite"]', "no method 'elite'"),
        ("images = 1", "images = 0", "1 or more images"),
        ("batch_size = 1", "batch = 1", "no setting 'batch'"),
        ('name = "tiny"', 'nome = "tiny"', "incomplete or has an unknown key"),
        ("threads = 1", "threads", "cannot read the suite"),
    ],
)
def test_a_wrong_suite_says_what_is_wrong(
    tmp_path: Path, suite: Suite, old: str, new: str, message: str
) -> None:
    text = suite.path.read_text()
    assert old in text
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message):
        read_suite(str(path))


def test_an_unknown_suite_names_the_known_ones() -> None:
    with pytest.raises(UserError) as caught:
        read_suite("imagenet")
    assert all(name in caught.value.remedy for name in suite_names())
