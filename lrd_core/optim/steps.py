"""What a hook must know about the step that it stands before or after."""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""Of `step()`: by position, the optimizer itself first, and by name."""

_AROUND_STEP = Optimizer.profile_hook_step(lambda: None).__code__
"""Of torch's wrapper, which calls the hooks; every optimizer's is the same code."""


def is_inner_step(optimizer: Optimizer) -> bool:
    """Whether the hook that asks was called by a step within another step of `optimizer`.

    A subclass whose `step()` calls `super().step()` runs its hooks twice, but only where the base
    class was used before in the same process: torch puts the hooks around a class's `step` when its
    first optimizer is made. The call stack is asked, and no count is kept, for a count would be
    wrong after a step that raised.
    """
    steps, frame = 0, sys._getframe()
    while frame.f_back is not None and steps < 2:
        frame = frame.f_back
        steps += frame.f_code is _AROUND_STEP and frame.f_locals.get("self") is optimizer
    return steps == 2


def is_skipped(optimizer: Optimizer) -> bool:
    """Whether a GradScaler has found an infinity and a fused kernel will leave everything alone.

    The other kernels' `step()` is not even called then.
    """
    found: Tensor | None = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found)


def with_gradients(
    optimizer: Optimizer,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    action: Callable[[], None],
) -> Arguments | None:
    """Do `action` where this step's gradients are there: now, or else each time after its closure.

    Returns:
        The arguments that the step is to get instead of its own; None without a closure.
    """

    def followed(closure: Callable[[], Any]) -> Callable[[], Any]:
        def closure_and_action() -> Any:
            loss = closure()
            action()
            return loss

        return closure_and_action

    if kwargs.get("closure") is not None:
        return args, kwargs | {"closure": followed(kwargs["closure"])}
    if len(args) > 1 and args[1] is not None:
        return (args[0], followed(args[1]), *args[2:]), kwargs
    action()
    return None


def refuse_sparse(optimizer: Optimizer) -> None:
    """Raises:
    RuntimeError: a gradient is sparse.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None and parameter.grad.layout != torch.strided:
                raise RuntimeError(
                    f"no sparse gradient can be masked, and that of a parameter of shape "
                    f"{tuple(parameter.shape)} is; make the embedding with sparse=False"
                )


def fault_if_wrapper(parameter: Tensor) -> str | None:
    """Of a tensor that holds its elements in others, what is said of it; else None."""
    if not is_traceable_wrapper_subclass(parameter):
        return None
    kind, shape = type(parameter).__name__, tuple(parameter.shape)
    return (
        f"takes parameters with a memory of their own; one of shape {shape} is a {kind}, whose "
        "elements lie in other tensors (as shards of FSDP2 do)"
    )
