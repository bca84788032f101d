"""Builds the optimizer that a spec describes, with learning-rate dropout in one of its forms."""

import logging
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer

from lrd_core import configuration as specs
from lrd_core import plugins
from lrd_core.errors import PluginError
from lrd_core.optim import kernels
from lrd_core.optim.fused import (
    FusedAdam,
    FusedAMSGrad,
    FusedOptimizer,
    FusedRAdam,
    FusedRMSprop,
    FusedSGDM,
    fits,
)
from lrd_core.optim.hooks import learning_rate_dropout, restores_by_kernel
from lrd_core.options import as_arguments

Form = Literal["universal", "universal compiled", "fused"]

log = logging.getLogger(__name__)


def build_optimizer(
    spec: specs.OptimizerSpec,
    params: Iterable[nn.Parameter],
    *,
    seed: int,
    compile: bool = False,
) -> Optimizer:
    """The optimizer that `spec` describes, its masks seeded by `seed`.

    It always has learning-rate dropout: in the universal form a `keep_prob` of 1 changes no bit,
    and `keep_prob` may be changed later.

    Args:
        spec: the optimizer and its keep_prob.
        params: the parameters; their order determines their positions in the mask.
        seed: seeds the masks.
        compile: use the fused form if there is one for this optimizer and these parameters,
            otherwise the universal form with compiled masks. If nothing can be compiled, log a
            warning and use the universal form without.

    Raises:
        PluginError: there are no parameters, or all are frozen; or the optimizer is a plugin's and
            not installed here, or not an `Optimizer`.
    """
    parameters = list(params)
    if not parameters:
        raise PluginError(
            "the model has no parameters, so there is nothing to train; give it layers that have "
            "some, and let `parameters()` yield them"
        )
    if not any(parameter.requires_grad for parameter in parameters):
        raise PluginError(
            "no parameter of the model requires a gradient, so there is nothing to train; leave "
            "`requires_grad` of some of them True"
        )
    if compile:
        form = _fused_form(spec, parameters)
        reason = kernels.cannot_run(parameters[0].device)
        if reason is not None:
            compile = False
            log.warning("learning-rate dropout is not compiled on this machine: %s", reason)
        elif form is not None:
            return form(parameters, keep_prob=spec.keep_prob, seed=seed, **_arguments(spec))
    return learning_rate_dropout(_plain(spec, parameters), spec.keep_prob, seed, compile=compile)


def form_of(optimizer: Optimizer) -> Form:
    """How an optimizer of `build_optimizer` computes its masks."""
    if isinstance(optimizer, FusedOptimizer):
        return "fused"
    return "universal compiled" if restores_by_kernel(optimizer) else "universal"


_FUSED: dict[type[specs.Spec], type[FusedOptimizer]] = {
    specs.SGDM: FusedSGDM,
    specs.RMSprop: FusedRMSprop,
    specs.Adam: FusedAdam,
    specs.AMSGrad: FusedAMSGrad,
    specs.RAdam: FusedRAdam,
}


_TORCH: dict[type[specs.Spec], tuple[type[Optimizer], dict[str, Any]]] = {
    # fused: 2 to 7 times as fast as torch's other forms, on a CPU too
    specs.SGDM: (torch.optim.SGD, {"fused": True}),
    specs.RMSprop: (torch.optim.RMSprop, {}),
    specs.Adam: (torch.optim.Adam, {"fused": True}),
    specs.AMSGrad: (torch.optim.Adam, {"fused": True, "amsgrad": True}),
    specs.RAdam: (torch.optim.RAdam, {}),
    specs.AdamW: (torch.optim.AdamW, {"fused": True}),
    specs.NAdam: (torch.optim.NAdam, {}),
}


def _fused_form(
    spec: specs.OptimizerSpec, parameters: list[nn.Parameter]
) -> type[FusedOptimizer] | None:
    """The fused form, if there is one for this case."""
    special = isinstance(spec, specs.SGDM) and spec.nesterov
    special |= isinstance(spec, specs.RMSprop) and spec.momentum > 0
    return None if special or not all(map(fits, parameters)) else _FUSED.get(type(spec))


def _plain(spec: specs.OptimizerSpec, parameters: list[nn.Parameter]) -> Optimizer:
    if isinstance(spec, specs.PluginOptimizer):
        made = plugins.call(
            "lrd.optimizers", spec.name, parameters,
            lr=spec.lr, weight_decay=spec.weight_decay, **as_arguments(spec.options),
        )  # fmt: skip
        if not isinstance(made, Optimizer):
            kind = type(made).__name__
            raise PluginError(
                f"{spec.name!r} of lrd.optimizers returned a {kind}, not an Optimizer"
            )
        return made
    cls, options = _TORCH[type(spec)]
    return cls(parameters, **_arguments(spec), **options)


def _arguments(spec: specs.OptimizerSpec) -> dict[str, Any]:
    """The spec's fields under torch's names, for `_plain` and the fused form alike."""
    arguments = spec.model_dump(exclude={"name", "keep_prob"})
    if "beta1" in arguments:
        arguments["betas"] = (arguments.pop("beta1"), arguments.pop("beta2"))
    return arguments
