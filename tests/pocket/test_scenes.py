import subprocess
import sys
import zlib

import numpy as np
import pytest

from engine import pocket
from engine.pocket.recipe import captions, composer, latents, layout, objects, tokenizer


def test_training_never_draws_heldout_or_reserved_objects(sprites):
    sets = objects.catalogue()
    allowed = set(sets.training())
    assert not allowed & set(sets.heldout)
    assert not allowed & set(sets.reserved)
    assert set(objects.FOCUS) <= set(sets.core)
    assert not set(sets.training().values()) & {*sets.heldout.values(), *sets.reserved.values()}
    # A composer draws what it is given and nothing else; the build gives it training() only.
    maker = composer.Composer({"dog": sprites["dog"], "kite": sprites["kite"]}, variants=1)
    rng = np.random.default_rng(0)
    drawn = {name for _ in range(60) for name in maker.draw(rng, COUNTS).names}
    assert drawn == {"dog", "kite"}


COUNTS = composer.Mixture(counts=(0.5, 0.5, 0.0))


def box(mask):
    """Left, top, right, bottom of a mask in pixels."""
    ys, xs = np.nonzero(mask > 0.5)
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


def test_the_scenes_that_measures_are_taken_on_do_not_move(sprites):
    maker = composer.Composer(sprites, seed=3, variants=1)
    rng = np.random.default_rng(5)
    texts = masks = 0
    for _ in range(12):
        scene = maker.draw(rng, composer.FIRST)
        texts = zlib.crc32(scene.caption.encode(), texts)
        masks = zlib.crc32((scene.masks > 0.5).tobytes(), masks)
    assert (texts, masks) == (4182488519, 2912703073)
    scene = maker.compose(np.random.default_rng([8000, 9]), ["dog", "kite", "bear"], "grass")
    assert [box(mask) for mask in scene.masks] == [
        (0, 64, 39, 104),
        (86, 81, 126, 121),
        (47, 63, 87, 103),
    ]


@pytest.mark.parametrize("kind", ["grass", "plain gray"])
def test_free_places_and_sizes(sprites, kind):
    maker = composer.Composer(sprites, variants=1)
    rng = np.random.default_rng(4)
    lefts, lowers, larger = [], [], 0
    for _ in range(120):
        names = ["dog", "kite", "bear"]
        scene = maker.compose(rng, names, kind, "", 0.5, 8, layout.FREE)
        boxes = [box(mask) for mask in scene.masks]
        # Discs are as wide as high: three of 48 px overlap, and none loses more than a third.
        assert all(mask.sum() > 0.66 * np.pi / 4 * 36**2 for mask in scene.masks)
        lefts += [left for left, *_ in boxes]
        lowers += [bottom for *_, bottom in boxes]
        larger += max(bottom - top for _, top, _, bottom in boxes) >= 56
    assert min(lefts) < 8 and max(lefts) > 72
    assert min(lowers) <= (88 if kind == "grass" else 64) and max(lowers) > 112
    assert 5 < larger < 40


def test_mirrored_things_fill_the_mirrored_cells():
    # Wider than its last cell: 44 px are five cells and a half.
    sprite = np.zeros((40, 44, 4), np.uint8)
    sprite[:, :9, 3] = 255
    things: layout.Sprites = {"dog": dict.fromkeys(map(int, objects.SIZES), sprite)}
    rng = np.random.default_rng(1)
    for flip, side in ((0.0, 0), (1.0, 44)):
        for _ in range(20):
            (item,) = layout.freely(rng, things, ["dog"], False, flip, 8, layout.FREE)
            assert (item.x + side) % 8 == 0 and item.y % 8 == 0
            assert item.sprite[0, 0, 3] == (0 if flip else 255)


def test_captions_list_things_in_both_grammars():
    joined = [captions.join_phrases(["a cat", "a dog", "a bus"], join) for join in captions.JOINS]
    assert joined == ["a cat, a dog and a bus", "a cat and a dog and a bus", "a cat, a dog, a bus"]
    assert captions.join_phrases(["a cat", "a dog"], "comma") == "a cat, a dog"
    assert {captions.join_phrases(["a cat"], join) for join in captions.JOINS} == {"a cat"}
    rng = np.random.default_rng(0)
    text = captions.caption(rng, ["cat", "dog"], ["in the snow"], "paint", "and", bare=True)
    words = text.removesuffix(" in the snow").removeprefix("a painting of ")
    assert words in ("cat and dog", "dog and cat")


def test_the_mixture_draws_every_join_with_and_without_articles(sprites):
    maker = composer.Composer(sprites, variants=1)
    rng = np.random.default_rng(3)
    mixture = composer.Mixture(counts=(0, 0, 1), styled=0)
    texts = [maker.draw(rng, mixture).caption for _ in range(80)]
    ands = [(text.count(","), text.count(" and ")) for text in texts]
    assert set(ands) == {(1, 1), (0, 2), (2, 0)}
    bare = sum(not any(f"a {name}" in text for name in sprites) for text in texts)
    assert 8 < bare < 34


def test_the_build_composes_training_objects_only(monkeypatch, tmp_path):
    from engine.pocket.recipe import build

    asked = {}
    monkeypatch.setattr(objects, "fetch", lambda _folder: tmp_path)
    monkeypatch.setattr(objects, "load_sprites", lambda _assets, stems: asked.update(stems) or {})
    build.make_composer(variants=1)
    assert asked == objects.catalogue().training()


def test_masks_match_pixels(sprites):
    maker = composer.Composer(sprites, variants=1)
    scene = maker.compose(np.random.default_rng(1), ["dog", "kite"], "plain white")
    assert scene.masks.shape == (2, composer.SIDE, composer.SIDE)
    red, blue = scene.image[scene.masks[0] == 1], scene.image[scene.masks[1] == 1]
    assert (red[:, 0] > red[:, 2] + 100).all()
    assert (blue[:, 2] > blue[:, 0] + 100).all()
    beyond = scene.image[scene.masks.max(0) == 0].astype(int)
    assert (np.ptp(beyond, axis=1) < 40).all()


def test_covered_objects_lose_their_masked_pixels(sprites):
    maker = composer.Composer(sprites, variants=1)
    rng = np.random.default_rng(2)
    for _ in range(20):
        scene = maker.compose(rng, ["dog", "kite", "bear"], "grass")
        assert scene.masks.sum(0).max() <= 1 + 1e-5


def test_equal_seeds_give_equal_scenes(sprites):
    pictures = [
        composer.Composer(sprites, seed=3, variants=2).draw(np.random.default_rng(5)).image
        for _ in range(2)
    ]
    assert np.array_equal(pictures[0], pictures[1])


def test_every_name_is_found_in_its_caption(words):
    rng = np.random.default_rng(0)
    for _ in range(40):
        names = ["bear", "polar bear", "dog"]
        text = captions.caption(rng, names, ["in the snow"], "")
        ids, positions = tokenizer.last_tokens(words, text, names)
        for name, at in zip(names, positions, strict=True):
            assert words.decode(ids[at]).strip() == name.split()[-1]
        alone, of_polar = positions[0], positions[1]
        assert words.decode(ids[of_polar - 1]).strip() == "polar"
        assert words.decode(ids[alone - 1]).strip() != "polar"


def test_words_are_single_tokens_and_placeholders_can_be_added(words):
    assert len(words.tokenize("a photo of a polar bear on a gray background")) == 10
    fresh = tokenizer.train(["a photo of"])
    assert fresh.add_tokens(["<asset0>"]) == 1
    assert "<asset0>" in fresh.tokenize("a photo of <asset0>")


def test_cells_hold_covered_shares():
    masks = np.zeros((1, composer.SIDE, composer.SIDE), np.float32)
    masks[0, :8, :4] = 1
    shares = latents.cells(masks)
    assert shares.shape == (1, 16, 16)
    assert shares[0, 0, 0] == 128 and shares.sum() == 128


def test_demo_scenes_have_pictures_and_masks_of_heldout_objects():
    assert pocket.demo_scenes()[0] == "teapot_penguin"
    assert len(pocket.demo_scenes()) >= 3
    heldout = objects.catalogue().heldout
    for name in pocket.demo_scenes():
        picture, masks = pocket.demo_scene(name)
        assert picture.exists() and len(masks) >= 2
        assert all(mask.replace("_", " ") in heldout for mask in masks)


def test_importing_the_package_loads_no_torch():
    code = "import engine.pocket, sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
