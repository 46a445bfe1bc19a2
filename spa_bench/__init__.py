"""spa-bench: does a language-model agent have an internal world model?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "evaluate", "evaluate_async"]

if TYPE_CHECKING:
    from spa_bench.evaluation import evaluate, evaluate_async


def __getattr__(name: str) -> Any:
    """Loads `evaluate` and `evaluate_async` when they are first asked for."""
    if name in ("evaluate", "evaluate_async"):
        from importlib import import_module

        return getattr(import_module("spa_bench.evaluation"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
