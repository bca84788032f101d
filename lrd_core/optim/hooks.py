"""The universal form: learning-rate dropout as step hooks on a genuine torch optimizer.

Before the step the parameters are remembered; after it, the old value is given back wherever the
mask is 0. The whole update is masked, weight decay included, and the moments never are.
"""

from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from lrd_core.optim.mask import keep_mask

O = TypeVar("O", bound=Optimizer)  # noqa: E741

_HOOKS = "_learning_rate_dropout"


def learning_rate_dropout(optimizer: O, keep_prob: float = 0.5, seed: int = 0) -> O:
    """Turn `optimizer` into its LRD form (Algorithm 1 of arXiv 1912.00144) and return it.

    `keep_prob`, the paper's p, then stands in each of `optimizer.param_groups`, where it may be
    changed at any time; it travels in `state_dict` with the seed and the count of steps.

    Args:
        optimizer: any torch optimizer but LBFGS, which takes many steps in one and judges each by
            the loss at the point it asked for.
        keep_prob: 0 (frozen, the moments still move) to 1 (bit-equal to the plain optimizer).
        seed: of the masks.

    Raises:
        ValueError: `keep_prob` is not within 0 to 1, or the optimizer has LRD already.
        TypeError: the optimizer is LBFGS.
    """
    if isinstance(optimizer, LBFGS):
        raise TypeError("LBFGS searches along a line in each step; masking would break its search")
    if hasattr(optimizer, _HOOKS):
        raise ValueError("this optimizer has learning-rate dropout already")
    _check(keep_prob)
    hooks = _Hooks(keep_prob, seed)
    for group in optimizer.param_groups:
        hooks.prepare(group)
    handles = (
        optimizer.register_step_pre_hook(hooks.before),
        optimizer.register_step_post_hook(hooks.after),
    )
    setattr(optimizer, _HOOKS, handles)
    return optimizer


def remove_learning_rate_dropout(optimizer: O) -> O:
    """Undo `learning_rate_dropout`: the plain optimizer remains, its moments untouched."""
    for handle in getattr(optimizer, _HOOKS, ()):
        handle.remove()
    if hasattr(optimizer, _HOOKS):
        delattr(optimizer, _HOOKS)
    for group in optimizer.param_groups:
        for name in ("keep_prob", "lrd_seed", "lrd_step"):
            group.pop(name, None)
    return optimizer


class _Hooks:
    def __init__(self, keep_prob: float, seed: int) -> None:
        self.keep_prob, self.seed = keep_prob, seed
        self.remembered: dict[Tensor, Tensor] = {}

    def prepare(self, group: dict[str, Any]) -> None:
        """Groups added later get what the first ones got."""
        group.setdefault("keep_prob", self.keep_prob)
        group.setdefault("lrd_seed", self.seed)
        group.setdefault("lrd_step", 0)

    @torch.no_grad()
    def before(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self.remembered.clear()
        for group in optimizer.param_groups:
            self.prepare(group)
            _check(group["keep_prob"])
            group["lrd_step"] += 1
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    raise RuntimeError("learning-rate dropout does not take sparse gradients")
                if group["keep_prob"] < 1 and parameter.requires_grad:
                    self.remembered[parameter] = parameter.detach().clone()

    @torch.no_grad()
    def after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        offset = 0
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                old = self.remembered.pop(parameter, None)
                if old is not None and parameter.grad is not None:
                    kept = keep_mask(
                        group["lrd_seed"],
                        group["lrd_step"],
                        parameter.numel(),
                        group["keep_prob"],
                        offset=offset,
                        device=parameter.device,
                    )
                    # eq. 2: a learning rate of 0 leaves the element where it was.
                    parameter.copy_(torch.where(kept.view(parameter.shape), parameter, old))
                offset += parameter.numel()


def _check(keep_prob: float) -> None:
    if not 0.0 <= keep_prob <= 1.0:
        raise ValueError(f"keep_prob is a probability, 0 to 1, got {keep_prob}")
