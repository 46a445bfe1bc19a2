"""What does not fit into memory is said before it is tried, or in one line when it was."""

import pytest
import torch
from torch import nn

from spa_bench.errors import InputError
from spa_trainers.errors import TrainingError
from spa_trainers.grpo_settings import GrpoSettings
from spa_trainers.memory import check_critic, explained, free_bytes, needed
from spa_trainers.ppo_settings import PpoSettings

PLAIN = PpoSettings(tasks=["frozenlake"])


class _Actor(nn.Module):
    """A thousand weights."""

    def __init__(self, trained=True):
        super().__init__()
        self.device = torch.device("cpu")
        self.weights = nn.Parameter(torch.zeros(1000), requires_grad=trained)


def test_what_a_critic_needs():
    # critic: weights, gradients, two means; actor: gradients, two means; four bytes each
    assert needed(1000, 1000, PLAIN) == 4 * (4 + 3) * 1000
    # of an actor that LoRA trains there is little to add
    assert needed(1000, 10, PLAIN) == 4 * (4 * 1000 + 3 * 10)
    with_reference = PLAIN.model_copy(update={"kl": 0.1})
    assert needed(1000, 1000, with_reference) == 4 * (4 + 3 + 1) * 1000
    # a head on the actor's states is next to nothing
    shared = PLAIN.model_copy(update={"critic": "shared"})
    assert needed(1000, 1000, shared) == 4 * 3 * 1000
    # half of it on each of two GPUs, and a whole copy of the actor to play with
    assert needed(1000, 1000, PLAIN, 2) == 4 * (4 + 3) * 500 + 4 * 1000


def test_a_critic_that_does_not_fit_is_refused_with_what_to_do():
    check_critic(_Actor(), PLAIN, 28_000)
    with pytest.raises(InputError, match=r"critic.*need.*are free on cpu.*lora.*grpo"):
        check_critic(_Actor(), PLAIN, 27_999)
    check_critic(_Actor(trained=False), PLAIN, 16_000)


def test_this_machine_has_memory():
    assert free_bytes(torch.device("cpu")) > 2**20


def test_running_out_of_memory_is_said_with_what_to_do():
    with pytest.raises(TrainingError, match="smaller `microbatch`"), explained(PLAIN):
        torch.empty(2**50)


def test_what_goes_on_in_the_same_folder_is_told_from_what_does_not():
    with pytest.raises(TrainingError) as of_ppo, explained(PLAIN):
        torch.empty(2**50)
    same, _, other = str(of_ppo.value).partition(";")[2].partition(";")
    assert "`microbatch`, fewer `microbatch_tokens`, `gradient_checkpointing: true`" in same
    assert "`dtype: bfloat16` or `lora` make another one, in another --output" in other
    grpo = GrpoSettings(tasks=["frozenlake"])  # its entropy bonus is a mean of each pass
    with pytest.raises(TrainingError, match="; a smaller `microbatch` or `dtype"), explained(grpo):
        torch.empty(2**50)


def test_other_errors_are_left_as_they_are():
    with pytest.raises(RuntimeError, match="shape"), explained(PLAIN):
        torch.zeros(3).reshape(2, 2)
