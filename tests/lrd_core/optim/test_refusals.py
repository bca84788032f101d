"""What the universal form refuses at a step: with a sentence, and before anything has changed."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing._internal.two_tensor import TwoTensor

from lrd_core.optim import kernels, learning_rate_dropout
from lrd_core.optim.fused import FusedRMSprop, FusedSGDM
from tests.lrd_core.optim.cases import equal, values
from tests.lrd_core.optim.test_hooks import ones, sgd


@pytest.mark.parametrize("with_closure", [False, True])
def test_a_sparse_gradient_is_refused_before_anything_changes(with_closure: bool) -> None:
    dense, table = ones(3), nn.Embedding(5, 2, sparse=True)
    optimizer = learning_rate_dropout(sgd([dense, table.weight]), 0.5)
    start = values([dense, table.weight])

    def closure() -> Tensor:
        loss = dense.sum() + table(torch.tensor([1, 3])).sum()
        loss.backward()
        return loss

    if not with_closure:
        closure()
    with pytest.raises(
        RuntimeError, match=r"shape \(5, 2\) has one; make the embedding with sparse"
    ):
        optimizer.step(closure if with_closure else None)  # type: ignore[arg-type]
    assert equal(values([dense, table.weight]), start)
    assert optimizer.param_groups[0]["lrd_step"] == 0
    assert not optimizer.state


@pytest.mark.parametrize("keep_prob", [0.5, 1.0])
def test_a_parameter_without_a_memory_of_its_own_is_refused_before_anything_changes(
    keep_prob: float,
) -> None:
    """Catches: shards of FSDP2, which took a whole unmasked step before an error."""
    param = nn.Parameter(TwoTensor(torch.ones(4), torch.ones(4)))
    optimizer = learning_rate_dropout(sgd([param]), keep_prob)
    param.sum().backward()
    if keep_prob == 1.0:
        optimizer.step()
        assert values([param.a, param.b])[0].tolist() == [0.0] * 4  # type: ignore[attr-defined]
        return
    with pytest.raises(RuntimeError, match=r"one of shape \(4,\) is a TwoTensor, whose elements"):
        optimizer.step()
    assert param.a.tolist() == [1.0] * 4  # type: ignore[attr-defined]
    assert optimizer.param_groups[0]["lrd_step"] == 0


def test_without_a_compiler_nothing_moves_and_a_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: each step taken in whole, unmasked, and then [Errno 2] No such file or directory."""
    monkeypatch.setattr(kernels, "cannot_run", lambda device: "no C++ compiler was found")
    param = ones(8)
    optimizer = learning_rate_dropout(sgd([param]), 0.5, compile=True)
    param.grad = torch.ones(8)
    with pytest.raises(RuntimeError, match=r"for cpu: no .* was found; leave out"):
        optimizer.step()
    assert param.tolist() == [1.0] * 8
    assert optimizer.param_groups[0]["lrd_step"] == 0


def test_a_differentiable_step_is_refused() -> None:
    param = ones(3)
    optimizer = learning_rate_dropout(torch.optim.SGD([param], lr=1.0, differentiable=True))
    param.grad = torch.ones(3)
    with pytest.raises(ValueError, match="differentiable=False"):
        optimizer.step()


@pytest.mark.parametrize("wrong", ["0.5", None, torch.tensor(0.5), float("nan"), 2])
def test_what_is_no_probability_is_refused_in_a_sentence(wrong: Any) -> None:
    """Catches: `'<=' not supported between instances of 'float' and 'str'`."""
    said = r"^keep_prob is a probability, a number from 0 to 1, got "
    with pytest.raises(ValueError, match=said):
        learning_rate_dropout(sgd([ones(1)]), wrong)
    param = ones(1)
    optimizer = learning_rate_dropout(sgd([param]))
    optimizer.param_groups[0]["keep_prob"], param.grad = wrong, torch.ones(1)
    with pytest.raises(ValueError, match=said):
        optimizer.step()


@pytest.mark.parametrize(
    ("nothing", "name"), [(torch.nn.Linear(1, 1), "Linear"), (torch.optim.Adam, "Adam")]
)
def test_what_is_no_optimizer_is_refused_in_a_sentence(nothing: Any, name: str) -> None:
    """Catches: a hook that nobody has heard of, missing in a model or called on a class."""
    with pytest.raises(TypeError, match=rf"goes on a torch optimizer, got {name}; e\.g\. "):
        learning_rate_dropout(nothing)


def test_what_is_no_seed_is_refused_in_a_sentence() -> None:
    half: Any = 1.5
    with pytest.raises(TypeError, match=r"^seed is an integer, got 1\.5$"):
        learning_rate_dropout(sgd([ones(1)]), seed=half)
    with pytest.raises(TypeError, match=r"^seed is an integer, got 1\.5$"):
        FusedSGDM([ones(1)], seed=half)


def test_a_group_that_comes_with_a_wrong_keep_prob_is_refused_at_once() -> None:
    """Catches: a refusal in the first step, after an hour of loading data."""
    groups = [{"params": [ones(1)]}, {"params": [ones(1)], "keep_prob": 7}]
    optimizer = sgd(groups)
    with pytest.raises(ValueError, match="got 7"):
        learning_rate_dropout(optimizer)
    assert "lrd_step" not in optimizer.param_groups[0]
    with pytest.raises(ValueError, match="got 7"):
        FusedSGDM(groups)


def test_a_group_that_drops_nothing_may_have_sparse_gradients() -> None:
    """Catches: a refusal of what is not masked; the table of an embedding is then stepped as ever,
    and the rest of the model has learning-rate dropout."""
    dense, table = ones(30), nn.Embedding(5, 2, sparse=True)
    groups = [{"params": [dense]}, {"params": table.parameters(), "keep_prob": 1.0}]
    optimizer = learning_rate_dropout(sgd(groups), 0.5)
    start = table.weight.detach().clone()
    (dense.sum() + table(torch.tensor([1, 3])).sum()).backward()
    optimizer.step()
    assert (table.weight != start).any(1).tolist() == [False, True, False, True, False]
    assert 0 < int((dense == 0).sum()) < 30


@pytest.mark.parametrize(
    "make",
    [
        lambda params: FusedSGDM(params, lr=1.0),
        lambda params: learning_rate_dropout(sgd(params), 0.5, compile=True),
    ],
)
def test_a_parameter_without_memory_is_refused(make: Any) -> None:
    """Catches: "Device 'meta' does not have a corresponding module"."""
    param = nn.Parameter(torch.ones(3, device="meta"))
    optimizer = make([param])
    param.grad = torch.ones(3, device="meta")
    with pytest.raises(RuntimeError, match=r"meta: its tensors have no memory; give the model"):
        optimizer.step()
    assert optimizer.param_groups[0]["lrd_step"] == 0
    assert not optimizer.state


def test_without_a_compiler_the_fused_form_counts_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: step counts one ahead of the moments, in what is saved after the error."""
    monkeypatch.setattr(kernels, "cannot_run", lambda device: "no C++ compiler was found")
    param = ones(3)
    param.grad = torch.ones(3)
    optimizer = FusedSGDM([param], lr=1.0)
    with pytest.raises(RuntimeError, match="has no kernels for cpu: no C"):
        optimizer.step()
    assert not optimizer.state


def test_an_option_that_a_scheduler_sets_is_refused_at_the_next_step() -> None:
    """Catches: RMSprop without the momentum that OneCycleLR has given to it."""
    param = ones(3)
    param.grad = torch.ones(3)
    optimizer = FusedRMSprop([param])
    torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=3)
    with pytest.raises(ValueError, match="dropout does not know momentum; use learning_rate_dr"):
        optimizer.step()
    assert not optimizer.state
