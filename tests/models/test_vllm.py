"""What of `vllm/` needs no vLLM: what may be asked, and what is told when it cannot be."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
import pytest
from huggingface_hub import constants

from spa_bench.errors import InputError
from spa_bench.models import vllm, vllm_output, vllm_start
from spa_bench.models.hf_files import Source
from spa_bench.models.model import Message, ModelOptions, Reply, Request, Sampling
from spa_bench.models.vllm_settings import Settings


def settings(args: dict[str, str] | None = None, model: str = "m", **options: Any) -> Settings:
    return Settings.of(ModelOptions(model=model, label="m", args=args or {}, **options))


def refused(*arguments: Any, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        settings(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_importing_the_backend_imports_neither_vllm_nor_torch() -> None:
    code = (
        "import sys, spa_bench.models.vllm\n"
        "print({'vllm', 'torch', 'transformers', 'huggingface_hub'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.stderr) == ("set()", "")


def test_without_vllm_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(InputError, match=r"pip install 'spa-bench\[vllm\]'"):
        vllm.load(ModelOptions(model="some/model", label="vllm/some/model"))


def test_a_folder_called_vllm_is_not_vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vllm").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "vllm", raising=False)
    with pytest.raises(InputError, match="needs vLLM"):
        vllm_start.needs_vllm()


@pytest.mark.parametrize(
    ("args", "options", "told"),
    [
        ({"max_model_length": "3"}, {}, "did you mean max_model_len"),
        ({"dtype": "int4"}, {}, "bfloat16"),
        ({"dtype": "fp32"}, {"dtype": "bf16"}, "dtype is given twice"),
        ({"pretrained": "b"}, {}, "pretrained is given twice"),
        ({"lora_local_path": "a"}, {"adapter": "b"}, "lora_local_path is given twice"),
        ({"max_model_len": "-1"}, {}, "not a positive number"),
        ({"tensor_parallel_size": "two"}, {}, "not a positive number"),
        ({"data_parallel_size": "0"}, {}, "not a positive number"),
        ({"gpu_memory_utilization": "90"}, {}, "not a share"),
        ({"gpu_memory_utilization": "nan"}, {}, "not a share"),
        ({"chat_template": "llama"}, {}, "neither auto nor none"),
        ({"enforce_eager": "maybe"}, {}, "neither true nor false"),
        ({"engine_args": "seed=1"}, {}, "no JSON object"),
        ({"engine_args": "[1]"}, {}, "no JSON object"),
        ({"engine_args": '{"max_num_seqs": 8}'}, {}, "max_num_seqs is not set there"),
        ({}, {"base_urls": ("http://here",)}, "asked as openai/NAME"),
        ({}, {"device": "cuda:1"}, "CUDA_VISIBLE_DEVICES"),
        ({}, {"batch_size": 0}, "--batch-size 0"),
        ({}, {"model": ""}, "needs a model"),
    ],
)
def test_a_bad_value_is_refused_before_anything_is_read(
    args: dict[str, str], options: dict[str, Any], told: str
) -> None:
    assert told in refused(args, **options)


def test_what_is_asked_reaches_the_engine() -> None:
    asked = settings(
        {
            "tensor_parallel_size": "2",
            "data_parallel_size": "4",
            "gpu_memory_utilization": "0.8",
            "max_model_len": "4096",
            "quantization": "fp8",
            "enforce_eager": "true",
            "engine_args": '{"kv_cache_dtype": "fp8"}',
        },
        dtype="bf16",
        batch_size=64,
    )
    arguments = asked.engine_arguments()
    assert arguments == arguments | {
        "tensor_parallel_size": 2,
        "data_parallel_size": 4,
        "gpu_memory_utilization": 0.8,
        "max_model_len": 4096,
        "quantization": "fp8",
        "enforce_eager": True,
        "kv_cache_dtype": "fp8",
        "dtype": "bfloat16",
        "max_num_seqs": 64,
        "enable_prefix_caching": True,
    }


def test_what_is_not_asked_is_left_to_vllm() -> None:
    assert {"quantization", "max_model_len", "gpu_memory_utilization"}.isdisjoint(
        settings().engine_arguments()
    )


def test_identity_holds_what_changes_answers_and_not_where_they_are_computed() -> None:
    here = settings({"tensor_parallel_size": "4", "gpu_memory_utilization": "0.5"}, batch_size=8)
    assert here.identity() == settings().identity() == {}
    assert settings({"quantization": "fp8"}).identity() == {"quantization": "fp8"}
    assert settings({"engine_args": '{"seed": 1}'}).identity() == {"engine_args": {"seed": 1}}


PRINTED = """\
Loading safetensors checkpoint shards:   0% Completed | 0/1 [00:00<?, ?it/s]
(Worker pid=7) ERROR 11-25 10:29:44 [multiproc_executor.py:870] WorkerProc failed to start.
(Worker pid=7) ERROR 11-25 10:29:44 [multiproc_executor.py:870] Traceback (most recent call last):
(Worker pid=7) ERROR 11-25 10:29:44 [multiproc_executor.py:870]     raise ValueError("No room.")
(Worker pid=7) ERROR 11-25 10:29:44 [multiproc_executor.py:870] ValueError: No room in memory.
(EngineCore pid=6) Exception: WorkerProc initialization failed due to an exception. See root cause.
(EngineCore pid=6) RuntimeError: it was a bad day
"""


@pytest.mark.parametrize(
    ("printed", "cause"),
    [
        (PRINTED, "No room in memory"),
        ("(EngineCore pid=6) torch.OutOfMemoryError: CUDA out of memory. Tried", "CUDA out of"),
        ("RuntimeError: Engine core initialization failed. See root cause above.", None),
        ("all is well", None),
        ("", None),
    ],
)
def test_the_reason_is_the_first_error_of_its_own(printed: str, cause: str | None) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(printed.encode())
        file.flush()
        found = vllm_output.cause_of(file)
    assert found is None if cause is None else found is not None and found.startswith(cause)


def test_what_a_starting_engine_prints_is_kept_out_of_ours(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with tempfile.TemporaryFile() as file:
        print("before", flush=True)
        with vllm_output.output_to(file):
            os.write(1, b"meanwhile\n")
            # Goes on after the start, as an engine does.
            command = ["sh", "-c", "read line; echo later; echo later >&2"]
            child = subprocess.Popen(command, stdin=subprocess.PIPE)
        print("after")
        child.communicate(b"go\n")
        file.seek(0)
        assert file.read() == b"meanwhile\nlater\nlater\n"
    assert tuple(capfd.readouterr()) == ("before\nafter\n", "")


def test_output_that_is_wanted_does_not_go_to_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    with vllm_output.output_to(None):
        os.write(1, b"loading\n")
    assert tuple(capfd.readouterr()) == ("", "loading\n")


GUARDED = """
import os, subprocess, signal, sys
from spa_bench.models.vllm_guard import Guard
engine = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL)
guard = Guard([engine.pid])
print(engine.pid, flush=True)
if sys.argv[1] == "dismissed":
    guard.dismiss()
    assert engine.poll() is None
    engine.kill()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("how", ["killed", "dismissed"])
def test_an_engine_ends_with_the_process_that_was_killed(how: str) -> None:
    command = [sys.executable, "-c", GUARDED, how]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL
    give_up = time.monotonic() + 60
    while _runs(int(done.stdout)):
        assert time.monotonic() < give_up
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("config", "rank"),
    [({"r": 2}, 8), ({"r": 16}, 16), ({"r": 4, "rank_pattern": {"up_proj": 33}}, 64)],
)
def test_there_is_room_for_the_highest_rank_of_an_adapter(
    config: dict[str, Any], rank: int, tmp_path: Path
) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    assert vllm_start.lora_rank(str(tmp_path)) == rank


@pytest.mark.parametrize("config", ["{", "[]", '{"r": null}', '{"r": 1000}'])
def test_a_rank_that_cannot_be_is_one_line(config: str, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(config)
    with pytest.raises(InputError, match=r"adapter_config\.json|up to 512"):
        vllm_start.lora_rank(str(tmp_path))


def test_a_model_of_the_hub_is_read_from_the_copy_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0" * 40
    folder = tmp_path / "models--some--model" / "snapshots" / commit
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    pinned = {"revision": commit, "local_files_only": True}
    assert vllm_start.local_folder(Source("some/model", pinned, {})) == str(folder)
    with pytest.raises(InputError, match="not to be had"):
        vllm_start.local_folder(Source("some/other", pinned, {}))


def test_a_model_is_used_again_after_it_was_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    nano = Path(__file__).parents[2] / "checkpoints" / "nano-base-sokoban"
    engine = mock.Mock(context=1)
    monkeypatch.setattr(vllm_start, "start", lambda *_: engine)
    source = Source(str(nano), {}, {})
    one = vllm.VLLMModel(ModelOptions(str(nano), "nano"), settings(), source, None)

    async def ask() -> Reply:
        await one.start()
        try:
            sampling = Sampling(1.0, 1.0, 5)
            return await one.generate(Request((Message("user", "too long"),), "", sampling, 0))
        finally:
            await one.close()

    assert [asyncio.run(ask()).stop_reason for _ in range(2)] == ["length"] * 2
    assert engine.stop.call_count == 2
