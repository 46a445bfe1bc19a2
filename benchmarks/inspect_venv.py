"""A Python with inspect_ai, in an environment of its own: its dependencies are no concern of ours.

    python -m benchmarks.inspect_venv

prints the path of that Python. It is $SPA_BENCH_INSPECT_PYTHON if that is set, else that of
`$XDG_CACHE_HOME/spa-bench/inspect-venv-VERSION`, which is made from the package index if missing
(about a minute).
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

VERSION = "0.3.285"


def python() -> Path:
    """Returns the Python that has inspect_ai, and makes its environment if there is none.

    Raises:
        FileNotFoundError: if $SPA_BENCH_INSPECT_PYTHON names no file.
        subprocess.CalledProcessError: if the package cannot be installed.
    """
    named = os.environ.get("SPA_BENCH_INSPECT_PYTHON")
    if named:
        if not Path(named).is_file():
            raise FileNotFoundError(f"SPA_BENCH_INSPECT_PYTHON={named}: no such file")
        return Path(named)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spa-bench"
    folder = cache / f"inspect-venv-{VERSION}"
    found, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        venv.create(folder, with_pip=True, clear=True)
        install = [str(found), "-m", "pip", "install", "--quiet", f"inspect_ai=={VERSION}"]
        subprocess.run(install, check=True, stdout=sys.stderr)
        complete.touch()
    return found


def version(interpreter: Path) -> str:
    """Returns the version of inspect_ai that an interpreter has."""
    code = "from importlib.metadata import version; print(version('inspect_ai'))"
    done = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    print(python())
