"""What is not in the paper: each part is a setting, off by default, and does what it says."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch

from engine.core.errors import UserError
from engine.core.method_config import DataConfig, LossConfig, parse_grounds
from engine.core.prompt_grammar import Grammar, Join, join_names
from engine.core.settings import build_config
from engine.families.stable_diffusion import StableDiffusion
from engine.runs.commands import CommandQueue
from engine.runs.events import Event, StepDone
from engine.runs.folder import RunDir
from engine.scenes.background import with_background
from engine.scenes.checks import SceneConcept
from engine.scenes.mask_grid import GRID_RULES, mask_grid
from engine.scenes.mask_ops import grow, shrink
from engine.scenes.scene import Scene, with_rims
from engine.training.batches import DrawnBatch, Prompts, draw_batch
from engine.training.loop import train
from engine.training.pictures import TrainingPictures
from engine.training.preparation import encode_scene, prompt_words
from tests.engine_fixtures import FAST

Load = Callable[[], StableDiffusion]
TOKENS = ["<asset0>", "<asset1>"]

EVERYTHING: dict[str, Any] = {
    "data.compose": 0.5, "data.compositions": 4, "data.erase": True, "data.crop": 0.4,
    "data.crop_beyond": 0.3, "data.compose_reordered": 0.5, "data.erase_up_to": 1,
    "data.variants": 3, "loss.balanced": True, "loss.latent_mask": "grown",
    "loss.attention": "competing", "prompt_join": "comma", "prompt_article": True,
    "phase2.noise_high": 0.7,
}  # fmt: skip


def result_of(events: Generator[Event | None, None, TrainingPictures]) -> TrainingPictures:
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value


def encoded(family: StableDiffusion, scene: Scene, **options: Any) -> TrainingPictures:
    rule = options.pop("latent_mask", "nearest")
    data = DataConfig(flip=0.0, **options)
    return result_of(encode_scene(family, scene, data, grid=16, seed=0, latent_mask=rule))


def with_tokens(family: StableDiffusion) -> Prompts:
    family.text.add_tokens(family.text.initial_rows(["", ""], torch.Generator().manual_seed(0)))
    return Prompts(family, "a photo of", TOKENS)


def draw(
    family: StableDiffusion,
    pictures: TrainingPictures,
    prompts: Prompts,
    *,
    size: int = 24,
    **options: Any,
) -> DrawnBatch:  # fmt: skip
    chosen = {"crop": 0.0, "flip": 0.0, "union": True} | options
    generator = torch.Generator().manual_seed(0)
    return draw_batch(pictures, prompts, family.noise, generator, size=size, **chosen)


def losses(events: list[Event]) -> list[tuple[float, ...]]:
    return [
        (event.loss, event.masked, event.attention, event.grad_norm)
        for event in events
        if isinstance(event, StepDone)
    ]


def test_every_part_is_off_by_default() -> None:
    config = build_config()
    for key, value in EVERYTHING.items():
        if key in ("data.compositions", "data.variants"):
            continue
        section, _, name = key.rpartition(".")
        assert getattr(getattr(config, section) if section else config, name) != value
    assert get_args(get_type_hints(LossConfig)["latent_mask"]) == GRID_RULES


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"data.compose": 1.5}, "between 0 and 1"),
        ({"data.crop_beyond": -0.1}, "between 0 and 1"),
        ({"data.compose_reordered": 2}, "between 0 and 1"),
        ({"data.erase_up_to": -1}, "0 or more"),
        ({"data.mask_rim": 9}, "between -8 and 8"),
        ({"data.grounds": ""}, "one colour or more"),
        ({"data.grounds": "white mauvelous"}, "'mauvelous' is no colour"),
        ({"data.cutouts": True, "data.compose": 0.5}, "nothing is left to compose"),
        ({"loss.balanced": True, "loss.divide_by_area": True}, "exclude each other"),
        ({"loss.latent_mask": "shrunk"}, "cannot be 'shrunk'"),
        ({"phase2.noise_low": 0.8, "phase2.noise_high": 0.7}, "above phase2.noise_low"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        build_config(settings)


def test_grounds_are_names_or_colours_with_a_name() -> None:
    assert parse_grounds("white gray=#8c8c8e") == {
        "white": (255, 255, 255), "gray": (140, 140, 142),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("join", "texts"),
    [("and", ("a", "a and b", "a and b and c")), ("comma", ("a", "a and b", "a, b and c"))],
)
def test_one_grammar(join: Join, texts: tuple[str, ...]) -> None:
    assert tuple(join_names("abc"[:count], join) for count in (1, 2, 3)) == texts


def test_prompts_name_grounds_and_nouns(fresh_family: Load) -> None:
    family = fresh_family()
    with_tokens(family)
    grammar = Grammar(nouns=True)
    prompts = Prompts(family, "a photo of", TOKENS, grammar=grammar, nouns=["teapot", ""])
    assert prompts.text((1, 0)) == "a photo of <asset1> and <asset0> teapot"
    assert prompts.text((0,), "on a red background").endswith("<asset0> teapot on a red background")
    found = prompts.encoded((1, 0))
    words = [int(position) for position in found.words_W if position]
    text = family.text.tokenizer.convert_ids_to_tokens(found.ids_EL[0, words].tolist())
    assert [piece.removesuffix("</w>") for piece in text] == ["a", "photo", "of", "and", "teapot"]


def test_all_words_of_the_prompts_may_move(fresh_family: Load) -> None:
    """In phase 2 the words of training prompts are trained; new prompts bring new ones."""
    family = fresh_family()
    with_tokens(family)
    config = build_config({**EVERYTHING, "data.grounds": "red blue", "prompt_nouns": True})
    nouns = ["teapot", ""]
    kept = set(family.text.tokenize(prompt_words(config, nouns)).flatten().tolist())
    prompts = Prompts(family, config.prompt, TOKENS, grammar=config.grammar, nouns=nouns)
    for ground in ("", "on a red background", "on a blue background"):
        used = prompts.encoded((0, 1), ground).ids_EL
        assert set(used[~torch.isin(used, prompts.token_ids_N)].tolist()) <= kept
    assert prompt_words(build_config(), nouns) == ["a photo of and"]


def test_composed_samples_show_and_name_what_they_hold(fresh_family: Load, scene: Scene) -> None:
    family = fresh_family()
    pictures = encoded(family, scene, compose=1.0, compositions=6, compose_plain=0.5)
    assert len(pictures.composed) == 6
    prompts = with_tokens(family)
    batch, rows = draw(family, pictures, prompts, compose=1.0)
    assert all(not row.whole for row in rows)
    named = {pair.plain.ground for pair in pictures.composed}
    assert named == {"", "on a white background"}
    whole = batch.union_masks_B1HW.flatten(1).amin(1) == 1
    grounds = ["background" in family.text.tokenizer.decode(ids[0]) for ids in batch.input_ids_BEL]
    assert whole.tolist() == grounds
    assert any(grounds) and not all(grounds)
    half = draw(family, pictures, prompts, size=60, compose=0.5).rows
    assert 15 < sum(row.whole for row in half) < 45


def test_erased_samples_show_no_others(fresh_family: Load, scene: Scene) -> None:
    family = fresh_family()
    pictures = encoded(family, scene, erase=True, crop=0.5, variants=4)
    assert set(pictures.erased) == {frozenset({0}), frozenset({1})}
    prompts = with_tokens(family)
    batch, rows = draw(family, pictures, prompts)
    plain = draw(family, encoded(family, scene), prompts).batch
    for index, row in enumerate(rows):
        same = torch.equal(batch.latents_BCHW[index], plain.latents_BCHW[index])
        assert same == (len(row.concepts) == 2)
        assert torch.equal(batch.union_masks_B1HW[index], plain.union_masks_B1HW[index])
    for pair in pictures.others:
        assert pair.plain.exact


def test_only_small_subsets_are_erased_where_that_is_asked_for(fresh_family: Load) -> None:
    masks = np.zeros((3, 64, 64), bool)
    for mask, left in zip(masks, (2, 24, 46), strict=True):
        mask[20:40, left : left + 14] = True
    seen = np.logical_or.reduce(masks)
    image = np.where(seen[..., None], 200, 90).astype(np.uint8).repeat(3, axis=2)
    concepts = tuple(SceneConcept(name, mask) for name, mask in zip("abc", masks, strict=True))
    pictures = encoded(
        fresh_family(), Scene(image=image, concepts=concepts), erase=True, erase_up_to=1
    )
    assert set(pictures.erased) == {frozenset({0}), frozenset({1}), frozenset({2})}
    everyone = encoded(fresh_family(), Scene(image=image, concepts=concepts), erase=True)
    assert {len(names) for names in everyone.erased} == {1, 2}


@pytest.mark.parametrize("rule", GRID_RULES)
def test_the_rule_of_the_latent_mask(fresh_family: Load, scene: Scene, rule: Any) -> None:
    family = fresh_family()
    pictures = encoded(family, scene, latent_mask=rule)
    masks = np.stack([concept.mask for concept in scene.concepts])
    expected = torch.from_numpy(mask_grid(masks, 16, rule=rule))
    plain = pictures.scene.plain
    assert torch.equal(plain.latent_masks_NHW, expected)
    nearest = torch.from_numpy(mask_grid(masks, 16)).flatten(1)
    assert torch.equal(plain.grid_masks_NQ, nearest)
    batch, rows = draw(family, pictures, with_tokens(family))
    for mask, row in zip(batch.union_masks_B1HW, rows, strict=True):
        torch.testing.assert_close(mask[0] ** 2, expected[list(row.concepts)].amax(0))


def test_balanced_rows_hold_the_roots_of_equal_weights(fresh_family: Load, scene: Scene) -> None:
    family = fresh_family()
    pictures = encoded(family, scene)
    batch, rows = draw(family, pictures, with_tokens(family), balanced_area=0.25)
    masks = pictures.scene.plain.latent_masks_NHW
    for mask, row in zip(batch.union_masks_B1HW, rows, strict=True):
        weights = mask[0] ** 2 / mask[0].numel()
        for concept in row.concepts:
            own = float((weights * masks[concept]).sum())
            assert own == pytest.approx(0.25 / len(row.concepts), rel=1e-5)


def test_rivals_stand_behind_the_placeholders(fresh_family: Load, scene: Scene) -> None:
    family = fresh_family()
    pictures, prompts = encoded(family, scene), with_tokens(family)
    with_rivals = draw(family, pictures, prompts, rivals=True).batch
    without = draw(family, pictures, prompts).batch
    assert torch.equal(with_rivals.columns_BK[:, :2], without.columns_BK)
    for ids, columns in zip(
        with_rivals.input_ids_BEL[:, 0], with_rivals.columns_BK[:, 2:], strict=True
    ):
        words = ids[columns[columns > 0]].tolist()
        text = [w.removesuffix("</w>") for w in family.text.tokenizer.convert_ids_to_tokens(words)]
        assert text in (["a", "photo", "of"], ["a", "photo", "of", "and"])


def test_the_noise_range(fresh_family: Load, scene: Scene) -> None:
    family = fresh_family()
    pictures, prompts = encoded(family, scene), with_tokens(family)
    batch = draw(family, pictures, prompts, size=200, noise_low=0.1, noise_high=0.7).batch
    assert 100 <= batch.levels_B.min() < 130 and 670 < batch.levels_B.max() < 700
    single = draw(family, pictures, prompts, noise_low=0.5, noise_high=0.5001).batch
    assert single.levels_B.unique().tolist() == [500]


def test_a_run_with_every_part_can_be_resumed(
    fresh_family: Load, scene: Scene, tmp_path: Path
) -> None:
    """Bitwise: whatever is drawn or composed is drawn alike after a restart."""
    settings = {
        **FAST, **EVERYTHING, "phase1.steps": 2, "phase2.steps": 2, "batch_size": 2,
        "checkpoint_every": 3,
    }  # fmt: skip
    config = build_config(settings)
    whole = losses(list(train(fresh_family(), scene, config)))
    run = RunDir(tmp_path / "run")
    commands = CommandQueue()
    first: list[Event] = []
    for event in train(fresh_family(), scene, config, run=run, commands=commands):
        first.append(event)
        if isinstance(event, StepDone) and event.step == 3:
            break
    assert len(whole) == 4
    rest = list(train(fresh_family(), scene, config, run=run))
    assert losses(first)[:3] + losses(rest)[-1:] == whole


def test_a_rim_loosens_or_tightens_every_mask_by_cells(scene: Scene) -> None:
    cell = scene.side // 16
    for cells in (1, -1):
        moved = with_rims(scene, cells, 16)
        for (_, before), (_, after) in zip(scene.concepts, moved.concepts, strict=True):
            inner, outer = (before, after) if cells > 0 else (after, before)
            assert not (inner & ~outer).any()
            # As far as the cell goes, and no farther.
            assert np.array_equal(after, grow(before, cell) if cells > 0 else shrink(before, cell))
    with pytest.raises(UserError, match="nothing of"):
        with_rims(scene, -8, 16)
    *things, ground = with_rims(with_background(scene, 32), 1, 16).concepts
    assert ground.mask.any() and not any((thing.mask & ground.mask).any() for thing in things)
