"""The compiled forms are the universal one, sooner: equal masks, equal weights to rounding.

Where kernels are at work, on both families of them (`conftest.py`).
"""

import copy
import logging
import math
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from lrd_core.configuration import Config
from lrd_core.errors import PluginError
from lrd_core.optim import (
    build_optimizer,
    form_of,
    kernels,
    learning_rate_dropout,
    remove_learning_rate_dropout,
)
from lrd_core.optim.fused import (
    FusedAdam,
    FusedAMSGrad,
    FusedOptimizer,
    FusedRAdam,
    FusedRMSprop,
    FusedSGDM,
)
from lrd_core.spec import TrialSpec
from lrd_core.training import TrainState, train
from tests.lrd_core.optim.cases import equal, values

on_both_kernels = pytest.mark.usefixtures("kernel_family")

PAIRS: dict[str, tuple[type[FusedOptimizer], type[Optimizer], dict[str, Any], dict[str, Any]]] = {
    "sgdm": (FusedSGDM, torch.optim.SGD, {"lr": 0.05, "momentum": 0.9}, {}),
    "rmsprop": (FusedRMSprop, torch.optim.RMSprop, {"lr": 0.01}, {}),
    "adam": (FusedAdam, torch.optim.Adam, {"lr": 0.01}, {}),
    "amsgrad": (FusedAMSGrad, torch.optim.Adam, {"lr": 0.01}, {"amsgrad": True}),
    "radam": (FusedRAdam, torch.optim.RAdam, {"lr": 0.03}, {}),
}
every_pair = pytest.mark.parametrize("name", PAIRS)


def parameters(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    draws = torch.Generator().manual_seed(1)
    shapes = ((40, 5), (7,), (6, 3, 2, 2), (9,))
    params = [torch.randn(shape, generator=draws, dtype=torch.float64) for shape in shapes]
    params[2] = params[2].to(memory_format=torch.channels_last)
    return [param.to(dtype).requires_grad_() for param in params]


def make(name: str, params: list[Tensor], form: str, keep_prob: float = 0.5) -> Optimizer:
    fused, plain, options, extra = PAIRS[name]
    groups = [
        {"params": params[:2], "weight_decay": 0.1},
        {"params": params[2:], "keep_prob": 0.8 * keep_prob},
    ]
    if form == "fused":
        return fused(groups, keep_prob=keep_prob, seed=3, **options)
    return learning_rate_dropout(plain(groups, **options, **extra), keep_prob, seed=3)


def step(optimizer: Optimizer, params: list[Tensor], number: int) -> None:
    """The last parameter has no gradient in the odd steps."""
    draws = torch.Generator().manual_seed(1000 + number)
    for param in params:
        param.grad = torch.randn(param.shape, generator=draws, dtype=torch.float64).to(param.dtype)
    if number % 2:
        params[-1].grad = None
    optimizer.step()


def close(ours: list[Tensor], theirs: list[Tensor], tolerance: float = 1e-5) -> None:
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@on_both_kernels
@every_pair
def test_the_fused_form_moves_the_same_elements_by_the_same_steps(name: str) -> None:
    ours, theirs = parameters(), parameters()
    optimizers = [make(name, ours, "fused"), make(name, theirs, "universal")]
    schedules = [torch.optim.lr_scheduler.StepLR(each, 10, gamma=0.3) for each in optimizers]
    for number in range(30):
        before = values(ours), values(theirs)
        for optimizer, params in zip(optimizers, (ours, theirs), strict=True):
            if number == 15:
                optimizer.param_groups[0]["keep_prob"] = 0.9
            step(optimizer, params, number)
        moved = [[a != b for a, b in zip(old, new, strict=True)] for old, new in zip(
            before, (values(ours), values(theirs)), strict=True)]  # fmt: skip
        # An update can round to nothing in one form alone; an element that is dropped in one form
        # and kept in the other would differ by a whole step.
        assert sum(int((a != b).sum()) for a, b in zip(*moved, strict=True)) <= 1
        close(values(ours), values(theirs))
        for schedule in schedules:
            schedule.step()


@on_both_kernels
def test_in_float64_they_agree_to_1e_12() -> None:
    ours, theirs = parameters(torch.float64), parameters(torch.float64)
    for form, params in (("fused", ours), ("universal", theirs)):
        optimizer = make("adam", params, form)
        for number in range(30):
            step(optimizer, params, number)
    close(values(ours), values(theirs), 1e-12)


@on_both_kernels
@every_pair
@pytest.mark.parametrize(("first", "second"), [("fused", "universal"), ("universal", "fused")])
def test_a_state_saved_by_one_form_goes_on_in_the_other(name: str, first: str, second: str) -> None:
    straight, params = parameters(), parameters()
    optimizer = make(name, straight, first)
    for number in range(10):
        step(optimizer, straight, number)
    optimizer = make(name, params, first)
    for number in range(10):
        if number == 6:
            saved, optimizer = optimizer.state_dict(), make(name, params, second, keep_prob=0.1)
            optimizer.load_state_dict(saved)
        step(optimizer, params, number)
    close(values(params), values(straight))


@on_both_kernels
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_the_fused_form_is_repeated_bit_for_bit_by_its_state_and_its_copy(duplicate: Any) -> None:
    straight = parameters()
    optimizer = make("adam", straight, "fused")
    for number in range(4):
        step(optimizer, straight, number)
    params, theirs = duplicate((straight, optimizer))
    for number in range(4, 8):
        step(optimizer, straight, number)
        step(theirs, params, number)
    assert equal(values(params), values(straight))


@on_both_kernels
def test_keep_prob_0_leaves_the_weights_and_moves_the_moments_and_1_moves_all() -> None:
    params = parameters()
    optimizer = make("adam", params, "fused", keep_prob=0.0)
    step(optimizer, params, 0)
    assert equal(values(params), values(parameters()))
    assert all(state["exp_avg"].abs().sum() > 0 for state in optimizer.state.values())
    for group in optimizer.param_groups:
        group["keep_prob"] = 1.0
    step(optimizer, params, 2)
    for param, start in zip(values(params), values(parameters()), strict=True):
        assert (param != start).all()


@on_both_kernels
@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_dropped_element_is_untouched_by_a_step_that_is_not_finite(poison: float) -> None:
    params = parameters()
    optimizer = make("sgdm", params, "fused")
    for param in params:
        param.grad = torch.full_like(param, poison)
    optimizer.step()
    touched = 0
    for param, start in zip(values(params), values(parameters()), strict=True):
        assert ((param == start) | ~param.isfinite()).all()
        touched += int((~param.isfinite()).sum())
    assert 0 < touched < sum(param.numel() for param in params)


@on_both_kernels
@every_pair
def test_what_is_no_number_stays_in_the_moments_as_in_torch(name: str) -> None:
    # Catches: a maximum that forgets the NaN of AMSGrad's second moment.
    ours, theirs = parameters(), parameters()
    for form, params in (("fused", ours), ("universal", theirs)):
        optimizer = make(name, params, form)
        for number in (0, 2):
            for param in params:
                param.grad = torch.full_like(param, 1.0 if number else math.nan)
            optimizer.step()
        moments = [
            state[key].isnan()
            for state in optimizer.state.values()
            for key in PAIRS[name][0].moments
        ]
        assert all(each.all() for each in moments)
    for a, b in zip(values(ours), values(theirs), strict=True):
        assert torch.equal(a.isnan(), b.isnan())


@on_both_kernels
def test_without_momentum_an_infinite_gradient_is_gone_with_its_step() -> None:
    # Catches: 0 · ∞, which kept no number in the buffer that torch does not have, for good.
    def run(optimizer: Optimizer, param: Tensor) -> Tensor:
        for gradient in (math.inf, 1.0, 1.0):
            param.grad = torch.full_like(param, gradient)
            optimizer.step()
        return param.detach()

    ours, theirs = torch.zeros(64, requires_grad=True), torch.zeros(64, requires_grad=True)
    plain = torch.optim.SGD([theirs], lr=0.1)
    moved = run(FusedSGDM([ours], lr=0.1, seed=1), ours)
    expected = run(learning_rate_dropout(plain, seed=1), theirs)
    finite = expected.isfinite()
    assert torch.equal(moved.isfinite(), finite)
    assert torch.equal(moved[finite], expected[finite])
    assert 16 < finite.sum() < 48


@on_both_kernels
@pytest.mark.parametrize("cls", [FusedAdam, FusedAMSGrad, FusedRAdam])
def test_without_a_first_decay_a_small_gradient_is_seen_after_a_large_one(cls: Any) -> None:
    # Catches: m + (g − m), in which g is lost where m is 10⁹; torch.lerp comes from the other end.
    param = torch.zeros(3, requires_grad=True)
    optimizer = cls([param], betas=(0.0, 0.5))
    for gradient in (1e9, 1.0):
        param.grad = torch.full_like(param, gradient)
        optimizer.step()
    assert torch.equal(optimizer.state[param]["exp_avg"], torch.ones(3))


@on_both_kernels
def test_a_group_added_later_has_the_next_positions_and_the_first_keep_prob() -> None:
    ours, theirs = parameters(), parameters()
    adam = torch.optim.Adam
    fused: Any = FusedAdam(ours[:2], lr=0.01, keep_prob=0.4, seed=5)
    for optimizer, params in (
        (fused, ours),
        (learning_rate_dropout(adam(theirs[:2], lr=0.01), 0.4, seed=5), theirs),
    ):
        optimizer.add_param_group({"params": params[2:]})
        for number in range(3):
            step(optimizer, params, number)
    close(values(ours), values(theirs))


@on_both_kernels
def test_a_closure_is_called_once_with_gradients_on() -> None:
    params = parameters()
    optimizer = make("adam", params, "fused")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = sum((param**2).sum() for param in params)
        loss.backward()  # type: ignore[union-attr]
        return loss  # type: ignore[return-value]

    first, second = optimizer.step(closure), optimizer.step(closure)  # type: ignore[arg-type]
    assert second < first


@on_both_kernels
def test_a_parameter_of_one_element_and_a_gradient_in_another_layout() -> None:
    def run(form: str) -> list[Tensor]:
        params = [torch.ones(1, requires_grad=True), torch.ones(8, 6, requires_grad=True)]
        optimizer: Optimizer = FusedSGDM(params, lr=1.0, momentum=0.9, seed=2)
        if form == "universal":
            optimizer = torch.optim.SGD(params, lr=1.0, momentum=0.9)
            learning_rate_dropout(optimizer, seed=2)
        for _ in range(3):
            params[0].grad = torch.full((1,), 0.5)
            params[1].grad = torch.arange(48.0).view(6, 8).t()
            optimizer.step()
        return values(params)

    close(run("fused"), run("universal"))


@pytest.mark.parametrize(
    "options", [{"maximize": True}, {"nesterov": True, "momentum": 0.9}, {"dampening": 0.1}]
)
def test_options_that_the_kernel_does_not_know_are_refused(options: dict[str, Any]) -> None:
    instead = r"; use learning_rate_dropout\(…, compile=True\)"
    with pytest.raises(ValueError, match=f"does not know {next(iter(options))}{instead}"):
        FusedSGDM(parameters(), lr=0.1, **options)


@pytest.mark.parametrize(
    ("theirs", "ours", "reason"),
    [
        (lambda p: torch.optim.SGD(p, maximize=True), FusedSGDM, "does not know maximize"),
        (
            lambda p: torch.optim.SGD(p, momentum=0.9, nesterov=True),
            FusedSGDM,
            "does not know nesterov",
        ),
        (lambda p: torch.optim.Adam(p, amsgrad=True), FusedAdam, "does not know amsgrad"),
        (torch.optim.Adam, FusedAMSGrad, "always has amsgrad"),
    ],
)
def test_the_state_of_another_algorithm_is_refused(theirs: Any, ours: Any, reason: str) -> None:
    # Catches: ascent that goes on as descent, without a word.
    params = parameters()
    optimizer = ours(params, keep_prob=0.3)
    with pytest.raises(ValueError, match=reason):
        optimizer.load_state_dict(theirs(params).state_dict())
    assert optimizer.param_groups[0]["keep_prob"] == 0.3


@on_both_kernels
def test_a_plain_optimizer_s_saved_state_can_be_gone_on_from() -> None:
    params, others = parameters(), parameters()
    plain = torch.optim.Adam(params, lr=0.01)
    step(plain, params, 0)
    saved = copy.deepcopy(plain.state_dict())
    forms = [
        FusedAdam(params, keep_prob=0.4, seed=5),
        learning_rate_dropout(torch.optim.Adam(others, lr=0.01), 0.4, seed=5),
    ]
    with torch.no_grad():
        for param, other in zip(params, others, strict=True):
            other.copy_(param)
    for optimizer, own in zip(forms, (params, others), strict=True):
        optimizer.load_state_dict(copy.deepcopy(saved))
        step(optimizer, own, 1)
        step(optimizer, own, 2)
    close(values(params), values(others))


class OnAGpu(Tensor):
    """As if it were there."""

    def cpu(self, *_: Any, **__: Any) -> Tensor:
        return self.as_subclass(Tensor)


def test_the_count_of_steps_stays_where_reading_it_waits_for_nothing() -> None:
    # Catches: a GPU waited for once a parameter in each step, after a resume.
    params = parameters()
    optimizer = FusedAdam(params)
    step(optimizer, params, 0)
    saved = optimizer.state_dict()
    for state in saved["state"].values():
        state["step"] = state["step"].as_subclass(OnAGpu)
    optimizer.load_state_dict(saved)
    assert {type(state["step"]) for state in optimizer.state.values()} == {Tensor}


@pytest.mark.parametrize(
    "param", [torch.ones(3, dtype=torch.bfloat16), torch.ones(3, 4).t()], ids=["type", "layout"]
)
def test_parameters_that_the_kernel_cannot_take_are_refused_and_not_added(param: Tensor) -> None:
    optimizer = FusedAdam(parameters())
    with pytest.raises(ValueError, match="contiguous or channels-last"):
        optimizer.add_param_group({"params": [param.requires_grad_()]})
    assert len(optimizer.param_groups) == 1


def test_it_is_refused_what_it_has_and_is_not_taken_what_is_part_of_it() -> None:
    optimizer = FusedAdam(parameters())
    with pytest.raises(ValueError, match="already"):
        learning_rate_dropout(optimizer)
    with pytest.raises(ValueError, match="set its keep_prob to 1"):
        remove_learning_rate_dropout(optimizer)
    with pytest.raises(ValueError, match="from 0 to 1, got 2"):
        FusedAdam(parameters(), keep_prob=2)


def test_a_sparse_gradient_is_refused_before_anything_changes() -> None:
    table = torch.nn.Embedding(5, 2, sparse=True)
    optimizer = FusedAdam(table.parameters())
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="sparse=False"):
        optimizer.step()
    assert optimizer.param_groups[0]["lrd_step"] == 0
    assert not optimizer.state


@on_both_kernels
def test_a_momentum_that_is_raised_from_0_begins_with_the_gradient_of_then() -> None:
    """Catches: a gradient of before, remembered while there was no momentum; torch has none."""
    ours, theirs = (torch.ones(5, requires_grad=True) for _ in range(2))
    for optimizer, param in (
        (FusedSGDM([ours], lr=0.1, momentum=0.9, keep_prob=1.0), ours),
        (torch.optim.SGD([theirs], lr=0.1, momentum=0.9), theirs),
    ):
        for number, momentum in enumerate((0.0, 0.0, 0.9, 0.9, 0.0, 0.9)):
            optimizer.param_groups[0]["momentum"] = momentum
            param.grad = torch.full((5,), 2.0**number)
            optimizer.step()
    close(values([ours]), values([theirs]))


@on_both_kernels
def test_autograd_sees_that_the_weights_have_moved() -> None:
    param = torch.ones(5, requires_grad=True)
    optimizer = FusedSGDM([param], lr=0.1, momentum=0.9)
    loss = (param**2).sum()
    param.grad = torch.ones(5)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()  # type: ignore[no-untyped-call]


# --- the universal form with compiled masks -------------------------------------------------------


@on_both_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("gradient", [1.0, math.nan])
def test_compiled_masks_are_the_same_bits(dtype: torch.dtype, gradient: float) -> None:
    results = []
    for compiled in (False, True):
        params = [torch.linspace(0, 1, 20_000).to(dtype), torch.ones(10).to(dtype)]
        image = torch.linspace(0, 1, 18_000).view(20, 100, 3, 3).to(dtype)
        params.append(image.to(memory_format=torch.channels_last))
        params = [param.requires_grad_() for param in params]
        optimizer = torch.optim.SGD(params, lr=1.0)
        learning_rate_dropout(optimizer, 0.3, seed=4, compile=compiled)
        for param in params:
            param.grad = torch.full_like(param, gradient)
        optimizer.step()
        results.append([param.nan_to_num(7.0) for param in values(params)])
    assert equal(*results)


# --- which form -----------------------------------------------------------------------------------


def spec(name: str, **options: Any) -> Any:
    config = {"dataset": "digits", "model": "fcnet", "epochs": 1}
    return Config.model_validate(
        config | {"optimizer": {"name": name, "keep_prob": 0.5, **options}}
    ).optimizer


@on_both_kernels
@pytest.mark.parametrize(
    ("optimizer", "form"),
    [
        (spec("sgdm"), "fused"),
        (spec("rmsprop"), "fused"),
        (spec("adam"), "fused"),
        (spec("amsgrad"), "fused"),
        (spec("radam"), "fused"),
        (spec("sgdm", nesterov=True), "universal compiled"),
        (spec("rmsprop", momentum=0.9), "universal compiled"),
        (spec("adamw"), "universal compiled"),
        (spec("nadam"), "universal compiled"),
    ],
    ids=str,
)
def test_compiling_gives_the_fused_form_where_there_is_one(optimizer: Any, form: str) -> None:
    params: Any = parameters()
    assert form_of(build_optimizer(optimizer, params, seed=1, compile=True)) == form
    assert form_of(build_optimizer(optimizer, params, seed=1)) == "universal"


@on_both_kernels
def test_a_layout_that_the_kernels_do_not_know_has_no_fused_form() -> None:
    params: Any = [torch.ones(4, 3).t().requires_grad_()]
    optimizer = build_optimizer(spec("adam"), params, seed=1, compile=True)
    assert form_of(optimizer) == "universal compiled"


@on_both_kernels
def test_a_state_loaded_in_another_layout_is_laid_out_anew() -> None:
    # Catches: moments changed in a copy that is thrown away.
    def run(*formats: torch.memory_format) -> list[Tensor]:
        saved = None
        for memory_format in formats:
            param = torch.ones(4, 3, 2, 2).to(memory_format=memory_format).requires_grad_()
            optimizer = FusedAdam([param], seed=2)
            if saved is not None:
                optimizer.load_state_dict(saved)
            for _ in range(3):
                param.grad = torch.full_like(param, 0.5)
                optimizer.step()
            saved = optimizer.state_dict()
        return values([param])

    same, changed = torch.contiguous_format, torch.channels_last
    close(run(same, changed), run(same, same))


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_without_a_compiler_one_line_says_so_and_the_universal_form_goes_on(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kernels, "cannot_run", lambda device: "no C++ compiler was found")
    params: Any = parameters()
    with caplog.at_level(logging.WARNING):
        optimizer = build_optimizer(spec(name), params, seed=1, compile=True)
    assert form_of(optimizer) == "universal"
    assert [record.getMessage() for record in caplog.records] == [
        "learning-rate dropout is not compiled on this machine: no C++ compiler was found"
    ]


@pytest.mark.parametrize("compile", [False, True])
def test_a_model_without_parameters_is_refused_with_a_sentence(compile: bool) -> None:
    """Catches: list index out of range."""
    with pytest.raises(PluginError, match="the model has no parameters"):
        build_optimizer(spec("adam"), [], seed=1, compile=compile)


def trial(compile: str) -> TrialSpec:
    return TrialSpec.parse(
        {
            "dataset": "digits",
            "data": {"max_examples": 96},
            "model": "fcnet",
            "optimizer": {"name": "adam", "keep_prob": 0.5},
            "epochs": 2,
            "batch_size": 32,
            "execution": {"compile": compile},
        }
    )


def test_a_trial_says_which_form_it_has_and_learns_the_same() -> None:
    if reason := kernels.cannot_run(torch.device("cpu")):
        pytest.skip(f"no kernels can be built here: {reason}")
    losses = {}
    for compile, form in (("on", "fused"), ("off", "universal"), ("auto", "fused")):
        state = TrainState.create(trial(compile))
        assert state.optimizer_form == form
        losses[compile] = [report.metrics["train_loss"] for report in train(state.spec, state)]
    assert losses["on"] == pytest.approx(losses["off"], rel=1e-3)
    assert losses["auto"] == losses["on"]
