"""Mutation testing: one small fault at a time in what counts, and whether a test notices.

`python -m benchmarks.mutation` breaks metrics, parsers, kernels and advantages in every way of
`_edits`, one after the other, and runs the tests of that module until the first one fails. What
no test notices is printed with its line. Nothing is written: the broken module lives in a child
process, which imports it in place of the real one. Needs fork, and the development tools.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.abc
import importlib.util
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

PATIENCE = 5
"""A mutant that takes so many times as long as the module itself never ends, and is noticed."""
MOST_MEMORY = 4 << 30

_METRICS, _WORLDS = "tests/metrics/test_", "tests/environments/test_"
_FORMATS = tuple(f"tests/formats/test_{name}.py" for name in ("answer", "world_model", "think"))
_BOARDS = (f"{_WORLDS}unfamiliar.py", f"{_WORLDS}ood_tasks.py", f"{_WORLDS}spa_boards.py")
_RULES = "tests/conformance/test_unfamiliar_rules.py"

TESTS = {
    "spa_bench.metrics.belief": (f"{_METRICS}belief.py",),
    "spa_bench.metrics.calibration": (f"{_METRICS}calibration.py",),
    "spa_bench.metrics.interval": (f"{_METRICS}interval.py",),
    "spa_bench.metrics.paired": (f"{_METRICS}paired.py",),
    "spa_bench.metrics.success": (f"{_METRICS}success.py",),
    "spa_bench.formats.answer": _FORMATS,
    "spa_bench.formats.format": _FORMATS,
    "spa_bench.formats.think": _FORMATS,
    "spa_bench.formats.world_model": _FORMATS,
    "spa_bench.runner.chance": ("tests/runner/test_chance.py",),
    "spa_bench.environments.sokoban": (f"{_WORLDS}sokoban.py", *_BOARDS, _RULES),
    "spa_bench.environments.frozenlake": (f"{_WORLDS}frozenlake.py", *_BOARDS, _RULES),
    "spa_bench.environments.sudoku": (f"{_WORLDS}sudoku.py", *_BOARDS),
    "spa_trainers.advantages": ("tests/trainers/test_advantages.py",),
}
"""What is broken, and the tests that have to notice."""

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


@dataclass(frozen=True)
class Mutant:
    """A module with one fault in it."""

    line: int
    was: str
    now: str
    tree: ast.Module


def path_of(name: str) -> Path:
    """Returns the file of a module, from the root of the repository."""
    root = "trainers" if name.startswith("spa_trainers") else "."
    return Path(root, *name.split(".")).with_suffix(".py")


def mutants(source: str) -> Iterator[Mutant]:
    """Yields every mutant of a module, in the order of its lines."""
    places = sorted(_places(ast.parse(source)), key=lambda place: place[1])
    for number, line, ways in places:
        for way in range(ways):
            tree = ast.parse(source)
            node = list(ast.walk(tree))[number]
            was = ast.unparse(node)
            list(_edits(node))[way]()
            yield Mutant(line, was, ast.unparse(node), ast.fix_missing_locations(tree))


def _places(tree: ast.Module) -> Iterator[tuple[int, int, int]]:
    """Yields number, line and ways to break it, of each node that does something."""
    silent = _without_effect(tree)
    for number, node in enumerate(ast.walk(tree)):
        ways = 0 if id(node) in silent else len(list(_edits(node)))
        if ways:
            yield number, getattr(node, "lineno", 0), ways


def _without_effect(tree: ast.Module) -> set[int]:
    """Returns annotations, docstrings, texts of errors and `strict=`: no test has to know them."""
    silent: list[ast.AST | None] = []
    for node in ast.walk(tree):
        match node:
            case ast.AnnAssign(annotation=ast.Name(id="TypeAlias")):
                silent.append(node)
            case ast.AnnAssign(annotation=kind) | ast.arg(annotation=kind):
                silent.append(kind)
            case ast.FunctionDef():
                silent += [*node.decorator_list, node.returns]
            case ast.ClassDef():
                silent += [*node.bases, *node.decorator_list]
            case ast.Raise() | ast.Expr(value=ast.Constant()) | ast.keyword(arg="strict"):
                silent.append(node)
            case ast.Assign(value=ast.Call(func=ast.Name(id="TypeVar"))):
                silent.append(node)
            case _:
                pass
    return {id(inner) for node in silent if node for inner in ast.walk(node)}


def _edits(node: Any) -> Iterator[Callable[[], None]]:
    """Yields the ways to break one node, each of which changes it in place."""
    match node:
        case ast.Compare():
            for i, operator in enumerate(node.ops):
                yield lambda i=i, o=operator: _put(node.ops, i, _COMPARISONS[type(o)]())
        case ast.BinOp() | ast.AugAssign() if type(node.op) in _OPERATORS:
            yield lambda: setattr(node, "op", _OPERATORS[type(node.op)]())
        case ast.BoolOp():
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield lambda: setattr(node, "op", other)
        case ast.UnaryOp(op=ast.Not()):
            yield lambda: setattr(node, "operand", ast.UnaryOp(ast.Not(), node.operand))
        case ast.UnaryOp(op=ast.USub()):
            yield lambda: setattr(node, "op", ast.UAdd())
        case ast.If() | ast.IfExp() | ast.While():
            if not isinstance(node.test, ast.Compare | ast.UnaryOp):
                yield lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
        case ast.comprehension(ifs=[_, *_]):
            yield lambda: setattr(node, "ifs", [])
        case ast.Constant(value=bool()):
            yield lambda: setattr(node, "value", not node.value)
        case ast.Constant(value=int() | float()):
            yield lambda: setattr(node, "value", node.value + 1)
        case ast.Constant(value=str()):
            yield lambda: setattr(node, "value", node.value + "x")
        case ast.Return(value=ast.expr()) if not _is_none(node.value):
            yield lambda: setattr(node, "value", ast.Constant(None))
        case ast.Break():
            yield lambda: setattr(node, "__class__", ast.Continue)
        case ast.Continue():
            yield lambda: setattr(node, "__class__", ast.Break)
        case ast.Expr(value=ast.Call()):
            yield lambda: setattr(node, "value", ast.Constant(None))
        case _:
            pass


def _put(items: list[ast.cmpop], i: int, item: ast.cmpop) -> None:
    items[i] = item


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


class _Broken(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a tree in place of its file."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self._name, self._path, self._tree = name, path, tree

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._path, loader=self)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._tree, str(self._path), "exec"), module.__dict__)  # noqa: S102


def survives(
    name: str, path: Path, tree: ast.Module, seconds: float = resource.RLIM_INFINITY
) -> bool:
    """Returns whether all tests pass with this tree in place of the module.

    Args:
        seconds: of the processor, after which they have failed.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            sys.meta_path.insert(0, _Broken(name, path, tree))
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
            resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
            code = _run(TESTS[name])
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _run(tests: tuple[str, ...]) -> int:
    import pytest

    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    options = ["-x", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-profile", "mutation"]
    for test in tests:  # one after the other: most of what is broken fails in the first
        if code := pytest.main([*options, test]):
            return int(code)
    return 0


def _prepare() -> None:
    """Imports what every child needs and none of them breaks; the same examples for all."""
    for name in ("pytest", "pydantic", "yaml", "scipy.special", "scipy.stats", "torch"):
        importlib.import_module(name)
    import hypothesis

    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)  # no search for a smaller one
    hypothesis.settings.register_profile(
        "mutation", deadline=None, database=None, derandomize=True, phases=phases
    )
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = tempfile.mkdtemp(prefix="mutation-")


def _seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Breaks the modules named, or all, and prints the score of each and what survived."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(TESTS)}")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th mutant")
    arguments = parser.parse_args()
    chosen = arguments.modules or list(TESTS)
    if unknown := set(chosen) - TESTS.keys():
        parser.error(f"no tests are named for {', '.join(sorted(unknown))}")
    _prepare()
    noticed = made = 0
    for name in chosen:
        path = path_of(name)
        source = path.read_text(encoding="utf-8")
        before = _seconds_of_children()
        if not survives(name, path, ast.parse(source)):
            sys.exit(f"{name}: its tests fail as it is")
        seconds = PATIENCE * (1 + _seconds_of_children() - before)
        left = total = 0
        for mutant in islice(mutants(source), 0, None, arguments.every):
            total += 1
            if survives(name, path, mutant.tree, seconds):
                left += 1
                print(f"  {path}:{mutant.line}: {mutant.was!r} became {mutant.now!r}", flush=True)
        print(f"{name}: {total - left} of {total} noticed", flush=True)
        noticed, made = noticed + total - left, made + total
    print(f"{noticed} of {made} noticed, {noticed / made:.1%}")


if __name__ == "__main__":
    main()
