"""A kernel is given addresses: what it is given is as long, and of the type, that it takes it for.

Each of these ran over the end of an array, and most ended the process.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing._internal.two_tensor import TwoTensor

from lrd_core.optim import learning_rate_dropout
from lrd_core.optim.fused import FusedAdam, FusedSGDM

pytestmark = pytest.mark.usefixtures("kernel_family")


def with_gradients(model: nn.Module) -> list[Tensor]:
    params = list(model.parameters())
    for param in params:
        param.grad = torch.full_like(param, 0.5)
    return params


def test_a_state_of_a_smaller_layer_is_refused_before_anything_changes() -> None:
    # (4, 20) and (4000, 20) have equal strides, and torch loads a state without a look at shapes.
    small, large = nn.Linear(20, 4), nn.Linear(20, 4000)
    saved = FusedAdam(with_gradients(small))
    saved.step()
    optimizer = FusedAdam(with_gradients(large))
    optimizer.load_state_dict(saved.state_dict())
    before = large.weight.detach().clone()
    with pytest.raises(RuntimeError, match=r"exp_avg of .* \(4000, 20\) has shape \(4, 20\)"):
        optimizer.step()
    assert torch.equal(large.weight, before)
    assert optimizer.param_groups[0]["lrd_step"] == 1


def test_a_model_that_becomes_float64_takes_its_moments_along() -> None:
    def run(make: Any) -> nn.Module:
        torch.manual_seed(0)
        model = nn.Linear(20, 400)
        optimizer = make(with_gradients(model))
        optimizer.step()
        model.double()
        for state in optimizer.state.values():
            if make is not FusedAdam:  # torch itself does not
                state |= {name: state[name].double() for name in ("exp_avg", "exp_avg_sq")}
        with_gradients(model)
        optimizer.step()
        return model

    ours = run(FusedAdam)
    theirs = run(lambda params: learning_rate_dropout(torch.optim.Adam(params)))
    assert ours.weight.dtype == torch.float64
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-6, atol=1e-6)


def test_a_model_that_becomes_bfloat16_is_refused_before_anything_changes() -> None:
    model = nn.Linear(20, 40)
    optimizer = FusedAdam(model.parameters())
    model.bfloat16()
    with_gradients(model)
    with pytest.raises(RuntimeError, match=r"one is of torch\.bfloat16"):
        optimizer.step()
    assert not optimizer.state


def test_a_gradient_of_before_its_parameter_grew_is_refused() -> None:
    param = torch.zeros(4, requires_grad=True)
    param.grad = torch.ones(4)
    optimizer = FusedAdam([param])
    param.data = torch.zeros(4000)
    with pytest.raises(RuntimeError, match=r"gradient of .* \(4000,\) has shape \(4,\)"):
        optimizer.step()
    assert not param.any()


@pytest.mark.skipif(not hasattr(Tensor, "grad_dtype"), reason="this torch has no grad_dtype")
def test_a_gradient_of_another_type_is_read_as_what_it_is() -> None:
    param: Any = torch.zeros(800, requires_grad=True)
    param.grad_dtype = torch.bfloat16
    param.grad = torch.ones(800, dtype=torch.bfloat16)
    FusedAdam([param], lr=0.1, keep_prob=1.0).step()
    torch.testing.assert_close(param.detach(), torch.full((800,), -0.1))


def test_the_count_of_steps_does_not_stand_still_where_numbers_are_bfloat16() -> None:
    param = torch.zeros(2, requires_grad=True)
    optimizer = FusedAdam([param])
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.bfloat16)
        for _ in range(258):
            param.grad = torch.ones(2, dtype=torch.float32)
            optimizer.step()
    finally:
        torch.set_default_dtype(before)
    assert int(optimizer.state[param]["step"]) == 258


def test_a_state_that_has_less_or_more_than_the_moments_goes_on() -> None:
    # Torch's plain SGD leaves a momentum of None, and other packages leave what they like.
    params = with_gradients(nn.Linear(20, 4))
    optimizer = FusedSGDM(params, lr=0.1, momentum=0.9)
    saved = optimizer.state_dict()
    saved["state"] = {0: {"momentum_buffer": None, "tries": 3}}
    optimizer.load_state_dict(saved)
    optimizer.step()
    assert optimizer.state[params[0]]["momentum_buffer"].shape == params[0].shape


def test_a_count_of_steps_may_be_a_plain_number() -> None:
    # As torch kept it once.
    params = with_gradients(nn.Linear(20, 4))
    optimizer = FusedSGDM(params, lr=0.1, momentum=0.9)
    saved = optimizer.state_dict()
    saved["state"] = {number: {"step": 5} for number in range(2)}
    optimizer.load_state_dict(saved)
    optimizer.step()
    assert [float(state["step"]) for state in optimizer.state.values()] == [6, 6]


def test_a_parameter_without_a_memory_of_its_own_is_refused() -> None:
    """Catches: shards of FSDP2, whose address is 0: the process ended."""
    param = nn.Parameter(TwoTensor(torch.ones(4), torch.ones(4)))
    with pytest.raises(ValueError, match=r"one of shape \(4,\) is a TwoTensor, whose elements"):
        FusedAdam([param])
