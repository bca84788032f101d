"""Config: one configuration of an experiment, seed left out, with all of its parts. No torch."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from lrd_core import plugins
from lrd_core.spelling import did_you_mean


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


class PluginOptimizer(_Optimizer):
    """An optimizer of another package, by its name among the entry points `lrd.optimizers`."""

    name: Text
    lr: LearningRate
    options: Annotated[dict[Text, bool | int | float | str], Field(max_length=50)] = {}
    """Its further arguments, e.g. `{rho: 0.9}`."""

    @field_validator("options")
    @classmethod
    def _no_field_twice(cls, options: dict[str, Any]) -> dict[str, Any]:
        if twice := {"params", "lr", "weight_decay", "keep_prob"} & set(options):
            raise ValueError(f"{', '.join(sorted(twice))} may not stand among the options")
        return options


_BUILT_IN = {"sgdm", "rmsprop", "adam", "amsgrad", "radam", "adamw", "nadam"}
_PLUGIN = "an entry point of lrd.optimizers"


def _name(value: Any) -> str | None:
    """Which member of the union `value` is to be."""
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    if name is None or name in _BUILT_IN:
        return name
    return _PLUGIN if name in plugins.names("lrd.optimizers") else str(name)


OptimizerSpec = Annotated[
    Annotated[SGDM, Tag("sgdm")]
    | Annotated[RMSprop, Tag("rmsprop")]
    | Annotated[Adam, Tag("adam")]
    | Annotated[AMSGrad, Tag("amsgrad")]
    | Annotated[RAdam, Tag("radam")]
    | Annotated[AdamW, Tag("adamw")]
    | Annotated[NAdam, Tag("nadam")]
    | Annotated[PluginOptimizer, Tag(_PLUGIN)],
    Discriminator(_name),
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
    Annotated[SD | NL | NG | DG, Field(discriminator="kind")],
    BeforeValidator(
        _spell_out_kind, json_schema_input_type=Literal["SD", "NL", "NG", "DG"] | SD | NL | NG | DG
    ),
]


def _each_kind_once(regularizers: list[Any]) -> list[Any]:
    kinds = [regularizer.kind for regularizer in regularizers]
    if len(set(kinds)) < len(kinds):
        raise ValueError(f"a kind may stand only once, got {', '.join(kinds)}")
    return sorted(regularizers, key=lambda regularizer: str(regularizer.kind))


# --- data sets, models and tasks ------------------------------------------------------------------

TASK_OF: dict[str, str] = {
    "digits": "classification",
    "mnist": "classification",
    "cifar10": "classification",
    "cifar10_holdout": "classification",
    "cifar100": "classification",
    "voc_segmentation": "segmentation",
    "voc_detection": "detection",
    "surface": "descent",
}
"""The data sets of this package, and the task that each poses."""

MODELS_FOR: dict[str, tuple[str, ...]] = {
    "digits": ("fcnet",),
    "mnist": ("fcnet",),
    "cifar10": ("resnet34", "densenet121", "fcnet"),
    "cifar10_holdout": ("resnet34", "densenet121", "fcnet"),
    "cifar100": ("densenet121", "resnet34", "fcnet"),
    "voc_segmentation": ("pspnet",),
    "voc_detection": ("ssd300",),
    "surface": ("point",),
}
"""The models of this package, by the data sets that they fit."""

MODELS = frozenset(model for fitting in MODELS_FOR.values() for model in fitting)

WITH_DROPOUT = ("fcnet", "resnet34", "densenet121")
"""The models that have places for standard dropout (SD). The paper drops units of no other."""

PRETRAINED = ("pspnet", "ssd300")
"""The models whose backbones can begin with ImageNet weights."""


def _dataset(name: str) -> str:
    return _known("dataset", name, sorted(TASK_OF), "lrd.datasets")


def _model(name: str) -> str:
    return _known("model", name, sorted(MODELS))


def _task(name: str) -> str:
    return _known("task", name, sorted(set(TASK_OF.values())), "lrd.tasks")


def _known(what: str, name: str, built_in: list[str], group: plugins.Group = "lrd.models") -> str:
    if name not in built_in and name not in (others := plugins.names(group)):
        known = [*built_in, *others]
        raise ValueError(
            f"unknown {what} {name!r}{did_you_mean(name, known)}; one of {', '.join(known)}, "
            f"or an entry point of {group} that a package adds"
        )
    return name


def _absent(value: Any) -> bool:
    return value is None


class Data(Spec):
    """What is asked of a data set beside its name; what is left out does not show."""

    surface: Annotated[Literal["toy", "saddle"] | None, Field(exclude_if=_absent)] = None
    """Of `surface`: the toy function of eq. 3 (Figure 4), or the saddle of Figure 1."""
    max_examples: Annotated[
        Annotated[int, Field(ge=1, le=100_000_000)] | None, Field(exclude_if=_absent)
    ] = None
    """Only the first so many examples of each part are used: for trying out, on a CPU."""
    crop_size: Annotated[
        Annotated[int, Field(ge=33, le=1025)] | None, Field(exclude_if=_absent)
    ] = None
    """Of `voc_segmentation`: the side in pixels of the square that is learned from; 473 if left
    out, as in PSPNet's paper. Eight times a number, and 1, fits the network's stride best."""
    cutout: Annotated[Annotated[int, Field(ge=1, le=1024)] | None, Field(exclude_if=_absent)] = None
    """Of a classification: the side in pixels of a square that is blotted out of each training
    image, at a place drawn anew in each epoch; 16 is usual for CIFAR-10. The paper has none."""


# --- the configuration ----------------------------------------------------------------------------


class Schedule(Spec):
    """The learning rate is multiplied by `gamma` after each epoch in `milestones`, or falls to
    nothing over the trial as (1 − epochs done / epochs)^power."""

    milestones: Annotated[list[Annotated[int, Field(ge=1)]], Field(max_length=100)] = []
    gamma: Annotated[float, Field(ge=0, le=1)] = 0.1
    power: Annotated[Annotated[float, Field(gt=0, le=10)] | None, Field(exclude_if=_absent)] = None

    @model_validator(mode="after")
    def _milestones_rise(self) -> Self:
        if sorted(set(self.milestones)) != self.milestones:
            raise ValueError(f"milestones must rise, got {self.milestones}")
        if self.milestones and self.power is not None:
            raise ValueError("a schedule has milestones or a power, not both")
        return self


class Config(Spec):
    """One configuration: all that decides a result, but the seed."""

    dataset: Annotated[Text, AfterValidator(_dataset), Field(examples=sorted(TASK_OF))]
    """One of `TASK_OF`, or an entry point of `lrd.datasets`."""
    data: Annotated[Data, Field(validate_default=True, exclude_if=lambda data: data == Data())] = (
        Data()
    )
    task: Annotated[Annotated[Text, AfterValidator(_task)] | None, Field(exclude_if=_absent)] = None
    """What is learned; left out, what the data set poses. May be an entry point of `lrd.tasks`."""
    model: Annotated[Text, AfterValidator(_model), Field(examples=["fcnet", "resnet34"])]
    """One of `MODELS_FOR`, or an entry point of `lrd.models`."""
    pretrained: Annotated[bool, Field(exclude_if=lambda asked: not asked)] = False
    """Begin with ImageNet weights of the backbone, which torchvision fetches. Off unless asked."""
    optimizer: OptimizerSpec
    regularizers: Annotated[list[RegularizerSpec], AfterValidator(_each_kind_once)] = []
    schedule: Schedule = Schedule()
    epochs: Annotated[int, Field(ge=1, le=100_000)]
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 128
    """Examples a step; a descent takes all of its starting points in each."""

    @property
    def task_name(self) -> str:
        """The task, spelt out: a data set of another package poses a classification."""
        return self.task or TASK_OF.get(self.dataset, "classification")

    @field_validator("data")
    @classmethod
    def _data_fits_dataset(cls, data: Data, info: ValidationInfo) -> Data:
        dataset = info.data.get("dataset")  # absent if it is wrong itself
        if dataset == "surface" and data.surface is None:
            raise ValueError("dataset surface needs data.surface: toy or saddle")
        if dataset == "surface" and data.max_examples is not None:
            raise ValueError("max_examples does not go with dataset surface")
        if dataset in TASK_OF and dataset != "surface" and data.surface is not None:
            raise ValueError(f"surface does not go with dataset {dataset}")
        if dataset in TASK_OF and dataset != "voc_segmentation" and data.crop_size is not None:
            raise ValueError(f"crop_size does not go with dataset {dataset}")
        if dataset in TASK_OF and TASK_OF[dataset] != "classification" and data.cutout is not None:
            raise ValueError(f"cutout does not go with dataset {dataset}")
        return data

    @field_validator("task")
    @classmethod
    def _task_fits_dataset(cls, task: str | None, info: ValidationInfo) -> str | None:
        poses = TASK_OF.get(info.data.get("dataset", ""))
        if poses and task in TASK_OF.values() and task != poses:
            raise ValueError(f"dataset {info.data['dataset']} poses a {poses}, no {task}")
        return task

    @field_validator("pretrained")
    @classmethod
    def _weights_exist(cls, pretrained: bool, info: ValidationInfo) -> bool:
        if pretrained and (model := info.data.get("model", "pspnet")) not in PRETRAINED:
            raise ValueError(
                f"there are no pretrained weights for model {model}; "
                f"there are for {', '.join(PRETRAINED)}"
            )
        return pretrained

    @field_validator("regularizers")
    @classmethod
    def _regularizers_apply(cls, regularizers: list[Any], info: ValidationInfo) -> list[Any]:
        kinds = {regularizer.kind for regularizer in regularizers}
        model, dataset = info.data.get("model"), info.data.get("dataset", "")
        if "SD" in kinds and model in MODELS and model not in WITH_DROPOUT:
            raise ValueError(
                f"SD does not go with model {model}, which has no hidden units to drop by a rule "
                f"of the paper's; it goes with {', '.join(WITH_DROPOUT)}"
            )
        poses = info.data.get("task") or TASK_OF.get(dataset, "classification")
        if "NL" in kinds and poses in TASK_OF.values() and poses != "classification":
            raise ValueError(f"NL replaces the labels of a classification; this is a {poses}")
        return regularizers

    @model_validator(mode="after")
    def _model_fits_dataset(self) -> Self:
        fitting = MODELS_FOR.get(self.dataset)
        # What another package adds, it knows best itself.
        if fitting and self.task_name in TASK_OF.values() and self.model in MODELS - {*fitting}:
            raise ValueError(
                f"model {self.model} does not go with dataset {self.dataset}; "
                f"one of {', '.join(fitting)} does"
            )
        # Its pyramid pools to one value a channel, and normalises that over the batch.
        if self.model == "pspnet" and 1 in (self.batch_size, self.data.max_examples):
            raise ValueError("pspnet needs a batch_size and max_examples of at least 2")
        return self
