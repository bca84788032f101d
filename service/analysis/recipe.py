"""What a sweep trains, in sentences: what all arms share, how they differ, and all settings.

Every difference between arms is mentioned, because a reader would take anything else for equal.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lrd_core.choices import AUGMENTED, PARTS, TASKS
from lrd_core.titles import ABSENT, KEEP_PROB, path_title, spell, value_titles
from service.analysis.configurations import Flat, distinguishing, flatten, identity, under, varying
from service.analysis.data import ArmInfo
from service.formatting import count, listed

_REGULARIZERS = {
    "SD": "standard dropout: hidden units are kept with probability {keep_prob} and scaled by its "
    "inverse",
    "NL": "noisy labels: with probability {prob} a training label is replaced by another, fixed "
    "for the trial",
    "NG": "noisy gradients: at step t, Gaussian noise is added whose variance is {eta} divided by "
    "(1 + t) to the power {gamma}",
    "DG": "dropout on the gradient: each of its elements is kept with probability {keep_prob}",
}
_LRD = (
    "With learning-rate dropout (LRD, arXiv 1912.00144), each element of the weights keeps its "
    "learning rate with probability keep_prob at each step, and is otherwise left unchanged; "
    "nothing is rescaled, and keep_prob = 1 means no dropout."
)
_PRECISIONS = {
    "fp32": "Arithmetic is in FP32.",
    "tf32": "Arithmetic is in FP32, matrix products and convolutions in TF32.",
    "bf16": "The network computes in bfloat16 (autocast); weights and optimizer state are in FP32.",
}


def recipe(
    arms: Sequence[ArmInfo],
    precision: str,
    *,
    on_gpus: bool | None,
    sizes: Sequence[int | None],
) -> Iterator[str]:
    """What was trained and how, in sentences.

    Args:
        arms: those of the sweep.
        precision: `fp32`, `tf32` or `bf16`, as requested.
        on_gpus: whether trials ran on a GPU; None if none has run.
        sizes: the number of parameters of each arm's network; None if it is not known.
    """
    configs = [arm.config for arm in arms]
    shared = shared_of(configs)
    yield f"{_what(shared, configs)}."
    yield from _differences(arms)
    if has_networks(configs):
        yield from _parameters(configs, sizes)
    yield from _about_data(configs)
    optimizers = [config["optimizer"] for config in configs]
    if any(optimizer.get("keep_prob", 1.0) != 1.0 for optimizer in optimizers):
        yield _LRD
    yield from _about_regularizers(arms)
    plain = distinct(
        {name: value for name, value in optimizer.items() if name != "keep_prob"}
        for optimizer in optimizers
    )
    yield f"Optimizers: {listed([_optimizer(each) for each in plain], '; ')}."
    if "schedule" in shared:
        yield _schedule(shared["schedule"])
    if has_networks(configs):
        # torch has no TF32 on a CPU.
        yield _PRECISIONS["fp32" if precision == "tf32" and on_gpus is False else precision]


def shared_of(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The top-level entries that all configurations have in common."""
    return {
        name: value
        for name, value in configs[0].items()
        if all(config.get(name) == value for config in configs)
    }


def has_networks(configs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all arms train a network by a task of this package; what a task of another does with
    a seed or a precision is unknown."""
    return all(
        config.get("dataset") != "surface" and config.get("task") in (None, *TASKS)
        for config in configs
    )


def distinct(values: Iterable[Any]) -> list[Any]:
    """Each value once, in order."""
    return list({identity(value): value for value in values}.values())


# --- inside ---------------------------------------------------------------------------------------


def _what(shared: Mapping[str, Any], configs: Sequence[Mapping[str, Any]]) -> str:
    """`FCNet was trained on MNIST for 30 epochs in batches of 128`, as far as all arms share it."""
    data, named = shared_of([config.get("data") or {} for config in configs]), {}
    if shared.get("dataset"):
        named["dataset"] = value_titles("dataset", [shared["dataset"]])[0]
    epochs = f" for {count(shared['epochs'], 'epoch')}" if "epochs" in shared else ""
    if shared.get("dataset") == "surface":
        where = f" on the surface {data['surface']}" if "surface" in data else ""
        return f"Points descended{where}{epochs} of 100 steps"
    parts = [_models(configs)]
    if shared.get("task") not in (None, *TASKS):
        parts.append(f" by the task {shared['task']}")
    parts += [f" on {named['dataset']}"] if "dataset" in named else []
    if examples := data.get("max_examples"):
        parts.append(f" (the first {count(examples, 'example')} of each part)")
    parts.append(epochs)
    if "batch_size" in shared:
        parts.append(f" in batches of {shared['batch_size']}")
    return "".join(parts)


def _models(configs: Sequence[Mapping[str, Any]]) -> str:
    """`FCNet was trained`, `FCNet and ResNet-34 were trained`."""
    found = distinct(config.get("model") for config in configs)
    if not all(found):
        return "A model was trained"  # by a task of another package, which may not name it
    titles = value_titles("model", found)
    if len(titles) == 1:
        return f"{titles[0]} was trained"
    return f"{', '.join(titles[:-1])} and {titles[-1]} were trained"


def _differences(arms: Sequence[ArmInfo]) -> Iterator[str]:
    """How arms differ: first what tells them apart, then what changes with it, and in which arms.
    The settings that all arms of an optimizer share are left to the list of optimizers."""
    flats = [flatten(arm.config) for arm in arms]
    varied = varying(flats)
    told = distinguishing(flats, varied)
    if not told:
        return
    levels = math.prod(len(_values(path, flats)) for path in told)
    some = "" if levels == len(flats) else ", not in all combinations"
    yield f"The {count(len(flats), 'arm')} differ in {_spread(told, flats)}{some}."
    along = [_along(path, arms, flats) for path in varied if path not in told]
    if any(along):
        yield f"Along with these, they differ in {'; '.join(filter(None, along))}."


def _along(path: str, arms: Sequence[ArmInfo], flats: Sequence[Flat]) -> str:
    """`lr (0.001 in plain; 0.003 in LRD)`. Of an optimizer's settings, only those that its own arms
    do not share; empty if there are none."""
    groups: dict[Any, list[int]] = {}
    by_optimizer = under(path, "optimizer") and path not in (KEEP_PROB, "optimizer.name")
    for at, flat in enumerate(flats):
        groups.setdefault(by_optimizer and flat.get("optimizer.name"), []).append(at)
    labels: dict[Any, list[str]] = {}
    for group in groups.values():
        values = [identity(flats[at].get(path, ABSENT)) for at in group]
        if len(set(values)) > 1:
            for at, value in zip(group, values, strict=True):
                labels.setdefault(value, []).append(arms[at].label)
    values = distinct(flat.get(path, ABSENT) for flat in flats)
    titles = zip(values, _values(path, flats), strict=True)
    said = [
        f"{title} in {listed(labels[identity(value)])}"
        for value, title in titles
        if identity(value) in labels
    ]
    return f"{path_title(path)} ({'; '.join(said)})" if said else ""


def _spread(paths: Sequence[str], flats: Sequence[Flat]) -> str:
    return "; ".join(f"{path_title(path)} ({listed(_values(path, flats))})" for path in paths)


def _values(path: str, flats: Sequence[Flat]) -> list[str]:
    """The titles of the values at a path, each once."""
    values = distinct(flat.get(path, ABSENT) for flat in flats)
    if path == KEEP_PROB:
        return [spell(value) for value in values]
    titles = iter(value_titles(path, [value for value in values if value is not ABSENT]))
    nothing = "all" if path == "data.max_examples" else "none"
    read = [nothing if value is ABSENT else next(titles) for value in values]
    return ["none" if value == [] else text for value, text in zip(values, read, strict=True)]


def _parameters(configs: Sequence[Mapping[str, Any]], sizes: Sequence[int | None]) -> Iterator[str]:
    """The sizes of the networks; if there are several, each with its model and data set."""
    known = [(config, size) for config, size in zip(configs, sizes, strict=True) if size]
    counts = distinct(size for _, size in known)
    if len(counts) == 1 and len(known) == len(configs):
        yield f"The network has {counts[0]:,} parameters."
    elif counts:
        models = value_titles("model", [config.get("model") for config, _ in known])
        sets = value_titles("dataset", [config.get("dataset", "") for config, _ in known])
        each = [
            f"{size:,} ({model} on {data})"
            for (_, size), model, data in zip(known, models, sets, strict=True)
        ]
        yield f"Parameters: {listed(distinct(each))}."


def _about_data(configs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The sizes of data sets, how training images are processed, and the weights with which a
    network starts if they are not random. What only some arms have is left to the differences."""
    shared = shared_of([config.get("data") or {} for config in configs])
    whole = all(
        (config.get("data") or {}).keys().isdisjoint(("max_examples", "holdout"))
        for config in configs
    )
    if "holdout" in shared:
        yield (
            f"The last {count(shared['holdout'], 'training image')} were held out and "
            "evaluated on; the test images were not used."
        )
    for name in distinct(config.get("dataset", "") for config in configs):
        title = value_titles("dataset", [name])[0]
        if name in PARTS and whole:
            learned, seen = PARTS[name]
            yield f"{title} has {learned:,} images to train on and {seen:,} to evaluate on."
        if name in AUGMENTED:
            yield f"Training images of {title} are {AUGMENTED[name]}."
    if "crop_size" in shared:
        yield f"They measure {shared['crop_size']} × {shared['crop_size']} pixels."
    if "cutout" in shared:
        yield (
            f"In each training image a square of {shared['cutout']} × {shared['cutout']} pixels is "
            "masked."
        )
    if all(config.get("pretrained") for config in configs):
        yield "The backbone starts from ImageNet weights."


def _about_regularizers(arms: Sequence[ArmInfo]) -> Iterator[str]:
    """What each regularizer is; one of several strengths, which arms have which."""
    strengths: dict[str, dict[Any, dict[str, Any]]] = {}
    having: dict[Any, list[str]] = {}
    for arm in arms:
        for each in arm.config.get("regularizers", []):
            strengths.setdefault(each["kind"], {})[identity(each)] = each
            having.setdefault(identity(each), []).append(arm.label)
    for kind, found in strengths.items():
        first, *others = found.values()
        varied = [name for name in first if any(other.get(name) != first[name] for other in others)]
        settings = {name: name if name in varied else spell(first[name]) for name in first}
        text = f"{kind} is {_REGULARIZERS[kind].format(**settings)}"
        of_arms = [
            f"{' and '.join(f'{name} is {spell(each[name])}' for name in varied)} in "
            f"{listed(having[key])}"
            for key, each in found.items()
        ]
        yield f"{text}, where {kind}'s {'; '.join(of_arms)}." if varied else f"{text}."


def _optimizer(plain: Mapping[str, Any]) -> str:
    """`SGDM (learning rate 0.1, weight decay 0, momentum 0.9)`."""
    name = value_titles("optimizer.name", [plain["name"]])[0]
    rest = {
        key: value
        for key, value in plain.items()
        if key not in ("name", "lr") and value != {} and (key, value) != ("nesterov", False)
    }
    settings = [f"{path_title(key)} {spell(value)}" for key, value in flatten(rest).items()]
    return f"{name} ({', '.join(['learning rate ' + spell(plain['lr']), *settings])})"


def _schedule(schedule: Mapping[str, Any]) -> str:
    if schedule.get("power") is not None:
        return (
            f"The learning rate decays as (1 − t) to the power {spell(schedule['power'])}, where "
            "t is the fraction of the epochs completed."
        )
    if not schedule.get("milestones"):
        return "The learning rate is constant."
    after = ", ".join(map(str, schedule["milestones"]))
    epochs = "epochs" if schedule["milestones"][1:] else "epoch"
    return f"The learning rate is multiplied by {spell(schedule['gamma'])} after {epochs} {after}."
