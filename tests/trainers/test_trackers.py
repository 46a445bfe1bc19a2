"""Trackers: off by default, refused in one line where they are not installed."""

import importlib.util
import json
import math

import pytest

from spa_bench.errors import InputError
from spa_trainers import trackers
from spa_trainers.ppo_settings import PpoSettings
from spa_trainers.step_log import StepLog

MISSING = [name for name in ("tensorboard", "wandb") if importlib.util.find_spec(name) is None]


def test_no_tracker_unless_one_is_asked_for():
    assert PpoSettings(tasks=["frozenlake"]).tracker is None
    trackers.check(None)


@pytest.mark.parametrize("name", MISSING)
def test_a_tracker_that_is_not_installed_is_refused(name):
    with pytest.raises(InputError, match=f"{name} is not installed: pip install {name}"):
        trackers.check(name)


def test_a_tracker_is_no_part_of_what_a_training_is():
    plain, tracked = (PpoSettings(tasks=["x"], tracker=name) for name in (None, "tensorboard"))
    assert plain.model_dump() == tracked.model_dump()


def test_the_log_leaves_out_what_is_no_number(tmp_path):
    StepLog(tmp_path, lambda _: None).write({"step": 1, "reward": 0.5, "actor_gradient": math.nan})
    assert json.loads((tmp_path / "log.jsonl").read_text()) == {"step": 1, "reward": 0.5}


def test_tensorboard_is_told_what_the_log_is_told(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for first in (0, 2):  # a run, and one that goes on from step 1
        log = StepLog(tmp_path, lambda _: None, "tensorboard", {"steps": 3})
        log.cut(first - 1)
        for step in range(first, first + 3):
            log.write({"step": step, "reward": step / 2 + first})
        log.close()
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    told = {event.step: event.value for event in found.Scalars("reward")}
    assert told == {0: 0.0, 1: 0.5, 2: 3.0, 3: 3.5, 4: 4.0}
