"""The recorded replies are scored under the claimed weights, beside what these write themselves."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from submissions import ABOUT, NOBODY, FewBoards, evaluated, moody
from worlds import changed

from benchmarks.tampering import Copy, Line
from spa_bench.errors import InputError, PluginError
from spa_bench.models.model import Model
from spa_bench.plugins import make_model, resolve_model
from spa_bench.submission.authorship import TOLERANCE, authored, plausible, says
from spa_bench.submission.folder import SubmissionFolder
from spa_bench.submission.pack import pack
from spa_bench.submission.schema import Authorship, RankedItems, Verification
from spa_bench.submission.verify import verify
from spa_bench.submission.weights import hash_weights
from spa_bench.task import Task

pytest.importorskip("torch", reason="needs torch: pip install 'spa-bench[hf]'")

ROOM = {"max_position_embeddings": 4096}


class Short(FewBoards):
    """One turn, of few tokens."""

    def load(self, name: str) -> Task:
        return changed(super().load(name), limits={"turns": 1, "new_tokens": 24})


def loaded(folder: Path) -> Model:
    provider, options = resolve_model(str(folder), device="cpu")
    return make_model(options, provider)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import hf_tiny

    return hf_tiny.save(tmp_path_factory.mktemp("own") / "tiny", **ROOM)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import hf_tiny

    return hf_tiny.save(tmp_path_factory.mktemp("other") / "tiny", kind="qwen2", **ROOM)


WRITTEN = ("frozenlake_answer",)
RANKED = ("frozenlake_answer", "frozenlake_transition_ranking")


def packed(
    path: Path, model: Model, repeats: int = 16, tasks: tuple[str, ...] = WRITTEN
) -> SubmissionFolder:
    registry = Short()
    run = evaluated(path / "run", model, tasks=tasks, registry=registry, repeats=repeats)
    return pack(run, ABOUT, path / "tiny", registry, scrubber=NOBODY)


@pytest.fixture(scope="module")
def written(own: Path, tmp_path_factory: pytest.TempPathFactory) -> SubmissionFolder:
    return packed(tmp_path_factory.mktemp("written"), loaded(own))


def under(folder: SubmissionFolder, weights: Path, nonce: str | None = "0" * 32) -> Verification:
    report = verify(folder, Short())
    return asyncio.run(authored(folder, report, loaded(weights), weights, nonce=nonce))


def found(verification: Verification) -> Authorship:
    assert verification.authorship is not None
    return verification.authorship


def test_replies_of_the_weights_are_authored(written: SubmissionFolder, own: Path) -> None:
    verification = under(written, own)
    assert verification.badge == "authored", says(found(verification))
    assert found(verification).low < TOLERANCE
    assert found(verification).high > -TOLERANCE
    assert found(verification).weights == hash_weights(own)
    assert verification.flags == []


def test_replies_of_other_weights_are_not(written: SubmissionFolder, other: Path) -> None:
    verification = under(written, other)
    assert verification.badge == "replayed"
    assert found(verification).high < -0.5
    assert [flag.kind for flag in verification.flags] == ["unlike_weights"]


def test_replies_of_somebody_else_are_not(own: Path, tmp_path: Path) -> None:
    verification = under(packed(tmp_path, moody()), own)
    assert verification.badge == "replayed"
    assert "nats less likely under the given weights" in verification.flags[-1].says


def test_a_check_can_be_repeated_with_its_nonce(written: SubmissionFolder, own: Path) -> None:
    first = found(under(written, own, nonce=None))
    again = found(under(written, own, nonce=first.nonce))
    assert first.nonce is not None
    # batches may be made up otherwise, so that numbers agree to rounding only
    assert first.difference == pytest.approx(again.difference, abs=1e-3)
    assert first.replies == again.replies


def test_few_replies_prove_nothing(own: Path, tmp_path: Path) -> None:
    folder = packed(tmp_path, moody(), repeats=2)
    with pytest.raises(InputError, match="4 written replies to score are too few"):
        under(folder, own)


def test_a_model_that_cannot_score_is_refused(written: SubmissionFolder, own: Path) -> None:
    report = verify(written, Short())
    with pytest.raises(InputError, match="cannot score a given text"):
        asyncio.run(authored(written, report, moody(), own))


def test_a_model_whose_code_fails_is_one_line(
    written: SubmissionFolder, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, model = verify(written, Short()), loaded(own)

    async def score_text(*_: object) -> None:
        raise IndexError("no such token")

    monkeypatch.setattr(model, "score_text", score_text)
    with pytest.raises(PluginError, match=r"^model 'tiny' raised IndexError: no such token"):
        asyncio.run(authored(written, report, model, own))


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no weights \(\*\.safetensors\)"):
        hash_weights(tmp_path)


@pytest.fixture(scope="module")
def ranked(own: Path, tmp_path_factory: pytest.TempPathFactory) -> SubmissionFolder:
    return packed(tmp_path_factory.mktemp("ranked"), loaded(own), 8, RANKED)


def doctored(ranked: SubmissionFolder, path: Path, change: Callable[[Line], object]) -> Copy:
    """Returns a copy whose ranked items were changed, with figures that follow from them."""
    copy = Copy(Path(shutil.copytree(ranked.path, path / ranked.name)))
    lines = copy.lines()
    for line in lines:
        if line["task"] == RANKED[1]:
            change(line)
    copy.write_lines(lines)
    copy.sign()
    report = verify(SubmissionFolder(copy.path), Short())
    assert report.results is not None
    copy.write_json("results.json", report.results.model_dump(mode="json", by_alias=True))
    copy.sign()
    return copy


def test_log_probabilities_of_ranked_replies_are_those_of_the_weights(
    ranked: SubmissionFolder, own: Path
) -> None:
    verification = under(ranked, own)
    assert verification.badge == "authored", says(found(verification))
    told = found(verification).ranked
    assert told is not None
    assert told.items >= 8
    assert told.largest < 1e-3


def test_invented_log_probabilities_are_found(
    ranked: SubmissionFolder, own: Path, tmp_path: Path
) -> None:
    def invent(line: Line) -> None:
        (turn,) = line["turns"]
        best = max(turn["choice_logprobs"])
        turn["choice_logprobs"] = [-0.01 if p == best else -90 for p in turn["choice_logprobs"]]

    verification = under(SubmissionFolder(doctored(ranked, tmp_path, invent).path), own)
    assert verification.badge == "replayed"
    assert [flag.kind for flag in verification.flags] == ["unlike_weights"]
    assert "ranked items, log-probabilities are off by" in verification.flags[0].says


def test_ranked_replies_without_log_probabilities_cannot_be_authored(
    ranked: SubmissionFolder, own: Path, tmp_path: Path
) -> None:
    def hide(line: Line) -> None:
        del line["turns"][0]["choice_logprobs"]

    folder = SubmissionFolder(doctored(ranked, tmp_path, hide).path)
    with pytest.raises(InputError, match="was not replayed"):
        under(folder, own)


@pytest.mark.parametrize(("difference", "largest"), [(0.2, 0.3), (0.05, 0.6)])
def test_one_item_that_is_far_off_is_too_many(difference: float, largest: float) -> None:
    told = Authorship(
        weights="0" * 64, replies=8, recorded=-2, own=-2, difference=0, low=-0.1, high=0.1
    )
    ranked = RankedItems(items=8, difference=difference, largest=largest)
    assert plausible(told)
    assert not plausible(told.model_copy(update={"ranked": ranked}))


@pytest.mark.parametrize(
    ("low", "high", "passes"),
    [
        (-0.2, 0.3, True),
        (0.05, 0.4, True),  # within the tolerance, at its end
        (0.15, 0.4, False),  # more likely than it should be
        (-0.4, -0.15, False),
        (-0.9, 0.9, False),  # too little evidence
    ],
)
def test_a_record_passes_if_it_differs_by_chance_alone(
    low: float, high: float, passes: bool
) -> None:
    middle = (low + high) / 2
    told = Authorship(
        weights="0" * 64, replies=8, recorded=-2, own=-2, difference=middle, low=low, high=high
    )
    assert plausible(told) is passes
