"""From an optimizer's spec to the torch optimizer, with learning-rate dropout where asked for."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from lrd_core import configuration as specs
from lrd_core import plugins
from lrd_core.optim.hooks import learning_rate_dropout


def build_optimizer(
    spec: specs.OptimizerSpec, params: Iterable[nn.Parameter], *, seed: int
) -> Optimizer:
    """The optimizer that `spec` describes, its masks seeded by `seed`.

    It always carries the hooks of learning-rate dropout: with `keep_prob` 1 they change no bit,
    and `keep_prob` may be scheduled.
    """
    return learning_rate_dropout(_plain(spec, params), spec.keep_prob, seed)


def _plain(spec: specs.OptimizerSpec, params: Iterable[nn.Parameter]) -> Optimizer:
    common: dict[str, Any] = {"lr": spec.lr, "weight_decay": spec.weight_decay}
    if isinstance(spec, specs.PluginOptimizer):
        custom: Optimizer = plugins.load("lrd.optimizers", spec.name)(
            params, **common, **spec.options
        )
        return custom
    if isinstance(spec, specs.SGDM):
        return torch.optim.SGD(
            params, momentum=spec.momentum, nesterov=spec.nesterov, fused=True, **common
        )
    if isinstance(spec, specs.RMSprop):
        return torch.optim.RMSprop(
            params, alpha=spec.alpha, eps=spec.eps, momentum=spec.momentum, **common
        )
    common |= {"betas": (spec.beta1, spec.beta2), "eps": spec.eps}
    if isinstance(spec, specs.Adam | specs.AMSGrad):
        # fused: 2 to 7 times torch's other forms, on a CPU too
        amsgrad = isinstance(spec, specs.AMSGrad)
        return torch.optim.Adam(params, amsgrad=amsgrad, fused=True, **common)
    if isinstance(spec, specs.AdamW):
        return torch.optim.AdamW(params, fused=True, **common)
    if isinstance(spec, specs.RAdam):
        return torch.optim.RAdam(params, **common)
    return torch.optim.NAdam(params, **common)
