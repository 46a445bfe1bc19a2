"""The command `spa-bench`, also as `python -m spa_bench`."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line; an interruption while it is imported ends like any other."""
    try:
        from spa_bench.cli import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
