"""Muon for matrices, AdamW for the rest."""

import copy

import pytest

torch = pytest.importorskip("torch")

from spa_trainers.muon import Muon, MuonAndAdamW, orthogonal  # noqa: E402

SETTINGS = {"muon_lr": 0.02, "learning_rate": 1e-3, "betas": (0.9, 0.95), "weight_decay": 0.01}


@pytest.fixture
def make():
    from transformers import LlamaConfig, LlamaForCausalLM

    def model(tied):
        torch.manual_seed(0)
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=23,
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=24,
                tie_word_embeddings=tied,
            )
        )

    return model


def step(model, optimizer, seed):
    ids = torch.randint(0, 23, (3, 9), generator=torch.Generator().manual_seed(seed))
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


@pytest.mark.parametrize("tied", [True, False])
def test_embeddings_and_norms_are_left_to_adamw(make, tied):
    model = make(tied)
    muon, adamw = MuonAndAdamW.of(model, **SETTINGS).param_groups
    names = {id(p): name for name, p in model.named_parameters()}
    matrices = {names[id(p)] for p in muon["params"]}
    others = {names[id(p)] for p in adamw["params"]}
    assert matrices | others == set(names.values())
    assert all(".layers." in name and name.endswith("proj.weight") for name in matrices)
    assert ("lm_head.weight" in others) is not tied
    assert "model.embed_tokens.weight" in others
    assert "model.norm.weight" in others


def test_what_does_not_learn_is_not_touched(make):
    model = make(True)
    model.model.layers[0].requires_grad_(False)
    before = {name: p.clone() for name, p in model.named_parameters()}
    step(model, MuonAndAdamW.of(model, **SETTINGS), 0)
    for name, parameter in model.named_parameters():
        assert parameter.equal(before[name]) is (".layers.0." in name)


def test_it_learns(make):
    model = make(True)
    optimizer = MuonAndAdamW.of(model, **SETTINGS)
    losses = [step(model, optimizer, 0) for _ in range(100)]
    assert losses[-1] < 0.6 * losses[0]


def test_a_schedule_scales_both_rates(make):
    optimizer = MuonAndAdamW.of(make(True), **SETTINGS)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: 1 / (1 + n))
    optimizer.step()
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 5e-4]


def test_what_is_saved_goes_on_exactly(make):
    one = make(True)
    optimizer = MuonAndAdamW.of(one, **SETTINGS)
    for seed in range(3):
        step(one, optimizer, seed)
    other = make(True)
    other.load_state_dict(one.state_dict())
    again = MuonAndAdamW.of(other, **SETTINGS)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # as from a file
    for seed in range(3, 6):
        assert step(one, optimizer, seed) == step(other, again, seed)
    assert all(a.equal(b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("shape", [(8, 8), (5, 20), (20, 5)])
def test_singular_values_come_near_one_and_vectors_stay(shape):
    matrix = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    found = orthogonal(matrix)[0]
    assert torch.linalg.svdvals(found).sub(1).abs().max() < 0.4
    left, _, right = torch.linalg.svd(matrix[0], full_matrices=False)
    inner = left.T @ found @ right.T
    assert inner.sub(torch.diag(inner.diag())).abs().max() < 1e-4


def test_it_moves_as_torchs_does_in_bfloat16():
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 8), (12, 8), (8, 12), (8, 8)]
    ours = [torch.nn.Parameter(torch.randn(s, generator=generator)) for s in shapes]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    one = Muon(ours, lr=0.1, momentum=0.9, weight_decay=0.1)
    other = torch.optim.Muon(theirs, lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        one.step()
        other.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0.01)
