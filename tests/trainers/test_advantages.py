"""GAE against cases worked out by hand, and what masked places may not do."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spa_trainers.advantages import gae, returns_at_end, turn_gae, whiten
from spa_trainers.losses import kl_to, policy_loss, value_loss


def _t(*rows):
    return torch.tensor(rows, dtype=torch.float64)


ALL = torch.ones(1, 3, dtype=torch.bool)


def test_gae_worked_out_by_hand():
    # gamma .5, lambda .5; V = 1, 2, 4; r = 0, 0, 8
    # delta = 0+.5*2-1 = 0; 0+.5*4-2 = 0; 8-4 = 4; A = 4*.25*.25, 4*.25, 4
    found, returns = gae(_t([0, 0, 8]), _t([1, 2, 4]), ALL, 0.5, 0.5)
    assert found.tolist() == [[0.25, 1.0, 4.0]]
    assert returns.tolist() == [[1.25, 3.0, 8.0]]


def test_with_gamma_and_lambda_one_a_return_is_the_sum_of_what_follows():
    _, returns = gae(_t([1, 2, 4]), _t([9, -3, 5]), ALL, 1.0, 1.0)
    assert returns.tolist() == [[7.0, 6.0, 4.0]]


def test_with_lambda_zero_an_advantage_is_one_step():
    found, _ = gae(_t([1, 1, 1]), _t([5, 3, 2]), ALL, 1.0, 0.0)
    assert found.tolist() == [[1 + 3 - 5, 1 + 2 - 3, 1 - 2]]


def test_all_reward_can_be_put_on_the_last_token():
    mask = torch.tensor([[True, True, True, False], [True, False, False, False]])
    moved = returns_at_end(_t([1, 0, 2, 9], [5, 9, 9, 9]), mask)
    assert moved.tolist() == [[0, 0, 3, 0], [5, 0, 0, 0]]


def test_turn_gae_worked_out_by_hand():
    # two turns of two tokens; V = 1, 2 | 3, 4; r_0 = 1, r_1 = 10; turn gamma 1, turn lambda .5
    # turns: delta_1 = 10 - 4 = 6, A_1 = 6; delta_0 = 1 + 4 - 2 = 3, A_0 = 3 + .5*6 = 6
    # tokens (gamma 1, lambda .5): last of turn 1: 6; before it: 4 - 3 + .5*6 = 4
    #                              last of turn 0: 6; before it: 2 - 1 + .5*6 = 4
    found, returns = turn_gae(
        _t([0, 1, 0, 10]),
        _t([1, 2, 3, 4]),
        torch.ones(1, 4, dtype=torch.bool),
        torch.tensor([[0, 0, 1, 1]]),
        gamma=1.0,
        lam=0.5,
        turn_gamma=1.0,
        turn_lam=0.5,
    )
    assert found.tolist() == [[4.0, 6.0, 4.0, 6.0]]
    assert returns.tolist() == [[5.0, 8.0, 7.0, 10.0]]


def test_turns_may_be_counted_from_any_number():
    more = {"gamma": 0.9, "lam": 0.8, "turn_gamma": 0.7, "turn_lam": 0.6}
    mask, turn = torch.ones(1, 4, dtype=torch.bool), torch.tensor([[0, 0, 1, 1]])
    rewards, values = _t([0, 1, 0, 10]), _t([1, 2, 3, 4])
    expected, _ = turn_gae(rewards, values, mask, turn, **more)
    for first in (1, 2):
        found, _ = turn_gae(rewards, values, mask, turn + first, **more)
        assert found.equal(expected)


def test_two_levels_without_discounts_are_one():
    g = torch.Generator().manual_seed(0)
    rewards, values = (torch.randn(3, 6, generator=g, dtype=torch.float64) for _ in range(2))
    turn = torch.tensor([[0, 0, 1, 1, 1, 2], [0, 1, 2, 2, 2, 2], [0, 0, 0, 0, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 0]]).bool()
    ends = mask & ~torch.cat(
        [mask[:, 1:] & (turn[:, 1:] == turn[:, :-1]), torch.zeros(3, 1, dtype=torch.bool)], 1
    )
    ones = {"gamma": 1.0, "lam": 1.0, "turn_gamma": 1.0, "turn_lam": 1.0}
    for found, expected in zip(
        turn_gae(rewards * ends, values, mask, turn, **ones),
        gae(rewards * ends, values, mask, 1.0, 1.0),
        strict=True,
    ):
        assert found.flatten().tolist() == pytest.approx(expected.flatten().tolist())


SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(0, 2**31))


@settings(max_examples=100, deadline=None)
@given(SHAPES, st.sampled_from(["token", "bilevel"]))
def test_values_and_rewards_at_masked_places_change_nothing(shape, kind):
    rows, width, seed = shape
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, width + 1, (rows, 1), generator=g)
    mask = torch.arange(width)[None] < lengths
    turn = torch.randint(0, 2, (rows, width), generator=g).cumsum(1)
    turn = (turn - turn[:, :1]) * mask
    rewards, values, noise = (
        torch.randn(rows, width, generator=g, dtype=torch.float64) for _ in range(3)
    )

    def advantages(r, v):
        if kind == "token":
            return gae(r, v, mask, 0.9, 0.8)
        more = {"gamma": 0.9, "lam": 0.8, "turn_gamma": 0.95, "turn_lam": 0.7}
        return turn_gae(r, v, mask, turn, **more)

    changed = [torch.where(mask, x, noise * 1e6) for x in (rewards, values)]
    for one, other in zip(advantages(rewards, values), advantages(*changed), strict=True):
        assert one.equal(other)
        assert (one[~mask] == 0).all()


@settings(max_examples=50, deadline=None)
@given(SHAPES)
def test_gae_equals_its_definition(shape):
    rows, width, seed = shape
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, width + 1, (rows,), generator=g).tolist()
    mask = torch.arange(width)[None] < torch.tensor(lengths)[:, None]
    rewards, values = (torch.randn(rows, width, generator=g, dtype=torch.float64) for _ in range(2))
    found, _ = gae(rewards, values, mask, 0.9, 0.7)
    for row, n in enumerate(lengths):
        r, v = rewards[row, :n].tolist(), [*values[row, :n].tolist(), 0.0]
        delta = [r[j] + 0.9 * v[j + 1] - v[j] for j in range(n)]
        for j in range(n):
            expected = sum((0.9 * 0.7) ** (i - j) * delta[i] for i in range(j, n))
            assert float(found[row, j]) == pytest.approx(expected)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=4), min_size=1, max_size=3))
def test_turn_gae_equals_its_definition(lengths):
    width = max(sum(turns) for turns in lengths)
    g = torch.Generator().manual_seed(sum(map(sum, lengths)))
    rewards, values = (
        torch.randn(len(lengths), width, generator=g, dtype=torch.float64) for _ in range(2)
    )
    mask = torch.zeros(len(lengths), width, dtype=torch.bool)
    turn = torch.zeros(len(lengths), width, dtype=torch.int64)
    for row, turns in enumerate(lengths):
        mask[row, : sum(turns)] = True
        numbers = [k for k, n in enumerate(turns) for _ in range(n)]
        turn[row, : len(numbers)] = torch.tensor(numbers)
    more = {"gamma": 0.9, "lam": 0.8, "turn_gamma": 0.7, "turn_lam": 0.6}
    found, returns = turn_gae(rewards, values, mask, turn, **more)
    for row, turns in enumerate(lengths):
        ends = [sum(turns[: k + 1]) for k in range(len(turns))]
        starts = [0, *ends[:-1]]
        r, v = rewards[row].tolist(), values[row].tolist()
        expected, ahead, after = [0.0] * width, 0.0, 0.0
        for start, end in reversed(list(zip(starts, ends, strict=True))):
            ahead = sum(r[start:end]) + 0.7 * after - v[end - 1] + 0.7 * 0.6 * ahead
            after = v[end - 1]
            expected[end - 1] = ahead
            for j in range(end - 2, start - 1, -1):
                expected[j] = 0.9 * v[j + 1] - v[j] + 0.9 * 0.8 * expected[j + 1]
        assert found[row].tolist() == pytest.approx(expected)
        sums = [a + b if on else 0 for a, b, on in zip(expected, v, mask[row], strict=True)]
        assert returns[row].tolist() == pytest.approx(sums)


def test_whitened_advantages_have_mean_zero_and_deviation_one():
    values, mask = torch.randn(5, 7, dtype=torch.float64) * 3 + 2, torch.rand(5, 7) < 0.6
    mask[0, :2] = True
    chosen = whiten(values, mask)[mask]
    assert float(chosen.mean()) == pytest.approx(0, abs=1e-9)
    assert float(chosen.std()) == pytest.approx(1)
    assert (whiten(values, mask)[~mask] == 0).all()


def test_what_has_no_deviation_is_left_as_it_is():
    none, one = torch.tensor([[False, False]]), torch.tensor([[False, True]])
    assert whiten(_t([3, 5]), none).tolist() == [[0, 0]]
    assert whiten(_t([3, 5]), one).tolist() == [[0, 5]]


def test_two_are_enough_to_whiten_and_equal_ones_are_no_division_by_zero():
    both = torch.tensor([[True, True, False]])
    assert whiten(_t([3, 5, 9]), both).tolist()[0] == pytest.approx([-(0.5**0.5), 0.5**0.5, 0])
    assert whiten(_t([4, 4, 9]), both).tolist() == [[0, 0, 0]]


def _policy(ratio, advantage):
    new = torch.tensor(ratio, dtype=torch.float64).log()
    return float(
        policy_loss(
            new,
            torch.zeros_like(new),
            torch.tensor(advantage, dtype=torch.float64),
            clip_low=0.2,
            clip_high=0.28,
            dual_clip=3.0,
        )
    )


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [
        (1.0, 2.0, -2.0),
        (1.2, 2.0, -2.4),  # inside the upper clip
        (2.0, 2.0, -2.56),  # 1.28 at most
        (0.5, 2.0, -1.0),  # a good action that became rarer: no clip
        (0.5, -2.0, 1.6),  # 0.8 at least
        (2.0, -2.0, 4.0),  # a bad action that became likelier: no clip
        (9.0, -2.0, 6.0),  # but three times its size at most
    ],
)
def test_the_clipped_surrogate(ratio, advantage, loss):
    assert _policy(ratio, advantage) == pytest.approx(loss)


def test_value_loss_takes_the_worse_of_plain_and_clipped():
    old, returns = _t([0.0]), _t([2.0])
    assert float(value_loss(_t([1.5]), old, returns, 0.5)) == pytest.approx(0.5 * 1.5**2)
    assert float(value_loss(_t([-1.0]), old, returns, 0.5)) == pytest.approx(0.5 * 3.0**2)


def test_kl_is_never_negative_and_zero_for_equals():
    g = torch.Generator().manual_seed(1)
    one, other = (torch.randn(1000, generator=g) for _ in range(2))
    assert (kl_to(one, other) >= 0).all()
    assert (kl_to(one, one) == 0).all()
