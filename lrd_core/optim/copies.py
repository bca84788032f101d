"""Keeps this package's hooks in copies and pickles of an optimizer.

Torch leaves hooks out of them: a copy would silently train without dropout or noise.
"""

import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer

Installed = list[tuple[Callable[..., Any], tuple[Any, ...]]]

_INSTALLED = "_kept_in_copies"


def keep_in_copies(optimizer: Optimizer, install: Callable[..., Any], *args: Any) -> None:
    """Call `install(copy, *args)`, a module-level function, on each copy of the optimizer.

    Several functions are called in the order of registration, before the copy has groups or state.
    """
    installed: Installed = optimizer.__dict__.setdefault(_INSTALLED, [])
    installed.append((install, args))
    # A reference to itself would keep its parameters and moments until garbage is collected.
    cls, itself = type(optimizer), weakref.proxy(optimizer)
    optimizer.__reduce_ex__ = lambda protocol: (  # type: ignore[method-assign]
        _with_hooks,
        (cls, installed),
        itself.__getstate__(),
    )


def forget_in_copies(optimizer: Optimizer, install: Callable[..., Any]) -> None:
    """Undo `keep_in_copies` for this function."""
    installed: Installed = optimizer.__dict__[_INSTALLED]
    installed[:] = [each for each in installed if each[0] is not install]


def _with_hooks(cls: type[Optimizer], installed: Installed) -> Optimizer:
    """A copy with hooks but no state yet; `__setstate__` leaves the hooks in place."""
    optimizer = cls.__new__(cls)
    optimizer._optimizer_step_pre_hooks = OrderedDict()
    optimizer._optimizer_step_post_hooks = OrderedDict()
    optimizer._optimizer_load_state_dict_pre_hooks = OrderedDict()
    for install, args in installed:
        install(optimizer, *args)
    return optimizer
