"""Additions to a sweep: what may be sent, the sweep that results, and where its faults are in what
was sent."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self

from lrd_core.configuration import Spec
from lrd_core.errors import Fault, InvalidSpec
from lrd_core.faults import parsed, pointer
from lrd_core.spec import Arms, ArmSpec, Grid, Seeds, SweepSpec


class Extension(Spec):
    """Additions to a sweep: seeds, values of its grid's axes, explicit arms."""

    seeds: Seeds = []
    """A count n (seeds 0 … n − 1) or a list."""
    grid: Grid = {}
    """Paths of the sweep's own grid, each with a list of further values."""
    arms: Arms = []
    """Further explicit arms."""

    @classmethod
    def parse(cls, document: Any) -> Self:
        """The extension that `document` holds.

        Raises:
            InvalidSpec: with each fault and its JSON pointer.
        """
        return parsed(cls, document)


def extended(sweep: SweepSpec, more: Extension) -> SweepSpec:
    """`sweep` with the additions of `more`. All of its arms stay, in their order.

    A count of seeds means seeds 0 … n − 1, as in a sweep. A sweep without explicit arms that gets
    some keeps its own as the first of them, `base`.

    Raises:
        InvalidSpec: an axis is not one of the sweep's, whose arms have no value for it.
    """
    foreign = [path for path in more.grid if path not in sweep.grid]
    if foreign:
        axes = ", ".join(sweep.grid) or "none"
        raise InvalidSpec(
            [
                Fault(pointer(["grid", path]), f"no axis of this sweep; its axes are: {axes}")
                for path in foreign
            ]
        )
    grid = {
        path: values + [value for value in more.grid.get(path, []) if value not in values]
        for path, values in sweep.grid.items()
    }
    document = sweep.model_dump(mode="json", exclude_unset=True)
    arms = [arm.model_dump(mode="json") for arm in explicit_arms(sweep, more)]
    arms += [new for arm in more.arms if (new := arm.model_dump(mode="json")) not in arms]
    return SweepSpec.parse(
        document
        | ({"grid": grid} if grid else {})
        | ({"arms": arms} if arms else {})
        | {"seeds": sweep.seeds + [seed for seed in more.seeds if seed not in sweep.seeds]}
    )


def explicit_arms(sweep: SweepSpec, more: Extension) -> list[ArmSpec]:
    """Those that `sweep` has once `more` is added, without those of `more`: arms multiply the grid,
    so next to others the plain base must be one of them, or its arms would be gone."""
    return [ArmSpec(label="base")] if more.arms and not sweep.arms else sweep.arms


def in_extension(fault: Fault, sweep: SweepSpec, more: Extension) -> Fault:
    """A fault of the extended sweep at its place in `more`, which numbers an axis's values and the
    arms from 0 again. A fault of something that the sweep already had keeps its place."""
    parts = fault.pointer.split("/")
    had: Sequence[Any] = ()
    given: Sequence[Any] = ()
    at = 0
    match parts:
        case ["", "grid", axis, *_]:
            path = axis.replace("~1", "/").replace("~0", "~")
            had, given, at = sweep.grid.get(path, ()), more.grid.get(path, ()), 3
        case ["", "arms", *_]:
            had = [arm.model_dump(mode="json") for arm in explicit_arms(sweep, more)]
            given, at = [arm.model_dump(mode="json") for arm in more.arms], 2
    new = [place for place, value in enumerate(given) if value not in had]
    with suppress(IndexError, ValueError):  # it is about all of them, or about another part
        number = int(parts[at]) - len(had)
        if at and number >= 0:
            parts[at] = str(new[number])
    return Fault("/".join(parts), fault.detail)
