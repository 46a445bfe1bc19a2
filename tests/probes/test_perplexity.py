"""Perplexity of states: exact for models whose probabilities are known."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from scripted import Scripted
from worlds import table_task

from spa_bench.cli import main
from spa_bench.errors import InputError, ModelError
from spa_bench.models.model import Message, ScoredToken
from spa_bench.probes.perplexity import StylePerplexity, perplexity
from spa_bench.registry import Registry

TASK = Registry().load("sokoban")


class Guessing(Scripted):
    """Finds every character, or every pair of them, one of seven equally likely ones."""

    def __init__(self, characters: int = 1) -> None:
        super().__init__([AssertionError("asked to write")], concurrency=4)
        self.texts: list[str] = []
        self._size = characters

    async def score_text(
        self, messages: Sequence[Message], prefill: str, text: str
    ) -> tuple[ScoredToken, ...]:
        self.texts.append(text)
        pieces = [text[i : i + self._size] for i in range(0, len(text), self._size)]
        return tuple(ScoredToken(piece, -math.log(7)) for piece in pieces)


def test_uniform_guessing_has_as_much_perplexity_as_there_are_symbols() -> None:
    found = asyncio.run(perplexity(Guessing(), TASK, 5)).styles["grid"]
    assert (found.per_token, found.per_character) == (pytest.approx(7), pytest.approx(7))


def test_tokens_of_several_characters_are_told_apart_from_characters() -> None:
    found = asyncio.run(perplexity(Guessing(2), TASK, 5)).styles["grid"]
    assert found.per_token == pytest.approx(7)
    assert found.per_character < 3


def test_states_that_are_all_but_impossible_have_infinite_perplexity_and_can_be_written() -> None:
    found = StylePerplexity(tokens=1, characters=3, logprob=-9999.0)
    assert found.per_token == found.per_character == math.inf
    assert json.loads(found.model_dump_json())["per_token"] is None
    assert StylePerplexity(tokens=100, characters=300, logprob=-9999.0).per_token < math.inf


def test_both_styles_of_every_board_are_scored_once() -> None:
    model = Guessing()
    found = asyncio.run(perplexity(model, TASK, 5))
    assert found.boards == 5
    assert len(model.texts) == 10
    assert model.texts[0] == TASK.environment.render(TASK.boards[0][0].state)
    assert found.styles["grid+coordinates"].characters > found.styles["grid"].characters


@pytest.mark.parametrize(
    ("name", "symbols"),
    [("sokoban", 7), ("frozenlake", 6), ("sudoku", 5), ("sudoku_9x9", 10), ("no legend", None)],
)
@pytest.mark.parametrize("limit", [1, 2])
def test_symbols_are_what_a_cell_may_hold_whatever_boards_are_read(
    name: str, symbols: int | None, limit: int
) -> None:
    task = table_task() if name == "no legend" else Registry().load(name)
    assert asyncio.run(perplexity(Guessing(), task, limit)).symbols == symbols


def test_a_model_that_cannot_score_is_refused_with_what_can() -> None:
    with pytest.raises(InputError, match="does not return"):
        asyncio.run(perplexity(Scripted(["x"]), TASK))


def test_a_probe_has_no_states() -> None:
    with pytest.raises(InputError, match="frozenlake_transition is a probe"):
        asyncio.run(perplexity(Guessing(), Registry().load("frozenlake_transition"), 1))


def test_a_text_that_cannot_be_scored_is_no_number() -> None:
    class Broken(Guessing):
        async def score_text(
            self, messages: Sequence[Message], prefill: str, text: str
        ) -> tuple[ScoredToken, ...]:
            raise ModelError("too long")

    with pytest.raises(ModelError, match="too long"):
        asyncio.run(perplexity(Broken(), TASK, 1))


def test_the_command_refuses_a_baseline_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["perplexity", "--model", "baseline/random"])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("error: perplexity needs the log-probabilities")


def test_the_command_prints_a_table_and_writes_the_numbers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import hf_tiny

    hf_tiny.save(tmp_path / "tiny")
    output = tmp_path / "perplexity.json"
    command = ["perplexity", "--model", str(tmp_path / "tiny"), "--limit", "2"]
    with pytest.raises(SystemExit) as end:
        main([*command, "--tasks", "sokoban", "--output", str(output)])
    assert end.value.code == 0
    assert "grid+coordinates, per token" in capsys.readouterr().out
    (task,) = json.loads(output.read_text())["tasks"]
    assert task["styles"]["grid"]["per_token"] > 1
