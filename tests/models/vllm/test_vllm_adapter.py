"""A LoRA adapter in a real engine, and what is told when the engine dies."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import peft
import pytest
import torch
import transformers
from hf_tiny import forced_logprobs

from spa_bench.errors import ModelGoneError
from spa_bench.models import vllm
from tests.models.vllm.live import NEEDS_VLLM, TOLERANCE, Live, ask, options

pytestmark = NEEDS_VLLM


def test_an_adapter_answers_and_a_dead_engine_is_one_line(
    folder: Path, engine_args: dict[str, str], tmp_path: Path
) -> None:
    net = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    adapted = peft.get_peft_model(
        net, peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    ).eval()
    adapted.save_pretrained(tmp_path / "lora")
    tuned = Live(vllm.load(options(folder, engine_args, adapter=str(tmp_path / "lora"))))
    try:
        (reply,) = tuned.replies(ask())
        assert tuned.model.identity()["adapter"]["name"] == "lora"
        assert reply.prompt_ids is not None
        assert reply.completion_ids is not None
        expected = forced_logprobs(adapted, reply.prompt_ids, reply.completion_ids)
        assert reply.logprobs == pytest.approx(expected, abs=TOLERANCE)
        for process in multiprocessing.active_children():
            process.kill()
        with pytest.raises(ModelGoneError, match="engine died") as caught:
            tuned.replies(ask())
        assert "\n" not in str(caught.value)
    finally:
        tuned.close()
    assert not multiprocessing.active_children()
