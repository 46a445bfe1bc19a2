"""What a base install brings may be used by everybody, and says so."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml

import spa_bench
from benchmarks.licences import EXTRAS, UNLISTED, licence, needed

ROOT = Path(__file__).parents[1]
PERMISSIVE = ("MIT", "BSD", "Apache", "PSF", "Python Software Foundation", "ISC", "MPL", "Mozilla")

BASE = needed("")


def test_the_closure_reaches_dependencies_of_dependencies() -> None:
    assert {"typer", "pydantic", "pydantic-core", "aiohttp", "markupsafe"} <= BASE.keys()


@pytest.mark.parametrize("name", sorted(BASE))
def test_every_package_of_the_base_install_is_permissive(name: str) -> None:
    package = BASE[name]
    assert package is not None
    assert any(word in licence(package) for word in PERMISSIVE), licence(package)


def test_a_base_install_needs_no_torch() -> None:
    assert not {"torch", "transformers", "trl", "datasets", "vllm"} & BASE.keys()


def test_every_extra_is_listed_or_said_not_to_be() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {*EXTRAS, *UNLISTED} == {"", *project["optional-dependencies"]}
    page = (ROOT / "docs" / "licences.md").read_text("utf-8")
    assert [extra for extra in EXTRAS[1:] if f"## Extra `{extra}`" not in page] == []
    assert [extra for extra in UNLISTED if f"`{extra}`" not in page] == []


def test_the_citation_names_this_version_and_licence() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == spa_bench.__version__
    assert f'license = "{cited["license"]}"' in (ROOT / "pyproject.toml").read_text("utf-8")
