"""Labels: which tokens carry loss, decoded and read."""

from dataclasses import replace

import hf_tiny
import pytest
from played import play_boards

from spa_bench.models.hf_template import Template
from spa_bench.registry import Registry
from spa_trainers.boards import TRAINING_SEEDS, training_task
from spa_trainers.nano.tokenizer import make_tokenizer
from spa_trainers.players import RandomPlayer
from spa_trainers.rows import RowMaker
from spa_trainers.tokens import IGNORED, Encoder


@pytest.fixture(scope="module")
def task():
    return training_task(Registry().resolve(["sokoban_wm"])[0], seeds=TRAINING_SEEDS, boards=8)


@pytest.fixture(scope="module")
def rows(task):
    boards = {b.id: b.state for b in task.boards[0]}
    played = play_boards(task, RandomPlayer("r"))
    return list(RowMaker(task, boards.__getitem__).rows(played))


@pytest.fixture(scope="module", params=["nano", "bytes", "plain"])
def tokenizer(request, task):
    if request.param == "nano":
        return make_tokenizer([task], 20, 2048)
    return hf_tiny.tokenizer(**({} if request.param == "bytes" else {"template": None}))


def _encoder(tokenizer, labels):
    return Encoder(tokenizer, Template(tokenizer), "<think>", labels)


def _said(tokenizer, example):
    ids = [
        i for i, label in zip(example.input_ids, example.labels, strict=True) if label != IGNORED
    ]
    return tokenizer.decode(ids, skip_special_tokens=True)


def test_labels_are_the_tokens_themselves(tokenizer, rows):
    for labels in ("paper", "masked", "state_only", "action_only"):
        for row in rows[:4]:
            example = _encoder(tokenizer, labels).encode(row)
            assert len(example.input_ids) == len(example.labels)
            pairs = zip(example.input_ids, example.labels, strict=True)
            assert all(label in (IGNORED, token) for token, label in pairs)


def test_paper_trains_the_whole_reply_and_nothing_the_user_says(tokenizer, rows):
    for row in rows:
        example = _encoder(tokenizer, "paper").encode(row)
        assert _said(tokenizer, example) == row.reply.removeprefix("<think>")
        first = next(i for i, label in enumerate(example.labels) if label != IGNORED)
        assert all(label == IGNORED for label in example.labels[:first])


def test_masked_and_state_only_divide_the_reply(tokenizer, rows):
    for row in rows:
        paper, masked, state = (
            _encoder(tokenizer, labels).encode(row).labels
            for labels in ("paper", "masked", "state_only")
        )
        for whole, one, other in zip(paper, masked, state, strict=True):
            assert (one == IGNORED) != (other == IGNORED) or whole == IGNORED
            assert whole in (one, other)


def test_masked_carries_no_state_token(tokenizer, rows):
    for row in rows:
        text = _said(tokenizer, _encoder(tokenizer, "masked").encode(row))
        assert "Player" not in text
        assert "#" not in text
        assert "</observation>" in text
        assert "</prediction>" in text


def test_state_only_and_action_only_say_just_that(tokenizer, rows):
    for row in rows:
        states = _said(tokenizer, _encoder(tokenizer, "state_only").encode(row))
        shown = [row.reply[slice(*row.spans[p])].strip("\n") for p in ("observation", "prediction")]
        assert states.strip("\n").replace("\n\n", "\n") in (
            "\n".join(shown),
            "".join(shown),
        )
        answer = _said(tokenizer, _encoder(tokenizer, "action_only").encode(row))
        assert answer == row.reply[slice(*row.spans["answer"])]


def test_merged_rows_train_the_same_tokens_each_once(tokenizer, rows):
    encoder = _encoder(tokenizer, "paper")
    merged = list(encoder.examples(rows, "episode", 100_000))
    single = list(encoder.examples(rows, "turn", 100_000))
    assert len(single) == len(rows)
    assert len(merged) == len({row.instance for row in rows})
    trained = [
        sum(label != IGNORED for e in some for label in e.labels) for some in (merged, single)
    ]
    assert trained[0] == trained[1]
    # a merged sequence begins with the tokens of each of its rows
    for example in merged:
        rows_of = [e for e in single if example.input_ids[: len(e.input_ids)] == e.input_ids]
        assert rows_of
        assert max(len(e.input_ids) for e in rows_of) == len(example.input_ids)


STRIPS_REASONING = (
    "{% for m in messages %}{% if m.role == 'assistant' %}"
    "{{ '<|im_start|>assistant\n' + m.content.split('</think>')[-1] + '<|im_end|>\n' }}"
    "{% else %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def _wordy(row):
    """Makes the reasoning so long that a prompt without it is shorter than the row before."""

    def more(text):
        return text.replace("</think>", "so it is. " * 400 + "</think>")

    messages = tuple(
        (who, more(text) if who == "assistant" else text) for who, text in row.messages
    )
    return replace(row, reply=more(row.reply), messages=messages)


@pytest.mark.parametrize("merge", ["turn", "episode"])
def test_a_template_that_forgets_reasoning_trains_each_reply_whole_in_a_row_of_its_own(rows, merge):
    tokenizer = hf_tiny.tokenizer(template=STRIPS_REASONING)
    encoder = _encoder(tokenizer, "paper")
    assert not encoder.template.append_only
    examples = list(encoder.examples(map(_wordy, rows), merge, 100_000))
    said = [_wordy(row).reply.removeprefix("<think>") for row in rows]
    assert [_said(tokenizer, example) for example in examples] == said


def test_rows_that_are_too_long_are_left_out(tokenizer, rows):
    encoder = _encoder(tokenizer, "paper")
    lengths = sorted(len(e.input_ids) for e in encoder.examples(rows, "turn", 100_000))
    limit = lengths[len(lengths) // 2]
    kept = list(encoder.examples(rows, "turn", limit))
    assert 0 < len(kept) < len(rows)
    assert max(len(e.input_ids) for e in kept) <= limit
    assert sum(e.rows for e in kept) == len(kept)
    joined = list(encoder.examples(rows, "episode", limit))
    assert all(len(e.input_ids) <= limit for e in joined)
    assert len(joined) < sum(e.rows for e in joined) == len(kept)
