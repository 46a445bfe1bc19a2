"""`spa-bench play TASK`: a person plays, under the model's rules and in the model's loop."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spa_bench.cli.options import IncludePath
from spa_bench.errors import ModelGoneError
from spa_bench.results.shown import counted
from spa_bench.terminal import printable, unfiltered

if TYPE_CHECKING:
    from rich.console import Console

    from spa_bench.models.model import Reply, Request
    from spa_bench.task import Task

_QUIT = ("q", "quit", "exit")
_COMMANDS = (*_QUIT, "?", "p")
_COLOURS = ("dim", "white", "green", "bold green", "yellow", "bold cyan", "bold magenta", "red")


def play(
    task: Annotated[str, typer.Argument(help="A task's name, or the path of a task file.")],
    instance: Annotated[
        int | None, typer.Option(help="Seed of the board; default: the task's first board.")
    ] = None,
    seed: Annotated[str, typer.Option(help="Seed of all random draws, as in evaluate.")] = "0",
    include_path: IncludePath = None,
) -> None:
    """Play a task yourself, by the model's rules.

    Type actions by name, by first letters, or as a model would write them (Up || Left). An answer
    that is one text, such as a state, may span several lines; an empty line ends it. `?` shows
    help, `p` shows the prompt a model would see now, and `q` quits.
    """
    import asyncio

    from rich.console import Console
    from rich.markup import escape

    from spa_bench.cli.show import pick_board
    from spa_bench.errors import PluginError
    from spa_bench.results.bounds import board_bounds
    from spa_bench.runner.episode import EpisodeSpec
    from spa_bench.runner.episode import play as play_episode

    chosen, board = pick_board(task, instance, include_path or ())
    console = Console(file=unfiltered(sys.stdout), highlight=False)
    console.print(f"[bold]{escape(printable(chosen.name))}[/bold]", end="  ")
    with _world_of(chosen):
        rules, person = _rules(chosen, board.state), _Person(console, chosen)
    about = f"{board.id}\n{chosen.config.description}\n{rules}  ? for help"
    console.print(printable(about), markup=False)
    loop = asyncio.new_event_loop()  # asyncio.run's would not end for Ctrl-C while a person types
    try:
        episode = loop.run_until_complete(play_episode(EpisodeSpec(chosen, board, 0, seed), person))
    except _Stopped:
        console.print("stopped")
        return
    finally:
        loop.close()
    if episode.status != "complete":
        raise PluginError(episode.error or f"task {chosen.name!r} broke")
    if episode.turns:
        person.tell_last_turn(episode.turns[-1].reward)
    bounds = board_bounds(chosen, [board])[board.id]
    best = "none" if bounds.shortest_plan is None else counted(bounds.shortest_plan, "action")
    taken = sum(turn.executed for turn in episode.turns)
    verdict = (
        "[bold green]solved[/]"
        if episode.success
        else f"[red]not solved[/]: {escape(printable(str(episode.failure)))}"
    )
    if math.isnan(bounds.floor):
        console.print(f"{verdict} in {counted(taken, 'action')}")
        return
    console.print(
        f"{verdict} in {counted(taken, 'action')}; shortest plan: {best}; random play solves this"
        f" board {100 * bounds.floor:.1f}% of the time, the best possible policy"
        f" {100 * bounds.ceiling:.1f}%"
    )


def _rules(task: Task, state: Any) -> str:
    if task.environment.whole_answer:
        return "One answer, on as many lines as it needs; an empty line ends it."
    limits = task.limits
    return (
        f"{counted(limits.turns, 'turn')} of up to {counted(limits.actions_per_turn, 'action')},"
        f" {counted(limits.actions, 'action')} in all. Actions: {_action_names(task, state)}."
    )


def _action_names(task: Task, state: Any) -> str:
    """Returns the names of all actions, or an example where the environment does not list them."""
    environment = task.environment
    names = environment.prompt_fields().get("action_names")
    example = next(iter(environment.actions(state)), None)
    if names or example is None:
        return names or "see p"
    return f"for example {environment.format_action(example)}"


def _how_to_act(environment: Any, state: Any) -> str:
    """Returns how an answer, or two of the actions, may be typed."""
    if environment.whole_answer:
        return "the whole answer, line by line, then an empty line"
    from spa_bench.formats.format import SEPARATOR

    names = [environment.format_action(action) for action in environment.actions(state)[:2]]
    ways = {
        "names": " ".join(names),
        "first letters": "".join(name[:1] for name in names).lower(),
        "as a model writes": f" {SEPARATOR} ".join(names),
    }
    told = [
        f"{way}: {text}"
        for way, text in ways.items()
        if names and len(read_actions(text, environment, state)) == len(names)
    ]
    return "; ".join(told) or "as the prompt says"


class _Stopped(ModelGoneError):
    """The person went away."""


def _world_of(task: Task) -> AbstractContextManager[None]:
    from spa_bench.errors import plugin_code

    return plugin_code(f"task {task.name!r} broke: its world or its format")


class _Person:
    """A person at a terminal, as a model."""

    concurrency = 1

    def __init__(self, console: Console, task: Task) -> None:
        from spa_bench.models.model import Capabilities

        self.name = "person"
        self.capabilities = Capabilities(prefill=True, privileged=True)
        self._console = console
        self._task = task
        environment = task.environment
        objects = environment.cell_symbols if "legend" in environment.prompt_fields() else ()
        self._styles = dict(zip(objects, _COLOURS, strict=False))
        self._state: Any = None

    def identity(self) -> Mapping[str, Any]:
        return {}

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def generate(self, request: Request) -> Reply:
        with _world_of(self._task):
            return self._reply(request)

    def _reply(self, request: Request) -> Reply:
        from spa_bench.formats.format import SEPARATOR, Content
        from spa_bench.models.model import Reply

        seen = request.privileged
        assert seen is not None
        turn = seen.limits.turns - seen.turns_left + 1
        feedback = re.match(r".*", request.messages[-1].content) if turn > 1 else None
        self._console.print(f"\n{printable(feedback[0])}" if feedback else "", markup=False)
        self._console.print(
            f"[bold]turn {turn}[/] of {seen.limits.turns},"
            f" {counted(seen.actions_left, 'action')} left"
        )
        rendered = printable(seen.environment.render(seen.state))
        described = printable(seen.environment.describe(seen.state))
        self._console.print(self._coloured(rendered))
        if described != rendered:  # a question is the same in both
            self._console.print(described, style="dim", markup=False)
        actions = self._ask(request, seen.environment, seen.state)
        names = f" {SEPARATOR} ".join(map(seen.environment.format_action, actions))
        message = seen.compose(Content(answer=names))
        return Reply(message.removeprefix(request.prefill), "stop", prefilled=True)

    def _ask(self, request: Request, environment: Any, state: Any) -> list[Any]:
        while True:
            try:
                line = self._console.input("> ")
            except EOFError:
                raise _Stopped from None
            text = line.strip()
            if text and environment.whole_answer and text.lower() not in _COMMANDS:
                text = "\n".join((line, *self._further_lines()))
            if text.lower() in _QUIT:
                raise _Stopped
            if text == "?":
                how = _how_to_act(environment, state)
                self._console.print(
                    f"{how}\np  show the prompt a model would see now      q  quit", markup=False
                )
            elif text == "p":
                for message in request.messages:
                    self._console.print(f"--- {message.role} ---", style="bold")
                    self._console.print(printable(message.content), markup=False)
                self._console.print("--- assistant, already started ---", style="bold")
                self._console.print(printable(request.prefill), markup=False)
            elif actions := read_actions(text, environment, state):
                return actions
            elif text:
                what = "answer" if environment.whole_answer else "action"
                self._console.print(f"not an {what}: {text!r}; ? for help", markup=False)

    def _further_lines(self) -> Iterator[str]:
        """Yields lines up to an empty one, or to the end of what there is to read."""
        with suppress(EOFError):
            while (line := self._console.input(". ")).strip():
                yield line

    def tell_last_turn(self, reward: float) -> None:
        """Says what the last turn brought, which no further prompt will."""
        from spa_bench.task import format_reward

        self._console.print(f"\nReward of your last turn: {format_reward(reward)}")

    def _coloured(self, grid: str) -> Any:
        from rich.text import Text

        text = Text()
        for symbol in grid:
            text.append(symbol, style=self._styles.get(symbol, ""))
        return text


def read_actions(text: str, environment: Any, state: Any) -> list[Any]:
    """Returns the actions a person typed, or [] if any part of it is none.

    Tried in this order: separated by `||`; separated by white space; first letters of names. An
    answer that is one action as a whole is read as it stands.
    """
    if environment.whole_answer:
        answer = environment.parse_action(text)
        return [] if answer is None else [answer]
    for parts in (text.split("||"), text.split()):
        actions = [environment.parse_action(part) for part in parts]
        if actions and None not in actions:
            return actions
    possible = environment.actions(state)
    letters = {environment.format_action(action)[:1].lower(): action for action in possible}
    typed = [letters.get(letter) for letter in text.lower().replace(" ", "")]
    told_apart = len(letters) == len(possible)
    return typed if typed and None not in typed and told_apart else []
