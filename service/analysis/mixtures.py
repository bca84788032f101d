"""What is to be one within a sweep, and is not: code, data and devices of its trials."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from service.analysis.data import ArmId, ArmInfo


class Provenance(NamedTuple):
    """By what code and of which data trials of an arm have their numbers."""

    arm_id: ArmId
    data: str | None = None
    """Its SHA-256."""
    lrd: str | None = None
    """The version, and behind a plus the sum over its sources: `lrd_core.sources.Code.lrd`."""
    commit: str | None = None
    """It tells of trials from before there was a sum; a sum tells more, of a dirty checkout too."""
    plugins: str | None = None
    """Their versions (`lrd_core.plugins.versions_of`), separated by commas."""
    torch: str | None = None
    """Its version."""
    device: str | None = None
    """`NVIDIA H200`; of a CPU its machine and what it can: `x86_64 AVX512`."""
    parameters: int | None = None
    """Of the network: its elements."""


def warnings(arms: Sequence[ArmInfo], made: Iterable[Provenance]) -> Iterator[str]:
    """A sentence for each mixture: after an upgrade, an edit or a change of files in between some
    seeds of an arm may tell of something else than the others."""
    made, configs = list(made), {arm.id: arm.config for arm in arms}
    code: dict[str, set[str]] = {"lrd": set(), "torch": set()}
    data: dict[str, tuple[str, set[str]]] = {}
    for each in made:
        if each.lrd:
            has_sum = "+" in each.lrd
            commit = f" of commit {each.commit[:12]}" if each.commit and not has_sum else ""
            code["lrd"].add(f"lrd {each.lrd}{commit}")
        if each.torch:
            code["torch"].add(f"torch {each.torch}")
        for package in filter(None, (each.plugins or "").split(", ")):
            code.setdefault(package.split(" ")[0], set()).add(package)
        if each.data:
            config = configs.get(each.arm_id, {})
            name, sums = data.setdefault(_data_of(config), (str(config.get("dataset")), set()))
            sums.add(each.data[:12])
    for versions in code.values():
        if len(versions) > 1:
            yield f"Its trials ran different code: {' and '.join(sorted(versions))}."
    devices = {each.device for each in made if each.device}
    if len(devices) > 1:
        yield (
            f"Its trials ran on different devices: {' and '.join(sorted(devices))}; the same trial "
            "gives slightly different numbers on each."
        )
    for name, sums in data.values():
        if len(sums) > 1:
            yield (
                f"Its trials on {name} ran on different data, by their SHA-256: "
                f"{' and '.join(sorted(sums))}."
            )


def _data_of(config: Mapping[str, Any]) -> str:
    return repr([config.get(name) for name in ("dataset", "data", "task")])
