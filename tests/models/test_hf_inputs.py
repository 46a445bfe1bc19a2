"""What a user may get wrong about a local model, and what he is told."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import transformers
from hf_tiny import VOCABULARY, save, tokenizer

from spa_bench.errors import InputError
from spa_bench.models import hf, hf_files, hf_load
from spa_bench.models.model import ModelOptions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("checkpoints") / "tiny")


def load(model: str | Path = "", args: dict[str, str] | None = None, **options: Any) -> hf.HFModel:
    options.setdefault("device", "cpu")
    return hf.load(ModelOptions(model=str(model), label="tiny", args=args or {}, **options))


def refused(*arguments: Any, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        load(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def python(code: str, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_importing_the_backend_imports_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, spa_bench.models.hf\n"
        "print({'torch', 'transformers', 'huggingface_hub', 'peft'} & set(sys.modules))"
    )
    assert python(code).strip() == "set()"


@pytest.mark.parametrize("library", ["torch", "transformers"])
def test_a_missing_library_is_named_with_its_extra(
    folder: Path, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    assert "pip install 'spa-bench[hf]'" in refused(folder)


def test_an_adapter_without_peft_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    assert "pip install 'spa-bench[train]'" in refused(folder, adapter="./lora")


def test_an_unknown_argument_names_the_nearest() -> None:
    message = refused("m", {"max_lenght": "3"})
    assert "did you mean max_length" in message
    assert "chat_template" in message


@pytest.mark.parametrize(
    ("args", "options", "told"),
    [
        ({"dtype": "int4"}, {}, "bfloat16"),
        ({"dtype": "fp32"}, {"dtype": "bf16"}, "dtype is given twice"),
        ({"pretrained": "b"}, {}, "pretrained is given twice"),
        ({"max_length": "-1"}, {}, "not a positive number"),
        ({"chat_template": "llama"}, {}, "neither auto nor none"),
        ({"trust_remote_code": "maybe"}, {}, "neither true nor false"),
        ({}, {"base_urls": ("http://here",)}, "takes no --base-url"),
    ],
)
def test_a_bad_value_is_refused_before_anything_is_read(
    args: dict[str, str], options: dict[str, Any], told: str
) -> None:
    assert told in refused("a", args, **options)


def test_a_model_has_to_be_named() -> None:
    assert "needs a model" in refused()


def test_a_batch_of_nothing_is_refused(folder: Path) -> None:
    assert "--batch-size 0" in refused(folder, batch_size=0)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/nowhere", "a/b/c"])
def test_a_path_that_does_not_exist_is_no_hub_name(name: str) -> None:
    assert refused(name) == f"{name}: no such folder"


def test_a_folder_without_a_model_says_what_is_missing(tmp_path: Path) -> None:
    assert "config.json is missing" in refused(tmp_path)


def test_an_adapter_given_as_a_model_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "as --adapter" in refused(tmp_path)


def test_pickled_weights_are_not_read_unasked(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    assert "trust_remote_code=true" in refused(tmp_path)


def test_a_folder_without_a_tokenizer_says_so(folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert "cannot load the tokenizer" in refused(tmp_path)


def test_a_config_that_is_no_json_says_so(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    (tmp_path / "config.json").write_text("{")
    assert "cannot load the configuration" in refused(tmp_path)


def test_damaged_weights_are_one_line_at_the_start(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"not a tensor")
    one = load(tmp_path)
    with pytest.raises(InputError, match="cannot load the weights") as caught:
        asyncio.run(one.start())
    assert "\n" not in str(caught.value)


def test_a_model_of_another_kind_is_sent_to_a_server(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "qwen3_next", "layer_types": ["linear_attention", "full_attention"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    message = refused(tmp_path)
    assert "linear_attention" in message
    assert "vLLM" in message


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (
            transformers.BertConfig(
                vocab_size=VOCABULARY,
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=64,
            ),
            "a token sees those after it",
        ),
        (
            transformers.RwkvConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2),
            "keeps no keys and values",
        ),
        (
            transformers.OpenAIGPTConfig(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=2),
            "keeps no keys and values",
        ),
    ],
    ids=["bert", "rwkv", "openai-gpt"],
)
def test_a_model_that_cannot_write_here_is_one_line_at_the_start(
    folder: Path, tmp_path: Path, config: Any, told: str
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(InputError) as caught:
        asyncio.run(load(tmp_path).start())
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("device", ["cuda:77", "toaster"])
def test_a_device_that_is_not_there_is_refused(folder: Path, device: str) -> None:
    assert f"--device {device}" in refused(folder, device=device)


def test_a_device_that_torch_does_not_know_is_told_which_to_write(folder: Path) -> None:
    told = refused(folder, device="gpu")
    assert told == "--device gpu: is no device; write cpu, cuda or cuda:1"


def test_a_revision_of_a_folder_makes_no_sense(folder: Path) -> None:
    assert "has no revisions" in refused(folder, {"revision": "main"})


def test_without_network_a_hub_name_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    class Session:
        def head(self, url: str, timeout: float) -> None:
            asked.append(timeout)
            raise OSError("no route")

    monkeypatch.setattr(huggingface_hub, "get_session", Session)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    message = refused("nobody/nothing")
    assert "cannot be reached" in message
    assert "./NAME" in message
    assert len(asked) == 1
    assert asked[0] <= 5


def test_offline_a_copy_in_the_hubs_cache_is_used_and_pinned(folder: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models--org--tiny"
    snapshot = repository / "snapshots" / ("c0ffee" * 7)[:40]
    snapshot.mkdir(parents=True)
    for path in folder.iterdir():
        (snapshot / path.name).write_bytes(path.read_bytes())
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(snapshot.name)
    code = (
        "import asyncio, os\n"
        "from spa_bench.models.hf import load\n"
        "from spa_bench.models.model import ModelOptions\n"
        "one = load(ModelOptions(model='org/tiny', label='hf/org/tiny', device='cpu'))\n"
        "asyncio.run(one.start())\n"
        "print(one.identity()['name'], one.identity()['revision'])\n"
        "import huggingface_hub.constants as c\n"
        "print(c.HF_HUB_DISABLE_TELEMETRY)"
    )
    printed = python(code, HF_HUB_CACHE=str(tmp_path), HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
    assert printed == f"org/tiny {snapshot.name}\nTrue\n"  # and no bar, no warning


def test_identity_names_the_content_and_no_path(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "tiny"
    moved.mkdir()
    for path in folder.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    here, there = load(folder).identity(), load(f"{moved}/").identity()
    assert here == there
    assert here["name"] == "tiny"
    assert str(tmp_path.parent) not in json.dumps(here)


def test_identity_tells_other_weights_tokenizers_and_settings_apart(
    folder: Path, tmp_path: Path
) -> None:
    other_weights = save(tmp_path / "a" / "tiny", initializer_range=0.3)
    other_template = tmp_path / "b" / "tiny"
    save(other_template)
    tokenizer(None).save_pretrained(other_template)
    (other_template / "chat_template.jinja").unlink()
    made = [
        load(folder),
        load(other_weights),
        load(other_template),
        load(folder, dtype="bf16"),
        load(folder, {"max_length": "100"}),
        load(folder, {"chat_template": "none"}),
        load(folder, {"attn_implementation": "eager"}),
        load(folder, {"add_bos_token": "true", "chat_template": "none"}),
    ]
    identities = {json.dumps(dict(one.identity()), sort_keys=True) for one in made}
    # without a template of its own, a tokenizer is the same as one whose template is not used
    assert len(identities) == len(made) - 1


@pytest.mark.parametrize("name", ["pytorch_model.bin", "modeling_odd.py"])
def test_identity_tells_pickled_weights_and_code_of_their_own_apart(
    folder: Path, tmp_path: Path, name: str
) -> None:
    found: list[Any] = []
    for content in ("one", "two"):
        trusted = tmp_path / content / "tiny"
        trusted.mkdir(parents=True)
        for path in folder.glob("*.json"):
            (trusted / path.name).write_bytes(path.read_bytes())
        (trusted / name).write_text(content)
        found.append(hf_files.find(str(trusted), trusted=True).identity)
    assert found[0] != found[1]


def test_a_folder_of_safetensors_is_the_same_whether_it_is_trusted_or_not(folder: Path) -> None:
    identities = [hf_files.find(str(folder), trusted=trusted).identity for trusted in (True, False)]
    assert identities[0] == identities[1]


def test_a_fingerprint_reads_little_of_a_large_file(tmp_path: Path) -> None:
    large = tmp_path / "model.safetensors"
    with large.open("wb") as file:
        file.truncate(2**40)
    assert hf_files.fingerprint([large]).startswith("sha256-sample:")


@pytest.mark.parametrize(
    ("asked", "device", "stored", "instructions", "found"),
    [
        ("auto", "cpu", "bfloat16", True, "bfloat16"),
        ("auto", "cpu", "bfloat16", False, "float32"),
        ("auto", "cpu", "float16", True, "float32"),
        ("auto", "cpu", "float32", False, "float32"),
        ("bfloat16", "cpu", "float32", False, "bfloat16"),
    ],
)
def test_a_cpu_gets_no_type_that_it_computes_slowly(
    monkeypatch, asked, device, stored, instructions, found
):
    import torch
    from transformers import LlamaConfig

    monkeypatch.setattr(hf_load, "cpu_has_bfloat16", lambda: instructions)
    config = LlamaConfig(dtype=getattr(torch, stored))
    assert hf_load.resolve_dtype(asked, device, config) is getattr(torch, found)


@pytest.mark.parametrize(
    ("config", "window"),
    [
        (transformers.LlamaConfig(max_position_embeddings=512), 512),
        (transformers.MptConfig(max_seq_len=64), 64),
        (transformers.BloomConfig(), None),
        (
            transformers.Phi3Config(
                max_position_embeddings=256,
                original_max_position_embeddings=64,
                rope_parameters={
                    "rope_type": "longrope",
                    "rope_theta": 10000.0,
                    "short_factor": [1.0] * 48,
                    "long_factor": [4.0] * 48,
                    "original_max_position_embeddings": 64,
                },
            ),
            64,
        ),
    ],
)
def test_the_window_is_what_there_are_positions_for(config: Any, window: int | None) -> None:
    assert hf_load.window(config) == window
