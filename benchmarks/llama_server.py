"""A real OpenAI-compatible server on this machine: llama.cpp, through the wheel xllamacpp.

    python -m benchmarks.llama_server MODEL.gguf [--port N] [--parallel N] [--context N] [--name X]

runs until it is killed and prints its base URL once it answers. `serving` does the same for a
test or a script: a process of its own, gone when the block ends, or when its parent is.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LlamaServer:
    """A running server.

    Attributes:
        base_url: for `--base-url`. model: the one name it serves.
    """

    base_url: str
    model: str
    process: subprocess.Popen[str]

    def kill(self) -> None:
        """Ends the server at once, in the middle of whatever it does."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def serving(
    gguf: Path, *, parallel: int = 8, context: int = 2048, threads: int = 1
) -> Iterator[LlamaServer]:
    """Runs a server for as long as the block lasts.

    Raises:
        RuntimeError: if it does not start.
    """
    command = [sys.executable, "-m", "benchmarks.llama_server", str(gguf), "--with-parent"]
    command += ["--parallel", str(parallel), "--context", str(context), "--threads", str(threads)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert process.stdout is not None
    url = next((line.strip() for line in process.stdout if line.startswith("http://")), None)
    if url is None:
        raise RuntimeError(f"no server: {' '.join(command)} ended with {process.wait()}")
    server = LlamaServer(url, gguf.stem, process)
    try:
        yield server
    finally:
        server.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a GGUF file the way OpenAI does.")
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--port", type=int, default=0, help="default: any free one")
    parser.add_argument("--parallel", type=int, default=8, help="requests at a time")
    parser.add_argument("--context", type=int, default=4096, help="tokens for each of them")
    parser.add_argument("--threads", type=int, help="default: half the cores")
    parser.add_argument("--name", help="of the model; default: the file's")
    parser.add_argument("--with-parent", action="store_true", help="end when stdin is closed")
    args = parser.parse_args()
    if not args.gguf.is_file():
        parser.error(f"no such file: {args.gguf}")

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(args.gguf)
    params.model_alias = {args.name or args.gguf.stem}
    params.port = args.port
    params.n_parallel = args.parallel
    params.n_ctx = args.context * args.parallel  # llama.cpp shares it out among the slots
    params.fit_params = False
    # llama.cpp's threads wait for each other: one core too few made it 15 times slower.
    params.cpuparams.n_threads = args.threads or max(1, (os.cpu_count() or 2) // 2)
    params.warmup = False
    params.ui = False
    params.verbosity = 1
    # A <think> that a task asks for is part of the reply.
    params.reasoning_format = xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_NONE
    server = xllamacpp.Server(params)
    print(f"{server.listening_address}/v1", flush=True)
    if args.with_parent:
        sys.stdin.read()
    else:
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
