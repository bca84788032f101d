"""A device that is not there: it computes on the CPU, and behaves like a GPU where a GPU is fussy.

It refuses to compute with tensors of two devices, gives no numpy array, and notes each time that
the host waits for it. What trains on it to the CPU's own numbers trains on a GPU: no tensor was
left behind. Torch knows one such device a process, so it has a process of its own.
"""

import copy
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from unittest import mock

import torch
from torch import Tensor
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

from lrd_core import regularizers
from lrd_core.datasets import images
from lrd_core.optim import kernels
from lrd_core.optim.kernels import Masked, Move, native
from lrd_core.spec import TrialSpec
from lrd_core.training import TrainState, train
from tests.lrd_core.small_cifar import small_cifar

Metrics = dict[str, float]

aten: Any = torch.ops.aten
NAME = "pretended"
READING = {
    aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal, aten.bincount,
    aten._unique2,
}  # fmt: skip
"""Operations whose result, or its size, the host must know before it goes on."""

waits: Counter[str] = Counter()


class There(Tensor):
    """A tensor of the device; `here` is where its numbers really are."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> "There":
        made: There = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, here.shape, strides=here.stride(), storage_offset=here.storage_offset(),
            dtype=here.dtype, device=torch.device(NAME, 0),
        )  # fmt: skip
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def tolist(self) -> Any:
        waits["tolist"] += 1
        return self.here.tolist()

    def cpu(self, *_: Any) -> Tensor:  # type: ignore[override]
        waits["cpu"] += 1
        return self.here.clone()


class _Everything(TorchDispatchMode):
    """Also what makes a tensor from none."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    tensors = [each for each in _pytree.tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, There)]
    others = [tensor for tensor in tensors if not isinstance(tensor, There)]
    asked = kwargs.get("device")
    result_there = bool(there) if asked is None else torch.device(asked).type == NAME
    operation = func._overloadpacket
    if operation in (aten._to_copy, aten.copy_):
        _note_copy(operation, args, kwargs, result_there)
    elif there:
        # A number in a tensor may be the CPU's, but in a kernel that steps all parameters at once.
        if any(other.dim() or "_fused" in str(operation) for other in others):
            raise RuntimeError(f"{func} was given tensors of the {NAME} device and of the CPU")
        masks = args[1] if operation in (aten.index, aten.index_put, aten.index_put_) else ()
        if operation in READING or any(m is not None and m.dtype == torch.bool for m in masks):
            waits[str(operation)] += 1
    arguments, options = _pytree.tree_map(_here, (args, kwargs))
    with torch.inference_mode(False), torch.no_grad():
        result = func(*arguments, **options)
        if not result_there:
            return result
        result = _pytree.tree_map_only(Tensor, There, result)
        return return_and_correct_aliasing(func, args, kwargs, result) if there else result


def _note_copy(operation: Any, args: Any, kwargs: Any, result_there: bool) -> None:
    """A copy to the device makes the host wait unless it is `non_blocking`; one back always."""
    source = args[1] if operation is aten.copy_ else args[0]
    result_there = isinstance(args[0], There) if operation is aten.copy_ else result_there
    blocking = not kwargs.get("non_blocking", args[2:3] == (True,))
    if isinstance(source, There) and not result_there:
        waits["copy back"] += 1
    elif result_there and not isinstance(source, There) and blocking:
        waits["blocking copy"] += 1


def _here(value: Any) -> Any:
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return value.here if isinstance(value, There) else value


def _empty_strided(size: Any, stride: Any, dtype: Any = None, **_: Any) -> Tensor:
    return There(torch.empty_strided(size, stride, dtype=dtype))


def _copy_from(source: Tensor, target: There, non_blocking: bool = False) -> Tensor:
    waits["torch.tensor(device=…)"] += 1  # it alone comes here
    target.here.copy_(source)
    return target


class _Module(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


class _Kernels:
    """The CPU's own, on what lies behind the device's tensors."""

    @staticmethod
    def prepare(device: torch.device) -> None:
        native.prepare(device)

    @staticmethod
    def step(rule: str, moves: list[Move]) -> None:
        native.step(
            rule,
            [
                move._replace(
                    tensor=_here(move.tensor),
                    gradient=_here(move.gradient),
                    moments=[_here(moment) for moment in move.moments],
                )
                for move in moves
            ],
        )

    @staticmethod
    def restore(tensors: list[Masked]) -> None:
        native.restore([
            each._replace(tensor=_here(each.tensor), old=_here(each.old)) for each in tensors
        ])  # fmt: skip


class _Generator(torch.Generator):
    def __new__(cls, device: Any = "cpu") -> Self:
        return super().__new__(cls)


_LIBRARY = torch.library.Library("aten", "IMPL")


def set_up() -> None:
    """Once a process, before anything else in it."""
    _setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
    _LIBRARY.impl("empty_strided", _empty_strided, "PrivateUse1")
    _LIBRARY.impl("_copy_from", _copy_from, "PrivateUse1")
    # `parameter.data = …`, as `Module.to` has it, would leave `here` as it was.
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    torch.set_num_threads(1)
    images._LOADERS["cifar10"] = lambda root: small_cifar()


@contextmanager
def _in_use() -> Iterator[torch.device]:
    waits.clear()
    with (
        # Its numbers are the CPU's; so are its kernels and its generators.
        mock.patch.object(kernels, "_kernels_of", return_value=_Kernels),
        mock.patch.object(regularizers.torch, "Generator", _Generator),
        _Everything(),
    ):
        yield torch.device(NAME, 0)


@dataclass
class Both:
    """One trial on the CPU and on the device: its metrics, and there the waits of each epoch."""

    cpu: list[Metrics]
    device: list[Metrics] = field(default_factory=list)
    waits: list[Counter[str]] = field(default_factory=list)
    form: str = ""
    """The optimizer's on the device."""


def trained(document: dict[str, Any], data_dir: Path | None = None, resumed: bool = False) -> Both:
    """`resumed`: on the device it begins with the state that the CPU had after one epoch."""
    spec = TrialSpec.parse(document)
    reference = TrainState.create(spec, data_dir=data_dir)
    reports = train(spec, reference)
    both = Both([next(reports).metrics])
    saved = copy.deepcopy(reference.state_dict())  # the reference goes on
    with _in_use() as device:
        state = TrainState.create(spec, device, data_dir=data_dir)
        if resumed:
            state.load_state_dict(saved)
    both.form = state.optimizer_form
    both.cpu += [report.metrics for report in reports]
    with _in_use():
        for report in train(spec, state):
            both.device.append(report.metrics)
            both.waits.append(waits.copy())
            waits.clear()
    return both
