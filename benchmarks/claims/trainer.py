"""What a training computes, by running the tests that hold it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from benchmarks.claims.claim import Claim, Measured
from benchmarks.claims.conformance import passed


def _held(tests: Sequence[str], value: str) -> Measured:
    """Runs tests of trainings.

    Args:
        tests: of one file, which is named first: `test_ppo.py::test_one`, `::test_other`.
        value: what holds if they pass.
    """
    file = tests[0].partition("::")[0]
    clean, told = passed(*(f"trainers/{file}::{test.partition('::')[2]}" for test in tests))
    detail = f"{file}: {told}"
    return Measured(value, True, detail) if clean else Measured("it does not hold", False, detail)


def _claim(name: str, says: str, aim: str, value: str, *tests: str) -> Claim:
    return Claim(name, "training", says, aim, partial(_held, tests, value))


CLAIMS = [
    _claim(
        "trained-ids",
        "token ids that PPO learns from are those that were sampled, in their places",
        "all, and no others",
        "all, and no others",
        "test_ppo.py::test_trained_ids_are_the_sampled_ids",
    ),
    _claim(
        "recomputed-logprobs",
        "log-probabilities that PPO computes anew, one row or many, and those of the rollout",
        "difference below 1e-4",
        "difference below 1e-4",
        "test_ppo.py::test_recomputed_logprobs_equal_the_rollouts",
    ),
    _claim(
        "first-ratio",
        "at PPO's first update the ratio is 1: the loss is the mean of -A, and nothing is clipped",
        "within 1e-5, 0 tokens",
        "within 1e-5, 0 tokens",
        "test_ppo.py::test_at_the_first_update_the_ratio_is_one",
    ),
    _claim(
        "gae-by-hand",
        "GAE over tokens and over turns, beside calculations by hand and the definition",
        "equal",
        "equal",
        "test_advantages.py::test_gae_worked_out_by_hand",
        "::test_turn_gae_worked_out_by_hand",
        "::test_gae_equals_its_definition",
        "::test_turn_gae_equals_its_definition",
    ),
    _claim(
        "training-resumed",
        "an interrupted PPO and an uninterrupted one, float32, with Adam and with Muon",
        "equal weights and logs, but for times",
        "equal weights and logs, but for times",
        "test_ppo.py::test_a_run_that_was_cut_off_goes_on_exactly",
    ),
    _claim(
        "held-out-repeated",
        "`spa-bench evaluate` on a saved checkpoint and the last measure of its training, float32",
        "equal replies, Pass@1 and Pass@2",
        "equal replies, Pass@1 and Pass@2",
        "test_held_out.py::test_evaluate_on_the_checkpoint_repeats_the_last_measure_of_its_training",
    ),
]
