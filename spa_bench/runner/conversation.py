"""The messages of an episode, as they are sent, and the identity of each prompt."""

from __future__ import annotations

import hashlib

from spa_bench.canonical import canonical_json, sha256_hex
from spa_bench.models.model import Message
from spa_bench.task import Task


def prompt_sha256(messages: tuple[Message, ...], prefill: str) -> str:
    """Returns the identity of a prompt: SHA-256 of the canonical JSON of [messages, prefill]."""
    return sha256_hex([[_as_json(message) for message in messages], prefill])


def _as_json(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


class Conversation:
    """The messages of an episode; with a history window, of its last turns."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._window = task.config.history
        self._shown: list[tuple[str, int]] = []
        self._heard: list[tuple[str, float]] = []
        self._messages: list[Message] = []
        self._hash = hashlib.sha256(b"[[")  # of what `prompt_sha256` hashes, as far as it is known
        self._add(Message("system", task.config.prompt.system))

    def show(self, state: str, actions_left: int) -> None:
        """Adds the user message of the next turn."""
        self._shown.append((state, actions_left))
        self._add(Message("user", self._user_text(len(self._shown) - 1)))

    def hear(self, reply: str, reward: float) -> None:
        """Adds the assistant's message, as it was, and keeps the reward for the next one."""
        self._heard.append((reply, reward))
        self._add(Message("assistant", reply))

    def messages(self) -> tuple[Message, ...]:
        """Returns what to send now."""
        if not isinstance(self._window, int) or len(self._shown) <= self._window:
            return tuple(self._messages)
        first = len(self._shown) - self._window
        kept = self._messages[1 + 2 * first :]
        opening = Message("user", self._user_text(first, opening=True))
        return (self._messages[0], opening, *kept[1:])

    def sha256(self, prefill: str) -> str:
        """Returns `prompt_sha256` of what to send now; of a whole history, reads only its news."""
        messages = self.messages()
        if len(messages) < len(self._messages):
            return prompt_sha256(messages, prefill)
        whole = self._hash.copy()
        whole.update(f"],{canonical_json(prefill)}]".encode())
        return whole.hexdigest()

    def _add(self, message: Message) -> None:
        comma = "," if self._messages else ""
        self._hash.update(f"{comma}{canonical_json(_as_json(message))}".encode())
        self._messages.append(message)

    def _user_text(self, turn: int, opening: bool = False) -> str:
        state, actions_left = self._shown[turn]
        if turn == 0 or opening:
            return self._task.opening_message(state, turn + 1, actions_left)
        reward = self._heard[turn - 1][1]
        return self._task.later_message(state, turn + 1, actions_left, reward)
