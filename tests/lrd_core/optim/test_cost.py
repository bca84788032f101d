"""What a step of the universal form costs in operations and memory."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lrd_core.optim import learning_rate_dropout


class Tally(TorchDispatchMode):
    """Counts the operations, and the bytes of the tensors that they make."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.operations += 1
        if torch.is_tensor(result):
            inputs = [x.data_ptr() for x in (*args, *(kwargs or {}).values()) if torch.is_tensor(x)]
            if result.data_ptr() not in inputs and not func.is_view:
                self.bytes += result.nbytes
        return result


def tally_of_a_step(keep_prob: float | None, shape: tuple[int, ...] = (1000, 400)) -> Tally:
    param = torch.ones(*shape, requires_grad=True)
    optimizer = torch.optim.SGD([param], lr=1.0, momentum=0.9, fused=True)
    if keep_prob is not None:
        learning_rate_dropout(optimizer, keep_prob)
    param.grad = torch.ones(shape)
    optimizer.step()  # the first one allocates moments and scratch
    with Tally() as tally:
        optimizer.step()
    return tally


def test_keep_prob_1_adds_no_operation() -> None:
    assert tally_of_a_step(1.0).operations == tally_of_a_step(None).operations


def test_keep_prob_0_copies_there_and_back_and_hashes_nothing() -> None:
    assert tally_of_a_step(0.0).operations <= tally_of_a_step(None).operations + 4


def test_the_step_needs_one_copy_of_the_parameters() -> None:
    copy_of_all = 1000 * 400 * 4
    assert tally_of_a_step(0.3).bytes <= tally_of_a_step(None).bytes + copy_of_all
