"""The fused form: the paper's five optimizers with the mask inside the kernel that makes the step.

They are torch's own classes except for `step`: parameter groups, schedulers and state are the same,
so that a state saved by this form can be loaded into the universal one, and vice versa. The masks
are equal bit for bit, the weights up to rounding. Nothing is copied and no mask is stored.
"""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.graph import increment_version
from torch.optim import Optimizer

from lrd_core.optim import kernels
from lrd_core.optim.kernels import Move, Scalars
from lrd_core.optim.mask import probability, seed_word
from lrd_core.optim.steps import draw_of, fault_if_wrapper, refuse_sparse

_ONE = torch.tensor(1.0, dtype=torch.float32, device="cpu")
"""A tensor, because a plain number would be wrapped again for each tensor that it is added to."""


_INSTEAD = "use learning_rate_dropout(…, compile=True) on torch's own optimizer instead"


class FusedOptimizer(Optimizer):
    """The base of the five. `keep_prob` and `seed` mean the same as in `learning_rate_dropout`.

    Raises:
        ValueError: `keep_prob` is not within 0 to 1; a parameter is not of float32 or float64, or
            neither contiguous nor channels-last; the kernel does not support an option.

    `step()` raises, before anything has changed, ValueError for an option that was set later and
    that the kernel does not support, and RuntimeError for a sparse gradient, a parameter that the
    kernel no longer takes (after `model.half()`), and a loaded moment or a gradient whose shape is
    not its parameter's.
    """

    rule: ClassVar[str]
    """The name of its kernel."""
    moments: ClassVar[tuple[str, ...]]
    """The names of its moments in torch's state."""
    unknown: ClassVar[tuple[str, ...]] = ()
    """Options that the kernel does not support."""
    always: ClassVar[tuple[str, ...]] = ()
    """Options without which it would be another algorithm."""

    def __init__(
        self, params: Any, *, keep_prob: float = 0.5, seed: int = 0, **options: Any
    ) -> None:
        keep_prob, seed = probability(keep_prob), seed_word(seed)
        super().__init__(params, **options)
        self.defaults |= {"keep_prob": keep_prob, "lrd_seed": seed, "lrd_step": 0}
        self._complete_groups()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As torch's; the new parameters' mask positions come after all others."""
        if "keep_prob" in param_group:
            probability(param_group["keep_prob"])  # raises before anything has changed
        super().add_param_group(param_group)
        fault = self._fault(self.param_groups[-1])
        if fault is not None:
            self.param_groups.pop()
            raise ValueError(f"the fused form of learning-rate dropout {fault}; {_INSTEAD}")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's, for a state of any form, or of a plain optimizer, whose masks begin then.

        Raises:
            ValueError: the kernel does not support an option in it; nothing has changed.
        """
        for group in state_dict["param_groups"]:
            self._refuse_strange_option(group)
        super().load_state_dict(with_own_keep_prob(self, state_dict))
        self._complete_groups()
        for state in self.state.values():  # torch's fused forms count on the device: reading waits
            if "step" in state:
                state["step"] = torch.as_tensor(state["step"]).cpu().float()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step of Algorithm 1; `closure` is called first, and its loss returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        refuse_sparse(self.param_groups)
        parts = self._parts()
        draws = [draw_of(group) for group in self.param_groups]
        states = [self._state(parameter) for _, parameter, _, _ in parts]
        steps = [step for _, step in states]
        if steps:
            torch._foreach_add_(steps, _ONE, alpha=1.0)
        moves: list[Move] = []
        known: dict[tuple[int, float], Scalars] = {}
        for (number, parameter, gradient, position), (moments, step) in zip(
            parts, states, strict=True
        ):
            count = step.item()
            scalars = known.get((number, count))
            if scalars is None:
                scalars = self.scalars(self.param_groups[number], int(count))
                known[number, count] = scalars
            if gradient.dtype != parameter.dtype:  # `grad_dtype` allows that
                gradient = gradient.to(parameter.dtype)
            moves.append(Move(parameter, gradient, moments, scalars, draws[number], position))
        kernels.step(self.rule, moves)
        increment_version([move.tensor for move in moves])  # for autograd, which saw no kernel
        for group in self.param_groups:
            group["lrd_step"] += 1
        return loss

    def _complete_groups(self) -> None:
        for group in self.param_groups:
            for name in ("keep_prob", "lrd_seed", "lrd_step"):
                group.setdefault(name, self.defaults[name])

    def _strange_option(self, group: dict[str, Any]) -> str | None:
        for name in ("maximize", "capturable", "differentiable", *self.unknown):
            if group.get(name):
                return f"does not know {name}"
        for name in self.always:
            if not group.get(name):
                return f"always has {name}"
        return None

    def _refuse_strange_option(self, group: dict[str, Any]) -> None:
        fault = self._strange_option(group)
        if fault is not None:
            raise ValueError(f"the fused form of learning-rate dropout {fault}; {_INSTEAD}")

    def _fault(self, group: dict[str, Any]) -> str | None:
        strange = self._strange_option(group)
        if strange is not None:
            return strange
        # Torch's own forms of the same algorithm; in a loaded state they do not matter.
        for name in ("foreach", "fused"):
            if group.get(name):
                return f"does not know {name}"
        return next((_unfit(each) for each in group["params"] if not fits(each)), None)

    def _parts(self) -> list[tuple[int, Tensor, Tensor, int]]:
        """For each parameter with a gradient: its group's number, the parameter, the gradient, and
        the mask position of its first element.

        Kernels get addresses and would run past the end of a tensor that is too short. Torch can
        change a parameter's type or size in place (`model.half()`), and loads a state without
        checking shapes, so every step checks each tensor.
        """
        parts, position = [], 0
        for number, group in enumerate(self.param_groups):
            self._refuse_strange_option(group)  # which a scheduler may have set, as OneCycleLR does
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is not None:
                    self._refuse_unfit(parameter, gradient)
                    parts.append((number, parameter, gradient, position))
                position += parameter.numel()
        return parts

    def _refuse_unfit(self, parameter: Tensor, gradient: Tensor) -> None:
        if not fits(parameter):
            raise RuntimeError(f"the fused form of learning-rate dropout {_unfit(parameter)}")
        if (why := kernels.cannot_run(parameter.device)) is not None:
            raise RuntimeError(
                f"the fused form of learning-rate dropout has no kernels for {parameter.device}: "
                f"{why}"
            )
        state, shape = self.state.get(parameter, {}), parameter.shape
        moments = [(name, state.get(name)) for name in self.moments]
        for name, part in (("gradient", gradient), *moments):
            if part is not None and part.shape != shape:
                raise RuntimeError(
                    f"{name} of a parameter of shape {tuple(shape)} has shape "
                    f"{tuple(part.shape)}: it belongs to another model, or the parameter changed"
                )

    def _state(self, parameter: Tensor) -> tuple[list[Tensor], Tensor]:
        """The moments and the step count, both as torch keeps them."""
        state, moments = self.state[parameter], []
        for name in self.moments:
            moment: Tensor | None = state.get(name)
            if moment is None or not _alike(moment, parameter):
                state[name] = torch.zeros_like(parameter)
                if moment is not None:  # loaded, or from before the model became another type
                    state[name].copy_(moment)
                moment = state[name]
            moments.append(moment)
        if "step" not in state:
            state["step"] = torch.zeros((), dtype=torch.float32, device="cpu")
        return moments, state["step"]

    def scalars(self, group: dict[str, Any], step: int) -> Scalars:
        """What the rule needs in a parameter's step of this number."""
        raise NotImplementedError


class FusedSGDM(FusedOptimizer, torch.optim.SGD):
    """SGD with momentum; no dampening, no Nesterov momentum."""

    rule = "sgdm"
    moments = ("momentum_buffer",)
    unknown = ("dampening", "nesterov")

    def scalars(self, group: dict[str, Any], step: int) -> Scalars:
        return Scalars(group["lr"], group["weight_decay"], first=group["momentum"])


class FusedRMSprop(FusedOptimizer, torch.optim.RMSprop):
    """RMSprop without momentum, not centred."""

    rule = "rmsprop"
    moments = ("square_avg",)
    unknown = ("momentum", "centered")

    def scalars(self, group: dict[str, Any], step: int) -> Scalars:
        alpha = group["alpha"]
        return Scalars(
            group["lr"], group["weight_decay"],
            second=alpha, second_rest=1 - alpha, eps=group["eps"],
        )  # fmt: skip


class _AdamLike(FusedOptimizer):
    moments: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_avg_sq")
    unknown: ClassVar[tuple[str, ...]] = ("decoupled_weight_decay",)

    def scalars(self, group: dict[str, Any], step: int) -> Scalars:
        beta1, beta2 = group["betas"]
        return Scalars(
            group["lr"], group["weight_decay"], beta1, 1 - beta1, beta2, 1 - beta2, group["eps"],
            unbias_first=1 / (1 - beta1**step), unbias_second=1 / math.sqrt(1 - beta2**step),
        )  # fmt: skip


class FusedAdam(_AdamLike, torch.optim.Adam):
    """Adam with coupled weight decay."""

    rule = "adam"
    unknown = ("amsgrad", "decoupled_weight_decay")


class FusedAMSGrad(_AdamLike, torch.optim.Adam):
    """Adam with the running maximum of its second moment."""

    rule = "amsgrad"
    moments = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    always = ("amsgrad",)

    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, amsgrad=True, **options)


class FusedRAdam(_AdamLike, torch.optim.RAdam):
    """Rectified Adam."""

    rule = "radam"

    def scalars(self, group: dict[str, Any], step: int) -> Scalars:
        numbers, beta2 = super().scalars(group, step), group["betas"][1]
        limit = 2 / (1 - beta2) - 1
        length = limit - 2 * step * beta2**step / (1 - beta2**step)
        if length > 5:
            rectifier = math.sqrt(
                (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
            )
            return numbers._replace(rectifier=rectifier)
        return numbers


def with_own_keep_prob(optimizer: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
    """A state to load, whose groups get `keep_prob` and seed from those of `optimizer` if they lack
    them: torch takes groups from the state only, and those of a plain optimizer have neither."""
    ours, theirs = optimizer.param_groups, state_dict["param_groups"]
    if len(ours) != len(theirs):
        return state_dict  # torch will refuse it
    names = ("keep_prob", "lrd_seed")
    groups = [
        {name: own[name] for name in names if name in own} | group
        for own, group in zip(ours, theirs, strict=True)
    ]
    return state_dict | {"param_groups": groups}


def fits(parameter: Tensor) -> bool:
    """Whether the kernels accept this parameter."""
    return parameter.dtype in (torch.float32, torch.float64) and kernels.fits(parameter)


def _alike(moment: Tensor, parameter: Tensor) -> bool:
    """Whether two tensors of equal shape also have the same layout, type and device."""
    return (moment.stride(), moment.dtype, moment.device) == (
        parameter.stride(), parameter.dtype, parameter.device,
    )  # fmt: skip


def _unfit(parameter: Tensor) -> str:
    """The fault of a parameter that the kernels do not accept, to follow the form's name."""
    return fault_if_wrapper(parameter) or (
        f"takes contiguous or channels-last parameters of float32 or float64; one is of "
        f"{parameter.dtype}, shape {tuple(parameter.shape)}, strides {parameter.stride()}"
    )
