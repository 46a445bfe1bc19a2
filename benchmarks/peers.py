"""Pythons with what we measure ourselves against, each in an environment of its own.

    python -m benchmarks.peers [NAME]

makes what is missing and prints the path of each Python (inspect_ai takes about a minute). That of
inspect is $SPA_BENCH_INSPECT_PYTHON if that is set, else that of an environment below
`$XDG_CACHE_HOME/spa-bench/peers`; likewise of the others. Only the versions named here are
compared with; none of them is a dependency of spa-bench.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

PEERS = {
    "inspect": ("inspect_ai==0.3.285",),
    "inspect-models": (
        "torch==2.13.0",
        "transformers==5.23.0",
        "accelerate==1.15.0",
        "inspect_ai==0.3.285",
        "openai==3.54.0",
    ),
    "lm-eval": (
        "torch==2.13.0",
        "transformers==5.23.0",
        "accelerate==1.15.0",
        "lm-eval[api,hf]==0.4.13",
    ),
    "gym-sokoban": (
        "gym-sokoban==0.0.6",
        "gym==0.26.2",
        "numpy==1.26.4",
        "imageio==2.37.0",
        "tqdm",
        "requests",
        "setuptools<81",
    ),
}
"""What each is installed from. gym-sokoban does not say itself all that it imports."""


class PeerMissingError(RuntimeError):
    """A peer is not here and could not be installed; says why."""


def python(peer: str) -> Path:
    """Returns the Python that has a peer, and makes its environment if there is none.

    Raises:
        PeerMissingError: if it is not where the environment says, or cannot be installed.
    """
    variable = f"SPA_BENCH_{peer.upper().replace('-', '_')}_PYTHON"
    named = os.environ.get(variable)
    if named:
        if not Path(named).is_file():
            raise PeerMissingError(f"{variable}={named}: no such file")
        return Path(named)
    wanted = PEERS[peer]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spa-bench"
    key = hashlib.sha256(" ".join((*wanted, sys.version)).encode()).hexdigest()[:8]
    folder = cache / "peers" / f"{peer}-{key}"
    found, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        venv.create(folder, with_pip=True, clear=True)
        install = [str(found), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        done = subprocess.run([*install, *wanted], capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise PeerMissingError(f"{wanted[0]} cannot be installed: {last}")
        complete.touch()
    return found


def run(peer: str, script: str, *arguments: str | Path, folder: Path) -> str:
    """Runs a script that stands beside this file under a peer's Python, in `folder`.

    Returns:
        The last line that it printed.

    Raises:
        PeerMissingError: if the peer is not there.
        RuntimeError: if the script fails, with the last line of its complaint.
    """
    command = [str(python(peer)), str(Path(__file__).with_name(script)), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{script}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return done.stdout.splitlines()[-1]


def main() -> None:
    """Prints where the Pythons are."""
    for peer in sys.argv[1:] or PEERS:
        print(python(peer))


if __name__ == "__main__":
    main()
