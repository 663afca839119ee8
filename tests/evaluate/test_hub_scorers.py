"""CLIP, DINO and MaskFormer scorers, loaded as from the hub: folders of tiny random models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    DetrConfig,
    MaskFormerConfig,
    MaskFormerForInstanceSegmentation,
    MaskFormerImageProcessorPil,
    SwinConfig,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
)

from engine.errors import UserError
from engine.evaluate.scorers.base import SceneView, Shot
from engine.evaluate.scorers.clip import ClipPrompt
from engine.evaluate.scorers.dino import DinoIdentity, masked
from engine.evaluate.scorers.registry import HUB_MODELS, load_scorer
from engine.evaluate.scorers.segmenter import Segmenter, label_key
from tests.evaluate.conftest import make_scene
from tests.tiny import tiny_tokenizer

CPU = torch.device("cpu")
LABELS = {0: "teapot", 1: "toy bear", 2: "dining table-merged"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of a CLIP, a DINO and a MaskFormer, by the names `bas eval run --scorer` takes."""
    root = tmp_path_factory.mktemp("hub")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _clip(root / "clip")
        _dino(root / "dino")
        _maskformer(root / "maskformer")
    return {name: str(root / name) for name in ("clip", "dino", "maskformer")}


def _clip(folder: Path) -> None:
    tokenizer = tiny_tokenizer()
    small: dict[str, Any] = {
        "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "projection_dim": 16,
    }  # fmt: skip
    text = {
        **small, "vocab_size": len(tokenizer), "max_position_embeddings": 24,
        "eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    vision = {**small, "image_size": 32, "patch_size": 8}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(folder)


def _dino(folder: Path) -> None:
    config = ViTConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        image_size=32, patch_size=8,
    )  # fmt: skip
    ViTModel(config).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)


def _maskformer(folder: Path) -> None:
    config = MaskFormerConfig(
        backbone_config=SwinConfig(
            image_size=32, patch_size=2, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1],
            window_size=2, out_features=["stage1", "stage2", "stage3", "stage4"],
        ),
        decoder_config=DetrConfig(
            d_model=32, decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=16,
            encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=16, num_queries=5,
        ),
        fpn_feature_size=32, mask_feature_size=32, id2label=LABELS,
        label2id={name: index for index, name in LABELS.items()},
    )  # fmt: skip
    MaskFormerForInstanceSegmentation(config).save_pretrained(folder)
    MaskFormerImageProcessorPil(
        size={"shortest_edge": 64, "longest_edge": 64}, do_reduce_labels=False
    ).save_pretrained(folder)


def view(words: tuple[str, ...] = ("teapot", "toy bear")) -> SceneView:
    scene = make_scene(0)
    masks = np.stack([concept.mask for concept in scene.concepts])
    return SceneView(image=scene.image, masks=masks, words=words)


def shots(count: int = 3) -> list[Shot]:
    return [
        Shot(picture=make_scene(seed).image, subset=(0, 1), prompt=prompt, place="")
        for seed, prompt in zip(
            range(count), ("a photo of teapot in the snow", "a cat", "a dog at the beach"),
            strict=False,
        )
    ]  # fmt: skip


def test_clip_gives_the_cosine_of_picture_and_text(models: dict[str, str]) -> None:
    scorer = ClipPrompt(models["clip"], CPU)
    answers = scorer.measure(view(), shots())
    values = [answer[0].value for answer in answers]
    assert all(-1 <= value <= 1 for value in values)
    assert len(set(values)) == 3
    # Padding to the longest prompt of the batch must not change a shorter one.
    alone = [scorer.measure(view(), [one])[0][0].value for one in shots()]
    assert values == pytest.approx(alone, abs=1e-5)
    again = ClipPrompt(models["clip"], CPU)
    assert again.version == scorer.version
    assert again.measure(view(), shots()) == answers


class FixedSegmenter(Segmenter):
    """Finds what the test says; the network is the real one, but its random masks are noise."""

    found: dict[int, np.ndarray]

    def segments(self, picture: np.ndarray) -> dict[int, np.ndarray]:
        assert picture.shape == (64, 64, 3)
        return self.found


def test_dino_compares_the_masked_things(models: dict[str, str]) -> None:
    segmenter = FixedSegmenter(models["maskformer"], CPU)
    scorer = DinoIdentity(models["dino"], segmenter, CPU)
    scene = view()
    same = Shot(picture=scene.image, subset=(0, 1), prompt="", place="")
    segmenter.found = {0: scene.masks[0], 1: scene.masks[1]}
    (answer,) = scorer.measure(scene, [same])
    assert [m.value for m in answer] == pytest.approx([1.0, 1.0], abs=1e-5)
    # The other thing in its place is less alike; a thing that is not there is said so.
    segmenter.found = {0: scene.masks[1]}
    (answer,) = scorer.measure(scene, [same])
    assert answer[0].found
    assert answer[0].value < 0.9999
    assert (answer[1].value, answer[1].found) == (0.0, False)


def test_the_segmenter_names_disjoint_segments(models: dict[str, str]) -> None:
    segmenter = Segmenter(models["maskformer"], CPU)
    assert segmenter.label_of("Toy_Bear") == 1
    assert segmenter.label_of("dining table") == 2
    with pytest.raises(UserError, match="no class 'dragon'"):
        segmenter.label_of("dragon")
    found = segmenter.segments(make_scene(2).image)
    assert set(found) <= set(LABELS)
    total = np.zeros((64, 64), int)
    for mask in found.values():
        assert mask.shape == (64, 64)
        total += mask
    assert total.max(initial=0) <= 1
    assert label_key("floor-other-merged") == "floor"


def test_scorers_load_from_the_given_sources(models: dict[str, str]) -> None:
    scorer = load_scorer("dino", models, CPU)
    answers = scorer.measure(view(), shots(1))
    assert [m.concept for m in answers[0]] == [0, 1]
    assert load_scorer("clip", models, CPU).name == "clip"
    assert all(model.licence for model in HUB_MODELS.values())


def test_a_model_that_is_not_there_has_a_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="cannot load"):
        load_scorer("clip", {"clip": str(tmp_path)}, CPU)
    with pytest.raises(UserError, match="no scorer 'ssim'"):
        load_scorer("ssim", {}, CPU)


def test_masked_is_black_outside() -> None:
    picture = np.full((4, 4, 3), 7, np.uint8)
    mask = np.eye(4, dtype=bool)
    assert (masked(picture, mask).sum((0, 1)) == 28).all()
