"""nano's tokenizer and model."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spa_bench.models.hf_template import Template
from spa_bench.models.model import Message
from spa_bench.registry import Registry
from spa_trainers.boards import TRAINING_SEEDS, training_task
from spa_trainers.nano.model import NanoConfig, make_model
from spa_trainers.nano.tokenizer import make_tokenizer


@pytest.fixture(scope="module")
def tasks():
    names = ["sokoban_wm", "frozenlake_wm", "sudoku_wm"]
    found = Registry().resolve(names)
    return [training_task(task, seeds=TRAINING_SEEDS, boards=300) for task in found]


@pytest.fixture(scope="module")
def tokenizer(tasks):
    return make_tokenizer(tasks, 300, 2048)


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=200))
def test_any_text_comes_back(tokenizer, text):
    text = text.encode("utf-8", "replace").decode()
    assert tokenizer.decode(tokenizer(text).input_ids) == text or "<|" in text


def test_special_tokens_cannot_be_typed_into_the_conversation_unseen(tokenizer):
    # a message that spells a role token is that token: templates share this; decode shows it
    ids = tokenizer("<|end|>").input_ids
    assert ids == [tokenizer.eos_token_id]


def test_the_template_extends_its_own_prefix(tokenizer):
    assert Template(tokenizer).append_only


@pytest.mark.parametrize(("number", "most"), [(0, 70), (1, 70), (2, 100)])
def test_prompts_are_short(tasks, tokenizer, number, most):
    task = tasks[number]
    state = task.environment.observe(task.boards[0][0].state, task.config.observation)
    prompt = [
        Message("system", task.config.prompt.system),
        Message("user", task.opening_message(state, 1, task.limits.actions)),
    ]
    ids = Template(tokenizer).encode(prompt, "<think>")
    assert len(ids) < most
    assert state in tokenizer.decode(ids)


def test_a_grid_is_a_token_a_cell(tokenizer):
    row = tokenizer("\n#_√P_#").input_ids
    assert [tokenizer.decode([token]) for token in row] == ["\n", *"#_√P_#"]


@pytest.mark.parametrize(("number", "rows"), [(0, 6), (1, 4), (2, 4)])
def test_a_grid_may_be_a_token_a_row(tasks, number, rows):
    task, tokenizer = tasks[number], make_tokenizer([tasks[number]], 300, 2048, rows=True)
    grid = task.environment.observe(task.boards[0][0].state, "grid")
    ids = tokenizer(f"\n{grid}").input_ids
    assert len(ids) == rows
    assert tokenizer.decode(ids) == f"\n{grid}"


def test_words_do_not_depend_on_the_process(tasks, tokenizer):
    again = make_tokenizer(tasks, 300, 2048)
    assert again.get_vocab() == tokenizer.get_vocab()


def test_weights_are_those_of_the_seed(tokenizer):
    config = NanoConfig(tasks=["sokoban"], hidden=16, layers=1, heads=2, feed_forward=16)
    one, same = make_model(config, tokenizer), make_model(config, tokenizer)
    other = make_model(config.model_copy(update={"seed": 1}), tokenizer)
    for a, b in zip(one.parameters(), same.parameters(), strict=True):
        assert a.equal(b)
    assert any(not a.equal(b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
