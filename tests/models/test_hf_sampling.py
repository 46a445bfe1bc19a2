import numpy as np
import pytest
import torch

from spa_bench.models.hf_sampling import draw, uniforms

VOCABULARY = 700  # no multiple of the sampler's block


def logits(rows: int = 1, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(seed))


def grid(count: int) -> torch.Tensor:
    return (torch.arange(count, dtype=torch.float64) + 0.5) / count


def wanted(row: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """The distribution by its definition: sort, cut, renormalise."""
    probabilities, order = (row.double() / temperature).softmax(-1).sort(descending=True)
    kept = (probabilities.cumsum(-1) - probabilities) < top_p
    found = torch.zeros(len(row), dtype=torch.float64)
    found[order[kept]] = probabilities[kept] / probabilities[kept].sum()
    return found


def test_numbers_are_a_function_of_seed_and_index_alone() -> None:
    assert np.array_equal(uniforms(7, 5), uniforms(7, 400)[:5])
    assert not np.array_equal(uniforms(7, 5), uniforms(8, 5))


def test_numbers_of_published_runs_stay() -> None:
    assert uniforms(2**63 - 1, 3).tolist() == [
        0.9258067163090251,
        0.18157025027346085,
        0.6192568763511546,
    ]


def test_numbers_lie_in_the_unit_interval_and_fill_it() -> None:
    u = uniforms(1, 10_000)
    assert u.min() >= 0
    assert u.max() < 1
    assert np.histogram(u, bins=10, range=(0, 1))[0].min() > 800


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.95, 1.0])
def test_an_even_grid_of_numbers_draws_the_distribution(temperature: float, top_p: float) -> None:
    count = 20_000
    row = logits()
    ids, _ = draw(row.expand(count, -1), grid(count), temperature, top_p)
    found = torch.bincount(ids, minlength=VOCABULARY) / count
    assert (found - wanted(row[0], temperature, top_p)).abs().max() < 1.5 / count


def test_greedy_takes_the_likeliest_whatever_the_number() -> None:
    rows = logits(50)
    ids, _ = draw(rows, grid(50), 0.0, 0.3)
    assert torch.equal(ids, rows.argmax(-1))


@pytest.mark.parametrize(("temperature", "top_p"), [(0.0, 1.0), (1.0, 1.0), (0.3, 0.5)])
def test_logprobs_are_of_temperature_one_and_the_whole_vocabulary(
    temperature: float, top_p: float
) -> None:
    rows = logits(20)
    ids, logprobs = draw(rows, grid(20), temperature, top_p)
    true = rows.double().log_softmax(-1).gather(-1, ids[:, None])[:, 0]
    assert (logprobs - true).abs().max() < 1e-5


@pytest.mark.parametrize("top_p", [0.9, 1.0])
def test_a_draw_does_not_depend_on_the_other_rows(top_p: float) -> None:
    rows, u = logits(40), grid(40)
    together, _ = draw(rows, u, 1.0, top_p)
    alone = [draw(rows[i : i + 1], u[i : i + 1], 1.0, top_p)[0].item() for i in range(40)]
    assert together.tolist() == alone


@pytest.mark.parametrize("top_p", [0.999999, 1.0])
@pytest.mark.parametrize("u", [0.0, 1 - 2.0**-53])
def test_an_impossible_token_is_never_drawn(top_p: float, u: float) -> None:
    row = torch.full((1, VOCABULARY), -torch.inf)
    row[0, 200:500] = logits()[0, 200:500]
    ids, _ = draw(row, torch.tensor([u], dtype=torch.float64), 1.0, top_p)
    assert 200 <= ids.item() < 500


def test_half_precision_logits_are_summed_in_full_precision() -> None:
    row = torch.zeros(1, VOCABULARY, dtype=torch.bfloat16)
    _, logprobs = draw(row, grid(1), 1.0, 1.0)
    assert logprobs.item() == pytest.approx(-np.log(VOCABULARY), abs=1e-5)
