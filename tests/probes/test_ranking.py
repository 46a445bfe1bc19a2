"""Ranking: the likeliest of the plausible answers, chosen by log-probability."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from scripted import Scripted

from spa_bench.errors import InputError, ModelError
from spa_bench.evaluation import evaluate
from spa_bench.models.model import Capabilities, Message, Request, Sampling, ScoredToken
from spa_bench.models.ranking import likeliest
from spa_bench.registry import Registry
from spa_bench.runner.episode import EpisodeSpec, play
from spa_bench.runner.rollout import Rollout
from spa_bench.task import Instance, Task
from spa_bench.task_file import load_task

PREFILLS = Capabilities(prefill=True)


class Scoring(Scripted):
    """A model that scores texts by a function of them, and writes nothing."""

    def __init__(self, score: Callable[[str], float]) -> None:
        super().__init__([AssertionError("asked to write")], capabilities=PREFILLS)
        self.scored: list[tuple[str, str]] = []
        self._score = score

    async def score_text(
        self, messages: Sequence[Message], prefill: str, text: str
    ) -> tuple[ScoredToken, ...]:
        self.scored.append((prefill, text))
        half = self._score(text) / 2
        return ScoredToken(text[:3], half), ScoredToken(text[3:], half)


REQUEST = Request(
    messages=(Message("user", "?"),),
    prefill="<answer>",
    sampling=Sampling(0, 1, 10),
    seed=0,
    choices=("<answer>yes</answer>", "<answer>no</answer>"),
)


def test_the_likeliest_choice_is_the_reply() -> None:
    model = Scoring(lambda text: -1.0 if text.startswith("no") else -2.0)
    reply = asyncio.run(likeliest(model, REQUEST))
    assert (reply.text, reply.prefilled) == ("no</answer>", True)
    assert reply.choice_logprobs == (-2, -1)


def test_who_finds_all_choices_equally_likely_guesses() -> None:
    chosen = [
        asyncio.run(likeliest(Scoring(lambda text: -1.0), replace(REQUEST, seed=seed))).text
        for seed in range(400)
    ]
    assert chosen[:2] == [
        asyncio.run(likeliest(Scoring(lambda text: -1.0), replace(REQUEST, seed=seed))).text
        for seed in range(2)
    ]
    assert 160 < chosen.count("yes</answer>") < 240


def test_what_is_prefilled_is_not_scored_again() -> None:
    model = Scoring(lambda text: 0.0)
    asyncio.run(likeliest(model, REQUEST))
    assert model.scored == [("<answer>", "yes</answer>"), ("<answer>", "no</answer>")]


def test_without_a_prefill_the_whole_reply_is_scored() -> None:
    model = Scoring(lambda text: -float(len(text)))
    reply = asyncio.run(likeliest(model, replace(REQUEST, prefill="")))
    assert (reply.text, reply.prefilled) == ("<answer>no</answer>", True)


@pytest.mark.parametrize("score", [-math.inf, math.nan])
def test_what_is_no_number_breaks_the_episode_and_not_the_run(score: float) -> None:
    with pytest.raises(ModelError, match="finite"):
        asyncio.run(likeliest(Scoring(lambda text: score), REQUEST))


def test_a_ranked_episode_is_logged_with_its_log_probabilities() -> None:
    task = Registry().load("sokoban_legality_ranking")
    spec = EpisodeSpec(task, task.boards[0][0], 0, "0")
    right = spec.instance.state.item.right[0][0]
    model = Scoring(lambda text: -1.0 if text.startswith(right) else -3.0)
    episode = asyncio.run(play(spec, model))
    (turn,) = episode.turns
    assert episode.success
    assert turn.reply == f"<answer>{right}</answer>"
    assert turn.choice_logprobs == (-1, -3)


def test_a_model_that_cannot_score_is_refused_at_once(tmp_path: Path) -> None:
    model = Scripted(["<answer>yes</answer>"])
    with pytest.raises(InputError, match="ranks answers by log-probability"):
        evaluate(model, "sokoban_legality_ranking", output=tmp_path / "run")
    assert model.started == 0


def test_ranking_results_tell_mass_and_calibration(tmp_path: Path) -> None:
    model = Scoring(lambda text: math.log(0.8 if text.startswith("yes") else 0.2))
    name = "sokoban_legality_ranking"
    (result,) = evaluate(model, name, limit=20, output=tmp_path / "run").tasks
    assert result.probe is not None
    ranking = result.probe.ranking
    assert ranking is not None
    assert result.metrics["accuracy"].value == 0.5
    assert ranking.confidence == pytest.approx(0.8)
    assert ranking.mass == pytest.approx(0.5)
    assert ranking.distance == pytest.approx(0.5)
    assert ranking.calibration_error == pytest.approx(0.3)


class Knowing(Scoring):
    """A model whose distribution over the answers is the kernel's own."""

    def __init__(self, task: Task, boards: Sequence[Instance]) -> None:
        super().__init__(lambda _: 0)
        self._likely: dict[tuple[str, str], float] = {}
        for board in boards:
            question = Rollout(EpisodeSpec(task, board, 0, "0"), "").ask()[-1].content
            for answer, probability in board.state.item.right:
                self._likely[question, answer] = math.log(probability)

    async def score_text(
        self, messages: Sequence[Message], prefill: str, text: str
    ) -> tuple[ScoredToken, ...]:
        answer = text.removesuffix("</answer>").strip()
        return (ScoredToken(text, self._likely.get((messages[-1].content, answer), -100.0)),)


def test_a_model_with_the_kernels_own_distribution_is_calibrated(tmp_path: Path) -> None:
    name = "frozenlake_slippery_transition_ranking"
    task = Registry().load(name)
    model = Knowing(task, task.boards[0][:20])
    (result,) = evaluate(model, name, limit=20, output=tmp_path / "run").tasks
    assert result.probe is not None
    ranking = result.probe.ranking
    assert ranking is not None
    assert ranking.distance == pytest.approx(0, abs=1e-5)
    assert ranking.confidence is not None
    assert ranking.confidence < 0.5
    assert ranking.calibration_error == pytest.approx(0, abs=1e-5)


def test_baselines_rank_as_they_write(tmp_path: Path) -> None:
    name = "frozenlake_transition_ranking"
    (oracle,) = evaluate("baseline/oracle", name, limit=9, output=tmp_path / "run").tasks
    assert oracle.metrics["accuracy"].value == 1
    assert oracle.probe is not None
    assert oracle.probe.ranking is None


def test_ranking_asks_the_same_items() -> None:
    written, ranked = (Registry().load(f"sudoku_inverse{s}") for s in ("", "_ranking"))
    assert [b.id for b in written.boards[0]] == [b.id for b in ranked.boards[0]]
    assert written.environment.environment_id == ranked.environment.environment_id
    assert written.hash != ranked.hash


def test_a_ranking_that_is_no_truth_value_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    included = Registry().entries["sokoban_legality"].path
    path.write_text(f"task: mine\ninclude: {included}\nprobe: {{ranking: 7}}\n")
    with pytest.raises(InputError, match=r"mine.yaml:3: probe.ranking must be true or false"):
        load_task(path)
