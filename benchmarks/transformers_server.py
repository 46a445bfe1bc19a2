"""A real OpenAI-compatible server on this machine: `transformers serve`, with continuous batching.

`serving` runs it as a process of its own, gone when the block ends. It needs
`pip install 'transformers[serving]'`.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

_MAIN = "from transformers.cli.transformers import main; main()"
_PATIENCE = 120.0
"""Seconds until it answers."""


def sampling(folder: Path) -> str:
    """Returns what a request says so that tokens are drawn from all of the model's distribution.

    Left to itself the server takes the likeliest token, or draws from the fifty likeliest.
    """
    said = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    ends = {name: value for name, value in said.items() if name.endswith("_token_id")}
    return json.dumps({"generation_config": json.dumps({**ends, "do_sample": True, "top_k": 0})})


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Runs a server of a checkpoint for as long as the block lasts; gives its base URL.

    Its model is named as the folder is.

    Raises:
        RuntimeError: if it does not answer in time.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", _MAIN, "serve", folder.name, "--continuous-batching"]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder.parent,  # a relative name: requests must say it again
    )
    try:
        _await(process, f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def _await(process: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        time.sleep(0.5)
    raise RuntimeError("transformers serve does not answer; pip install 'transformers[serving]'")
