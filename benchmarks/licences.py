"""The licences of everything that is installed with spa-bench: `python -m benchmarks.licences`.

    python -m benchmarks.licences --write docs/licences.md

Reads what the installed distributions say of themselves, from each extra down to its last
dependency. What is not installed here is listed as such, never guessed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tabulate import tabulate

EXTRAS = ("", "hf", "train", "lm-eval", "dev")
"""In this order; a package is listed with the first that needs it."""

UNLISTED = ("vllm", "fuzz")
"""Not installed where this page is written."""

OURS = "spa-bench"

_LONGEST = 60

Needed = dict[str, Distribution | None]
"""Packages by name; None for those that are not installed."""


def needed(extra: str) -> Needed:
    """Returns all packages that an extra of ours needs, and what these need, and so on."""
    found: Needed = {}
    waiting = [(OURS, frozenset({extra}))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            there = distribution(name)
        except PackageNotFoundError:
            found[name] = None
            continue
        if name != OURS:
            found[name] = there
        waiting += _requirements(there, extras)
    return found


def _requirements(
    package: Distribution, extras: frozenset[str]
) -> Iterator[tuple[str, frozenset[str]]]:
    for text in package.requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)


def licence(package: Distribution) -> str:
    """Returns the licence as the package states it: SPDX if it does, else what it says shortest."""
    metadata = package.metadata
    expression = metadata.get("License-Expression")
    if expression:
        return expression
    classified = [
        line.rpartition(" :: ")[2]
        for line in metadata.get_all("Classifier") or ()
        if line.startswith("License :: ") and not line.endswith("OSI Approved")
    ]
    if classified:
        return ", ".join(classified)
    lines = (metadata.get("License") or "").strip().splitlines()
    stated = lines[0].strip() if lines else ""
    return stated if 0 < len(stated) <= _LONGEST else "not stated in its metadata"


def rows() -> list[tuple[str, str, str, str]]:
    """Returns name, version, licence and extra of every package."""
    listed: dict[str, tuple[str, str, str, str]] = {}
    for extra in EXTRAS:
        for name, package in sorted(needed(extra).items()):
            said = ("-", "not installed here") if package is None else _said(package)
            listed.setdefault(name, (name, *said, extra or "base"))
    return list(listed.values())


def _said(package: Distribution) -> tuple[str, str]:
    return package.version, licence(package)


def page() -> str:
    """Returns docs/licences.md."""
    found = rows()
    parts = [
        "# Licences of what is installed\n",
        "spa-bench itself is Apache-2.0. It bundles no other packages: pip installs those"
        " below,\nin the versions that were tested together (`constraints.txt`). Each is listed"
        " under the first extra\nthat needs it, with the licence that it states itself. This page"
        " is written by\n`python -m benchmarks.licences --write docs/licences.md`.\n",
        f"The extras {' and '.join(f'`{extra}`' for extra in UNLISTED)} are not listed:"
        " they are not installed beside the others. Where you\ninstall them, read the licences of"
        " what they bring.\n",
    ]
    for extra in EXTRAS:
        name = extra or "base"
        own = [row[:3] for row in found if row[3] == name]
        if own:
            title = "Base install" if name == "base" else f"Extra `{name}`"
            table = tabulate(own, headers=["package", "version", "licence"], tablefmt="github")
            parts.append(f"## {title}: {len(own)} packages\n\n{table}\n")
    return "\n".join(parts)


def main() -> None:
    """Prints the page, or writes it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.licences")
    parser.add_argument("--write", type=Path, metavar="FILE")
    chosen = parser.parse_args()
    if chosen.write is None:
        print(page())
    else:
        chosen.write.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
