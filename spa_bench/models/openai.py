"""Models behind any OpenAI-compatible server: OpenAI's own, vLLM, llama.cpp, SGLang, gateways.

Here is the policy: which server is asked, what is asked again, when a run stops. What a call says
is in `openai_chat`, `openai_completions` and `openai_wire`, what a failure means in
`openai_failures`, how many calls a server gets at a time in `limiter`, and what the user may set in
`openai_settings`.

A server applies what it was started with. Two things are worth a look there: vLLM takes sampling
defaults from the model's folder unless it runs with `--generation-config vllm`, and a reasoning
parser (vLLM, SGLang; llama.cpp's `--reasoning-format`) moves a `<think>` that a task asks for out
of the visible reply.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from spa_bench.errors import InputError, ModelError, ModelGoneError, OutOfBudgetError
from spa_bench.models import (
    openai_chat,
    openai_completions,
    openai_failures,
    openai_start,
    openai_wire,
)
from spa_bench.models.limiter import Limiter, Sleep
from spa_bench.models.meter import Meter, Spending
from spa_bench.models.model import (
    Capabilities,
    Message,
    ModelOptions,
    Reply,
    Request,
    ScoredToken,
    Usage,
)
from spa_bench.models.openai_failures import Failure, Kind
from spa_bench.models.openai_settings import Settings, read_settings
from spa_bench.models.openai_wire import Call

if TYPE_CHECKING:
    from openai import AsyncOpenAI

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long to hope for a server.

    Attributes:
        overload_tries: refusals for overload that one request bears, and that a server may utter
            in a row, about eight minutes of them: waiting for a rate limit is normal.
        timeout_tries: low, since each takes as long as an answer may take.
        first_wait, longest_wait: seconds before the second try; doubled before each next one,
            up to the longest.
        aside: seconds for which a server that cannot be reached is not asked, if there are others.
        connect: seconds to wait for a connection.
    """

    overload_tries: int = 16
    timeout_tries: int = 2
    first_wait: float = 0.5
    longest_wait: float = 60.0
    aside: float = 15.0
    connect: float = 10.0

    def tries(self, kind: Kind, tries: int) -> int:
        """Returns how often a request may fail in one way before it is given up."""
        if kind in ("refused", "gone", "too_long", "filtered"):
            return 1
        if kind == "overload":
            return max(tries, self.overload_tries) if tries > 1 else 1
        return min(tries, self.timeout_tries) if kind == "timeout" else tries

    def wait(self, failures: int) -> float:
        """Returns the seconds to wait after so many failures, with jitter."""
        doubled = self.first_wait * 2 ** min(failures - 1, 30)
        return min(self.longest_wait, doubled) * random.uniform(0.5, 1)


class Server:
    """One base URL: its client, its limiter, and when it may be asked again."""

    def __init__(self, url: str, settings: Settings, patience: Patience, sleep: Sleep) -> None:
        self.url = url
        self.aside_until = 0.0
        self.limiter = Limiter(
            settings.concurrency,
            first_wait=patience.first_wait,
            longest_wait=patience.longest_wait,
            sleep=sleep,
        )
        self._settings = settings
        self._patience = patience
        self._client: AsyncOpenAI | None = None

    @property
    def client(self) -> AsyncOpenAI:
        """The client library, imported when it is first needed: that takes half a second."""
        if self._client is None:
            from spa_bench.models.openai_transport import open_client

            settings = self._settings
            self._client = open_client(
                self.url, settings.key, settings.concurrency + 8, self._patience.connect
            )
        return self._client

    async def ask(self, call: Call[T]) -> T | Failure:
        """Sends one call when it is its turn."""
        epoch = await self.limiter.acquire()
        try:
            result = await self.post(call, self._settings.timeout)
            if not isinstance(result, Failure):
                self.limiter.succeeded()
            elif result.kind == "overload":
                self.limiter.overloaded(epoch, result.retry_after)
        finally:
            self.limiter.release()
        return result

    async def post(self, call: Call[T], seconds: float) -> T | Failure:
        """Sends one call now."""
        try:
            # The whole address: joining it anew for every call is a twentieth of a call's cost.
            async with asyncio.timeout(seconds):
                answer = await self.client.post(
                    self.url + call.path, body=call.body, cast_to=object
                )
            answer = openai_wire.decoded(answer)
            error = openai_wire.error_within(answer)
            if error is None:
                return call.read(answer)
            status, body = error
            return openai_failures.from_status(status, body, {}, self._settings.key)
        except TimeoutError:
            return Failure("timeout", f"no complete answer within {seconds:g} seconds")
        except openai_wire.MalformedAnswerError as error:
            return Failure("malformed", str(error))
        except Exception as error:
            return openai_failures.from_exception(error, self._settings.key)

    async def close(self) -> None:
        """Closes all connections."""
        self.limiter.close()
        if self._client is not None:
            await self._client.close()
            self._client = None


class OpenAIModel:
    """A model asked through `/chat/completions`."""

    def __init__(
        self,
        settings: Settings,
        patience: Patience | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.name = settings.label
        self.capabilities = Capabilities(
            prefill=settings.prefill != "false" or settings.api == "completions",
            seed="seed" not in settings.omit,
            logprobs=settings.logprobs,
        )
        self.concurrency = settings.concurrency
        self._settings = settings
        self._patience = patience or Patience()
        self._sleep = sleep
        self.meter: Meter | None = None
        self._answers = 0
        self._given_up = 0
        self._warned = set[str]()
        self._servers = [Server(url, settings, self._patience, sleep) for url in settings.base_urls]

    def identity(self) -> Mapping[str, Any]:
        return self._settings.identity()

    async def start(self) -> None:
        probe = self._call(openai_start.PROBE)
        if self.meter is not None:
            await self._pay_for_checks(self.meter)
        checks = (openai_start.check(server, self._settings, probe) for server in self._servers)
        results = await asyncio.gather(*checks, return_exceptions=True)
        failed = [result for result in results if result is not None]
        if failed:
            await self.close()
            # A bug is worth more than a finding about a server.
            raise min(failed, key=lambda error: isinstance(error, InputError))

    async def generate(self, request: Request) -> Reply:
        begun = any(message.role == "assistant" for message in request.messages)
        result = await self._answer(self._call(request), self._bound(request), begun=begun)
        if isinstance(result, Failure):
            return self._own_limit(result)
        if result.reasoning and not result.text and result.stop_reason == "length":
            self._warn_once(
                "reasoning",
                "a reply ended in the model's hidden reasoning, before it said anything. Such"
                " replies are empty and count as truncated; allow more with --model-args"
                " reasoning_tokens=, or, where a server's reasoning parser takes a task's own"
                " <think> away, start it without one.",
            )
        return result

    def _call(self, request: Request) -> Call[Reply]:
        return openai_chat.call(self._settings, request)

    def _bound(self, request: Request) -> Spending:
        """Returns the most tokens that one call for a request can use."""
        completion = request.sampling.new_tokens + self._settings.reasoning_tokens
        return Spending(_most_tokens(request.messages, request.prefill), completion)

    async def _answer(self, call: Call[T], bound: Spending, *, begun: bool) -> T | Failure:
        """Asks until there is an answer, or a failure that is the model's own doing.

        Args:
            bound: the most that one call can use.
            begun: whether it is for an episode under way.

        Raises:
            ModelError, ModelGoneError, OutOfBudgetError: if there will be none.
        """
        failures: Counter[Kind] = Counter()
        answers_before = 0
        while True:
            if self.meter is not None:
                await self.meter.reserve(bound, begun=begun)
            server, used = self._choose(), bound  # that much, as long as nobody tells
            try:
                result = await server.ask(call)
                used = _used(result, bound)
            finally:
                if self.meter is not None:
                    self.meter.settle(bound, used)
            if not isinstance(result, Failure) or result.kind in ("too_long", "filtered"):
                self._answers += 1
                self._given_up = 0
                return result
            if not failures:
                answers_before = self._answers
            failures[result.kind] += 1
            silent = self._answers == answers_before
            refusals = server.limiter.overloads if result.kind == "overload" else 0
            hopeless = silent and refusals >= self._patience.overload_tries
            tries = self._patience.tries(result.kind, self._settings.tries)
            if hopeless or failures[result.kind] >= tries:
                raise self._final(server.url, result, failures.total(), silent, hopeless)
            if result.kind == "unreachable":
                server.aside_until = asyncio.get_running_loop().time() + self._patience.aside
            # Overload waits in the limiter; a server that is not there need not be waited for
            # while there is another.
            if result.kind != "overload" and not (result.kind == "unreachable" and self._others()):
                wait = self._patience.wait(failures.total())
                wish = min(result.retry_after or 0.0, self._patience.longest_wait)
                await self._sleep(max(wait, wish))

    async def _pay_for_checks(self, meter: Meter) -> None:
        """Books the call that each server is asked at first.

        Raises:
            InputError: if the run may not spend as much.
        """
        bound = self._bound(openai_start.PROBE)
        try:
            for _ in self._servers:
                await meter.reserve(bound, begun=False)
                meter.settle(bound, bound)
        except OutOfBudgetError:
            raise InputError(
                f"the budget is too small to ask {self.name} anything: the first call may take"
                f" {sum(bound)} tokens, and spent are {meter}"
            ) from None

    def _own_limit(self, failure: Failure) -> Reply:
        """Returns the reply that stands for what the model itself cannot or will not do."""
        if failure.kind == "filtered":
            return Reply(text="", stop_reason="content_filter")
        self._warn_once(
            "context",
            f"a conversation and its reply do not fit the model's context ({failure.message}). Such"
            " replies are empty and count as truncated; serve it with more context if it has more,"
            " or ask for shorter replies.",
        )
        return Reply(text="", stop_reason="length")

    def _warn_once(self, matter: str, text: str) -> None:
        if matter not in self._warned:
            self._warned.add(matter)
            _log.warning("%s: %s", self.name, text)

    def _final(
        self, url: str, failure: Failure, tries: int, silent: bool, hopeless: bool
    ) -> ModelError:
        """Returns the error for a request that is given up.

        Args:
            silent: whether no other request was answered since its first failure.
            hopeless: whether the server has been refusing all of them for minutes.
        """
        line = f"{url}: {failure.message}{f', after {tries} tries' if tries > 1 else ''}"
        if failure.kind == "refused":
            return ModelError(line)
        # Whole waves of requests without one answer: the rest would only fail as slowly.
        self._given_up += 1
        all_fail = hopeless or self._given_up >= max(8, self.concurrency)
        if failure.kind == "unreachable" and silent:
            return ModelGoneError(f"{line}; start the server again, then go on with --resume")
        if failure.kind == "gone" or (silent and all_fail):
            return ModelGoneError(line)
        return ModelError(line)

    def _choose(self) -> Server:
        """Returns the reachable server with the least to do."""
        if len(self._servers) == 1:
            return self._servers[0]
        now = asyncio.get_running_loop().time()
        return min(
            self._servers,
            key=lambda server: (
                max(0.0, server.aside_until - now),
                server.limiter.paused,
                server.limiter.load / server.limiter.limit,
            ),
        )

    def _others(self) -> bool:
        now = asyncio.get_running_loop().time()
        return any(server.aside_until <= now for server in self._servers)

    async def close(self) -> None:
        await asyncio.gather(*(server.close() for server in self._servers))


class CompletionsModel(OpenAIModel):
    """A model asked through `/completions`; it can also score a text where the server echoes."""

    def _call(self, request: Request) -> Call[Reply]:
        return openai_completions.call(self._settings, request)

    async def score_text(
        self, messages: Sequence[Message], prefill: str, text: str
    ) -> tuple[ScoredToken, ...]:
        if not text:
            return ()
        result = await self._answer(
            openai_completions.score_call(self._settings, messages, prefill, text),
            Spending(_most_tokens(messages, prefill + text)),
            begun=True,
        )
        if isinstance(result, Failure):
            raise ModelError(result.message)
        return result


_MESSAGE_TOKENS, _TEMPLATE_TOKENS = 16, 256


def _most_tokens(messages: Sequence[Message], prefill: str) -> int:
    """Returns more tokens than any chat template makes of a conversation.

    No tokenizer has tokens of less than a byte; templates add a few around each message, and some
    begin with words of their own.
    """
    contents = [prefill, *(message.content for message in messages)]
    size = sum(len(content.encode(errors="replace")) for content in contents)
    return size + _MESSAGE_TOKENS * len(contents) + _TEMPLATE_TOKENS


def _used(result: object, bound: Spending) -> Spending:
    """Returns what a call used; what nobody tells is as much as it could be."""
    if isinstance(result, Failure):
        return bound if result.may_be_paid else Spending()
    usage = result.usage if isinstance(result, Reply) else Usage()
    return Spending(
        bound.prompt if usage.prompt_tokens is None else usage.prompt_tokens,
        bound.completion if usage.completion_tokens is None else usage.completion_tokens,
    )


def load(options: ModelOptions) -> OpenAIModel:
    """Builds the model of `openai/NAME`, without contacting it.

    Raises:
        InputError: for settings that cannot be.
    """
    settings = read_settings(options)
    return (CompletionsModel if settings.api == "completions" else OpenAIModel)(settings)
