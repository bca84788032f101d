"""Config: one configuration of an experiment, seed left out, with all of its parts. No torch."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class Spec(BaseModel):
    """Frozen data; unknown fields, strings for numbers, NaN and infinities are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _printable(text: str) -> str:
    if any(not (char.isprintable() or char == "\n") for char in text):
        raise ValueError("contains a control character or a lone surrogate")
    return text


Text = Annotated[str, AfterValidator(_printable)]

# --- optimizers -----------------------------------------------------------------------------------
# The default learning rates of the paper's five are those it tuned (section 4.1).

Share = Annotated[float, Field(ge=0, le=1)]
LearningRate = Annotated[float, Field(gt=0, le=1e6)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class _Optimizer(Spec):
    keep_prob: Share = 1.0
    """The paper's p: the probability that an element's learning rate is kept (eq. 2)."""
    weight_decay: Annotated[float, Field(ge=0, le=1e6)] = 0.0


class SGDM(_Optimizer):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgdm"]
    lr: LearningRate = 0.1
    momentum: Decay = 0.9
    nesterov: bool = False

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class RMSprop(_Optimizer):
    """RMSprop, as in torch."""

    name: Literal["rmsprop"]
    lr: LearningRate = 0.001
    alpha: Decay = 0.99
    eps: Annotated[float, Field(gt=0)] = 1e-8
    momentum: Decay = 0.0


class _AdamLike(_Optimizer):
    lr: LearningRate = 0.001
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: Annotated[float, Field(gt=0)] = 1e-8


class Adam(_AdamLike):
    """Adam; weight decay is coupled (added to the gradient)."""

    name: Literal["adam"]


class AMSGrad(_AdamLike):
    """Adam with the running maximum of its second moment."""

    name: Literal["amsgrad"]


class RAdam(_AdamLike):
    """Rectified Adam."""

    name: Literal["radam"]
    lr: LearningRate = 0.03


class AdamW(_AdamLike):
    """Adam with decoupled weight decay."""

    name: Literal["adamw"]


class NAdam(_AdamLike):
    """Adam with Nesterov momentum."""

    name: Literal["nadam"]


OptimizerSpec = Annotated[
    SGDM | RMSprop | Adam | AMSGrad | RAdam | AdamW | NAdam, Field(discriminator="name")
]

# --- regularizers ---------------------------------------------------------------------------------


class SD(Spec):
    """Standard dropout: hidden units are kept with `keep_prob` (section 4.5)."""

    kind: Literal["SD"]
    keep_prob: Annotated[float, Field(gt=0, le=1)] = 0.9


class NL(Spec):
    """Noisy labels: with `prob` a label is replaced by another one drawn uniformly."""

    kind: Literal["NL"]
    prob: Share = 0.05


class NG(Spec):
    """Noisy gradient: N(0, eta / (1 + t)^gamma) is added to every element at step t."""

    kind: Literal["NG"]
    eta: Annotated[float, Field(ge=0, le=1e6)] = 0.1
    gamma: Annotated[float, Field(ge=0, le=100)] = 0.55


class DG(Spec):
    """Dropout on the gradient: elements are kept with `keep_prob`, not rescaled (section 4.6)."""

    kind: Literal["DG"]
    keep_prob: Share = 0.5


def _spell_out_kind(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


RegularizerSpec = Annotated[
    Annotated[SD | NL | NG | DG, Field(discriminator="kind")], BeforeValidator(_spell_out_kind)
]


def _each_kind_once(regularizers: list[Any]) -> list[Any]:
    kinds = [regularizer.kind for regularizer in regularizers]
    if len(set(kinds)) < len(kinds):
        raise ValueError(f"a kind may stand only once, got {', '.join(kinds)}")
    return sorted(regularizers, key=lambda regularizer: str(regularizer.kind))


# --- the configuration ----------------------------------------------------------------------------

DatasetName = Literal["digits", "mnist", "cifar10", "cifar100"]
ModelName = Literal["fcnet", "resnet34", "densenet121"]

MODELS_FOR: dict[str, tuple[str, ...]] = {
    "digits": ("fcnet",),
    "mnist": ("fcnet",),
    "cifar10": ("resnet34", "densenet121", "fcnet"),
    "cifar100": ("densenet121", "resnet34", "fcnet"),
}


class Schedule(Spec):
    """The learning rate is multiplied by `gamma` after each epoch in `milestones`."""

    milestones: Annotated[list[Annotated[int, Field(ge=1)]], Field(max_length=100)] = []
    gamma: Annotated[float, Field(ge=0, le=1)] = 0.1

    @model_validator(mode="after")
    def _milestones_rise(self) -> Self:
        if sorted(set(self.milestones)) != self.milestones:
            raise ValueError(f"milestones must rise, got {self.milestones}")
        return self


class Config(Spec):
    """One configuration: all that decides a result, but the seed."""

    dataset: DatasetName
    model: ModelName
    optimizer: OptimizerSpec
    regularizers: Annotated[list[RegularizerSpec], AfterValidator(_each_kind_once)] = []
    schedule: Schedule = Schedule()
    epochs: Annotated[int, Field(ge=1, le=100_000)]
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 128

    @model_validator(mode="after")
    def _model_fits_dataset(self) -> Self:
        fitting = MODELS_FOR[self.dataset]
        if self.model not in fitting:
            raise ValueError(
                f"model {self.model} does not go with dataset {self.dataset}; "
                f"one of {', '.join(fitting)} does"
            )
        return self
