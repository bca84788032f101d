"""Laws of learning-rate dropout, one test each over all optimizers."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from lrd_core.optim import learning_rate_dropout, remove_learning_rate_dropout
from lrd_core.optim.mask import keep_mask

CASES: dict[str, Callable[[Any], Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.01),
    "adam fused": lambda p: torch.optim.Adam(p, lr=0.01, fused=True),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
    "radam": lambda p: torch.optim.RAdam(p, lr=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01),
}
every_optimizer = pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())


def run(make: Callable[[Any], Optimizer], steps: int = 8, **lrd: Any) -> tuple[list[Tensor], Any]:
    draws = torch.Generator().manual_seed(1)
    params = [torch.randn(shape, generator=draws, requires_grad=True) for shape in ((40, 5), (7,))]
    optimizer = make(params)
    if lrd:
        learning_rate_dropout(optimizer, **lrd)
    for _ in range(steps):
        for param in params:
            param.grad = torch.randn(param.shape, generator=draws)
        optimizer.step()
    return [param.detach() for param in params], optimizer


@every_optimizer
def test_keep_prob_1_is_bit_equal_to_the_plain_optimizer(make: Any) -> None:
    for ours, torchs in zip(run(make, keep_prob=1.0)[0], run(make)[0], strict=True):
        assert torch.equal(ours, torchs)


@every_optimizer
def test_keep_prob_0_freezes_the_weights_and_moves_the_moments(make: Any) -> None:
    frozen, optimizer = run(make, keep_prob=0.0)
    for ours, start in zip(frozen, run(make, steps=0)[0], strict=True):
        assert torch.equal(ours, start)
    moments = [v for state in optimizer.state.values() for v in state.values() if v.numel() > 1]
    assert all(moment.abs().sum() > 0 for moment in moments)


@every_optimizer
def test_each_element_takes_the_plain_step_or_none(make: Any) -> None:
    # Catches: mask on the gradient, rescaling by 1/p, decay outside the mask.
    start, plain, lrd = run(make, 0)[0], run(make, 1)[0], run(make, 1, keep_prob=0.5)[0]
    offset = 0
    for before, full, ours in zip(start, plain, lrd, strict=True):
        kept = keep_mask(0, 1, before.numel(), 0.5, offset=offset).view(before.shape)
        assert torch.equal(ours, torch.where(kept, full, before))
        assert 0 < kept.sum() < kept.numel()
        offset += before.numel()


@every_optimizer
def test_equal_seeds_equal_runs_and_no_global_draw(make: Any) -> None:
    before = torch.get_rng_state()
    first, again, other = (run(make, keep_prob=0.5, seed=seed)[0][0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


@every_optimizer
def test_a_saved_state_goes_on_bit_for_bit_whatever_seed_the_new_one_had(make: Any) -> None:
    straight, _ = run(make, steps=8, keep_prob=0.5, seed=3)
    draws = torch.Generator().manual_seed(1)
    params = [torch.randn(shape, generator=draws, requires_grad=True) for shape in ((40, 5), (7,))]
    optimizer = learning_rate_dropout(make(params), 0.5, seed=3)
    for step in range(8):
        if step == 5:
            saved = optimizer.state_dict()
            optimizer = learning_rate_dropout(make(params), 0.1, seed=99)
            optimizer.load_state_dict(saved)
        for param in params:
            param.grad = torch.randn(param.shape, generator=draws)
        optimizer.step()
    for ours, theirs in zip(params, straight, strict=True):
        assert torch.equal(ours.detach(), theirs)


def test_removal_leaves_the_plain_optimizer() -> None:
    param = torch.ones(10, requires_grad=True)
    optimizer = learning_rate_dropout(torch.optim.SGD([param], lr=1.0), 0.0)
    remove_learning_rate_dropout(optimizer)
    param.grad = torch.ones(10)
    optimizer.step()
    assert torch.equal(param.detach(), torch.zeros(10))
    assert "keep_prob" not in optimizer.param_groups[0]


@pytest.mark.parametrize("keep_prob", [-0.1, 1.1, float("nan")])
def test_a_keep_prob_that_is_no_probability_is_refused(keep_prob: float) -> None:
    optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    with pytest.raises(ValueError, match="keep_prob"):
        learning_rate_dropout(optimizer, keep_prob)


@pytest.mark.parametrize("keep_prob", [0.9, 0.5, 0.1, 0.01])
def test_the_kept_share_is_keep_prob(keep_prob: float) -> None:
    # 5 sigma over 24 million elements: a false alarm once in two million runs.
    count = steps = 0
    for step in range(24):
        count += int(keep_mask(7, step, 1_000_000, keep_prob).sum())
        steps += 1
    sigma = (keep_prob * (1 - keep_prob) / (steps * 1e6)) ** 0.5
    assert abs(count / (steps * 1e6) - keep_prob) < 5 * sigma


def test_masks_of_neighbouring_seeds_steps_and_elements_are_unrelated() -> None:
    # |z| < 5.5 in 60 comparisons: a false alarm about once in 400,000 runs.
    masks = [
        keep_mask(seed, step, 1 << 18, 0.5).double() * 2 - 1
        for seed in range(3)
        for step in range(3)
    ]
    pairs = [(a, b) for i, a in enumerate(masks) for b in masks[:i]]
    pairs += [(a[lag:], a[:-lag]) for a in masks[:3] for lag in (1, 2, 3, 16, 1000)]
    for a, b in pairs:
        assert abs(float((a * b).sum()) / len(a) ** 0.5) < 5.5


def test_the_mask_of_seed_1_step_2_never_changes() -> None:
    # Results of years depend on it: regenerate only with a new major version.
    kept = keep_mask(1, 2, 24, 0.5).int().tolist()
    assert kept == [int(bit) for bit in "001100101100111001001000"]
