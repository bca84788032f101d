"""SD, NL, NG and DG: each does what the paper says, alone and beside the others."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.checkpoint import checkpoint

from lrd_core import regularizers
from lrd_core.checkpoint import weights_sha256
from lrd_core.errors import PluginError
from lrd_core.optim import learning_rate_dropout
from lrd_core.optim.mask import keep_mask
from lrd_core.regularizers import (
    StandardDropout,
    gradient_dropout,
    gradient_noise,
    noisy_labels,
)
from lrd_core.spec import TrialSpec
from lrd_core.training import TrainState, train

KINDS = ("SD", "NL", "NG", "DG")
COMBINATIONS = [combination for n in range(5) for combination in itertools.combinations(KINDS, n)]
every_combination = pytest.mark.parametrize(
    "kinds", COMBINATIONS, ids=["+".join(kinds) or "none" for kinds in COMBINATIONS]
)

BIG = 100_000


def sgd(*params: Tensor, **options: Any) -> Optimizer:
    return torch.optim.SGD(params, lr=1.0, **options)


# --- each alone -----------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_prob", [0.9, 0.5])
def test_sd_keeps_and_scales_units_while_training_only(keep_prob: float) -> None:
    layer, x = StandardDropout(keep_prob, seed=3), torch.ones(100, BIG // 100)
    out = layer(x)
    assert torch.allclose(out.unique(), torch.tensor([0.0, 1 / keep_prob]))
    # 5 sigma; the mask is frozen, so this never fails by chance.
    sigma = math.sqrt(keep_prob * (1 - keep_prob) / BIG)
    assert abs(float((out > 0).double().mean()) - keep_prob) < 5 * sigma
    assert not torch.equal(layer(x), out)  # another pass, another mask
    assert torch.equal(layer.eval()(x), x)
    assert torch.equal(StandardDropout(1.0, seed=3)(x), x)


def test_sd_s_gradient_flows_through_the_kept_units_alone() -> None:
    x = torch.ones(1000, requires_grad=True)
    out = StandardDropout(0.8, seed=1)(x)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, out.detach())


def test_sd_goes_on_from_its_state() -> None:
    straight, x = StandardDropout(0.5, seed=1), torch.ones(100)
    straight(x)
    resumed = StandardDropout(0.5, seed=1)
    resumed.load_state_dict(straight.state_dict())
    assert torch.equal(resumed(x), straight(x))


def test_sd_that_counts_on_the_device_draws_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [StandardDropout(0.6, seed=2**63 - 5) for _ in range(2)]
    x, outs = torch.ones(3 * 2**17 + 5), []
    for layer in layers:
        outs.append([layer(x), layer(x)])
        monkeypatch.setattr(regularizers, "int", lambda count: count, raising=False)
    assert all(map(torch.equal, *outs))


@pytest.mark.parametrize("keep_prob", [0.0, 1.5, math.nan])
def test_sd_refuses_what_it_cannot_scale_by(keep_prob: float) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        StandardDropout(keep_prob, seed=1)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_sd_is_not_computed_again_for_a_backward_pass(*, use_reentrant: bool) -> None:
    """Catches: a gradient by another mask than that of the loss, in a checkpointed network."""
    x = torch.ones(10, requires_grad=True)
    layer = StandardDropout(0.5, seed=1)
    y = checkpoint(layer, x, use_reentrant=use_reentrant)
    with pytest.raises(PluginError, match=r"torch\.utils\.checkpoint does.*: leave it out of"):
        y.sum().backward()
    layer(x).sum().backward()  # the next one is not in that pass


@pytest.mark.parametrize("prob", [0.05, 0.4, 1.0])
def test_nl_replaces_labels_by_others_drawn_uniformly(prob: float) -> None:
    labels = torch.arange(BIG) % 10
    noisy = noisy_labels(labels, 10, prob, seed=4)
    replaced = noisy != labels
    sigma = math.sqrt(prob * (1 - prob) / BIG)
    assert abs(float(replaced.double().mean()) - prob) <= 5 * sigma
    # How far the replaced ones moved round the circle of classes: 1 to 9, each alike.
    counts = ((noisy - labels)[replaced] % 10).bincount(minlength=10)
    assert counts[0] == 0
    expected = float(replaced.sum()) / 9
    assert ((counts[1:] - expected).abs() < 5 * math.sqrt(expected)).all()


def test_nl_is_fixed_by_its_seed_and_needs_another_class() -> None:
    labels = torch.arange(1000) % 10
    assert torch.equal(noisy_labels(labels, 10, 0.5, 1), noisy_labels(labels, 10, 0.5, 1))
    assert not torch.equal(noisy_labels(labels, 10, 0.5, 1), noisy_labels(labels, 10, 0.5, 2))
    with pytest.raises(ValueError, match="1 class"):
        noisy_labels(torch.zeros(3, dtype=torch.long), 1, 0.5, 1)


@pytest.mark.parametrize(("eta", "gamma"), [(0.1, 0.55), (1.0, 0.55), (0.1, 0.0)])
def test_ng_adds_noise_that_falls_with_the_steps(eta: float, gamma: float) -> None:
    param = torch.zeros(BIG, requires_grad=True)
    optimizer = sgd(param)
    gradient_noise(optimizer, eta, gamma, seed=5)
    for step in (1, 2, 3):
        param.grad = torch.full((BIG,), 7.0)
        before = param.detach().clone()
        optimizer.step()
        noise = before - param.detach() - 7.0
        std = math.sqrt(eta / (1 + step) ** gamma)
        # 5 sigma of a mean and of a standard deviation over 10⁵ draws; the stream is fixed.
        assert abs(float(noise.mean())) < 5 * std / math.sqrt(BIG)
        assert abs(float(noise.std()) / std - 1) < 5 / math.sqrt(2 * BIG)


@pytest.mark.parametrize("keep_prob", [0.5, 0.9, 0.0, 1.0])
def test_dg_keeps_elements_of_the_gradient_and_does_not_rescale(keep_prob: float) -> None:
    param = torch.zeros(BIG, requires_grad=True)
    optimizer = sgd(param)
    gradient_dropout(optimizer, keep_prob, seed=5)
    param.grad = torch.full((BIG,), -2.0)
    optimizer.step()
    assert set(param.detach().unique().tolist()) <= {0.0, 2.0}
    sigma = math.sqrt(keep_prob * (1 - keep_prob) / BIG)
    assert abs(float((param > 0).double().mean()) - keep_prob) <= 5 * sigma


def test_dg_drops_an_infinite_gradient_and_counts_positions_of_all_parameters() -> None:
    # Catches: inf · 0 = NaN; and masks that shift when a parameter has no gradient in a step.
    unused, param = torch.zeros(70, requires_grad=True), torch.zeros(200, requires_grad=True)
    optimizer = sgd(unused, param)
    gradient_dropout(optimizer, 0.5, seed=5)
    param.grad = torch.full((200,), math.inf)
    optimizer.step()
    kept = keep_mask(5, 1, 200, 0.5, offset=70, stream=1)
    assert torch.equal(param.detach(), torch.where(kept, -math.inf, 0.0))


def test_dg_refuses_a_keep_prob_that_is_no_probability() -> None:
    with pytest.raises(ValueError, match="0 to 1, got 3"):
        gradient_dropout(sgd(torch.zeros(1, requires_grad=True)), 3)


# --- before each step -----------------------------------------------------------------------------


def test_ng_and_dg_work_on_the_gradients_that_a_closure_makes() -> None:
    param = torch.zeros(BIG, requires_grad=True)
    optimizer = sgd(param)
    gradient_dropout(optimizer, 0.5, seed=1)
    gradient_noise(optimizer, eta=0.01, seed=1)

    def closure() -> float:
        param.grad = torch.full((BIG,), 100.0)
        return 1.0

    assert optimizer.step(closure) == 1.0  # type: ignore[arg-type]
    near_0, near_100 = (param.abs() < 10).sum(), ((param + 100).abs() < 10).sum()
    assert near_0 + near_100 == BIG
    assert abs(int(near_0) - BIG // 2) < 5 * math.sqrt(BIG) / 2


@pytest.mark.parametrize("options", [{}, {"fused": True}], ids=["plain", "fused"])
def test_ng_is_of_one_size_whatever_a_scaler_does(options: Any) -> None:
    # A fused kernel gets scaled gradients and divides by the scale itself.
    param = torch.zeros(BIG, requires_grad=True)
    optimizer = sgd(param, **options)
    gradient_noise(optimizer, eta=1.0, gamma=0.0, seed=2)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale((param * math.inf).sum()).backward()  # skipped: 1024 becomes 512
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
    scaler.scale((param * 0.0).sum()).backward()
    scaler.step(optimizer)
    assert abs(float(param.detach().std()) - 1) < 5 / math.sqrt(2 * BIG)
    assert optimizer.param_groups[0]["ng_step"] == 1


def test_the_count_of_steps_is_saved() -> None:
    def run(saved_after: int | None) -> Tensor:
        param = torch.zeros(100, requires_grad=True)
        optimizers = [sgd(param), sgd(param)]
        for optimizer in optimizers:
            gradient_dropout(optimizer, 0.5, seed=1)
            gradient_noise(optimizer, seed=1)
        current = optimizers[0]
        for step in range(4):
            if step == saved_after:
                optimizers[1].load_state_dict(current.state_dict())
                current = optimizers[1]
            param.grad = torch.ones(100)
            current.step()
        return param.detach()

    assert torch.equal(run(None), run(2))


def test_a_sparse_gradient_is_refused_before_anything_changes() -> None:
    table = nn.Embedding(5, 2, sparse=True)
    optimizer = sgd(table.weight)
    gradient_dropout(optimizer, 0.5, seed=1)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="sparse=False"):
        optimizer.step()
    assert "dg_step" not in optimizer.param_groups[0]


# --- in a trial, alone and together ---------------------------------------------------------------


def trial(kinds: tuple[Any, ...], keep_prob: float = 0.5, seed: int = 3) -> TrialSpec:
    return TrialSpec.parse(
        {
            "dataset": "digits",
            "data": {"max_examples": 96},
            "model": "fcnet",
            "optimizer": {"name": "sgdm", "lr": 0.05, "keep_prob": keep_prob},
            "regularizers": list(kinds),
            "epochs": 1,
            "batch_size": 32,
            "seed": seed,
        }
    )


def outcome(spec: TrialSpec) -> str:
    """The weights after training, as a digest."""
    state = TrainState.create(spec)
    (report,) = train(spec, state)
    assert math.isfinite(report.metrics["train_loss"])
    return weights_sha256(state.model)


@pytest.fixture(scope="module")
def outcomes() -> dict[tuple[tuple[str, ...], float], str]:
    return {
        (kinds, keep_prob): outcome(trial(kinds, keep_prob))
        for kinds in COMBINATIONS
        for keep_prob in (1.0, 0.5)
    }


def test_every_combination_trains_and_each_is_another(
    outcomes: dict[tuple[tuple[str, ...], float], str],
) -> None:
    # Catches: a regularizer, or learning-rate dropout, that does nothing beside another one.
    assert len(set(outcomes.values())) == len(outcomes) == 32


@every_combination
def test_a_combination_is_repeated_by_its_seed(
    kinds: tuple[str, ...], outcomes: dict[tuple[tuple[str, ...], float], str]
) -> None:
    torch.manual_seed(hash(kinds) % 2**32)  # the global generator has no say
    assert outcome(trial(kinds[::-1])) == outcomes[kinds, 0.5]


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "SD", "keep_prob": 0.8},
        {"kind": "NL", "prob": 0.2},
        {"kind": "NG", "eta": 0.2},
        {"kind": "NG", "gamma": 0.3},
        {"kind": "DG", "keep_prob": 0.6},
    ],
    ids=str,
)
def test_each_parameter_has_an_effect(changed: dict[str, Any]) -> None:
    assert outcome(trial((changed,))) != outcome(trial((changed["kind"],)))


def flat(tensors: Any) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def streams(kinds: tuple[str, ...], keep_prob: float) -> dict[str, Tensor]:
    """Every random stream of a trial's beginning, by name."""
    state = TrainState.create(trial(kinds, keep_prob))
    params = list(state.model.parameters())
    (images, labels), *_ = state.task.batches.train(32, 3, 1)  # type: ignore[attr-defined]
    seen = {"initial weights": flat(params), "batches": images}
    seen["labels with NL" if "NL" in kinds else "labels"] = labels
    layers = [layer for layer in state.model.modules() if isinstance(layer, StandardDropout)]
    assert len(layers) == (2 if "SD" in kinds else 0)
    for number, layer in enumerate(layers):
        seen[f"SD {number}"] = layer.train()(torch.ones(1000))
    # A step from a large gradient, which tells the masks from the noise, then one from none.
    before = flat(params)
    for param in params:
        param.grad = torch.full_like(param, 1e6)
    state.optimizer.step()
    if keep_prob < 1 and "DG" not in kinds:  # with DG, no step looks like a dropped one
        seen["LRD"] = flat(params) == before
    if "DG" in kinds:
        seen["DG"] = flat(param.grad for param in params) > 5e5
    for param in params:
        param.grad = torch.zeros_like(param)
    state.optimizer.step()
    if "NG" in kinds:
        seen["NG"] = flat(param.grad for param in params)
    return seen


def test_switching_one_on_changes_no_other_stream() -> None:
    known: dict[str, Tensor] = {}
    for kinds in COMBINATIONS:
        for keep_prob in (1.0, 0.5):
            for name, value in streams(kinds, keep_prob).items():
                assert torch.equal(known.setdefault(name, value), value), (name, kinds, keep_prob)
    assert len(known) == 9


def test_lrd_and_dg_of_one_seed_drop_unrelated_elements() -> None:
    # Else DG would spare just the gradients of the elements that do not move.
    param = torch.zeros(BIG, requires_grad=True)
    optimizer = learning_rate_dropout(sgd(param), 0.5, seed=9)
    gradient_dropout(optimizer, 0.5, seed=9)
    param.grad = torch.ones(BIG)
    optimizer.step()
    moved = float((param != 0).double().mean())
    assert abs(moved - 0.25) < 5 * math.sqrt(0.25 * 0.75 / BIG)
