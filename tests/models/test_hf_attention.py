from pathlib import Path
from typing import Any

import pytest
import torch
from hf_tiny import model, save
from transformers import PretrainedConfig
from transformers.integrations.sdpa_attention import (
    sdpa_attention_forward,  # pyright: ignore[reportUnknownVariableType]
)

from spa_bench.models import hf_attention, hf_load
from spa_bench.models.hf_files import find


class Layer(torch.nn.Module):
    num_key_value_groups = 3


def inputs(count: int, dtype: torch.dtype, columns: int = 17) -> tuple[torch.Tensor, ...]:
    """Queries of six heads, keys and values of two groups, and a mask that differs by row."""
    draw = torch.Generator().manual_seed(count)
    query = torch.randn(4, 6, count, 8, generator=draw).to(dtype)
    key, value = (torch.randn(4, 2, columns, 8, generator=draw).to(dtype) for _ in range(2))
    mask = torch.arange(columns) >= torch.tensor([0, 3, 9, columns - 1])[:, None]
    return query, key, value, mask[:, None, None].expand(4, 1, count, columns)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("scaling", [None, 0.2])
@pytest.mark.parametrize(("dtype", "off"), [(torch.float32, 1e-6), (torch.bfloat16, 0.02)])
def test_it_is_sdpa(
    count: int, masked: bool, scaling: float | None, dtype: torch.dtype, off: float
) -> None:
    query, key, value, mask = inputs(count, dtype)
    given = mask if masked else None
    found, _ = hf_attention.attend(Layer(), query, key, value, given, scaling=scaling)
    expected, _ = sdpa_attention_forward(Layer(), query, key, value, given, scaling=scaling)
    assert found.shape == (4, count, 6, 8)
    assert torch.allclose(found, expected, atol=off, rtol=off)


def test_a_bias_that_a_model_adds_is_not_lost() -> None:
    query, key, value, mask = inputs(1, torch.float32)
    bias = torch.linspace(-2, 2, 17).expand(4, 6, 1, 17)
    found, _ = hf_attention.attend(Layer(), query, key, value, mask, position_bias=bias)
    plain, _ = hf_attention.attend(Layer(), query, key, value, mask)
    expected, _ = sdpa_attention_forward(Layer(), query, key, value, mask, position_bias=bias)
    assert torch.allclose(found, expected, atol=1e-6)
    assert not torch.allclose(found, plain, atol=1e-2)


@pytest.mark.parametrize(
    ("device", "chosen", "left"),
    [("cuda", "sdpa", False), ("cuda", "eager", True), ("cpu", "eager", True)],
)
def test_cudnn_makes_no_plans_on_a_gpu(device: str, chosen: str, left: bool) -> None:
    class Model:
        def __init__(self) -> None:
            self.device = torch.device(device)
            self.config = PretrainedConfig(attn_implementation=chosen)

        def set_attn_implementation(self, name: str) -> None:
            self.config = PretrainedConfig(attn_implementation=name)

    before = torch.backends.cuda.cudnn_sdp_enabled()
    try:
        torch.backends.cuda.enable_cudnn_sdp(True)
        hf_attention.use(Model())
        assert torch.backends.cuda.cudnn_sdp_enabled() is left
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


def loaded(folder: Path, attention: str | None) -> Any:
    return hf_load.load_model(find(str(folder)), None, "cpu", torch.float32, attention)


def test_a_model_on_a_cpu_uses_it_unless_the_user_chose(tmp_path: Path) -> None:
    save(tmp_path / "tiny")
    ours, theirs = (loaded(tmp_path / "tiny", attention) for attention in (None, "sdpa"))
    ids = torch.arange(12)[None]
    said = [one.generate(ids, do_sample=False, max_new_tokens=20) for one in (ours, theirs)]
    assert said[0].tolist() == said[1].tolist()
    assert theirs.config._attn_implementation == "sdpa"
    assert ours.config._attn_implementation != "sdpa"


def test_a_model_with_another_attention_keeps_it() -> None:
    eager = model()
    eager.set_attn_implementation("eager")
    hf_attention.use(eager)
    assert eager.config._attn_implementation == "eager"
