"""Config: one configuration of an experiment without its seed, and all of its parts. No torch."""

from operator import not_
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
from lrd_core.choices import (
    OPTIMIZERS,
    PRETRAINED,
    TASK_OF,
    TASKS,
    known_dataset,
    known_model,
    known_task,
    unambiguous,
    wrong_data,
    wrong_model,
    wrong_regularizers,
    wrong_task,
)
from lrd_core.options import Option
from lrd_core.texts import Text


class Spec(BaseModel):
    """Frozen data; unknown fields, strings for numbers, NaN and infinities are refused.

    The docstrings of the fields are their descriptions in `/docs` and in docs/spec.md.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


# --- optimizers -----------------------------------------------------------------------------------
# The default learning rates of the paper's five are those it tuned (section 4.1).

Share = Annotated[float, Field(ge=0, le=1)]
LearningRate = Annotated[float, Field(gt=0, le=1e6, description="Learning rate.")]
Decay = Annotated[float, Field(ge=0, lt=1)]
Momentum = Annotated[Decay, Field(description="Decay of the momentum buffer per step; 0 for none.")]
Epsilon = Annotated[float, Field(gt=0, description="Added to the denominator.")]


class _Optimizer(Spec):
    keep_prob: Share = 1.0
    """The paper's p: the probability that an element keeps its learning rate (eq. 2). 1 is the
    plain optimizer; with 0 no weight moves."""
    weight_decay: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """Multiplied by the weight and added to the gradient; in `adamw` subtracted from the weight
    instead. The mask covers it like the rest of the step."""


class SGDM(_Optimizer):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgdm"]
    lr: LearningRate = 0.1
    momentum: Momentum = 0.9
    nesterov: bool = False
    """Nesterov's form of momentum; needs a momentum above 0."""

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
    """Decay of the mean of squared gradients per step."""
    eps: Epsilon = 1e-8
    momentum: Momentum = 0.0


class _AdamLike(_Optimizer):
    lr: LearningRate = 0.001
    beta1: Decay = 0.9
    """Decay of the first moment per step."""
    beta2: Decay = 0.999
    """Decay of the second moment per step."""
    eps: Epsilon = 1e-8


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
    """A plugin's optimizer, named by its entry point of `lrd.optimizers`."""

    name: Text
    """The name of its entry point."""
    lr: LearningRate
    options: Annotated[dict[Text, Option], Field(max_length=50)] = {}
    """Its further arguments, e.g. `{rho: 0.9, betas: [0.9, 0.99]}`; it is given lists as tuples."""

    @field_validator("options")
    @classmethod
    def _no_field_twice(cls, options: dict[str, Any]) -> dict[str, Any]:
        if fields := {"params", "lr", "weight_decay", "keep_prob"} & set(options):
            raise ValueError(f"{', '.join(sorted(fields))} must not be among the options")
        return options


_PLUGIN = "an entry point of lrd.optimizers"


def _name(value: Any) -> str | None:
    """The tag of the union's member that `value` names."""
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    if name is None or name in OPTIMIZERS:
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
    AfterValidator(unambiguous),
]

# --- regularizers ---------------------------------------------------------------------------------


class SD(Spec):
    """Standard dropout: while training, hidden units are kept with `keep_prob` and scaled by
    1/keep_prob (section 4.5)."""

    kind: Literal["SD"]
    keep_prob: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Probability that a hidden unit is kept: the paper's p_sd."""


class NL(Spec):
    """Noisy label: with probability `prob`, a training label is replaced by a different one drawn
    uniformly, once for the whole trial (section 4.5). Classification only."""

    kind: Literal["NL"]
    prob: Share = 0.05
    """Probability that a label is replaced."""


class NG(Spec):
    """Noisy gradient (section 4.5): N(0, eta / (1 + t)^gamma) is added to every element at step
    t = 1, 2, …"""

    kind: Literal["NG"]
    eta: Annotated[float, Field(ge=0, le=1e6)] = 0.1
    """Variance of the noise before it decays."""
    gamma: Annotated[float, Field(ge=0, le=100)] = 0.55
    """How fast the variance decays with the steps; 0 keeps it constant."""


class DG(Spec):
    """Dropout on the gradient: elements are kept with `keep_prob`, not rescaled (section 4.6)."""

    kind: Literal["DG"]
    keep_prob: Share = 0.5
    """Probability that an element of the gradient is kept; otherwise it is 0 for this step."""


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
        raise ValueError(f"each kind is allowed only once, got {', '.join(kinds)}")
    return sorted(regularizers, key=lambda regularizer: str(regularizer.kind))


# --- the data -------------------------------------------------------------------------------------


def _absent(value: Any) -> bool:
    return value is None


class Data(Spec):
    """Options of a data set."""

    # An option that is left out appears neither in the configuration nor in its hash.
    surface: Annotated[Literal["toy", "saddle"] | None, Field(exclude_if=_absent)] = None
    """Required by the data set `surface`: the toy function of eq. 3 (Figure 4), or the saddle of
    Figure 1."""
    max_examples: Annotated[
        Annotated[int, Field(ge=1, le=100_000_000)] | None, Field(exclude_if=_absent)
    ] = None
    """Use only this many examples of each part, the first ones, e.g. to try something out on a CPU.
    Not for `surface`."""
    holdout: Annotated[
        Annotated[int, Field(ge=1, le=100_000_000)] | None, Field(exclude_if=_absent)
    ] = None
    """Hold this many training images out, the last ones, and evaluate on them; the test images are
    not looked at, and metrics are `val_…`. For choosing a learning rate or p. For classification
    only."""
    crop_size: Annotated[
        Annotated[int, Field(ge=33, le=1025)] | None, Field(exclude_if=_absent)
    ] = None
    """For `voc_segmentation`: side in pixels of the square training crops; by default 473, as in
    PSPNet's paper. A multiple of eight plus one fits the network's stride best."""
    cutout: Annotated[Annotated[int, Field(ge=1, le=1024)] | None, Field(exclude_if=_absent)] = None
    """For classification: side in pixels of a square that is cut out of each training image, at a
    place drawn anew in each epoch; 16 is usual for CIFAR-10. The paper has none."""


# --- the configuration ----------------------------------------------------------------------------


class Schedule(Spec):
    """The learning rate is multiplied by `gamma` after each epoch in `milestones`, or falls to zero
    over the trial as (1 − epochs done / epochs)^power."""

    milestones: Annotated[list[Annotated[int, Field(ge=1)]], Field(max_length=100)] = []
    """Epoch numbers, rising; without any, and without `power`, the learning rate is constant."""
    gamma: Annotated[float, Field(ge=0, le=1)] = 0.1
    """The factor at each milestone."""
    power: Annotated[Annotated[float, Field(gt=0, le=10)] | None, Field(exclude_if=_absent)] = None
    """The exponent of the fall to zero; not together with milestones."""

    @model_validator(mode="after")
    def _milestones_rise(self) -> Self:
        if sorted(set(self.milestones)) != self.milestones:
            raise ValueError(f"milestones must rise, got {self.milestones}")
        if self.milestones and self.power is not None:
            raise ValueError("a schedule has milestones or a power, not both")
        return self


class Config(Spec):
    """One configuration: all that decides a result, except the seed."""

    dataset: Annotated[
        Text, AfterValidator(known_dataset), Field(examples=sorted(TASK_OF), exclude_if=not_)
    ]
    """One of this package's data sets, or an entry point of `lrd.datasets`. A plugin's task may do
    without."""
    data: Annotated[Data, Field(validate_default=True, exclude_if=lambda data: data == Data())] = (
        Data()
    )
    """Options of the data set."""
    task: Annotated[
        Annotated[Text, AfterValidator(known_task)] | None, Field(exclude_if=_absent)
    ] = None
    """What is learned; by default the data set's own task. May be an entry point of `lrd.tasks`."""
    model: Annotated[
        Text, AfterValidator(known_model), Field(examples=["fcnet", "resnet34"], exclude_if=not_)
    ]
    """A model that fits the data set, or an entry point of `lrd.models`. A plugin's task may do
    without."""
    pretrained: Annotated[bool, Field(exclude_if=not_)] = False
    """Begin with ImageNet weights of the backbone, which torchvision downloads."""
    optimizer: OptimizerSpec
    """Chosen by its `name`; with `keep_prob` below 1 it has learning-rate dropout."""
    regularizers: Annotated[list[RegularizerSpec], AfterValidator(_each_kind_once)] = []
    """The regularizers that the paper compares with: each kind at most once, also together with
    learning-rate dropout."""
    schedule: Schedule = Schedule()
    """How the learning rate changes; by default it is constant."""
    epochs: Annotated[int, Field(ge=1, le=100_000)]
    """Passes over the training data; 100 steps each in a descent."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 128
    """Examples per step, at least 2 for `pspnet`; from 2 on, a last one that would be alone joins
    the step before. A descent uses all of its starting points in each step."""

    @property
    def task_name(self) -> str:
        """The task, spelt out: by default a plugin's data set is for classification."""
        return self.task or TASK_OF.get(self.dataset, "classification")

    @model_validator(mode="before")
    @classmethod
    def _foreign_task_may_do_without(cls, document: Any) -> Any:
        """For a plugin's task, which needs no data set or model, spell out an absent one as empty;
        for other tasks it stays absent, which is a fault."""
        if not isinstance(document, dict):
            return document
        free = ("dataset", "model")
        given = {key: value for key, value in document.items() if value or key not in free}
        task = document.get("task")
        foreign = isinstance(task, str) and task not in TASKS  # an unknown one is a fault itself
        return dict.fromkeys(free, "") | given if foreign else given

    @field_validator("data")
    @classmethod
    def _data_fits_dataset(cls, data: Data, info: ValidationInfo) -> Data:
        dataset = info.data.get("dataset")  # absent if it is wrong itself
        if dataset and (wrong := wrong_data(dataset, data.model_dump(exclude_none=True))):
            raise ValueError(wrong)
        return data

    @field_validator("task")
    @classmethod
    def _task_fits_dataset(cls, task: str | None, info: ValidationInfo) -> str | None:
        dataset = info.data.get("dataset")  # absent if it is wrong itself
        if task and dataset and (wrong := wrong_task(dataset, task)):
            raise ValueError(wrong)
        return task

    @field_validator("pretrained")
    @classmethod
    def _weights_exist(cls, pretrained: bool, info: ValidationInfo) -> bool:
        if pretrained and (model := info.data.get("model", "pspnet")) not in PRETRAINED:
            raise ValueError(
                f"there are no pretrained weights for {f'model {model}' if model else 'no model'}, "
                f"only for {', '.join(PRETRAINED)}"
            )
        return pretrained

    @field_validator("regularizers")
    @classmethod
    def _regularizers_apply(cls, regularizers: list[Any], info: ValidationInfo) -> list[Any]:
        kinds = {regularizer.kind for regularizer in regularizers}
        task = info.data.get("task") or TASK_OF.get(info.data.get("dataset", ""), "classification")
        if wrong := wrong_regularizers(kinds, task, info.data.get("model", "")):
            raise ValueError(wrong)
        return regularizers

    @model_validator(mode="after")
    def _data_and_model_fit_task(self) -> Self:
        asked = self.data.model_dump(exclude_none=True)
        wrong = wrong_data(self.dataset, asked, self.task_name)
        if wrong := wrong or wrong_model(self.dataset, self.task_name, self.model):
            raise ValueError(wrong)
        # Its pyramid pools to one value per channel and normalises it over the batch.
        if self.model == "pspnet" and 1 in (self.batch_size, self.data.max_examples):
            raise ValueError("pspnet needs a batch_size and max_examples of at least 2")
        return self
