"""Copies and pickles of an optimizer keep the hooks that this package gave it.

Torch leaves hooks out of them: a copy would train without dropout or noise, and not say so.
"""

import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer

Installed = list[tuple[Callable[..., Any], tuple[Any, ...]]]

_INSTALLED = "_kept_in_copies"


def keep_in_copies(optimizer: Optimizer, install: Callable[..., Any], *args: Any) -> None:
    """Have each copy made by `install(copy, *args)`, a function of a module, too; in the order in
    which this was called. A copy has neither groups nor state yet when it is."""
    installed: Installed = optimizer.__dict__.setdefault(_INSTALLED, [])
    installed.append((install, args))
    # One that refers to itself would keep its parameters and moments until garbage is collected.
    cls, itself = type(optimizer), weakref.proxy(optimizer)
    optimizer.__reduce_ex__ = lambda protocol: (  # type: ignore[method-assign]
        _with_hooks,
        (cls, installed),
        itself.__getstate__(),
    )


def forget_in_copies(optimizer: Optimizer, install: Callable[..., Any]) -> None:
    """Undo `keep_in_copies` of this function."""
    installed: Installed = optimizer.__dict__[_INSTALLED]
    installed[:] = [each for each in installed if each[0] is not install]


def _with_hooks(cls: type[Optimizer], installed: Installed) -> Optimizer:
    """A copy's beginning; `__setstate__` keeps the hooks."""
    optimizer = cls.__new__(cls)
    optimizer._optimizer_step_pre_hooks = OrderedDict()
    optimizer._optimizer_step_post_hooks = OrderedDict()
    optimizer._optimizer_load_state_dict_pre_hooks = OrderedDict()
    for install, args in installed:
        install(optimizer, *args)
    return optimizer
