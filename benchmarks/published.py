"""The authors' published loop, rebuilt from its description: the slow baseline.

Tensor by tensor: a tensor of ones times p, `torch.bernoulli` of it as the mask, weight decay added
into the gradient in place, moments updated in place, the step size divided by a clone of the
denominator and multiplied by the mask, and one more pass onto the parameter.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class _Published(Optimizer):
    def __init__(self, params: Any, keep_prob: float, lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "keep_prob": keep_prob})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for param in group["params"]:
                grad = param.grad
                mask = torch.bernoulli(torch.ones_like(param) * group["keep_prob"])
                if group["weight_decay"]:
                    grad.add_(param, alpha=group["weight_decay"])
                self.move(param, grad, mask, group["lr"], self.state[param])

    def move(
        self, param: Tensor, grad: Tensor, mask: Tensor, lr: float, state: dict[str, Any]
    ) -> None:
        raise NotImplementedError


class PublishedSGDM(_Published):
    def move(
        self, param: Tensor, grad: Tensor, mask: Tensor, lr: float, state: dict[str, Any]
    ) -> None:
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = grad.clone()
        else:
            state["momentum_buffer"].mul_(0.9).add_(grad)
        param.sub_(lr * mask * state["momentum_buffer"].clone())


class PublishedRMSprop(_Published):
    def move(
        self, param: Tensor, grad: Tensor, mask: Tensor, lr: float, state: dict[str, Any]
    ) -> None:
        if "square_avg" not in state:
            state["square_avg"] = torch.zeros_like(param)
        square = state["square_avg"].mul_(0.99).addcmul_(grad, grad, value=0.01)
        root = square.sqrt().add_(1e-8)
        param.addcdiv_(grad * mask, root, value=-lr)


class PublishedAdam(_Published):
    def move(
        self, param: Tensor, grad: Tensor, mask: Tensor, lr: float, state: dict[str, Any]
    ) -> None:
        if not state:
            state.update(step=0, m=torch.zeros_like(param), v=torch.zeros_like(param))
        state["step"] += 1
        state["m"].mul_(0.9).add_(grad, alpha=0.1)
        state["v"].mul_(0.999).addcmul_(grad, grad, value=0.001)
        root = state["v"].sqrt().add_(1e-8)
        size = lr * math.sqrt(1 - 0.999 ** state["step"]) / (1 - 0.9 ** state["step"])
        rates = torch.full_like(root, size).div_(root.clone()).mul_(mask)
        param.addcmul_(rates, state["m"], value=-1)
