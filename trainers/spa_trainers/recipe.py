"""A recipe: one YAML file that says what is trained, on what, and how.

Sections are stages, run in this order: `selfplay`, `sft`, `rl`. A section that is not there is a
stage that is left out. Recipes may `include` others, as tasks do. What none of them says is as the
recipe's preset has it (`recipes/presets`), and else as the paper.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import Discriminator, Tag, TypeAdapter, ValidationError

from spa_bench import yaml_file
from spa_bench.errors import InputError, complaint, nearest
from spa_bench.matching import Matching
from spa_bench.paths import expanded
from spa_trainers.grpo_settings import GrpoSettings
from spa_trainers.nano.model import NanoConfig
from spa_trainers.ppo_settings import PpoSettings
from spa_trainers.selfplay import SelfPlaySettings
from spa_trainers.settings import Settings
from spa_trainers.sft import SftSettings

_PRESETS = "presets"
STAGES = ("selfplay", "sft", "rl")
ALGORITHMS = {"ppo": PpoSettings, "grpo": GrpoSettings}


def _algorithm(section: Any) -> str:
    """Returns what a section `rl` is trained with: PPO, unless it says something else."""
    if isinstance(section, dict):
        return cast(dict[str, str], section).get("algorithm", "ppo")
    return getattr(section, "algorithm", "ppo")


Rl = Annotated[
    Annotated[PpoSettings, Tag("ppo")] | Annotated[GrpoSettings, Tag("grpo")],
    Discriminator(
        _algorithm,
        custom_error_type="algorithm",
        custom_error_message=f"algorithm is one of {', '.join(ALGORITHMS)}",
    ),
]
"""A section `rl`: its key `algorithm` says which settings it has."""


class Recipe(Settings):
    """The contents of a recipe file.

    Attributes:
        recipe: its name. description: for the model card.
        method: how the result is called on a leaderboard: `base`; `world_model`, SPA's first half
            alone; or one of the four that end in reinforcement.
        preset: whose settings stand where the recipe is silent.
        model: what training begins with: a folder (relative to the recipe's file if it begins
            with `./` or `../`), or a name on the hub.
        nano: in place of `model`: a fresh small model of these sizes.
        save_dtype: of the stored weights; None keeps the type they were trained in.
    """

    recipe: Annotated[
        str,
        Matching(
            r"^(?!(selfplay|sft|rl|start)$)[A-Za-z0-9][A-Za-z0-9._-]*$",
            "a name is made of letters, digits, '.', '_' and '-', a letter or a digit first, and is"
            " none of the folders of a training: selfplay, sft, rl, start",
        ),
    ]
    description: str = ""
    method: Literal["base", "world_model", "vanilla", "state_estimation", "vagen", "spa"]
    preset: Literal["paper", "repo_compat"] = "paper"
    model: str | None = None
    nano: NanoConfig | None = None
    selfplay: SelfPlaySettings | None = None
    sft: SftSettings | None = None
    rl: Rl | None = None
    save_dtype: Literal["bfloat16", "float16", "float32"] | None = None

    def stages(self) -> list[str]:
        """Returns the names of the stages it has, in order."""
        return [stage for stage in STAGES if getattr(self, stage) is not None]


def recipes_folder() -> Path:
    """Returns the folder of the built-in recipes: inside the wheel, or in the checkout."""
    package = Path(__file__).parent
    installed = package / "_recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def built_in_recipes() -> dict[str, Path]:
    """Returns the built-in recipes: name -> file."""
    return {
        path.stem: path
        for path in recipes_folder().rglob("*.yaml")
        if not path.name.startswith("_") and path.parent.name != _PRESETS
    }


def find_recipe(name: str) -> Path:
    """Returns the file of a recipe: a path, or the name of a built-in one.

    Raises:
        InputError: if there is none.
    """
    if name in STAGES:
        raise InputError(f"the stage {name} of which recipe? `spa-bench list recipes` has them")
    path = expanded(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise InputError(f"{name}: no such recipe file")
        return path
    known = built_in_recipes()
    if name not in known:
        raise InputError(
            f"unknown recipe {name!r}{nearest(name, known)}; `spa-bench list recipes` has them, or"
            " give a file that ends in .yaml"
        )
    return known[name]


def load_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Reads a recipe file and applies `--set` changes such as `sft.epochs=1`.

    Raises:
        InputError: for everything that is wrong with it, with file and line.
    """
    document = yaml_file.read(path.resolve(), built_in_recipes())
    changed = {_change(document, change) for change in changes}
    _add_preset(document.data)
    try:
        # as JSON: `yes`, "5" and 5.0 are not 5
        found = TypeAdapter(Recipe).validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        details = sorted(error.errors(include_url=False), key=lambda d: d["type"] == "missing")
        detail = details[0]
        path_in_file = _without_algorithm(detail["loc"])
        if detail["type"].startswith("union_tag"):  # the place of a section whose kind is not known
            path_in_file += ("algorithm",)
        key = ".".join(map(str, path_in_file))
        where = document.locate(path_in_file)
        if detail["type"] == "extra_forbidden":
            known = _fields(detail["loc"][:-1])
            hint = nearest(str(detail["loc"][-1]), known)
            raise InputError(f"{where}: unknown key {key!r}{hint}") from None
        raise InputError(f"{where}: {key}: {complaint(detail)}") from None
    if found.model is None and found.nano is None:
        raise InputError(f"{document.locate(())}: a recipe begins with `model` or with `nano`")
    if found.model is not None and found.nano is not None:
        key = "model" if ("model",) in changed else "nano"
        raise InputError(
            f"{document.locate((key,))}: a recipe begins with `model` or with `nano`, not with"
            " both; the other can be taken away with --set nano=null or model=null"
        )
    if found.model is not None and found.model.startswith(("./", "../")):
        said = ("model",)
        beside = Path.cwd() if said in changed else document.file_of(said).parent
        found = found.model_copy(update={"model": str(beside / found.model)})
    if not found.stages():
        raise InputError(f"{document.locate(())}: a recipe needs a stage: {', '.join(STAGES)}")
    if found.sft is not None and found.selfplay is None:
        raise InputError(f"{document.locate(('sft',))}: sft needs rows: add a section `selfplay`")
    return found


def _add_preset(data: dict[str, Any]) -> None:
    """Puts the settings of a recipe's preset under those of its sections, where PPO is meant."""
    name = data.get("preset", "paper")
    path = recipes_folder() / _PRESETS / f"{name}.yaml"
    if not isinstance(name, str) or not path.is_file():
        return  # the schema says what is wrong
    for stage, settings in yaml_file.read(path).data.items():
        section = data.get(stage)
        if isinstance(section, dict) and (stage != "rl" or _algorithm(section) == "ppo"):
            data[stage] = {**settings, **cast(dict[str, Any], section)}


def _without_algorithm(loc: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns a place in a recipe as the file has it; pydantic names the algorithm after `rl`."""
    named = len(loc) > 1 and loc[0] == "rl" and loc[1] in ALGORITHMS
    return loc[:1] + loc[2:] if named else loc


def _change(document: yaml_file.Document, change: str) -> tuple[str, ...]:
    """Applies a change; returns the path of its key."""
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise InputError(f"--set {change}: write KEY=VALUE, such as sft.epochs=1")
    try:
        value = yaml_file.read_value(text)
    except InputError as error:
        raise InputError(f"--set {change}: {error}") from None
    path = tuple(key.split("."))
    document.change(path, value, f"--set {change}")
    return path


def _fields(loc: Sequence[Any]) -> list[str]:
    fields: Any = Recipe.model_fields
    for name in loc:
        if name in ALGORITHMS:
            fields = ALGORITHMS[name].model_fields
            continue
        kind: Any = fields[name].annotation if name in fields else None
        sections = [option for option in (kind, *get_args(kind)) if hasattr(option, "model_fields")]
        fields = sections[0].model_fields if sections else {}
    return list(fields)
