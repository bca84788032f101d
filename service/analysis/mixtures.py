"""Warnings if trials of a sweep differ in code, data or devices, or do not repeat themselves."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from service.analysis.data import ArmId, ArmInfo
from service.formatting import count


class Provenance(NamedTuple):
    """The code, data and device behind the numbers of some trials of an arm."""

    arm_id: ArmId
    data: str | None = None
    """SHA-256 of the data."""
    lrd: str | None = None
    """The version and, after a plus, the checksum of its sources: `lrd_core.sources.Code.lrd`."""
    commit: str | None = None
    """Used for trials from before there was a checksum, which also covers a dirty checkout."""
    plugins: str | None = None
    """The plugins' versions (`lrd_core.plugins.versions_of`), separated by commas."""
    torch: str | None = None
    """Version of torch."""
    device: str | None = None
    """`NVIDIA H200`; for a CPU, the architecture and its capability: `x86_64 AVX512`."""
    parameters: int | None = None
    """The number of elements in the network's parameters."""


class Recomputed(NamedTuple):
    """What the trials of a sweep computed a second time: epochs after the checkpoint from which an
    attempt resumed, recorded before by an earlier one."""

    epochs: int = 0
    differing: int = 0
    """Trials with such an epoch whose numbers were not the recorded ones."""


NOTHING = Recomputed()


def warnings(
    arms: Sequence[ArmInfo], made: Iterable[Provenance], again: Recomputed = NOTHING
) -> Iterator[str]:
    """A sentence for each mixture: after an upgrade, an edit or a change of files in the meantime,
    some seeds of an arm may describe something different from the others."""
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
    if again.differing:
        yield (
            f"After an interruption, {count(again.differing, 'trial')} recomputed epochs with "
            "other numbers: the code or the device changed in between, or does not repeat itself. "
            "The numbers recorded first are kept."
        )


def _data_of(config: Mapping[str, Any]) -> str:
    return repr([config.get(name) for name in ("dataset", "data", "task")])
