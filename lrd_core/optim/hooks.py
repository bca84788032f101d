"""The universal form: learning-rate dropout as step hooks on a genuine torch optimizer.

The parameters are copied before the step; after it, the old value is restored wherever the mask
is 0. The whole update is masked, weight decay included; the moments never are.
"""

from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from lrd_core.optim import kernels
from lrd_core.optim.copies import forget_in_copies, keep_in_copies
from lrd_core.optim.fused import FusedOptimizer, with_own_keep_prob
from lrd_core.optim.mask import Draw, probability, seed_word
from lrd_core.optim.restore import Placed, restore
from lrd_core.optim.steps import (
    Arguments,
    draw_of,
    fault_if_wrapper,
    is_inner_step,
    is_skipped,
    refuse_sparse,
    with_gradients,
)

O = TypeVar("O", bound=Optimizer)  # noqa: E741

_HOOKS = "_learning_rate_dropout"


def learning_rate_dropout(
    optimizer: O, keep_prob: float = 0.5, seed: int = 0, *, compile: bool = False
) -> O:
    """Turn `optimizer` into its LRD form (Algorithm 1 of arXiv 1912.00144) and return it.

    `keep_prob`, the paper's p, is then a field of each of `optimizer.param_groups`, where it may be
    changed at any time; `state_dict` holds it with the seed and the count of steps. Copies and
    pickles of the optimizer have learning-rate dropout too.

    Args:
        optimizer: any torch optimizer except LBFGS, which takes many steps in one and judges each
            by the loss at the point it asked for. Weights that an optimizer keeps in its state,
            such as ASGD's average, are computed from the unmasked steps.
        keep_prob: 0 (frozen, the moments still move) to 1 (bit-equal to the plain optimizer).
        seed: seeds the masks; any integer. Optimizers with the same seed draw the same masks.
        compile: make and apply the masks in a kernel: the same bits, faster, but the first step on
            a machine takes a second or two, and needs a C++ compiler (on a GPU, Triton).

    Raises:
        ValueError: `keep_prob`, or that of a group, is not within 0 to 1; or the optimizer has LRD
            already.
        TypeError: `optimizer` is LBFGS or not an optimizer; `seed` is not an integer.

    A later `optimizer.step()` raises, before anything has changed, ValueError if a parameter
    group's `keep_prob` is not a probability or a group is `differentiable`, and RuntimeError for a
    sparse gradient, a parameter that holds its elements in other tensors, and `compile` on a
    machine that cannot compile.
    """
    if not isinstance(optimizer, Optimizer):
        got = getattr(optimizer, "__name__", type(optimizer).__name__)  # a class's, or a value's
        raise TypeError(
            f"learning-rate dropout goes on a torch optimizer, got {got}; "
            "e.g. learning_rate_dropout(torch.optim.Adam(model.parameters()))"
        )
    if isinstance(optimizer, LBFGS):
        raise TypeError("LBFGS searches along a line in each step; masking would break its search")
    if hasattr(optimizer, _HOOKS) or isinstance(optimizer, FusedOptimizer):
        raise ValueError(
            "this optimizer has learning-rate dropout already; `keep_prob` in its param_groups may "
            "be set at any time"
        )
    keep_prob, seed = probability(keep_prob), seed_word(seed)
    for group in optimizer.param_groups:
        probability(group.get("keep_prob", keep_prob))  # raises before anything has changed
    hooks = _install(optimizer, keep_prob, seed, compile)
    for group in (*optimizer.param_groups, optimizer.defaults):
        hooks.prepare(group)  # torch gives later groups what the defaults have
    return optimizer


def remove_learning_rate_dropout(optimizer: O) -> O:
    """Undo `learning_rate_dropout`: the plain optimizer remains, its moments untouched.

    Raises:
        ValueError: the optimizer has the fused form, whose own step is masked.
    """
    if isinstance(optimizer, FusedOptimizer):
        raise ValueError("a fused optimizer's dropout is part of it; set its keep_prob to 1")
    hooks: _Hooks | None = getattr(optimizer, _HOOKS, None)
    if hooks is not None:
        hooks.remove(optimizer)
    for group in (*optimizer.param_groups, optimizer.defaults):
        for name in ("keep_prob", "lrd_seed", "lrd_step"):
            group.pop(name, None)
    return optimizer


def restores_by_kernel(optimizer: Optimizer) -> bool:
    """Whether `optimizer` has learning-rate dropout with compiled masks."""
    hooks: _Hooks | None = getattr(optimizer, _HOOKS, None)
    return hooks is not None and hooks.compile


class _Hooks:
    """The hooks of one optimizer, and what they remember from the start of a step to its end."""

    def __init__(self, keep_prob: float, seed: int, compile: bool) -> None:
        self.keep_prob, self.seed, self.compile = keep_prob, seed, compile
        self.remembered: list[tuple[dict[str, Any], Draw, list[Placed]]] = []

    def install(self, optimizer: Optimizer) -> None:
        self.handles = (
            optimizer.register_step_pre_hook(self.before),
            optimizer.register_step_post_hook(self.after),
            optimizer.register_load_state_dict_pre_hook(with_own_keep_prob),
        )
        # First of all, so that others' hooks see the weights as the masked step leaves them.
        after_step: Any = optimizer._optimizer_step_post_hooks
        after_step.move_to_end(self.handles[1].id, last=False)
        setattr(optimizer, _HOOKS, self)
        keep_in_copies(optimizer, _install, self.keep_prob, self.seed, self.compile)

    def remove(self, optimizer: Optimizer) -> None:
        for handle in self.handles:
            handle.remove()
        self.remembered.clear()
        delattr(optimizer, _HOOKS)
        forget_in_copies(optimizer, _install)

    def prepare(self, group: dict[str, Any]) -> None:
        """Add the fields that a group lacks, e.g. one from a state saved without dropout."""
        group.setdefault("keep_prob", self.keep_prob)
        group.setdefault("lrd_seed", self.seed)
        group.setdefault("lrd_step", 0)

    @torch.no_grad()
    def before(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Arguments | None:
        if is_inner_step(optimizer):
            return None
        self.remembered.clear()  # left by a step that raised
        draws = []
        for group in optimizer.param_groups:
            self.prepare(group)
            draws.append(draw_of(group))
            if group.get("differentiable"):
                raise ValueError("a masked step cannot be differentiated; set differentiable=False")
        groups = zip(optimizer.param_groups, draws, strict=True)
        masked = [group for group, draw in groups if not draw.keeps_all]
        changed = with_gradients(optimizer, args, kwargs, lambda: refuse_sparse(masked))
        if is_skipped(optimizer):
            return changed
        position = 0
        for group, draw in zip(optimizer.param_groups, draws, strict=True):
            new_and_old: list[Placed] = []
            for parameter in group["params"]:
                # Torch moves any parameter with a gradient, even a frozen one; and a closure may
                # yet produce a gradient.
                may_get_one = changed is not None and parameter.requires_grad
                moves = may_get_one or parameter.grad is not None
                if moves and not draw.keeps_all:
                    self._refuse_unfit(parameter)
                    new_and_old.append((position, (parameter, parameter.detach().clone())))
                position += parameter.numel()
            self.remembered.append((group, draw, new_and_old))
        return changed

    def _refuse_unfit(self, parameter: Tensor) -> None:
        """Checked before the step: afterwards, the unmasked step could not be undone."""
        if (fault := fault_if_wrapper(parameter)) is not None:
            raise RuntimeError(f"learning-rate dropout {fault}; keep_prob=1 leaves it alone")
        if self.compile and (why := kernels.cannot_run(parameter.device)) is not None:
            raise RuntimeError(
                f"learning-rate dropout cannot be compiled for {parameter.device}: {why}; "
                "leave out compile=True; the masks stay the same"
            )

    @torch.no_grad()
    def after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if is_inner_step(optimizer):
            return
        remembered, self.remembered = self.remembered, []
        for group, draw, new_and_old in remembered:
            # eq. 2: a learning rate of 0 leaves the element where it was. Detached only now: some
            # optimizers give a parameter a new tensor in place of its old one.
            detached = [(place, (new.detach(), old)) for place, (new, old) in new_and_old]
            restore(detached, draw, compiled=self.compile)
            group["lrd_step"] += 1


def _install(optimizer: Optimizer, keep_prob: float, seed: int, compile: bool) -> _Hooks:
    hooks = _Hooks(keep_prob, seed, compile)
    hooks.install(optimizer)
    return hooks
