"""`spa-bench evaluate`: play tasks with a model and print the table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from spa_bench.cli.options import (
    Adapter,
    BaseUrl,
    BatchSize,
    Device,
    Dtype,
    IncludePath,
    ModelArgs,
    path_option,
)

if TYPE_CHECKING:
    from spa_bench.results.table import OutputFormat

_SPA = ["spa"]


def evaluate(
    model: Annotated[
        str,
        typer.Option(
            help="PROVIDER/NAME, such as baseline/random, hf/Qwen/Qwen2.5-1.5B-Instruct or"
            " openai/gpt-5, or a path such as ./checkpoint."
        ),
    ],
    tasks: Annotated[
        list[str],
        typer.Option(
            help="Task names, groups, tags, patterns or .yaml files, comma-separated; can be"
            " repeated."
        ),
    ] = _SPA,
    repeats: Annotated[
        int | None,
        typer.Option(
            "--repeats", "--epochs", min=1, help="Episodes per board; default: the task's own."
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Play only the first N boards (for probes: questions); marks the run partial.",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            help="i/n: play only the i-th of n parts of the boards; `merge` joins the parts."
        ),
    ] = None,
    output: Annotated[
        Path | None, path_option("The run folder; default: a new one under runs/.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --output: play what is missing.")
    ] = False,
    model_args: ModelArgs = "",
    base_url: BaseUrl = None,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, help="Episodes played at a time; default: depends on the model."),
    ] = None,
    batch_size: BatchSize = None,
    device: Device = None,
    dtype: Dtype = None,
    gen_kwargs: Annotated[
        str,
        typer.Option(
            help="Override temperature=, top_p= or new_tokens=; the variant is shown as task* and"
            " has its own hash."
        ),
    ] = "",
    seed: Annotated[str, typer.Option(help="Seed of all random draws; any text.")] = "0",
    include_path: IncludePath = None,
    adapter: Adapter = None,
    log_tokens: Annotated[
        bool, typer.Option("--log-tokens", help="Log token ids and log-probabilities.")
    ] = False,
    price: Annotated[
        str,
        typer.Option(
            help="PROMPT/COMPLETION in US dollars per million tokens, such as 0.15/0.60; adds the"
            " cost to the results."
        ),
    ] = "",
    max_cost: Annotated[
        float | None,
        typer.Option(
            help="Spending limit of the run, in US dollars; needs --price. --resume plays the rest."
        ),
    ] = None,
    max_tokens_total: Annotated[
        int | None,
        typer.Option(min=1, help="Limit on the run's prompt and completion tokens together."),
    ] = None,
    output_format: Annotated[str, typer.Option(help="table, markdown, json or csv.")] = "table",
) -> None:
    """Evaluate a model on tasks and print a table of the results.

    Every score comes with its 95% interval, and with the exact floor (random play) and ceiling
    (the best possible policy) of its task. The run folder keeps every episode.
    """
    from spa_bench.cli.progress import watch
    from spa_bench.errors import InputError

    style = check_output_format(output_format)

    import asyncio

    from spa_bench.errors import ModelGoneError, PluginError
    from spa_bench.evaluation import default_output, evaluate_async
    from spa_bench.paths import typed
    from spa_bench.plugins import resolve_model
    from spa_bench.results.shown import counted
    from spa_bench.results.table import efficiency_line, format_results

    options = {
        "args": key_values(model_args, "--model-args"),
        "base_urls": tuple(base_url or ()),
        "concurrency": concurrency,
        "batch_size": batch_size,
        "device": device,
        "dtype": dtype,
        "adapter": adapter,
    }
    if resume and output is None:
        raise InputError("--resume needs the --output folder of the run to continue")
    folder = output or default_output(resolve_model(model, **options)[1].label, shard)
    progress = watch()
    try:
        results = asyncio.run(
            evaluate_async(
                model,
                tasks,
                output=folder,
                repeats=repeats,
                limit=limit,
                shard=shard,
                salt=seed,
                resume=resume,
                concurrency=concurrency,
                log_tokens=log_tokens,
                include_paths=include_path or (),
                gen_kwargs=key_values(gen_kwargs, "--gen-kwargs"),
                price=_price(price),
                max_cost=max_cost,
                max_tokens_total=max_tokens_total,
                progress=progress,
                **{k: v for k, v in options.items() if k != "concurrency"},
            )
        )
    except KeyboardInterrupt:
        progress.note(f"interrupted{_how_to_continue(folder)}")
        raise
    except (ModelGoneError, PluginError) as error:
        raise type(error)(f"{error}{_how_to_continue(folder)}") from None
    typer.echo(format_results([results], style))
    if results.efficiency is not None:
        progress.note(efficiency_line(results.efficiency))
    progress.note(f"run folder: {folder}")
    if results.owed:
        owed = counted(results.owed, "episode")
        progress.note(f"{owed} still owed; continue with --resume --output {typed(folder)}")
        raise typer.Exit(1)


def _how_to_continue(folder: Path) -> str:
    from spa_bench.paths import typed
    from spa_bench.runner.log import RunFolder

    begun = RunFolder(folder).exists()
    return f"; continue with --resume --output {typed(folder)}" if begun else ""


def check_output_format(text: str) -> OutputFormat:
    """Returns the format of tables that an option names.

    Raises:
        InputError: if there is none of that name.
    """
    from spa_bench.errors import InputError
    from spa_bench.results.table import OUTPUT_FORMATS

    if text not in OUTPUT_FORMATS:
        raise InputError(f"--output-format {text!r} is none of {', '.join(OUTPUT_FORMATS)}")
    return cast("OutputFormat", text)


def _price(text: str) -> tuple[float, float] | None:
    from spa_bench.errors import InputError

    if not text:
        return None
    try:
        prompt, completion = (float(part) for part in text.split("/"))
    except ValueError:
        prompt = completion = -1.0
    if not (0 <= prompt < 1e9 and 0 <= completion < 1e9):
        raise InputError(f"--price {text!r} is not PROMPT/COMPLETION, such as 0.15/0.60")
    return prompt, completion


def key_values(text: str, option: str) -> dict[str, str]:
    """Reads `key=value,key=value`; a value may hold `=` but no comma, unless in brackets.

    Raises:
        InputError: for a part that is no key=value.
    """
    from spa_bench.errors import InputError

    values: dict[str, str] = {}
    for part in _split_commas(text):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise InputError(f"{option}: {part.strip()!r} is not key=value")
        values[key.strip()] = value.strip()
    return values


def _split_commas(text: str) -> list[str]:
    """Splits at commas outside of brackets, so that a value can be JSON."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[{(") - (character in "]})")
        if character == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part for part in parts if part.strip()]
