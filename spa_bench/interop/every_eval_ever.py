"""Every Eval Ever 0.3: one JSON file a submission, in the place its validator wants it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from spa_bench.interop.figures import Figure, figures
from spa_bench.registry import Registry
from spa_bench.results.results import Results
from spa_bench.submission.schema import Submission
from spa_bench.task import Task

VERSION = "0.3.0"

_SELF_DEPLOYED = ("hf", "vllm", "lm_eval", "baseline")


def export(
    submission: Submission, results: Results, digest: str, registry: Registry
) -> tuple[str, dict[str, Any]]:
    """Returns a submission's path below the datastore's root, and the record there.

    The same submission always gives the same record.

    Args:
        digest: of the submission; names the file.
        registry: of its tasks.

    Raises:
        InputError: for a task that this version does not know.
    """
    model_id = _model_id(submission)
    made = str(int(datetime.combine(submission.date, datetime.min.time(), UTC).timestamp()))
    tasks = {task.task: registry.resolve([task.task])[0] for task in submission.run.tasks}
    record: dict[str, Any] = {
        "schema_version": VERSION,
        "evaluation_id": f"spa-bench/{model_id}/{digest[:16]}",
        "evaluation_timestamp": submission.run.created,
        "retrieved_timestamp": made,
        "source_metadata": {
            "source_name": "spa-bench",
            "source_type": "evaluation_run",
            "source_organization_name": submission.submitted_by,
            "evaluator_relationship": "other",
            "additional_details": _texts({"submission": submission.name, **submission.links}),
        },
        "eval_library": {
            "name": "spa_bench",
            "version": submission.run.versions.get("spa_bench", "unknown"),
        },
        "model_info": _model_info(submission, model_id),
        "evaluation_results": [
            _result(figure, tasks[figure.task.task], submission) for figure in figures(results)
        ],
    }
    # a random UUID is what the datastore wants; this one is drawn from the submission itself
    name = uuid.UUID(bytes=bytes.fromhex(digest)[:16], version=4)
    return f"data/spa-bench/{model_id}/{name}.json", record


def _model_id(submission: Submission) -> str:
    """Returns DEVELOPER/MODEL; the provider's name stands in where no developer is known."""
    provider, _, name = submission.run.model.partition("/")
    parts = (name or f"{submission.provider}/{provider}").split("/")
    developer = parts[-2] if len(parts) > 1 else provider
    return "/".join(
        re.sub(r"[^\w.-]+", "-", part).strip("-.") or "-" for part in (developer, parts[-1])
    )


def _model_info(submission: Submission, model_id: str) -> dict[str, Any]:
    open_weights = "weights" in submission.links or submission.provider in _SELF_DEPLOYED
    return {
        "name": submission.model,
        "id": model_id,
        "inference_engine": {"name": submission.provider},
        "additional_details": _texts(
            {
                "deployment_type": "self_deployed"
                if submission.provider in _SELF_DEPLOYED
                else "unknown",
                "model_availability": "open_weights" if open_weights else "unknown",
                "method": submission.method,
                "parameters": submission.parameters,
                "base_model": submission.base_model,
                "training_boards": submission.training,
                "notes": submission.notes,
            }
        ),
    }


def _result(figure: Figure, task: Task, submission: Submission) -> dict[str, Any]:
    config = task.config
    details = {
        "floor": figure.floor,
        "ceiling": figure.ceiling,
        "boards": figure.task.boards,
        "repeats": figure.task.repeats,
    }
    interval = (
        {}
        if figure.low is None or figure.high is None
        else {
            "confidence_interval": {
                "lower": figure.low,
                "upper": figure.high,
                "confidence_level": 0.95,
                "method": "clustered by board",
            }
        }
    )
    return {
        "evaluation_result_id": f"{figure.task.task}/{figure.metric}",
        "evaluation_name": figure.task.task,
        "source_data": {
            "dataset_name": f"spa-bench/{figure.task.task}",
            "source_type": "other",
            "additional_details": _texts(
                {"task_hash": task.hash, "instances": config.instances.seeds}
            ),
        },
        "evaluation_timestamp": submission.run.created,
        "metric_config": {
            "evaluation_description": figure.says,
            "metric_id": figure.family,
            "metric_name": figure.metric,
            "metric_kind": "pass_rate" if figure.k is not None else "accuracy",
            "metric_unit": "proportion",
            **({} if figure.k is None else {"metric_parameters": {"k": figure.k}}),
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 1.0,
        },
        "score_details": {
            "score": figure.value,
            "details": _texts(details),
            "uncertainty": {**interval, "num_samples": figure.samples},
        },
        "generation_config": {
            "generation_args": {
                "temperature": config.sampling.temperature,
                "top_p": config.sampling.top_p,
                "max_tokens": config.limits.new_tokens,
                "eval_limits": {"message_limit": config.limits.turns},
            },
            "additional_details": _texts(
                {
                    "format": config.format,
                    "observation": config.observation,
                    "actions": config.limits.actions,
                    "actions_per_turn": config.limits.actions_per_turn,
                    "salt": submission.run.salt,
                }
            ),
        },
    }


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Returns what is known, as text: all that the format allows."""
    return {key: str(value) for key, value in values.items() if value is not None}
