"""The data sets, models, tasks and optimizers that a spec may name, which of them fit together, and
what they report. No torch."""

import math
from collections.abc import Mapping
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
"""This package's data sets, each with its task."""

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
"""This package's models, by the data sets that they fit."""

MODELS = frozenset(model for fitting in MODELS_FOR.values() for model in fitting)

CONVOLUTIONAL = ("resnet34", "densenet121")
"""The classification models with convolutions; channels-last layouts make these faster."""
CLASSIFIERS = ("fcnet", *CONVOLUTIONAL)
"""The models of image classification. Only these have places for standard dropout (SD), because the
paper drops units of no other."""

PRETRAINED = ("pspnet", "ssd300")
"""The models whose backbones can begin with ImageNet weights."""

OPTIMIZERS = frozenset(("sgdm", "rmsprop", "adam", "amsgrad", "radam", "adamw", "nadam"))
"""The optimizers of this package: the paper's five and two more."""

TASKS = frozenset(TASK_OF.values())
"""This package's tasks. A plugin's task decides itself what fits it."""

METRICS: dict[str, tuple[str, ...]] = {
    "classification": ("train_loss", "train_accuracy", "test_loss", "test_accuracy"),
    "segmentation": ("train_loss", "val_loss", "mean_iou", "pixel_accuracy"),
    "detection": ("train_loss", "val_loss", "map_50"),
    "descent": ("train_loss", "final_loss", "optimum_distance", "reached_share"),
}
"""The metrics of a trial, by its task."""

PARTS: dict[str, tuple[int, int]] = {
    "digits": (1_437, 360),
    "mnist": (60_000, 10_000),
    "cifar10": (50_000, 10_000),
    "cifar10_holdout": (45_000, 5_000),
    "cifar100": (50_000, 10_000),
}
"""How many images of a data set are trained on, and how many evaluated on."""

_CROPS_AND_FLIPS = "padded by 4 pixels, cropped at random and flipped"
AUGMENTED: dict[str, str] = {
    "cifar10": _CROPS_AND_FLIPS,
    "cifar10_holdout": _CROPS_AND_FLIPS,
    "cifar100": _CROPS_AND_FLIPS,
    "voc_segmentation": "scaled, turned, cropped, flipped and blurred at random",
    "voc_detection": "zoomed, cropped and flipped at random, their colours distorted, as for SSD",
}
"""How a data set's training images are augmented in each epoch; the others are not."""

HELD_OUT = ("cifar10_holdout",)
"""The data sets whose evaluation part is held out of the training images: their metrics are named
`val_…` instead of `test_…`."""

SELDOM = ("map_50",)
"""The metrics that only some epochs have."""


def known_dataset(name: str) -> str:
    """`name`, which may be empty; ValueError with the known data sets if it is none of them."""
    return name and _known("dataset", name, sorted(TASK_OF), "lrd.datasets")


def known_model(name: str) -> str:
    """`name`, which may be empty; ValueError with the known models if it is none of them."""
    return name and _known("model", name, sorted(MODELS))


def known_task(name: str) -> str:
    """`name`; ValueError with the known tasks if it is none of them."""
    return _known("task", name, sorted(TASKS), "lrd.tasks")


def unambiguous(optimizer: Any) -> Any:
    """`optimizer`; ValueError if several packages offer one of its name."""
    taken = optimizer.name in OPTIMIZERS
    if fault := plugins.clash("lrd.optimizers", optimizer.name, is_taken=taken):
        raise ValueError(fault)
    return optimizer


def wrong_data(dataset: str, asked: Mapping[str, Any], task: str = "") -> str | None:
    """Why the data set does not take one of the `asked` options, or None.

    A plugin's data set takes what its task does. For a plugin's task, the plugin decides what fits.

    Args:
        asked: the options that are set, with their values.
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
        "holdout": TASK_OF.get(dataset, task) == "classification" and dataset not in HELD_OUT,
    }
    wrong = [name for name in asked if not takes[name]]
    if wrong:
        return f"{wrong[0]} does not go with dataset {dataset}"
    images, held_out = PARTS.get(dataset, (math.inf, 0))[0], asked.get("holdout", 0)
    if held_out >= images:
        return f"holdout leaves nothing to train on: {dataset} has {images:,} training images"
    return None


def wrong_task(dataset: str, task: str) -> str | None:
    """Why the data set does not fit this task, or None."""
    if task not in TASKS:
        return None
    if dataset in TASK_OF:
        poses = TASK_OF[dataset]
        return None if task == poses else f"dataset {dataset} is for {poses}, not {task}"
    if task == "classification":
        return None
    own = next(name for name, poses in TASK_OF.items() if poses == task)
    return f"{task} works only with dataset {own}; {dataset} is a classification data set"


def wrong_model(dataset: str, task: str, model: str) -> str | None:
    """Why the model does not fit this data set and task, or None."""
    if task not in TASKS:
        return None
    fitting = MODELS_FOR.get(dataset, CLASSIFIERS)  # a plugin's data set holds images and labels
    # A descent takes points only; elsewhere a plugin's model decides itself what it fits.
    if model in fitting or (model not in MODELS and task != "descent"):
        return None
    return f"model {model} does not go with dataset {dataset}; one of {', '.join(fitting)} does"


def wrong_regularizers(kinds: set[str], task: str, model: str) -> str | None:
    """Why one of these kinds of regularizers does not fit this task and model, or None."""
    if "SD" in kinds and model in MODELS and model not in CLASSIFIERS:
        return (
            f"SD does not go with model {model}, for which the paper has no rule of which units to "
            f"drop; it goes with {', '.join(CLASSIFIERS)}"
        )
    if task in TASKS and task != "classification":
        if "SD" in kinds:
            return f"SD drops hidden units of classification models; this task is {task}"
        if "NL" in kinds:
            return f"NL replaces the labels of classification data; this task is {task}"
    return None


def metrics_of(dataset: str, task: str, *, holdout: bool = False) -> tuple[str, ...] | None:
    """The metrics of a trial of this data set and task; None if a plugin decides them.

    Args:
        holdout: whether training images are held out to evaluate on, by `data.holdout`.
    """
    if task not in TASKS or (task == "classification" and dataset not in TASK_OF):
        return None
    if holdout or dataset in HELD_OUT:
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
