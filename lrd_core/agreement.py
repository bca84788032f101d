"""Whether the parts of a sweep agree: no part overwrites what another sets, and whatever the
baseline and the table refer to exists."""

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


def overwritten_settings(
    arms: Sequence[Mapping[str, Any]], grid: Mapping[str, Sequence[Any]]
) -> Iterator[Fault]:
    """A fault for each setting that a later one overwrites: the arm would belie its label.

    Args:
        arms: the overrides of each explicit arm; they are applied first.
        grid: dotted path -> its values; they are applied on top, axis by axis.
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
                yield from setting.overwritten_by(later)
    for index, axis in enumerate(axes):
        for later in axes[index + 1 :]:
            yield from axis.overwritten_by(later)


def duplicate_labels(labels: Sequence[str]) -> Iterator[Fault]:
    """A fault for each explicit arm whose label an earlier one has: nobody could tell the two apart
    in a table or a comparison."""
    known: set[str] = set()
    for number, label in enumerate(labels):
        if label in known:
            # The other one's place is not named: an extension numbers its own arms anew.
            yield Fault(
                pointer(["arms", number, "label"]),
                f"{label!r} is also the label of another arm of the sweep: give each arm a label "
                "of its own",
            )
        known |= {label} - {""}


def idle_gpus(configs: Iterable[Config], gpus: float | str) -> Iterator[Fault]:
    """A fault where each trial would reserve GPUs that it leaves idle."""
    tasks = sorted({config.task_name for config in configs} & TASKS)
    if tasks and not isinstance(gpus, str) and gpus > 1:
        yield Fault(
            "/resources/num_gpus",
            f"a trial of {' or '.join(tasks)} trains on one GPU, but would reserve {gpus:g}; "
            "ask for 1, and several trials run at once on the others",
        )


def duplicate_arms(
    names: Sequence[str], configs: Sequence[Mapping[str, Any]], place: str
) -> Iterator[Fault]:
    """A fault for each arm that repeats an earlier one.

    Args:
        names: the arms' names.
        configs: their configurations, as plain data.
        place: pointer to the part of the sweep that makes the arms.
    """
    first: dict[str, int] = {}
    for at, config in enumerate(configs):
        known = first.setdefault(json.dumps(config, sort_keys=True), at)
        if known != at:
            yield Fault(place, f"{names[at]!r} and {names[known]!r} are the same arm")


def unreported(configs: Sequence[Config], asked: Mapping[str, str]) -> Iterator[Fault]:
    """A fault for each metric that no configuration can report.

    What a plugin's task or data set reports is unknown here: with one of these in the sweep, any
    metric may be asked for.

    Args:
        asked: pointer into the sweep -> the metric named there.
    """
    known: dict[str, None] = {}
    kinds = {(each.dataset, each.task_name, each.data.holdout is not None) for each in configs}
    for dataset, task, holdout in sorted(kinds):
        if (metrics := metrics_of(dataset, task, holdout=holdout)) is None:
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


def dangling_paths(
    configs: Sequence[Config],
    baseline: Iterable[str],
    table: Mapping[str, str],
    expected: Mapping[str, Iterable[str]] = MappingProxyType({}),
) -> Iterator[Fault]:
    """A fault for each path of the baseline, the table or a published number that no configuration
    has or could be given, and one for an epoch that no configuration reaches.

    Args:
        configs: the arms' configurations.
        baseline: its paths.
        table: the fields of `TableSpec` that are set.
        expected: pointer into the sweep -> the paths there that identify an arm.
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
        yield Fault("/table/at", f"no arm has that many epochs: the most is {epochs}")


def has_all(config: Config, overrides: Mapping[str, Any]) -> bool:
    """Whether setting these values changes nothing in `config`; False if there are none."""
    if not overrides:
        return False
    try:
        document = overridden(config.model_dump(mode="json"), list(overrides.items()))
        return Config.model_validate(document) == config
    except (NoSuchPath, ValidationError):
        return False


def is_primary(config: Config, primary: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an arm's comparison is one of the primary ones; all are if none are named."""
    return not primary or any(has_all(config, overrides) for overrides in primary)


# --- inside ---------------------------------------------------------------------------------------


class _Setting(NamedTuple):
    """A path that an arm or an axis of the grid sets."""

    path: str
    place: str
    values: Mapping[str, Any]
    """The values it sets, by their pointers below `place`."""

    def overwritten_by(self, later: "_Setting") -> Iterator[Fault]:
        """A fault where `later` overwrites all of this setting, or a part that it sets itself."""
        again = f"{later.place} sets it again: say it in one of the two places"
        if f"{self.path}.".startswith(f"{later.path}."):
            yield Fault(self.place, again)
        elif later.path.startswith(f"{self.path}."):
            part = later.path.removeprefix(f"{self.path}.")
            for below, value in self.values.items():
                if value_at(value, part) is not ABSENT:
                    yield Fault(self.place + below + pointer(part.split(".")), again)


def _fault_at(config: Config, path: str) -> str | None:
    """What is wrong with a path that has no value; None if it is an optional field, left out."""
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
                return f"{path!r} is not a path of the configuration: {said}"
    return None
