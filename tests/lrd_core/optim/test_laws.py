"""The laws of learning-rate dropout, one test each, over every optimizer of the catalogue."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lrd_core.optim import learning_rate_dropout
from lrd_core.optim.mask import keep_mask
from tests.lrd_core.optim.cases import (
    CASES,
    SIZES,
    Case,
    equal,
    every_optimizer,
    parameters,
    steps,
    values,
)
from tests.lrd_core.optim.frozen import FROZEN, sample


def run(case: Case, count: int, **lrd: Any) -> tuple[list[Tensor], torch.optim.Optimizer]:
    params = parameters()
    optimizer = case.make(params)
    if lrd:
        learning_rate_dropout(optimizer, **lrd)
    steps(optimizer, params, 1, count)
    return values(params), optimizer


@every_optimizer
def test_keep_prob_1_is_bit_equal_to_torch(case: Case) -> None:
    assert equal(run(case, 8, keep_prob=1.0)[0], run(case, 8)[0])


@every_optimizer
def test_keep_prob_0_leaves_the_weights_and_moves_the_moments(case: Case) -> None:
    frozen, optimizer = run(case, 8, keep_prob=0.0)
    assert equal(frozen, values(parameters()))
    fresh = case.make(parameters())
    for state in optimizer.state.values():
        moments = [part for part in state.values() if torch.is_tensor(part) and part.dim() > 0]
        assert moments or not fresh.state
        assert any(moment.abs().sum() > 0 for moment in moments)


def test_a_frozen_parameter_that_still_has_a_gradient_is_masked_like_any() -> None:
    # Torch steps whatever has a gradient. Catches: that step taken in full.
    param = torch.zeros(1000, requires_grad=True)
    param.grad = torch.ones(1000)
    param.requires_grad_(False)
    learning_rate_dropout(torch.optim.SGD([param], lr=1.0), 0.5).step()
    assert 400 < int((param != 0).sum()) < 600  # 500 expected, standard deviation 16


@every_optimizer
def test_each_element_takes_torch_s_step_or_none(case: Case) -> None:
    # The moments do not depend on the mask, so from equal weights each step can be told apart.
    params, plain = parameters(), parameters()
    optimizer = learning_rate_dropout(case.make(params), 0.5, seed=4)
    reference = case.make(plain)
    for step in range(1, 6):
        before = values(params)
        for ours, theirs in zip(params, plain, strict=True):
            theirs.data.copy_(ours.data)
        steps(optimizer, params, step, step)
        steps(reference, plain, step, step)
        position = 0
        for old, ours, full in zip(before, params, plain, strict=True):
            kept = keep_mask(4, step, old.numel(), 0.5, offset=position).view(old.shape)
            assert torch.equal(ours.detach(), torch.where(kept, full.detach(), old))
            position += old.numel()


@every_optimizer
def test_the_moments_are_those_of_torch_for_equal_gradients(case: Case) -> None:
    # Catches: masked gradients, masked moments. Decay would make gradients depend on the weights.
    options = case.options | ({"weight_decay": 0.0} if "weight_decay" in case.options else {})
    case = Case(case.cls, options)
    _, ours = run(case, 5, keep_prob=0.5)
    _, torchs = run(case, 5)
    for mine, theirs in zip(ours.state.values(), torchs.state.values(), strict=True):
        for name, value in mine.items():
            if name not in ("ax", "acc_delta"):  # ASGD's mean of weights; Adadelta's of steps
                assert torch.equal(torch.as_tensor(value), torch.as_tensor(theirs[name])), name


@every_optimizer
def test_equal_seeds_give_equal_runs_and_others_others(case: Case) -> None:
    first, again, other = (run(case, 5, keep_prob=0.5, seed=seed)[0] for seed in (1, 1, 2))
    assert equal(first, again)
    assert not equal(first, other)


@every_optimizer
def test_the_global_generators_are_untouched(case: Case) -> None:
    before = torch.get_rng_state()
    run(case, 3, keep_prob=0.5)
    assert torch.equal(before, torch.get_rng_state())


@every_optimizer
def test_the_kept_share_is_within_binomial_bounds(case: Case) -> None:
    # The mask is frozen, so this never fails by chance; with another seed it would once in 10⁶.
    # The gradient is the same in each step: Rprop stands still where it changes its sign.
    params = parameters()
    optimizer = learning_rate_dropout(case.make(params), 0.3, seed=8)
    moved = 0
    for _ in range(20):
        before = values(params)
        steps(optimizer, params, 1, 1)
        moved += sum(int((a != b).sum()) for a, b in zip(before, values(params), strict=True))
    count = 20 * sum(SIZES)
    assert abs(moved - 0.3 * count) < 4.9 * math.sqrt(count * 0.3 * 0.7)


@every_optimizer
def test_a_saved_state_goes_on_bit_for_bit_whatever_seed_the_new_one_had(case: Case) -> None:
    straight, _ = run(case, 8, keep_prob=0.5, seed=3)
    params = parameters()
    optimizer = learning_rate_dropout(case.make(params), 0.5, seed=3)
    steps(optimizer, params, 1, 5)
    saved = optimizer.state_dict()
    resumed = learning_rate_dropout(case.make(params), 0.1, seed=99)
    resumed.load_state_dict(saved)
    steps(resumed, params, 6, 8)
    assert equal(values(params), straight)


def test_all_go_on_bit_for_bit_in_a_fresh_process(tmp_path: Path) -> None:
    saved = {}
    for case in CASES:
        params = parameters()
        optimizer = learning_rate_dropout(case.make(params), 0.5, seed=3)
        steps(optimizer, params, 1, 5)
        saved[str(case)] = (values(params), optimizer.state_dict())
    torch.save(saved, tmp_path / "saved.pt")
    subprocess.run(
        [sys.executable, "-m", "tests.lrd_core.optim.resume", tmp_path / "saved.pt"], check=True
    )
    resumed = torch.load(tmp_path / "saved.pt")
    for case in CASES:
        assert equal(resumed[str(case)], run(case, 8, keep_prob=0.5, seed=3)[0]), case


@every_optimizer
def test_five_seeded_steps_give_the_frozen_values(case: Case) -> None:
    # Catches: any change of masks, their order or torch's formulas. See frozen.py.
    ours, frozen = sample(case), FROZEN[str(case)]
    assert ours == pytest.approx(frozen, rel=1e-9, abs=1e-9)


def test_lbfgs_is_refused_with_the_reason() -> None:
    optimizer = torch.optim.LBFGS([torch.ones(2, requires_grad=True)])
    with pytest.raises(TypeError, match="searches along a line"):
        learning_rate_dropout(optimizer)
