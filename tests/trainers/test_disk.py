"""What a training writes is there whole or not at all, and a full disk is said in one line."""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from spa_bench.errors import InputError
from spa_trainers.disk import check_room, check_room_for_states, whole, writing
from spa_trainers.errors import TrainingError

LIMIT = 50_000


def _folder(tensors, path):
    path.mkdir()
    save_file(tensors, path / "model.safetensors")


def _bytes(tensors, path):
    path.write_bytes(bytes(4 * len(tensors["a"])))


@pytest.mark.parametrize("save", [torch.save, save_file, _folder, _bytes])
def test_what_cannot_be_written_leaves_what_was_there_and_nothing_else(tmp_path, save, full_disk):
    path = tmp_path / "state"
    with whole(path) as partial:
        save({"a": torch.zeros(10)}, partial)
    before = _contents(tmp_path)
    says = rf"^{path}: cannot be written \(.* MB free\)\. Mend that, and the same command goes on"
    with full_disk(LIMIT), pytest.raises(TrainingError, match=says), whole(path) as partial:
        save({"a": torch.zeros(LIMIT)}, partial)
    assert _contents(tmp_path) == before
    with whole(path) as partial:
        save({"a": torch.zeros(LIMIT)}, partial)
    assert list(tmp_path.iterdir()) == [path]


def _contents(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def test_an_error_that_is_none_of_the_disks_is_left_as_it_is(tmp_path):
    with pytest.raises(RuntimeError, match="shape"), writing(tmp_path / "x"):
        torch.zeros(3).reshape(2, 2)


def test_a_disk_without_room_for_two_states_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=999_000_000))
    check_room(tmp_path)
    check_room_for_states(tmp_path, 499_500_000, None)
    says = "999 MB free, a state to resume from, and the next one beside it, needs 1,000 MB"
    with pytest.raises(InputError, match=says):
        check_room_for_states(tmp_path, 500_000_000, None)
    last = tmp_path / "state.pt"
    last.write_bytes(bytes(1_000_000))
    check_room_for_states(tmp_path, 500_000_000, last)
