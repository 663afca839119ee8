"""What a run takes: against figures that were measured, for every kind of base."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.core.errors import UserError
from engine.core.settings import build_config
from engine.files.weights_io import save_tensors
from engine.models.device_guess import Device, guess_device
from engine.models.facts import FEW_STEPS_WARNING, recipe_settings
from engine.models.plan import StepTimes, estimate, options
from engine.models.sizes import KNOWN, base_sizes

CARD = Device("cuda", "RTX 4090")
# Peak GiB, bf16, batch 1, counted at true size by `tests.bench.gpu_counts`: lower bounds, without
# the context and the library's workspaces.
COUNTED = {
    ("sd21", "none"): 3.28, ("sd21", "cross-attention"): 4.28, ("sd21", "unet"): 15.64,
    ("sd21", "all"): 19.83, ("sd21", "lora"): 5.13,
    ("sdxl", "none"): 12.17, ("sdxl", "lora"): 22.76, ("sdxl", "cross-attention"): 21.53,
    ("sdxl", "unet"): 49.62, ("sdxl", "all"): 57.66,
}  # fmt: skip
PART = {"none": {"phase2.train": "none", "phase2.steps": 0}}


@pytest.mark.parametrize("base, part", COUNTED)
def test_memory_is_no_less_than_what_was_counted(base: str, part: str) -> None:
    settings = PART.get(part, {"phase2.train": part})
    found = estimate(base, build_config(settings), CARD)
    assert found.gigabytes is not None
    counted = COUNTED[base, part] * 2**30 / 1e9
    assert found.gigabytes[1] >= counted
    assert found.gigabytes[0] <= 1.35 * counted


def test_one_of_several_gpus_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, name in (("0000:01", "NVIDIA GeForce RTX 4090"), ("0000:02", "NVIDIA A100")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "information").write_text(f"Model: \t {name}\n")
    monkeypatch.setattr("engine.models.device_guess.NVIDIA_FOLDER", tmp_path)
    assert build_config({"device": "cuda:1"}).device == "cuda:1"
    assert guess_device("cuda:1") == Device("cuda", "A100")
    assert guess_device("cuda") == Device("cuda", "RTX 4090")
    with pytest.raises(UserError, match="device must be auto, cuda"):
        build_config({"device": "cuda:first"})


def test_a_checkpoint_of_all_weights_has_its_counted_size() -> None:
    """13.9 GB at true size, of which two must fit, and 2.3 GB of concepts."""
    found = estimate("sd21", build_config({}), CARD)
    assert found.disk is not None and found.disk_after is not None
    assert found.disk == pytest.approx(2 * 13.9e9 + 2 * 2.3e9, rel=0.1)
    assert found.disk_after == pytest.approx(2.3e9, rel=0.1)
    lora = estimate("sd21", build_config({"phase2.train": "lora"}), CARD)
    assert lora.disk is not None and lora.disk < 2e9


def test_main_memory_beside_a_card() -> None:
    """What moves has its base values there, and a save holds no more than its bound."""

    def beside(base: str, train: str, device: Device = CARD) -> tuple[float, float]:
        found = estimate(base, build_config({"phase2.train": train}), device).main_memory
        assert found is not None
        return found

    full, lora = beside("sd21", "all"), beside("sd21", "lora")
    # A host of that size took .52 GB and its 1155.7 M numbers (tests.bench.saving).
    assert 0.52 + 4.62 + 2.31 < full[0] < full[1] < 12 and full[1] > 0.52 + 4.62 + 4.29
    assert lora[1] < full[0]
    assert beside("sdxl", "all")[0] > 4 * 3.28
    config = build_config({})
    processor = Device("cpu", "2 cores")
    alone = estimate("sd21", config, processor)
    assert alone.main_memory is None and alone.gigabytes is not None
    # Weights, their base values, two moments, gradients.
    assert alone.gigabytes[1] > 5 * 4.62
    assert estimate("pocket", config, CARD).main_memory is None


def test_folders_and_files_get_figures_of_their_own(tiny_pipeline: Path) -> None:
    import torch

    from engine.families.loading import load_folder

    family = load_folder(tiny_pipeline, device=torch.device("cpu"))
    sizes = base_sizes(str(tiny_pipeline))
    assert sizes is not None
    parts = {
        part: sum(p.numel() for p in family.targets.part(part).values())
        for part in ("unet", "cross-attention")
    }
    assert (sizes.unet, sizes.cross_attention) == tuple(parts.values())
    found = estimate(str(tiny_pipeline), build_config({}), Device("cpu", "2 cores"))
    assert found.gigabytes is not None and found.seconds is not None and found.disk is not None
    assert "scaled" in found.source or "SD 2.1" in found.source


def test_what_is_not_here_has_no_figure(tmp_path: Path) -> None:
    found = estimate("someone/some-model", build_config({}), CARD)
    assert (found.seconds, found.gigabytes, found.disk) == (None, None, None)
    save_tensors(tmp_path / "a.safetensors", {})
    assert base_sizes(str(tmp_path / "a.safetensors")) is None


def test_a_distilled_model_is_noticed_by_its_name() -> None:
    for name in ("someone/sdxl-turbo", "someone/Lightning-XL", "someone/lcm-dreamshaper"):
        assert estimate(name, build_config({}), CARD).warning == FEW_STEPS_WARNING
        assert recipe_settings(name)["sampling.guidance"] == 1
    assert estimate("someone/falcman", build_config({}), CARD).warning == ""


def test_options_change_one_setting() -> None:
    found = options("sdxl", build_config({}), CARD, None)
    words = [option.words for option in found]
    assert words[0] == "" and "phase2.train=lora" in words
    assert {"gradient_checkpointing=true", "optimizer.kind=adamw8bit"} <= set(words)
    assert len(set(words)) == len(words)
    by_words = {option.words: option.estimate for option in found}
    full, lora = by_words[""].gigabytes, by_words["phase2.train=lora"].gigabytes
    assert full is not None and lora is not None and lora[1] < full[0] / 1.5
    assert KNOWN["sdxl"].moved(build_config({"phase2.train": "lora"})) == pytest.approx(
        0.128e9, rel=0.05
    )


def test_past_runs_speak_for_every_option() -> None:
    past = StepTimes((1.0, 2.0), (4.0, 5.0), (0.0, 0.0))
    config = build_config({"phase1.steps": 10, "phase2.steps": 100})
    found = dict(options("sd21", config, CARD, past))
    assert {each.source for each in found.values()} == {"from your past runs"}
    assert found[""].seconds == (410.0, 520.0) == found["phase2.train=unet"].seconds
    assert found["phase2.train=lora"].seconds == pytest.approx((362.0, 460.0))
    assert found["gradient_checkpointing=true"].seconds == pytest.approx((487.9, 618.8))
