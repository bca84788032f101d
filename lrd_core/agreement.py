"""Whether the parts of a sweep agree: nothing that one part asks for is undone by another, and what
the baseline and the table are about is there."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import ValidationError

from lrd_core.choices import TASKS, metrics_of
from lrd_core.configuration import Config
from lrd_core.errors import Fault
from lrd_core.faults import fault_of, pointer
from lrd_core.overrides import NoSuchPath, overridden
from lrd_core.report import BESIDE_METRICS
from lrd_core.spelling import did_you_mean, meant_path
from lrd_core.titles import ABSENT, ARM, value_at


def undone(arms: Sequence[Mapping[str, Any]], grid: Mapping[str, Sequence[Any]]) -> Iterator[Fault]:
    """Each setting that a later one sets again: an arm would not be what its label says.

    Args:
        arms: the overrides of each explicit arm, which are set first.
        grid: dotted path to its values, which are set on top, axis by axis.
    """
    axes = [
        _Setting(
            path, pointer(["grid", path]), {f"/{at}": value for at, value in enumerate(values)}
        )
        for path, values in grid.items()
    ]
    for number, overrides in enumerate(arms):
        settings = [
            _Setting(path, pointer(["arms", number, "set", path]), {"": value})
            for path, value in overrides.items()
        ]
        for index, setting in enumerate(settings):
            for later in (*settings[index + 1 :], *axes):
                yield from setting.undone_by(later)
    for index, axis in enumerate(axes):
        for later in axes[index + 1 :]:
            yield from axis.undone_by(later)


def twice(labels: Sequence[str]) -> Iterator[Fault]:
    """Each label of an explicit arm that stands twice: nobody could tell the two apart in a table
    or a comparison."""
    first: dict[str, int] = {}
    for number, label in enumerate(labels):
        if label and first.setdefault(label, number) != number:
            place = pointer(["arms", first[label], "label"])
            yield Fault(
                pointer(["arms", number, "label"]),
                f"{label!r} stands twice, at {place} too: give each arm a label of its own",
            )


def idle_gpus(configs: Iterable[Config], gpus: float | str) -> Iterator[Fault]:
    """GPUs that would be reserved for each trial, and stand still."""
    tasks = sorted({config.task_name for config in configs} & TASKS)
    if tasks and not isinstance(gpus, str) and gpus > 1:
        yield Fault(
            "/resources/num_gpus",
            f"a trial of {' or '.join(tasks)} trains on one GPU, and {gpus:g} would be kept for "
            "it; ask for 1, and several trials at once use the others",
        )


def same(names: Sequence[str], configs: Sequence[Mapping[str, Any]], place: str) -> Iterator[Fault]:
    """Each arm that an earlier one is already.

    Args:
        names: of the arms.
        configs: theirs, as plain data.
        place: of the sweep, where the arms are made.
    """
    first: dict[str, int] = {}
    for at, config in enumerate(configs):
        known = first.setdefault(json.dumps(config, sort_keys=True), at)
        if known != at:
            yield Fault(place, f"{names[at]!r} and {names[known]!r} are the same arm")


def unreported(configs: Sequence[Config], asked: Mapping[str, str]) -> Iterator[Fault]:
    """Each metric that no configuration can report. What tasks and data sets of other packages
    report, nobody knows here: where there is one, any metric may be asked for.

    Args:
        asked: place in the sweep to the metric that it names.
    """
    known: dict[str, None] = {}
    for dataset, task in {(config.dataset, config.task_name): None for config in configs}:
        if (metrics := metrics_of(dataset, task)) is None:
            return
        known |= dict.fromkeys(metrics)
    for place, metric in asked.items():
        if metric not in (*known, *BESIDE_METRICS):
            held_out = metric.replace("test_", "val_")  # of the data set that has no test part
            meant = did_you_mean(held_out if held_out in known else metric, known)
            said = (
                f"no trial of this sweep reports {metric!r}{meant}; they report {', '.join(known)}"
            )
            if place.startswith("/expected"):
                said += "; `expected: null` leaves the published numbers out"
            yield Fault(place, said)


def about_nothing(
    configs: Sequence[Config],
    baseline: Iterable[str],
    table: Mapping[str, str],
    expected: Mapping[str, Iterable[str]] = MappingProxyType({}),
) -> Iterator[Fault]:
    """Each path of the baseline, the table or a published number that no configuration has, nor
    could have by a further setting; and an epoch that none reaches.

    Args:
        table: as `TableSpec` has it, without what is left out.
        expected: place in the sweep to the paths there that published numbers are about.
    """
    asked = {pointer(["baseline", path]): path for path in baseline}
    asked |= {
        f"/table/{name}": table[name] for name in ("rows", "columns", "pair") if name in table
    }
    asked |= {place + pointer([path]): path for place, paths in expected.items() for path in paths}
    documents = [config.model_dump(mode="json") for config in configs] if asked else []
    for place, path in asked.items():
        if path == ARM or any(value_at(each, path) is not ABSENT for each in documents):
            continue
        if fault := _fault_at(configs[0], path):
            yield Fault(place, fault)
    epochs = max(config.epochs for config in configs)
    _, _, epoch = table["at"].partition("epoch:")
    if epoch and int(epoch) > epochs:
        yield Fault("/table/at", f"no arm has so many epochs: {epochs} at most")


def is_baseline(config: Config, baseline: Mapping[str, Any]) -> bool:
    """Whether setting the baseline's values changes nothing in `config`."""
    if not baseline:
        return False
    try:
        document = overridden(config.model_dump(mode="json"), list(baseline.items()))
        return Config.model_validate(document) == config
    except (NoSuchPath, ValidationError):
        return False


# --- inside ---------------------------------------------------------------------------------------


class _Setting(NamedTuple):
    """A path that is set, by an arm or by an axis of the grid."""

    path: str
    place: str
    values: Mapping[str, Any]
    """What is set there, by where it stands below `place`."""

    def undone_by(self, later: "_Setting") -> Iterator[Fault]:
        """What of it `later` sets again: all, or a part of it that it sets itself."""
        again = f"{later.place} sets it again: say it in one of the two places"
        if f"{self.path}.".startswith(f"{later.path}."):
            yield Fault(self.place, again)
        elif later.path.startswith(f"{self.path}."):
            part = later.path.removeprefix(f"{self.path}.")
            for below, value in self.values.items():
                if value_at(value, part) is not ABSENT:
                    yield Fault(self.place + below + pointer(part.split(".")), again)


def _fault_at(config: Config, path: str) -> str | None:
    """What is wrong with a path that has no value: None where it is a field left out."""
    meant = meant_path(path, config)
    try:
        changed = overridden(config.model_dump(mode="json"), [(path, None)])
        Config.model_validate(changed)
    except NoSuchPath as error:
        return f"{error}{meant}"
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            if detail["type"] == "extra_forbidden":
                said = (
                    f"unknown field{meant}" if meant else fault_of(detail, changed, Config).detail
                )
                return f"{path!r} is no path here: {said}"
    return None
