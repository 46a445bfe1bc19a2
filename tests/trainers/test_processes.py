"""Two processes learn what one learns: the same gradients, weights, log and states."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_ppo import train

from spa_trainers.processes import Processes

HERE = Path(__file__).parent
FSDP2 = HERE.parents[1] / "trainers" / "launch" / "fsdp2.yaml"
ACCELERATE = ["accelerate.commands.launch", "--config_file", str(FSDP2), "--num_processes", "2"]
LAUNCH = {
    "replicated": ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
    "sharded": [*ACCELERATE, "--main_process_port", "0"],
}
SMALL_RL = ["rl.steps=1", "rl.boards=2", "rl.repeats=2", "rl.new_tokens=20"]
SMALL_RL += ["rl.evaluate_boards=2", "rl.evaluate_repeats=1"]
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A run of one step in one process."""
    folder = tmp_path_factory.mktemp("alone")
    train(folder, 1, Processes())
    return folder


@pytest.fixture(scope="module", params=["sharded", pytest.param("replicated", marks=slow)])
def together(request, tmp_path_factory):
    """The same in two, as `torchrun` or `accelerate launch` starts them."""
    folder = tmp_path_factory.mktemp(request.param)
    _launch(request.param, folder, 1)
    return folder


def _launch(how, folder, steps):
    _run(*LAUNCH[how], str(HERE.parent / "small_ppo.py"), str(folder), str(steps))


def _run(*command):
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def _state(folder):
    return torch.load(folder / "state.pt", weights_only=True)


def _log(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.endswith("_seconds")} for line in lines]


def test_gradients_are_those_of_one_process(alone, together):
    """After the first update Adam's mean of gradients is a tenth of them."""
    one, two = (_state(folder)["optimizer"]["state"] for folder in (alone, together))
    assert one.keys() == two.keys()
    assert sum(float(entry["exp_avg"].abs().sum()) for entry in one.values()) > 0
    for number in one:
        torch.testing.assert_close(
            one[number]["exp_avg"], two[number]["exp_avg"], rtol=1e-4, atol=1e-7
        )


def test_weights_after_a_step_are_those_of_one_process(alone, together):
    one, two = (_state(folder)["model"] for folder in (alone, together))
    assert one.keys() == two.keys()
    for name in one:
        # Adam divides by a gradient's size: one that is zero but for rounding can go either way
        moved = one[name] - two[name]
        assert float(moved.abs().mean()) < 1e-6, name


def test_the_log_is_that_of_one_process(alone, together):
    one, two = _log(alone), _log(together)
    assert [line["step"] for line in two] == [0, 1]
    for mine, other in zip(one, two, strict=True):
        assert mine.keys() == other.keys()
        for key, value in mine.items():
            assert other[key] == pytest.approx(value, rel=1e-3, abs=1e-5), key


def test_what_two_processes_began_one_goes_on_with(together, tmp_path):
    """State is whole and the same, however weights were spread."""
    for name in ("state.pt", "log.jsonl"):
        (tmp_path / name).write_bytes((together / name).read_bytes())
    ppo, report = train(tmp_path, 2, Processes())
    assert report["steps"] == 2
    assert [line["step"] for line in _log(tmp_path)] == [0, 1, 2]
    assert len(ppo.boards_seen) == 6


@slow
def test_two_processes_go_on_with_what_one_began(alone, together, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for name in ("state.pt", "log.jsonl"):
            (tmp_path / folder / name).write_bytes((alone / name).read_bytes())
    train(tmp_path / "one", 2, Processes())
    _launch("sharded" if "sharded" in str(together) else "replicated", tmp_path / "two", 2)
    one, two = (_state(tmp_path / folder)["model"] for folder in ("one", "two"))
    for name in one:
        assert float((one[name] - two[name]).abs().mean()) < 1e-6, name


@slow
def test_the_documented_command_starts_two_processes(tmp_path):
    said = _run(
        *LAUNCH["replicated"],
        *("-m", "spa_trainers", "rl", "nano-state-estimation-frozenlake"),
        *("--output", str(tmp_path)),
        *(f"--set={setting}" for setting in SMALL_RL),
    )
    assert "rl: 2 processes share the boards" in said
    assert said.count("step    1") == said.count("checkpoint:") == 1
    assert (tmp_path / "nano-state-estimation-frozenlake" / "config.json").is_file()


def test_shares_are_all_and_each_once():
    items = list(range(7))
    shares = [Processes(rank, 3).share(items) for rank in range(3)]
    assert sorted(item for share in shares for item in share) == items
