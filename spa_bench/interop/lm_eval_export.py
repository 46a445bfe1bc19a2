"""A run as lm-eval writes its own: `results_*.json` and `samples_*.jsonl`, for what reads those.

One sample an episode. Prompts are not in our log, only their hashes, which stand in their place.
lm-eval prints standard errors and we print intervals: the standard error given is half the width
of the 95% interval divided by 1.96.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from spa_bench.canonical import sha256_hex
from spa_bench.errors import InputError
from spa_bench.interop.figures import figures_of
from spa_bench.results.results import Results, TaskResult
from spa_bench.results.schema import Number
from spa_bench.runner.log import RunFolder, RunInfo, RunTask, write_atomically
from spa_bench.runner.record import Episode
from spa_bench.runner.run_log import RunLog

_FILTER = "none"
_WIDTH = 2 * 1.959963984540054
"""Of a 95% interval, in standard errors."""


def export(
    run: Path, output: Path, note: Callable[[str], None] = lambda message: None
) -> list[Path]:
    """Writes the files into a folder below `output` named by the model; returns their paths.

    Args:
        note: told what a person should know.

    Raises:
        InputError: if `run` holds no run with results, or its results are not those of its log.
    """
    folder = RunFolder(run)
    log, results = RunLog(folder), _results(folder)
    info, samples = log.info, _samples(log)
    if (bad := log.bad.told(folder.episodes_path)) is not None:
        note(bad)
    _check_counts(folder, info, results, samples)
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in info.model.name)
    target = output / (name.lstrip(".") or "model")
    target.mkdir(parents=True, exist_ok=True)
    date = info.created.removesuffix("Z").replace(":", "-")
    written = [target / f"results_{date}.json"]
    text = json.dumps(_aggregated(info, results), indent=2, ensure_ascii=False)
    write_atomically(written[0], f"{text}\n".encode())
    for task in info.tasks:
        written.append(target / f"samples_{task.task}_{date}.jsonl")
        write_atomically(written[-1], "".join(samples[task.hash]).encode())
    return written


def _results(folder: RunFolder) -> Results:
    try:
        return Results.model_validate_json(folder.results_path.read_bytes())
    except (OSError, ValidationError):
        raise _without_results(folder, "no results that this version reads") from None


def _samples(log: RunLog) -> dict[str, list[str]]:
    """Returns the lines of the samples by the hash of their task."""
    samples: dict[str, list[str]] = {task.hash: [] for task in log.info.tasks}
    metric = {task.hash: _first_metric(task) for task in log.info.tasks}
    for episode, scored in log.episodes():
        if scored:
            lines = samples[episode.task_hash]
            sample = _sample(episode, len(lines), metric[episode.task_hash])
            lines.append(json.dumps(sample, ensure_ascii=False) + "\n")
    return samples


def _check_counts(
    folder: RunFolder, info: RunInfo, results: Results, samples: Mapping[str, Sequence[str]]
) -> None:
    """Makes sure that results and log tell of the same episodes.

    Raises:
        InputError: if they do not, as where a run was killed while it was continued.
    """
    told = {result.task_hash: result.episodes for result in results.tasks}
    for task in info.tasks:
        in_log, in_results = len(samples[task.hash]), told.get(task.hash, 0)
        if in_log != in_results:
            raise _without_results(
                folder,
                f"not the results of this log: of {task.task} it has {in_log} episodes that"
                f" count, they have {in_results}",
            )


def _without_results(folder: RunFolder, why: str) -> InputError:
    return InputError(
        f"{folder.results_path}: {why}; evaluate .. --resume --output {folder.path} makes them"
    )


def _aggregated(info: RunInfo, results: Results) -> dict[str, Any]:
    tasks = {task.task: task for task in info.tasks}
    found = {result.task: _numbers(result) for result in results.tasks}
    return {
        "results": found,
        "group_subtasks": {name: [] for name in found},
        "configs": {name: _config(task) for name, task in tasks.items()},
        "versions": {name: task.config.get("version") for name, task in tasks.items()},
        "n-shot": dict.fromkeys(found, 0),
        "higher_is_better": {
            name: {key.partition(",")[0]: True for key in numbers if _is_value(key)}
            for name, numbers in found.items()
        },
        "n-samples": {
            result.task: {
                "original": tasks[result.task].boards * result.repeats,
                "effective": result.episodes,
            }
            for result in results.tasks
            if result.task in tasks
        },
        "config": {
            "model": info.model.name,
            "model_args": dict(info.model.identity),
            "limit": info.limit,
            "random_seed": info.salt,
        },
        "task_hashes": {name: task.hash for name, task in tasks.items()},
        "date": info.created,
        "model_name": info.model.name,
        "spa_bench_version": info.versions.get("spa_bench"),
    }


def _numbers(result: TaskResult) -> dict[str, Any]:
    numbers: dict[str, Any] = {"alias": result.task, "sample_len": result.episodes}
    for figure in figures_of(result):
        error = None
        if figure.low is not None and figure.high is not None:
            error = (figure.high - figure.low) / _WIDTH
        numbers |= _number(figure.metric, figure.value, error)
    probe = result.probe
    if probe is not None:
        numbers |= _number("probability", probe.probability)
        numbers |= _number("cell_accuracy", probe.cell_accuracy)
        numbers |= _number("object_f1", probe.object_f1)
    return numbers


def _number(metric: str, value: Number, error: Number = None) -> dict[str, Any]:
    if value is None:
        return {}
    stderr = "N/A" if error is None else error
    return {f"{metric},{_FILTER}": value, f"{metric}_stderr,{_FILTER}": stderr}


def _is_value(key: str) -> bool:
    name, comma, _ = key.partition(",")
    return bool(comma) and not name.endswith("_stderr")


def _config(task: RunTask) -> dict[str, Any]:
    config = task.config
    sampling: Mapping[str, Any] = config.get("sampling", {})
    limits: Mapping[str, Any] = config.get("limits", {})
    return {
        "task": task.task,
        "tag": config.get("tag", []),
        "output_type": "generate_until",
        "repeats": task.repeats,
        "generation_kwargs": {**sampling, "max_gen_toks": limits.get("new_tokens")},
        "metadata": {"version": config.get("version")},
    }


def _first_metric(task: RunTask) -> str:
    """Returns what the success of one episode is called: accuracy for probes, else pass@1."""
    return "accuracy" if task.config.get("kind") == "probe" else "pass@1"


def _sample(episode: Episode, number: int, metric: str) -> dict[str, Any]:
    doc = {"instance": episode.instance, "board_key": episode.board_key, "repeat": episode.repeat}
    replies = [turn.reply for turn in episode.turns]
    prompts = [turn.prompt_sha256 for turn in episode.turns]
    return {
        "doc_id": number,
        "doc": doc,
        "target": "",
        "arguments": {f"gen_args_{i}": {"arg_0": f"sha256:{p}"} for i, p in enumerate(prompts)},
        "resps": [[reply] for reply in replies],
        "filtered_resps": replies,
        "filter": _FILTER,
        "metrics": [metric],
        "doc_hash": sha256_hex(doc),
        "prompt_hash": prompts[0] if prompts else sha256_hex(""),
        "target_hash": sha256_hex(""),
        metric: float(episode.success),
    }
