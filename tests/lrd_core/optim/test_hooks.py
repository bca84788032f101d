"""The universal form beside everything else that people do with an optimizer."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from lrd_core.optim import learning_rate_dropout, remove_learning_rate_dropout
from lrd_core.optim.fused import FusedSGDM
from lrd_core.optim.mask import keep_mask
from tests.lrd_core.optim.cases import equal, parameters, set_gradients, values


def ones(*shape: int, **options: Any) -> Tensor:
    return torch.ones(*shape, requires_grad=True, **options)


def sgd(params: Any, **options: Any) -> Optimizer:
    """Moves each weight by minus its gradient."""
    return torch.optim.SGD(params, lr=1.0, **options)


def kept_by(seed: int, step: int, like: Tensor, keep_prob: float, offset: int = 0) -> Tensor:
    return keep_mask(seed, step, like.numel(), keep_prob, offset=offset).view(like.shape)


# --- arguments and removal ------------------------------------------------------------------------


@pytest.mark.parametrize("keep_prob", [-0.1, 1.1, float("nan")])
def test_a_keep_prob_that_is_no_probability_is_refused(keep_prob: float) -> None:
    optimizer = sgd([ones(1)])
    with pytest.raises(ValueError, match=f"from 0 to 1, got {keep_prob}"):
        learning_rate_dropout(optimizer, keep_prob)
    learning_rate_dropout(optimizer, 0.5)  # nothing was left behind by the refusal


def test_a_wrong_keep_prob_in_a_group_is_refused_before_anything_changes() -> None:
    params = [ones(3), ones(3)]
    optimizer = learning_rate_dropout(sgd([{"params": [param]} for param in params]), 0.5)
    optimizer.param_groups[1]["keep_prob"] = 7
    for param in params:
        param.grad = torch.ones(3)
    with pytest.raises(ValueError, match="got 7"):
        optimizer.step()
    assert equal(values(params), [torch.ones(3), torch.ones(3)])
    assert [group["lrd_step"] for group in optimizer.param_groups] == [0, 0]


def test_hooks_of_others_see_the_weights_that_the_masked_step_leaves() -> None:
    """Catches: a moving average that was installed first, and averaged the unmasked steps."""
    param, seen = ones(64), []
    optimizer = sgd([param])
    optimizer.register_step_post_hook(lambda *_: seen.append(param.detach().clone()))
    learning_rate_dropout(optimizer, 0.5)
    optimizer.register_step_post_hook(lambda *_: seen.append(param.detach().clone()))
    param.grad = torch.ones(64)
    optimizer.step()
    assert len(seen) == 2
    assert all(torch.equal(each, param) for each in seen)


def test_twice_is_refused() -> None:
    optimizer = learning_rate_dropout(sgd([ones(1)]))
    with pytest.raises(ValueError, match="already"):
        learning_rate_dropout(optimizer)


def test_removal_leaves_the_plain_optimizer() -> None:
    param = ones(10)
    optimizer = learning_rate_dropout(sgd([param]), 0.0)
    assert remove_learning_rate_dropout(optimizer) is optimizer
    param.grad = torch.ones(10)
    optimizer.step()
    assert torch.equal(param.detach(), torch.zeros(10))
    assert not {"keep_prob", "lrd_seed", "lrd_step"} & set(optimizer.param_groups[0])
    assert pickle.loads(pickle.dumps(optimizer)).param_groups[0].keys() == (
        optimizer.param_groups[0].keys()
    )
    learning_rate_dropout(optimizer, 0.5)  # and again


def test_removal_from_a_plain_optimizer_does_nothing() -> None:
    assert remove_learning_rate_dropout(sgd([ones(1)])).param_groups[0]["lr"] == 1.0


# --- groups and schedules -------------------------------------------------------------------------


def test_groups_have_keep_probs_of_their_own_and_one_row_of_positions() -> None:
    first, second = ones(1000), ones(1000)
    optimizer = sgd([{"params": [first]}, {"params": [second], "keep_prob": 0.9}])
    learning_rate_dropout(optimizer, 0.2, seed=6)
    first.grad, second.grad = torch.ones(1000), torch.ones(1000)
    optimizer.step()
    assert torch.equal(first == 0, kept_by(6, 1, first, 0.2))
    assert torch.equal(second == 0, kept_by(6, 1, second, 0.9, offset=1000))


def test_a_group_added_later_gets_what_the_first_got() -> None:
    first, second = ones(100), ones(100)
    optimizer = learning_rate_dropout(sgd([first]), 0.0)
    optimizer.add_param_group({"params": [second]})
    first.grad, second.grad = torch.ones(100), torch.ones(100)
    optimizer.step()
    assert equal(values([first, second]), [torch.ones(100)] * 2)


def test_a_group_added_later_may_be_read_and_saved_before_its_first_step() -> None:
    """Catches: a KeyError of a loop over the groups; a saved state that leaves the masks of the
    late group to whoever loads it."""
    optimizer = learning_rate_dropout(sgd([ones(2)]), 0.5, seed=3)
    optimizer.add_param_group({"params": [ones(2)]})
    assert [group["keep_prob"] for group in optimizer.param_groups] == [0.5, 0.5]
    other = learning_rate_dropout(sgd([ones(2)]), 0.9, seed=8)
    other.add_param_group({"params": [ones(2)]})
    other.load_state_dict(optimizer.state_dict())
    found = [(group["keep_prob"], group["lrd_seed"]) for group in other.param_groups]
    assert found == [(0.5, 3), (0.5, 3)]
    remove_learning_rate_dropout(other)
    other.add_param_group({"params": [ones(2)]})
    assert "keep_prob" not in other.param_groups[-1]


def test_keep_prob_may_change_between_steps() -> None:
    param = ones(100)
    optimizer = learning_rate_dropout(sgd([param]), 0.0)
    for keep_prob, left in ((0.0, 1.0), (1.0, 0.0), (0.0, 0.0)):
        optimizer.param_groups[0]["keep_prob"] = keep_prob
        param.grad = torch.ones(100)
        optimizer.step()
        assert torch.equal(param.detach(), torch.full((100,), left))


def test_a_scheduler_s_rate_is_the_step_s_size_and_it_does_not_warn() -> None:
    param = ones(100)
    optimizer = learning_rate_dropout(sgd([param]), 0.5)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    for step, rate in ((1, 1.0), (2, 0.5), (3, 0.25)):
        before = param.detach().clone()
        param.grad = torch.ones(100)
        optimizer.step()
        scheduler.step()
        assert torch.equal(before - param.detach(), rate * kept_by(0, step, param, 0.5))


def test_a_plain_optimizer_s_saved_state_can_be_gone_on_from() -> None:
    param = ones(100)
    plain = sgd([param], momentum=0.9)
    param.grad = torch.ones(100)
    plain.step()
    optimizer = learning_rate_dropout(sgd([param], momentum=0.9), 0.0)
    optimizer.load_state_dict(plain.state_dict())
    optimizer.step()
    assert torch.equal(param.detach(), torch.zeros(100))
    assert optimizer.param_groups[0]["lrd_step"] == 1


@pytest.mark.parametrize("form", ["universal", "a copy", "fused"])
def test_each_group_keeps_its_own_keep_prob_when_a_plain_optimizer_s_state_is_loaded(
    form: str,
) -> None:
    """Catches: a last layer that was to take every step, masked like all others from there on."""
    groups = [{"params": [ones(4)]}, {"params": [ones(4)], "keep_prob": 1.0}]
    plain = sgd([{"params": [ones(4)]}, {"params": [ones(4)]}], momentum=0.9)
    optimizer: Optimizer
    if form == "fused":
        optimizer = FusedSGDM(groups, lr=1.0, momentum=0.9, keep_prob=0.3)
    else:
        optimizer = learning_rate_dropout(sgd(groups, momentum=0.9), 0.3)
    if form == "a copy":
        optimizer = copy.deepcopy(optimizer)
    optimizer.load_state_dict(plain.state_dict())
    assert [group["keep_prob"] for group in optimizer.param_groups] == [0.3, 1.0]
    saved = optimizer.state_dict()
    saved["param_groups"][1]["keep_prob"] = 0.7  # what the state says goes before
    optimizer.load_state_dict(saved)
    assert [group["keep_prob"] for group in optimizer.param_groups] == [0.3, 0.7]


# --- gradients ------------------------------------------------------------------------------------


def test_a_parameter_without_gradient_is_left_alone_and_keeps_its_positions() -> None:
    frozen, unused, used = torch.ones(50), ones(30), ones(100)
    optimizer = learning_rate_dropout(sgd([frozen, unused, used]), 0.5)
    used.grad = torch.ones(100)
    optimizer.step()
    assert torch.equal(used == 0, kept_by(0, 1, used, 0.5, offset=80))
    assert equal([frozen, unused.detach()], [torch.ones(50), torch.ones(30)])


@pytest.mark.parametrize("by_name", [False, True])
def test_a_closure_sees_the_current_weights_unmasked_and_its_loss_is_returned(
    by_name: bool,
) -> None:
    param = ones(100)
    optimizer = learning_rate_dropout(sgd([param]), 0.5)
    seen = []

    def closure() -> float:
        seen.append(param.detach().clone())
        param.grad = torch.ones(100)  # the parameter has no gradient before its first step
        return 42.0

    for step in (1, 2):
        before = param.detach().clone()
        loss = optimizer.step(closure=closure) if by_name else optimizer.step(closure)
        assert loss == 42.0
        assert torch.equal(seen[-1], before)
        assert torch.equal(before - param.detach(), kept_by(0, step, param, 0.5).float())


def test_a_step_that_raises_does_not_count_and_leaves_nothing_for_the_next() -> None:
    param, broken = ones(100), True

    class Fragile(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            super().step(closure)
            if broken:
                raise ArithmeticError("half way")

    optimizer = learning_rate_dropout(Fragile([param], lr=1.0), 0.5)
    param.grad = torch.ones(100)
    with pytest.raises(ArithmeticError):
        optimizer.step()
    broken = False
    param.data.fill_(5.0)  # what the user restores
    optimizer.step()
    assert torch.equal(param == 4, kept_by(0, 1, param, 0.5))
    assert torch.equal(param == 5, ~kept_by(0, 1, param, 0.5))


def test_an_optimizer_that_puts_a_new_tensor_into_the_parameter_is_masked() -> None:
    # Catches: the old tensor given back its own values, and the new one left as it is.
    param = ones(100)

    class Replacing(Optimizer):
        def step(self, closure: Any = None) -> None:
            for each in self.param_groups[0]["params"]:
                each.data = each.data - each.grad

    optimizer = learning_rate_dropout(Replacing([param], {}), 0.5)
    param.grad = torch.ones(100)
    optimizer.step()
    assert torch.equal(param.detach(), (~kept_by(0, 1, param, 0.5)).float())


def test_a_step_within_a_step_is_masked_once_and_as_a_whole() -> None:
    # Catches: torch calls the hooks of `super().step()` too, once an SGD was made anywhere.
    sgd([ones(1)])
    param = ones(100)

    class Twofold(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            super().step(closure)
            param.data.mul_(3.0)

    optimizer = learning_rate_dropout(Twofold([param], lr=2.0), 0.5)
    param.grad = torch.ones(100)
    optimizer.step()
    kept = kept_by(0, 1, param, 0.5)
    assert torch.equal(param.detach(), torch.where(kept, -3.0, 1.0))
    assert optimizer.param_groups[0]["lrd_step"] == 1


# --- kinds of numbers and layouts -----------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.complex64,
        torch.complex128,
    ],
    ids=str,
)
@pytest.mark.parametrize("keep_prob", [0.5, 0.37, 0.0])
def test_each_element_of_any_kind_of_number_is_one_position(
    dtype: torch.dtype, keep_prob: float
) -> None:
    draws = torch.Generator().manual_seed(0)
    param = torch.randn(30, 7, generator=draws).to(dtype).requires_grad_()
    before = param.detach().clone()
    optimizer = learning_rate_dropout(sgd([param]), keep_prob, seed=2)
    param.grad = torch.full_like(before, 0.25)
    optimizer.step()
    kept = kept_by(2, 1, param, keep_prob)
    assert torch.equal(param.detach(), torch.where(kept, before - 0.25, before))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("poison", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("keep_prob", [0.5, 0.0])
def test_a_dropped_element_is_untouched_by_a_step_that_is_not_finite(
    poison: float, dtype: torch.dtype, keep_prob: float
) -> None:
    # Catches: old + mask · (new − old), which is NaN where the step is.
    param = torch.linspace(-1, 1, 99, dtype=dtype).requires_grad_()
    before = param.detach().clone()
    optimizer = learning_rate_dropout(sgd([param]), keep_prob)
    param.grad = torch.full_like(before, poison)
    optimizer.step()
    dropped = ~kept_by(0, 1, param, keep_prob)
    assert torch.equal(param.detach()[dropped], before[dropped])
    assert not param.detach()[~dropped].isfinite().any()


def test_minus_zero_comes_back_with_its_sign() -> None:
    param = torch.full((64,), -0.0, requires_grad=True)
    optimizer = learning_rate_dropout(sgd([param]), 0.5)
    param.grad = torch.ones(64)
    optimizer.step()
    dropped = ~kept_by(0, 1, param, 0.5)
    assert param.detach()[dropped].signbit().all()


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "channels last": lambda x: x.to(memory_format=torch.channels_last),
    "transposed": lambda x: x.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
    "with gaps": lambda x: torch.zeros(*x.shape, 2)[..., 0].copy_(x),
}


@pytest.mark.parametrize("shape", [(4, 3, 5, 5), (3, 300, 16, 16), (2, 1, 400, 400)], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_the_layout_in_memory_does_not_show(
    layout: Callable[[Tensor], Tensor], shape: tuple[int, ...]
) -> None:
    # The larger ones need several windows; a row of the last one is longer than a window.
    results = []
    for arrange in (lambda x: x, layout):
        param = arrange(torch.ones(shape)).detach().requires_grad_()
        after = ones(10)
        optimizer = learning_rate_dropout(sgd([param, after]), 0.3, seed=1)
        param.grad, after.grad = torch.ones_like(param), torch.ones(10)
        optimizer.step()
        results.append(values([param, after]))
    assert equal(results[0], results[1])
    assert torch.equal(results[0][0] == 0, kept_by(1, 1, results[0][0], 0.3))


# --- automatic mixed precision --------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"fused": True}], ids=["plain", "fused"])
def test_a_step_that_the_scaler_skips_does_not_count(options: Any) -> None:
    # A fused optimizer's step() is called even then; its kernel leaves everything alone.
    param = ones(100)
    optimizer = learning_rate_dropout(sgd([param], **options), 0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for factor in (1.0, float("inf"), 1.0):
        optimizer.zero_grad()
        scaler.scale((param * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    assert optimizer.param_groups[0]["lrd_step"] == 2
    steps_taken = sum(kept_by(0, step, param, 0.5).float() for step in (1, 2))
    assert torch.equal(param.detach(), 1 - steps_taken)


# --- several, copied ------------------------------------------------------------------------------


def test_two_optimizers_on_one_model_do_not_disturb_each_other() -> None:
    def together(pairs: int) -> list[Tensor]:
        params = parameters()
        optimizers = [
            learning_rate_dropout(torch.optim.Adam([param]), 0.5, seed)
            for seed, param in enumerate(params)
        ]
        for step in range(1, 4):
            set_gradients(params, step)
            for optimizer in optimizers[:pairs]:
                optimizer.step()
        return values(params)

    assert equal(together(3)[:2], together(2)[:2])
