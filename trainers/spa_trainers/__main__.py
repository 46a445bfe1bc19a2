"""`python -m spa_trainers` is `spa-bench train`, so that `torchrun -m` can start it."""

from __future__ import annotations

import sys

from spa_bench.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
