"""An episode as it is stepped through: every state, what was said, what was believed.

The log holds each turn's actions and which of the kernel's outcomes happened; all states follow
from them. A log that does not replay, or whose world is not installed, is shown as far as it goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from spa_bench.environments.environment import Outcome
from spa_bench.formats.format import ParsedReply
from spa_bench.probes.world import Asked
from spa_bench.runner import chance
from spa_bench.runner.record import Episode, LoggedFacts, Turn, facts_to_log
from spa_bench.site.scene import TEXT, Cell, Scene, differing, scene_of
from spa_bench.task import Instance, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A state: its facts, and its text where its world is not drawn."""

    facts: LoggedFacts
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """An action that was executed.

    Attributes:
        chance: the probability of what happened, such as `1/3`; None where it was certain.
        changed: whether it changed the state.
    """

    action: str
    reward: float
    chance: str | None = None
    changed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """What a reply says about a state.

    Attributes:
        facts: at most `MOST_PLACES` of each kind. wrong: at most so many of the cells where it
            differs from the truth.
        exact: whether it says all that the observation shows, and nothing else; None where the
            truth is not known.
        left_out: places that it names besides.
    """

    facts: LoggedFacts
    wrong: list[Cell]
    exact: bool | None = None
    left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedTurn:
    """One turn.

    Attributes:
        asked: the user message; None where it cannot be rebuilt.
        reply: its pieces in order, each a kind (`text`, `observation`, `prediction`, `answer`) and
            the piece.
        frames: the state before the turn, and after each of `moves`.
        dropped: actions that were named but not executed.
        right: of a probe, its right answers with their probabilities, the likeliest first.
    """

    asked: str | None = None
    reply: list[tuple[str, str]]
    reasoning: str | None = None
    parse: str
    stop_reason: str
    reward: float
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float = 0.0
    frames: list[Frame]
    moves: list[Move]
    dropped: list[str] = field(default_factory=list[str])
    observed: Belief | None = None
    predicted: Belief | None = None
    right: list[tuple[str, str]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """An episode to step through; `note` says why it could not be replayed, if so."""

    instance: str
    repeat: int
    status: str
    success: bool
    failure: str | None = None
    error: str | None = None
    note: str | None = None
    scene: Scene
    turns: list[TracedTurn]


MOST_PLACES = 1000
"""Of one kind in a statement: more than any board has."""


class NotReplayableError(ValueError):
    """The log does not follow from the kernel, or there is no kernel to follow."""


def trace(task: Task | None, board: Instance | None, salt: str, episode: Episode) -> Trace:
    """Returns an episode with all its states; never raises, whatever its log says.

    Args:
        task: None where the task cannot be rebuilt here.
        board: that the episode was played on; None if the task has none of that name.
        salt: of the run, for worlds that cannot enumerate their outcomes.
    """
    note = None
    scene, turns = TEXT, None
    if task is None:
        note = "its task cannot be rebuilt with this installation; shown as logged"
    elif board is None:
        note = f"its task has no board {episode.instance}; shown as logged"
    else:
        try:
            turns = list(_replayed(task, board, salt, episode))
            scene = scene_of(task.environment, board.state)
        except NotReplayableError as error:
            note, turns = f"{error}; shown as logged", None
    return Trace(
        instance=episode.instance,
        repeat=episode.repeat,
        status=episode.status,
        success=episode.success,
        failure=episode.failure,
        error=episode.error,
        note=note,
        scene=scene,
        turns=[_logged(task, turn) for turn in episode.turns] if turns is None else turns,
    )


def shortened(whole: Trace, longest: int | None) -> Trace:
    """Returns an episode whose long texts are cut in the middle, where that is said.

    Args:
        longest: characters of a text that a model wrote; None cuts none.
    """
    if longest is None:
        return whole
    most = longest

    def cut(text: str) -> str:
        half = most // 2
        if len(text) <= 2 * half:
            return text
        left_out = len(text) - 2 * half
        return f"{text[:half]}\n[… {left_out:,} characters are left out here …]\n{text[-half:]}"

    def cut_turn(turn: TracedTurn) -> TracedTurn:
        return replace(
            turn,
            reply=[(kind, cut(piece)) for kind, piece in turn.reply],
            reasoning=None if turn.reasoning is None else cut(turn.reasoning),
            moves=[replace(move, action=cut(move.action)) for move in turn.moves],
            dropped=[cut(action) for action in turn.dropped],
        )

    error = None if whole.error is None else cut(whole.error)
    return replace(whole, error=error, turns=[cut_turn(turn) for turn in whole.turns])


def _replayed(task: Task, board: Instance, salt: str, episode: Episode) -> Iterator[TracedTurn]:
    environment, state = task.environment, board.state
    drawn = scene_of(environment, state) is not TEXT
    executed, reward = 0, 0.0

    def frame(state: Any) -> Frame:
        text = None if drawn else environment.render(state)
        return Frame(facts=facts_to_log(environment.facts(state)) or {}, text=text)

    for number, turn in enumerate(episode.turns, start=1):
        if environment.render(state) != turn.state:
            raise NotReplayableError(f"the log does not replay: turn {number} starts elsewhere")
        left = task.limits.actions - executed
        shown = environment.observe(state, task.config.observation)
        if number == 1:
            asked = task.opening_message(shown, number, left)
        else:
            asked = task.later_message(shown, number, left, reward)
        before, frames, moves = state, [frame(state)], list[Move]()
        for action, index in zip(turn.actions, turn.outcomes, strict=False):
            step = _Step(number, action, index, executed)
            outcome = _outcome(task, salt, episode, state, step)
            certain = outcome.probability in (0, 1)  # 0: unknown
            moves.append(
                Move(
                    action=action,
                    reward=round(outcome.reward, 6),
                    chance=None if certain else str(outcome.probability),
                    changed=outcome.state != state,
                )
            )
            state = outcome.state
            frames.append(frame(state))
            executed += 1
        reward = turn.reward
        yield _turn(task, turn, frames, moves, asked, (before, state))


class _Step(NamedTuple):
    """An action of the log: in which turn, what, which outcome, how many were executed before."""

    turn: int
    action: str
    outcome: int
    executed: int


def _outcome(task: Task, salt: str, episode: Episode, state: Any, step: _Step) -> Outcome[Any]:
    environment = task.environment
    where = f"the log does not replay: turn {step.turn} has no"
    try:
        action = environment.parse_action(step.action)
        if action is None:
            raise NotReplayableError(f"{where} action {step.action[:40]!r}")
        if not environment.enumerable:
            key = (salt, environment.environment_id, episode.instance, episode.repeat)
            return environment.sample(state, action, chance.dynamics(*key, step.executed))
        outcomes = environment.outcomes(state, action)
    except NotReplayableError:
        raise
    except Exception as error:  # of a world of somebody else's, asked what it never meant to answer
        raise NotReplayableError(f"{where} such step: {error}") from None
    if not 0 <= step.outcome < len(outcomes):
        raise NotReplayableError(f"{where} outcome {step.outcome}")
    return outcomes[step.outcome]


def _logged(task: Task | None, turn: Turn) -> TracedTurn:
    """Returns a turn by what the log alone says of it: the grid before it."""
    moves = [Move(action=action, reward=0.0) for action in turn.actions[: turn.executed]]
    return _turn(task, turn, [Frame(facts={}, text=turn.state)], moves, None, None)


def _turn(
    task: Task | None,
    turn: Turn,
    frames: list[Frame],
    moves: list[Move],
    asked: str | None,
    states: tuple[Any, Any] | None,
) -> TracedTurn:
    parsed = ParsedReply() if task is None else task.format.parse(turn.reply, task.config.parse)
    before, after = states if states is not None else (None, None)
    return TracedTurn(
        asked=asked,
        reply=_pieces(turn.reply, parsed),
        reasoning=turn.reasoning,
        parse=turn.parse,
        stop_reason=turn.stop_reason,
        reward=round(turn.reward, 6),
        prompt_tokens=turn.usage.prompt_tokens,
        completion_tokens=turn.usage.completion_tokens,
        seconds=turn.seconds,
        frames=frames,
        moves=moves,
        dropped=list(turn.actions[turn.executed :]),
        observed=_belief(task, turn.facts_observed, before),
        predicted=_belief(task, turn.facts_predicted, after),
        right=_right(before),
    )


def _right(state: Any) -> list[tuple[str, str]] | None:
    """Returns the right answers, if the state is that of a probe."""
    if not isinstance(state, Asked):
        return None
    return [(text, str(probability)) for text, probability in state.item.right]


def _belief(task: Task | None, said: LoggedFacts | None, state: Any) -> Belief | None:
    """Compares a statement with what the task's observation would have shown of the state."""
    if said is None:
        return None
    wrong, exact = list[Cell](), None
    if task is not None and state is not None:
        shown = task.environment.facts_shown(state, task.config.observation)
        truth = facts_to_log(shown) or {}
        wrong, exact = differing(said, truth), said == truth
    return Belief(
        facts={kind: places[:MOST_PLACES] for kind, places in said.items()},
        wrong=wrong[:MOST_PLACES],
        exact=exact,
        left_out=sum(max(len(places) - MOST_PLACES, 0) for places in said.values()),
    )


def _pieces(reply: str, parsed: ParsedReply) -> list[tuple[str, str]]:
    named = [
        (span.start, span.end, kind)
        for kind in ("observation", "prediction", "answer")
        if (span := getattr(parsed, kind)) is not None
    ]
    pieces: list[tuple[str, str]] = []
    at = 0
    for start, end, kind in sorted(named):
        if start < at:
            continue  # inside one another: the outer one is enough
        pieces += [("text", reply[at:start]), (kind, reply[start:end])]
        at = end
    pieces.append(("text", reply[at:]))
    return [piece for piece in pieces if piece[1]]
