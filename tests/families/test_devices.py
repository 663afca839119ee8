"""Which device is taken and how precisely it computes, on machines of different abilities."""

import pytest
import torch

from engine.core.errors import UserError
from engine.families.devices import choose_device, choose_precision, unused_gpu


@pytest.mark.parametrize(
    ("abilities", "chosen"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, "bf16"),
        ({"amx_bf16": False, "avx512_bf16": True, "cpu_name": "AMD EPYC"}, "bf16"),
        ({"amx_bf16": False, "avx512_bf16": True, "cpu_name": "Intel(R) Xeon(R)"}, "fp32"),
        ({"avx512_bf16": False, "cpu_name": "AMD EPYC"}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_bf16_on_a_cpu_only_where_it_is_fast(monkeypatch, abilities, chosen) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities)
    assert choose_precision("bf16", torch.device("cpu")) == chosen
    assert choose_precision("bf16", torch.device("cuda")) == "bf16"


@pytest.mark.parametrize(("capability", "chosen"), [((7, 5), "fp16"), ((8, 0), "bf16")])
def test_half_precision_follows_the_card(monkeypatch, capability, chosen) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert choose_precision("auto", torch.device("cuda")) == chosen


def test_a_card_that_torch_cannot_use_is_told(monkeypatch) -> None:
    monkeypatch.setattr("engine.families.devices.has_cuda_device", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "knows no CUDA" in unused_gpu(torch.device("cpu"))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert "driver" in unused_gpu(torch.device("cpu")) and not unused_gpu(torch.device("cuda"))
    monkeypatch.setattr("engine.families.devices.has_cuda_device", lambda: False)
    assert not unused_gpu(torch.device("cpu"))


def test_one_of_several_cards_is_taken_or_refused(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UserError, match="no cuda:2 device") as refused:
        choose_device("cuda:2")
    assert "cuda:0, cuda:1" in refused.value.remedy
