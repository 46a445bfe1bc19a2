"""What plays a policy plays the weights as they are."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from spa_bench.errors import InputError
from spa_trainers import checkpoint
from spa_trainers.engines import write
from spa_trainers.recipe import find_recipe, load_recipe
from spa_trainers.rl_settings import RlSettings
from spa_trainers.sft import Lora, lora_layers

NANO = "checkpoints/nano-base-sokoban"


@pytest.fixture
def loaded():
    return checkpoint.load(NANO)


def _logits(model, ids):
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits


@pytest.mark.parametrize("adapted", [False, True])
def test_a_policy_is_written_as_it_plays(loaded, tmp_path, adapted):
    live, ids = loaded.model, torch.arange(3, 40)[None]
    if adapted:
        live = lora_layers(live, Lora(rank=4))
        torch.manual_seed(0)
        for name, weight in live.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.1)
    before = {name: tensor.clone() for name, tensor in live.state_dict().items()}
    for scale in (1.0, 1.1):  # written again, the weights are the new ones
        with torch.no_grad():
            live.get_input_embeddings().weight.mul_(scale)
        write(tmp_path, live, loaded.tokenizer, torch.float32)
        read = AutoModelForCausalLM.from_pretrained(tmp_path)
        assert torch.allclose(_logits(read, ids), _logits(live, ids), atol=1e-4)
    assert not read.config.tie_word_embeddings
    assert read.get_output_embeddings().weight is not read.get_input_embeddings().weight
    assert AutoTokenizer.from_pretrained(tmp_path).get_vocab() == loaded.tokenizer.get_vocab()
    for name, tensor in live.state_dict().items():  # writing changes nothing
        if "embed" not in name and "lm_head" not in name:
            assert torch.equal(tensor, before[name])


def test_a_policy_is_written_no_wider_than_it_is_computed_with(loaded, tmp_path):
    write(tmp_path, loaded.model, loaded.tokenizer, torch.bfloat16)
    assert AutoModelForCausalLM.from_pretrained(tmp_path).dtype == torch.bfloat16
    assert loaded.model.dtype == torch.float32


def _settings(**changes):
    return RlSettings(tasks=["sokoban"], **changes)


def test_arguments_of_an_engine_may_be_written_as_yaml_writes_them():
    args = {"gpu_memory_utilization": 0.5, "enforce_eager": True, "engine_args": {"block_size": 32}}
    assert _settings(engine="vllm", engine_args=args).engine_args == {
        "gpu_memory_utilization": "0.5",
        "enforce_eager": "true",
        "engine_args": '{"block_size": 32}',
    }


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"engine": "sglang"}, "'transformers' or 'vllm'"),
        ({"engine_args": {"enforce_eager": "true"}}, "engine_args are those of engine: vllm"),
        ({"engine": "vllm", "engine_args": {"enforce_eagr": "true"}}, "enforce_eager"),
        ({"engine": "vllm", "engine_args": {"max_model_len": -1}}, "max_model_len"),
        ({"engine": "vllm", "engine_args": {"quantization": "fp8"}}, "while training"),
        ({"engine": "vllm", "engine_args": "eager"}, "dictionary"),
    ],
)
def test_what_an_engine_is_not_told_is_said(changes, told):
    with pytest.raises(ValueError, match=told):
        _settings(**changes)


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_an_engine_that_is_not_installed_is_said_before_any_work(tmp_path):
    from spa_bench.registry import Registry
    from spa_trainers.pipeline import Pipeline

    recipe = load_recipe(find_recipe("nano-spa-sokoban"), ["rl.engine=vllm"])
    pipeline = Pipeline(recipe, tmp_path / "run", Registry(), None, print)
    with pytest.raises(InputError, match="pip install 'spa-bench\\[vllm\\]'"):
        pipeline.run()
    assert not (tmp_path / "run").exists()
