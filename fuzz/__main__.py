"""Fuzzes one target: `python -m fuzz TARGET [--runs N] [--seconds S] [libFuzzer options]`.

Needs atheris (`pip install -e '.[fuzz]'`). Starts from the committed corpus, keeps what it finds in
`.cache/fuzz/TARGET`, and writes an input that fails beside it.
"""

from __future__ import annotations

import argparse
import importlib
import resource
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
TARGETS = ("replies", "task_files", "logs", "submissions")
MEMORY_MB, SECONDS_A_RUN, LONGEST = 4096, 20, 4096


def target(name: str) -> Callable[[bytes], None]:
    """Returns what reads one input."""
    one: Callable[[bytes], None] = importlib.import_module(f"fuzz.{name}").one
    return one


def corpus(name: str) -> list[Path]:
    """Returns the committed inputs of a target."""
    return sorted(path for path in (HERE / "corpus" / name).iterdir() if path.is_file())


def main() -> None:
    """Fuzzes until it has run as often, or as long, as asked."""
    import atheris

    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--runs", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--seconds", type=int, default=0, metavar="S")
    chosen, more = parser.parse_known_args()
    found = Path(".cache/fuzz") / chosen.target
    found.mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=["spa_bench", "yaml", "json", "gzip"]):
        from spa_bench import plugins

        plugins.plugins = cache(plugins.plugins)  # the installed packages stay as they are
        one = target(chosen.target)
        one(b"")  # what is imported late, too
    dictionary = HERE / f"{chosen.target}.dict"
    print(f"{chosen.target}: {chosen.runs:,} runs", flush=True)
    atheris.Setup(
        [
            sys.argv[0],
            str(found),
            str(HERE / "corpus" / chosen.target),
            f"-runs={chosen.runs}",
            f"-max_total_time={chosen.seconds}",
            f"-timeout={SECONDS_A_RUN}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-max_len={LONGEST}",
            f"-artifact_prefix={found}-",
            "-print_final_stats=1",
            *([f"-dict={dictionary}"] if dictionary.exists() else []),
            *more,
        ],
        one,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
