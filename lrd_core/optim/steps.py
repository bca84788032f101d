"""What a step hook must know about the step it belongs to."""

import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from lrd_core.optim.mask import Draw, probability

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""The arguments of `step()`: positional, the optimizer itself first, and named."""

_AROUND_STEP = Optimizer.profile_hook_step(lambda: None).__code__
"""The code of torch's wrapper around `step`, which calls the hooks; all optimizers share it."""


def is_inner_step(optimizer: Optimizer) -> bool:
    """Whether the calling hook belongs to a step within another step of `optimizer`.

    A subclass whose `step()` calls `super().step()` runs its hooks twice, but only if the base
    class was used before in the same process: torch wraps a class's `step` when its first optimizer
    is made. This inspects the call stack, because a counter would be wrong after a step that
    raised.
    """
    steps, frame = 0, sys._getframe()
    while frame.f_back is not None and steps < 2:
        frame = frame.f_back
        steps += frame.f_code is _AROUND_STEP and frame.f_locals.get("self") is optimizer
    return steps == 2


def is_skipped(optimizer: Optimizer) -> bool:
    """Whether a GradScaler has found an infinity, so that a fused kernel will change nothing.

    For other optimizers, the scaler does not even call `step()` then.
    """
    found: Tensor | None = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found)


def with_gradients(
    optimizer: Optimizer,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    action: Callable[[], None],
) -> Arguments | None:
    """Run `action` once this step's gradients exist: now, or after each call of its closure.

    Returns:
        The arguments that the step should get instead of its own; None without a closure.
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


def draw_of(group: dict[str, Any]) -> Draw:
    """The draw of a parameter group's next step.

    Raises:
        ValueError: its `keep_prob`, which anybody may have set, is not a probability.
    """
    group["keep_prob"] = probability(group["keep_prob"])
    return Draw.of(group["lrd_seed"], group["lrd_step"] + 1, group["keep_prob"])


def refuse_sparse(groups: Iterable[dict[str, Any]]) -> None:
    """Check that no gradient of these parameter groups is sparse.

    Raises:
        RuntimeError: one is.
    """
    for group in groups:
        for parameter in group["params"]:
            if parameter.grad is not None and parameter.grad.layout != torch.strided:
                raise RuntimeError(
                    f"sparse gradients cannot be masked, and a parameter of shape "
                    f"{tuple(parameter.shape)} has one; make the embedding with sparse=False"
                )


def fault_if_wrapper(parameter: Tensor) -> str | None:
    """The fault of a parameter that holds its elements in other tensors; None for any other."""
    if not is_traceable_wrapper_subclass(parameter):
        return None
    kind, shape = type(parameter).__name__, tuple(parameter.shape)
    return (
        f"takes parameters with memory of their own; one of shape {shape} is a {kind}, whose "
        "elements are in other tensors (like FSDP2's shards)"
    )
