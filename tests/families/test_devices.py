"""Precision on CPUs of different abilities."""

import pytest
import torch

from engine.families.devices import choose_precision


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
