"""What `submission.json` and `verification.json` may say.

A submission is written by whoever ran the model; a verification only by the verifier. Texts of a
submission are one line of printable characters: who shows them still has to escape them.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from spa_bench.matching import Matching
from spa_bench.runner.chance import MOST_SALT
from spa_bench.runner.log import Price
from spa_bench.runner.record import Listed, Named
from spa_bench.task import MOST_REPEATS

SUBMISSION_SCHEMA: Final = "spa-bench/submission/1"
VERIFICATION_SCHEMA: Final = "spa-bench/verification/1"

Badge: TypeAlias = Literal["reported", "replayed", "authored"]
"""reported: nobody has checked it. replayed: every action, prompt, reading, outcome and figure was
computed anew and is the same. authored: besides, the replies are plausible under the claimed open
weights."""

SHA256 = r"^[0-9a-f]{64}$"
NONCE = r"^[0-9a-f]{32}$"


def _printable(text: str) -> str:
    if not all(character.isprintable() for character in text):
        raise ValueError("must be one line of printable characters")
    return text


Line: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=120), AfterValidator(_printable)
]
"""One line of printable characters: no control characters, nothing that turns the reading order."""

Note: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_printable)
]
"""A longer line."""

Link: TypeAlias = Annotated[
    str,
    StringConstraints(max_length=300),
    Matching(
        r"^https://[^\s<>\"'`\\]+$",
        "a link begins with https:// and holds no blank, quote or bracket",
    ),
]
"""A web address."""

Slug: TypeAlias = Annotated[
    str,
    Matching(
        r"^[a-z0-9][a-z0-9._-]{0,79}$",
        "a name is made of a-z, 0-9, '.', '_' and '-', begins with a letter or a digit, and has"
        " at most 80 of them",
    ),
]
"""The name of a submission and of its folder."""

Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=SHA256)]

Nonce: TypeAlias = Annotated[str, StringConstraints(pattern=NONCE)]
"""A number that nobody knew before."""


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False
    )


class SubmittedTask(_Strict):
    """One task of a submission: always a built-in one, as it is, all of its boards."""

    task: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]{0,79}$")]
    hash: Sha256
    repeats: int = Field(ge=1, le=MOST_REPEATS)
    boards: int = Field(ge=1)


class SubmittedRun(_Strict):
    """What `run.json` said, without keys, paths and names of machines.

    Attributes:
        created: when the run began, in UTC.
        model: its name there, such as `hf/SmolLM2-135M-Instruct`; part of every sampling seed.
        identity: the settings that change what the model answers.
        capabilities: what the backend could do; `prefill` decides what every prompt was.
    """

    created: Line
    salt: Annotated[str, StringConstraints(max_length=MOST_SALT)]
    model: Line
    identity: dict[str, Any] = {}
    capabilities: Named[bool]
    price: Price | None = None
    versions: Named[Line] = {}
    tasks: Annotated[Listed[SubmittedTask], Field(min_length=1, max_length=200)]


class About(_Strict):
    """What the submitter says; nothing of it can be known from a run.

    Attributes:
        model: as a table shows it.
        provider: which backend or service answered, such as `hf` or `openai`.
        method: how the model was made to play, such as `prompting`, `spa` or `baseline`.
        parameters: how many the model has; null where nobody outside knows.
        base_model: what it was trained from.
        training: which boards it was trained on: `none` of any task's worlds, `listed` in
            training_boards.json.gz, or `unknown`.
        date: of the submission.
        links: by what they are, such as paper, code, weights.
    """

    name: Slug
    model: Line
    provider: Line
    method: Line
    parameters: int | None = Field(default=None, ge=1, lt=2**53)
    base_model: Line | None = None
    training: Literal["none", "listed", "unknown"]
    date: date
    submitted_by: Line
    links: Annotated[dict[Slug, Link], Field(max_length=10)] = {}
    notes: Note | None = None


class Submission(About):
    """The contents of `submission.json`.

    Attributes:
        name: of the submission and its folder.
        run: what was run.
    """

    schema_: Literal["spa-bench/submission/1"] = Field(default=SUBMISSION_SCHEMA, alias="schema")
    run: SubmittedRun


class Flag(_Strict):
    """What a reader should know before believing a number; proof of nothing.

    Attributes:
        kind: which of the verifier's questions it answers.
        task: null where it concerns all.
    """

    kind: Literal[
        "above_ceiling", "optimal_play", "copied", "overlap", "repeated", "salt", "unlike_weights"
    ]
    task: str | None = None
    says: str


class RankedItems(_Strict):
    """How far recorded log-probabilities of given replies are from those under some weights.

    Attributes:
        items: how many were scored, with all of their replies.
        difference, largest: mean over the items and the worst of them, absolute, in nats a token.
    """

    items: int
    difference: float
    largest: float


class Authorship(_Strict):
    """How likely the recorded replies are under some weights, beside what these write themselves.

    Log-probabilities are natural, at temperature 1, means over all tokens.

    Attributes:
        weights: SHA-256 over the names and contents of the weight files.
        replies: how many prompts of written replies: of each the recorded one and a fresh one were
            scored.
        recorded, own: their means.
        difference, low, high: the first less the second, with its 95% interval.
        ranked: of replies that were ranked and not written; null where there are none.
        nonce: drew the replies; null in older files, where the submission's hash did.
    """

    weights: Sha256
    replies: int
    recorded: float
    own: float
    difference: float
    low: float
    high: float
    ranked: RankedItems | None = None
    nonce: Nonce | None = None


class Verification(_Strict):
    """The contents of `verification.json`, which only the verifier writes.

    Attributes:
        submission: SHA-256 of the checksums.txt that was verified; it covers every other file.
        verified: when, in UTC. spa_bench: the version that did it.
        episodes, turns: how many were replayed.
        overlap: for each task, the share of its boards among the training boards; null where
            those are unknown.
        flags: for a reader.
        transcripts: a sample of the hashes of episodes, by which copies are found: the least.
    """

    schema_: Literal["spa-bench/verification/1"] = Field(
        default=VERIFICATION_SCHEMA, alias="schema"
    )
    submission: Sha256
    badge: Literal["replayed", "authored"]
    verified: Line
    spa_bench: Line
    episodes: int
    turns: int
    overlap: Named[float | None]
    flags: Listed[Flag]
    authorship: Authorship | None = None
    transcripts: Listed[str]
