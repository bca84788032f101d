"""Choose a node for each trial from what every node has and has free, GPU by GPU. Pure.

The dispatcher chooses the node and pins the trial to it, so these counts agree with Ray's. They
follow Ray's rules: ten-thousandths, and part of a GPU comes from the fullest one with room for it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

UNIT = 10_000
"""Units per CPU or GPU: integers add up exactly, shares such as 0.1 do not."""
GIB = 2**30


@dataclass(frozen=True)
class Node:
    """The capacity of one machine of the cluster, free or not."""

    cpus: float
    gpus: float
    memory_gib: float = 0.0
    accelerator_type: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    id: str = ""

    @classmethod
    def reported(cls, entry: Mapping[str, Any]) -> Self:
        """Make a node from an entry of `Executor.nodes`."""
        return cls(
            entry.get("CPU", 0.0),
            entry.get("GPU", 0.0),
            entry.get("memory", 0.0) / GIB,
            entry.get("accelerator_type"),
            entry.get("labels", {}),
            entry.get("id", ""),
        )


@dataclass(frozen=True)
class Need:
    """The resources of one trial, and the nodes that may provide them."""

    cpus: float
    gpus: float = 0.0
    memory_gib: float = 0.0
    accelerator_type: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    avoided: frozenset[str] = frozenset()
    """Nodes of the right kind that lack something else, such as the data."""

    def may_use(self, node: Node) -> bool:
        """Whether the node is of the right kind, and large enough when empty."""
        return self.is_meant(node) and Room(node).fits(self)

    def is_meant(self, node: Node) -> bool:
        """Whether the node is of the right kind, whatever its size."""
        kind = self.accelerator_type in (None, node.accelerator_type)
        return node.id not in self.avoided and kind and self.labels.items() <= node.labels.items()

    def alone_on(self, node: Node) -> "Need":
        """All CPUs of the node, so that nothing else starts there; whole GPUs, if any."""
        return replace(self, cpus=node.cpus, gpus=max(1.0, self.gpus) if self.gpus else 0.0)


@dataclass(frozen=True)
class Place:
    """The resources that a trial holds on a node."""

    node: str
    cpus: float
    gpus: float
    memory_gib: float
    on: tuple[int, ...] = ()
    """The GPUs' indices on the node: as counted here, and as Ray counts once the trial has started.
    """
    exclusive: bool = False
    """Nothing else runs on the node, or can start there."""
    isolated: bool = False
    """The trial had to run alone, because it ran out of memory next to others (`Trial.alone`)."""


class Room:
    """The free part of one node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.trials = 0
        self.holds_isolated = False
        """Whether a trial that had to run alone is on the node."""
        self.cpus, self._memory = _units(node.cpus), _bytes(node.memory_gib)
        self._gpus = [UNIT] * int(node.gpus)

    def fits(self, need: Need) -> bool:
        """Whether one more such trial fits."""
        return (
            _units(need.cpus) <= self.cpus
            and _bytes(need.memory_gib) <= self._memory
            and self._on(need) is not None
        )

    def spares(self, need: Need, awaited: Need) -> bool:
        """Whether one more such trial leaves, of each resource it takes, what `awaited` needs."""
        memory = _bytes(need.memory_gib) + _bytes(awaited.memory_gib)
        return (
            _units(need.cpus) + _units(awaited.cpus) <= self.cpus
            and not (need.gpus and awaited.gpus)
            and (not need.memory_gib or not awaited.memory_gib or memory <= self._memory)
        )

    def held(self) -> int:
        """CPUs in use, in units."""
        return _units(self.node.cpus) - self.cpus

    def held_gpus(self) -> int:
        """GPUs in use, in units."""
        return UNIT * len(self._gpus) - sum(self._gpus)

    def take(self, need: Need, *, isolated: bool = False) -> Place:
        """Place one more such trial, which must fit."""
        on = self._on(need)
        assert on is not None, "it does not fit"
        fills = not self.trials and _units(need.cpus) == self.cpus
        place = Place(
            self.node.id,
            _units(need.cpus) / UNIT,
            _units(need.gpus) / UNIT if need.gpus else 0.0,
            need.memory_gib,
            on,
            exclusive=fills and int(need.gpus) == need.gpus,
            isolated=isolated,
        )
        self.hold(place)
        return place

    def hold(self, place: Place) -> None:
        """Count a trial that is already placed on this node."""
        self.trials += 1
        self.holds_isolated = self.holds_isolated or place.isolated
        self.cpus -= _units(place.cpus)
        self._memory -= _bytes(place.memory_gib)
        for gpu in place.on:
            if gpu < len(self._gpus):  # otherwise the node came back with fewer
                self._gpus[gpu] -= min(UNIT, _units(place.gpus))

    def is_wasted_on(self, need: Need) -> bool:
        """Whether the node has GPUs and the trial needs none."""
        return bool(self.node.gpus and not need.gpus)

    def tightness(self, need: Need) -> int:
        """Free units of the GPU that the trial would share; the fewer, the better."""
        on = self._on(need)
        return self._gpus[on[0]] if on else UNIT

    def _on(self, need: Need) -> tuple[int, ...] | None:
        if not need.gpus:
            return ()
        units = _units(need.gpus)
        if units >= UNIT:
            count, part = divmod(units, UNIT)
            idle = [gpu for gpu, free in enumerate(self._gpus) if free == UNIT]
            return None if part or len(idle) < count else tuple(idle[:count])
        enough = [gpu for gpu, free in enumerate(self._gpus) if free >= units]
        return (min(enough, key=self._gpus.__getitem__),) if enough else None


class Rooms:
    """The free part of the cluster."""

    def __init__(self, nodes: Sequence[Node], held: Iterable[Place] = ()) -> None:
        self.nodes = nodes
        self._rooms = {node.id: Room(node) for node in nodes}
        self._kept: dict[str, tuple[int, str]] = {}
        """Node -> the (priority, sweep) whose trial gets it to itself once it is empty."""
        self._awaited: dict[str, tuple[float, Need]] = {}
        """Node -> the priority and need of a trial that waits for others to end there."""
        for place in held:
            if place.node in self._rooms:  # otherwise node and trial are about to be lost
                self._rooms[place.node].hold(place)

    def __bool__(self) -> bool:
        """Whether any CPU is free."""
        return any(room.cpus > 0 for room in self._rooms.values())

    def most(self, need: Need) -> int:
        """An upper bound on how many such trials fit now."""
        return sum(
            max(0, room.cpus) // _units(need.cpus)
            for room in self._rooms.values()
            if room.fits(need)
        )

    def keep(self, need: Need, priority: int, sweep_id: str) -> bool:
        """Drain a node for a trial that must run alone; whether one is now drained for it.

        Sweeps of no higher priority start nothing there. Among the nodes that the trial may use,
        one is drained at a time: the one with the least on it, if possible without GPUs that would
        stand idle. Because nothing starts there, the next rounds choose it again, or another one
        with as little on it, so in the end a node is empty.
        """
        usable = [room for room in self._rooms.values() if need.may_use(room.node)]
        if not usable or any(room.holds_isolated or room.node.id in self._kept for room in usable):
            return False
        least = min(usable, key=lambda room: (room.is_wasted_on(need), room.held()))
        self._kept[least.node.id] = (priority, sweep_id)
        return True

    def reserve(self, need: Need, priority: float) -> None:
        """Reserve one node for a blocked trial: sweeps of lower priority leave what it needs.

        Otherwise small trials would take each CPU that becomes free, and a large one would never
        start. They may take what it does not need, and what leaves it enough. Among the nodes that
        the trial may use, one is reserved at a time.
        """
        usable = [room for room in self._rooms.values() if need.may_use(room.node)]
        taken = {*self._kept, *self._awaited}
        if any(room.holds_isolated or room.node.id in taken for room in usable):
            return

        def on_it(room: Room) -> tuple[bool, int, int]:
            return room.is_wasted_on(need), room.held_gpus() if need.gpus else 0, room.held()

        self._awaited[min(usable, key=on_it).node.id] = (priority, need)

    def is_blocked(self, need: Need, priority: float) -> bool:
        """Whether such a trial waits for others to end: some node is large enough, but none has
        room now."""
        return any(need.may_use(room.node) for room in self._rooms.values()) and not any(
            self._fitting(need, priority)
        )

    def take(self, need: Need, priority: float) -> Place | None:
        """Place one more such trial; None if there is no room."""
        fitting = list(self._fitting(need, priority))
        if not fitting:
            return None
        # Nodes with GPUs are left to trials that need GPUs. Otherwise the load is spread.
        return min(
            fitting,
            key=lambda room: (room.is_wasted_on(need), room.tightness(need), -room.cpus),
        ).take(need)

    def take_alone(self, need: Need, priority: int, sweep_id: str) -> Place | None:
        """Place one such trial on an empty node of its own; None if no node is empty."""
        for room in sorted(self._rooms.values(), key=lambda room: room.is_wasted_on(need)):
            mine = self._kept.get(room.node.id) == (priority, sweep_id)
            whole = need.alone_on(room.node)
            if (
                not room.trials
                and need.may_use(room.node)
                and (mine or self._open(room, priority))
                and self._spares(room, whole, priority)
            ):
                return room.take(whole, isolated=True)
        return None

    def _fitting(self, need: Need, priority: float) -> Iterator[Room]:
        for room in self._rooms.values():
            if (
                self._open(room, priority)
                and need.is_meant(room.node)
                and room.fits(need)
                and self._spares(room, need, priority)
            ):
                yield room

    def _spares(self, room: Room, need: Need, priority: float) -> bool:
        of, awaited = self._awaited.get(room.node.id, (priority, need))
        return of <= priority or room.spares(need, awaited)

    def _open(self, room: Room, priority: float) -> bool:
        kept = self._kept.get(room.node.id)
        return kept is None or kept[0] < priority


def shortage(need: Need, nodes: Sequence[Node]) -> str | None:
    """Say why no such trial can ever start on these nodes; None if it can."""
    if any(need.may_use(node) for node in nodes):
        return None
    if not nodes:
        return "the cluster has no node at present"
    kinds = sorted({node.accelerator_type for node in nodes if node.accelerator_type})
    if need.accelerator_type not in (None, *kinds):
        has = ", ".join(kinds) or "none"
        return (
            f"a trial needs an accelerator of type {need.accelerator_type}; the cluster has {has}"
        )
    meant = [node for node in nodes if need.is_meant(node)]
    if not meant:
        asked = [f"{name}={value}" for name, value in need.labels.items()]
        kind = f" and an accelerator {need.accelerator_type}" if need.accelerator_type else ""
        return f"a trial needs a node with the labels {', '.join(asked)}{kind}; no node has them"
    which = "node" if len(meant) == len(nodes) else "such node"
    parts = []
    for name, one, unit in (
        ("cpus", "CPU", "CPUs"), ("gpus", "GPU", "GPUs"), ("memory_gib",) + 2 * ("GiB of memory",)
    ):  # fmt: skip
        asked_for, most = getattr(need, name), max(getattr(node, name) for node in meant)
        unit = one if asked_for == 1 else unit
        if asked_for > most:
            return (
                f"a trial needs {asked_for:g} {unit} on one node; the largest {which} has {most:g}"
            )
        if asked_for:
            parts.append(f"{asked_for:g} {unit}")
    together = " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
    both = "both" if len(parts) == 2 else "all of it"
    return f"a trial needs {together} together; no single {which} has {both}"


def fit(need: Need, node: Node) -> int:
    """The number of such trials that an empty node runs at once."""
    if not need.may_use(node):
        return 0
    found = [_units(node.cpus) // _units(need.cpus)]
    if need.memory_gib:
        found.append(_bytes(node.memory_gib) // _bytes(need.memory_gib))
    if need.gpus:
        of_one = UNIT // _units(need.gpus)
        found.append(int(node.gpus) * of_one if of_one else int(node.gpus / need.gpus))
    return min(found)


def _units(amount: float) -> int:
    """Ten-thousandths, rounded as Ray does; any positive amount is at least one."""
    return max(int(amount > 0), int(amount * UNIT + 0.5))


def _bytes(gib: float) -> int:
    return max(int(gib > 0), int(gib * GIB))
