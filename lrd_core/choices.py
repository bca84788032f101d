"""The data sets, models, tasks and optimizers that a spec may name, which go together, and what
they report. No torch."""

from collections.abc import Collection
from typing import Any

from lrd_core import plugins
from lrd_core.spelling import did_you_mean

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

CLASSIFIERS = ("fcnet", "resnet34", "densenet121")
"""The models of image classification. They have places for standard dropout (SD); the paper drops
units of no other."""

PRETRAINED = ("pspnet", "ssd300")
"""The models whose backbones can begin with ImageNet weights."""

OPTIMIZERS = frozenset(("sgdm", "rmsprop", "adam", "amsgrad", "radam", "adamw", "nadam"))
"""The optimizers of this package: the paper's five and two more."""

TASKS = frozenset(TASK_OF.values())
"""The tasks of this package. What goes with another's, that knows best itself."""

METRICS: dict[str, tuple[str, ...]] = {
    "classification": ("train_loss", "train_accuracy", "test_loss", "test_accuracy"),
    "segmentation": ("train_loss", "val_loss", "mean_iou", "pixel_accuracy"),
    "detection": ("train_loss", "val_loss", "map_50"),
    "descent": ("train_loss", "final_loss", "optimum_distance", "reached_share"),
}
"""What trials report, by their task."""

PARTS: dict[str, tuple[int, int]] = {
    "digits": (1_437, 360),
    "mnist": (60_000, 10_000),
    "cifar10": (50_000, 10_000),
    "cifar10_holdout": (45_000, 5_000),
    "cifar100": (50_000, 10_000),
}
"""The images of a data set that are learned from, and those that are evaluated on."""

_CROPS_AND_FLIPS = "padded by 4 pixels, cropped at random and flipped"
AUGMENTED: dict[str, str] = {
    "cifar10": _CROPS_AND_FLIPS,
    "cifar10_holdout": _CROPS_AND_FLIPS,
    "cifar100": _CROPS_AND_FLIPS,
    "voc_segmentation": "scaled, turned, cropped, flipped and blurred at random",
    "voc_detection": "zoomed, cropped and flipped at random, their colours distorted, as for SSD",
}
"""What becomes of the training images of a data set in each epoch; of the others nothing does."""

HELD_OUT = ("cifar10_holdout",)
"""The data sets whose evaluation part is held out of the training images: what is elsewhere called
`test_…` is `val_…` there."""

SELDOM = ("map_50",)
"""The metrics that not every epoch has."""


def known_dataset(name: str) -> str:
    """`name`, which may be none, or ValueError with the data sets that there are."""
    return name and _known("dataset", name, sorted(TASK_OF), "lrd.datasets")


def known_model(name: str) -> str:
    """`name`, which may be none, or ValueError with the models that there are."""
    return name and _known("model", name, sorted(MODELS))


def known_task(name: str) -> str:
    """`name`, or ValueError with the tasks that there are."""
    return _known("task", name, sorted(TASKS), "lrd.tasks")


def unambiguous(optimizer: Any) -> Any:
    """`optimizer`, or ValueError where several packages offer one of its name."""
    taken = optimizer.name in OPTIMIZERS
    if fault := plugins.clash("lrd.optimizers", optimizer.name, is_taken=taken):
        raise ValueError(fault)
    return optimizer


def wrong_data(dataset: str, asked: Collection[str], task: str = "") -> str | None:
    """Why what is `asked` of the data set, by the fields' names, is nothing for it, or None. Of
    another package's data set the task decides; what goes with another's task, that knows itself.
    """
    if dataset == "surface" and "surface" not in asked:
        return "dataset surface needs data.surface: toy or saddle"
    if dataset not in TASK_OF and task not in TASKS:
        return None
    takes = {
        "surface": dataset == "surface",
        "max_examples": dataset != "surface",
        "crop_size": dataset == "voc_segmentation",
        "cutout": TASK_OF.get(dataset, task) == "classification",
    }
    wrong = [name for name in asked if not takes[name]]
    return f"{wrong[0]} does not go with dataset {dataset}" if wrong else None


def wrong_task(dataset: str, task: str) -> str | None:
    """Why the data set is none for this task, or None."""
    if task not in TASKS:
        return None
    if dataset in TASK_OF:
        poses = TASK_OF[dataset]
        return None if task == poses else f"dataset {dataset} poses a {poses}, no {task}"
    if task == "classification":
        return None
    own = next(name for name, poses in TASK_OF.items() if poses == task)
    return f"a {task} is of dataset {own} alone; {dataset} poses a classification"


def wrong_model(dataset: str, task: str, model: str) -> str | None:
    """Why the model is none for this data set and task, or None."""
    if task not in TASKS:
        return None
    fitting = MODELS_FOR.get(dataset, CLASSIFIERS)  # another's data set holds images and labels
    # A descent has points and no other; elsewhere another package's model knows best itself.
    if model in fitting or (model not in MODELS and task != "descent"):
        return None
    return f"model {model} does not go with dataset {dataset}; one of {', '.join(fitting)} does"


def wrong_regularizers(kinds: set[str], task: str, model: str) -> str | None:
    """Why these kinds of regularizers are none for this task and model, or None."""
    if "SD" in kinds and model in MODELS and model not in CLASSIFIERS:
        return (
            f"SD does not go with model {model}, which has no hidden units to drop by a rule of "
            f"the paper's; it goes with {', '.join(CLASSIFIERS)}"
        )
    if task in TASKS and task != "classification":
        if "SD" in kinds:
            return f"SD drops units of a classification's model; this is a {task}"
        if "NL" in kinds:
            return f"NL replaces the labels of a classification; this is a {task}"
    return None


def metrics_of(dataset: str, task: str) -> tuple[str, ...] | None:
    """What a trial of this data set and task reports; None where another package decides it."""
    if task not in TASKS or (task == "classification" and dataset not in TASK_OF):
        return None
    if dataset in HELD_OUT:
        return tuple(name.replace("test_", "val_") for name in METRICS[task])
    return METRICS[task]


def _known(what: str, name: str, built_in: list[str], group: plugins.Group = "lrd.models") -> str:
    if fault := plugins.clash(group, name, is_taken=name in built_in):
        raise ValueError(fault)
    if name not in built_in and name not in (others := plugins.names(group)):
        known = [*built_in, *others]
        raise ValueError(
            f"unknown {what} {name!r}{did_you_mean(name, known)}; one of {', '.join(known)}, "
            f"or an entry point of {group} that a package adds"
        )
    return name
