"""The data sets, models and tasks that a spec may name, and which go together. No torch."""

from lrd_core import plugins

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


def known_dataset(name: str) -> str:
    """`name`, or ValueError with the data sets that there are."""
    return _known("dataset", name, sorted(TASK_OF), "lrd.datasets")


def known_model(name: str) -> str:
    """`name`, or ValueError with the models that there are."""
    return _known("model", name, sorted(MODELS))


def known_task(name: str) -> str:
    """`name`, or ValueError with the tasks that there are."""
    return _known("task", name, sorted(set(TASK_OF.values())), "lrd.tasks")


def _known(what: str, name: str, built_in: list[str], group: plugins.Group = "lrd.models") -> str:
    if name not in built_in and name not in (others := plugins.names(group)):
        raise ValueError(
            f"unknown {what} {name!r}; one of {', '.join([*built_in, *others])}, "
            f"or an entry point of {group} that a package adds"
        )
    return name
