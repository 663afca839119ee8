"""A study from drawing trials to the table, with raters of known preference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.core.errors import UserError
from engine.evaluate.study import Rating, Study, create_study, find_study
from engine.evaluate.study_analysis import analyse, table_lines
from engine.evaluate.study_page import study_page
from tests.evaluate.conftest import Scored

pytest.importorskip("scipy")

PREFERENCE = {"break-a-scene": (4.2, 3.6), "ti-m": (1.8, 4.4)}
"""Mean identity and prompt rating of each method by the simulated raters."""


@pytest.fixture
def study(scored: Scored) -> Study:
    return create_study(scored(lambda *_: 0.5), "trial", pictures=4)


def simulate(study: Study, rater: str, *, attentive: bool = True, seed: int = 0) -> None:
    rng = np.random.default_rng([seed, len(rater), ord(rater[-1])])
    secrets = study.secrets()
    answers: list[Rating] = []
    for trial in study.order(rater):
        secret = secrets[trial.id]
        identity, prompt = PREFERENCE.get(secret.method, (3.0, 3.0))
        if secret.check:
            identity = 5.0 if (secret.check == "same") == attentive else 1.0
        noisy = rng.normal((identity, prompt), 0.0 if secret.check else 0.4)
        first, second = (int(np.clip(round(value), 1, 5)) for value in noisy)
        answers.append(Rating(trial=trial.id, identity=first, prompt=second))
    study.save_ratings(rater, answers)


def test_trials_are_blind_and_every_method_answers_every_question(study: Study) -> None:
    secrets = study.secrets()
    trials = {trial.id: trial for trial in study.trials()}
    asked = {
        method: {(s.scene, s.number) for s in secrets.values() if s.method == method}
        for method in PREFERENCE
    }
    assert asked["break-a-scene"] == asked["ti-m"]
    assert len(asked["ti-m"]) == 4
    assert {secret.check for secret in secrets.values()} == {"", "same", "other"}
    seen = (study.path / "study.json").read_text() + study_page(study)
    assert not [method for method in PREFERENCE if method in seen]
    assert "http" not in study_page(study)
    for key in trials:
        with Image.open(study.path / trials[key].picture) as picture:
            assert not picture.info
    # The order on disk must not group the methods.
    methods = [secrets[trial.id].method for trial in study.trials() if not secrets[trial.id].check]
    assert methods != sorted(methods)
    assert methods != sorted(methods, reverse=True)


def test_each_rater_has_an_order_of_their_own(study: Study) -> None:
    anna, ben = study.order("anna"), study.order("ben")
    assert {t.id for t in anna} == {t.id for t in ben}
    assert anna != ben
    assert anna == study.order("anna")


def test_simulated_raters_give_their_preference_back(study: Study) -> None:
    for rater in ("anna", "ben", "cleo", "dora"):
        simulate(study, rater)
    result = analyse(study)
    rows = {row.method: row for row in result.rows}
    assert rows["break-a-scene"].identity > rows["ti-m"].identity + 1.5
    assert rows["ti-m"].prompt > rows["break-a-scene"].prompt
    assert rows["ti-m"].ratings == 4 * 4
    tests = {test.question: test for test in result.tests}
    assert tests["identity"].p < 0.001
    assert tests["identity"].alpha > 0.6
    (pair,) = [pair for pair in result.pairs if pair.question == "identity"]
    assert pair.difference > 1.5
    assert pair.p < 0.001
    text = "\n".join(table_lines(result))
    assert "| break-a-scene | 4." in text
    assert "3.56 / 3.85" in text


def test_an_inattentive_rater_is_left_out(study: Study) -> None:
    simulate(study, "anna")
    simulate(study, "zed", attentive=False)
    result = analyse(study)
    assert result.left_out == ("zed",)
    assert result.raters == ("anna",)
    assert "zed" in "\n".join(table_lines(result))


def test_no_difference_is_no_difference(study: Study) -> None:
    secrets = study.secrets()
    for rater in ("anna", "ben"):
        answers = [
            Rating(
                trial=trial.id,
                identity=5 if secrets[trial.id].check == "same" else 1 + index % 2,
                prompt=3,
            )
            for index, trial in enumerate(study.trials())
        ]
        study.save_ratings(rater, answers)
    tests = {test.question: test for test in analyse(study).tests}
    assert tests["identity"].p > 0.05
    assert np.isnan(tests["prompt"].p)


def test_files_of_the_page_are_checked(study: Study, tmp_path: Path) -> None:
    file = tmp_path / "anna.json"
    trial = study.trials()[0].id
    record = {"rater": "anna", "ratings": [{"trial": trial, "identity": 4, "prompt": 5}]}
    file.write_text(json.dumps(record))
    assert study.add_ratings(file) == "anna"
    assert study.ratings()["anna"] == (Rating(trial=trial, identity=4, prompt=5),)
    for broken, message in [
        (record | {"ratings": [{"trial": "else", "identity": 4, "prompt": 5}]}, "another study"),
        (record | {"ratings": [{"trial": trial, "identity": 6, "prompt": 5}]}, "1 to 5"),
        (record | {"rater": "../x"}, "no rater's name"),
        ({"ratings": []}, "holds no ratings"),
    ]:
        file.write_text(json.dumps(broken))
        with pytest.raises(UserError, match=message):
            study.add_ratings(file)


def test_what_cannot_be_a_study(scored: Scored, study: Study) -> None:
    folder = scored(lambda *_: 0.5, name="other")
    with pytest.raises(UserError, match="already a study"):
        create_study(folder, "trial", pictures=2)
    with pytest.raises(UserError, match="no pictures by db-m"):
        create_study(folder, "new", pictures=2, methods=["ti-m", "db-m"])
    with pytest.raises(UserError, match="at least two methods"):
        create_study(folder, "new", pictures=2, methods=["ti-m"])
    with pytest.raises(UserError, match="no ratings yet"):
        analyse(study)
    with pytest.raises(UserError, match="no study 'new'"):
        find_study("new")
    assert find_study(None) == study
