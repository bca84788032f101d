"""Placing trials: no CPU, GPU or byte is given twice, alone is alone, and a lack is said."""

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.placement import UNIT, Need, Node, Place, Rooms, fit, shortage

SIXTEENTHS = st.integers(1, 16).map(lambda part: part / 16)
GPUS = st.one_of(st.just(0.0), SIXTEENTHS, st.sampled_from([0.1, 0.3, 1 / 3, 1 / 7, 2.0, 3.0]))
NODES = st.lists(
    st.builds(
        Node,
        st.integers(0, 8).map(float),
        st.integers(0, 3).map(float),
        st.integers(1, 8).map(float),
        st.sampled_from([None, "H100", "A100"]),
        st.sampled_from([{}, {"zone": "a"}, {"zone": "b"}]),
    ),
    min_size=1,
    max_size=4,
).map(lambda nodes: [Node(**{**vars(node), "id": str(at)}) for at, node in enumerate(nodes)])
NEEDS = st.builds(
    Need,
    st.sampled_from([0.5, 1.0, 2.0, 1 / 3, 1 / 7]),
    GPUS,
    st.sampled_from([0.0, 0.7, 2.0]),
    st.sampled_from([None, None, None, "H100"]),
    st.sampled_from([{}, {}, {"zone": "a"}]),
)
STEPS = st.lists(
    st.tuples(NEEDS, st.booleans(), st.integers(0, 30), st.integers(0, 2)), max_size=30
)


def exact(amount: float) -> Fraction:
    """As Ray holds it."""
    return Fraction(int(amount * UNIT + 0.5), UNIT)


def as_ray_gives(free: list[Fraction], part: Fraction) -> list[int] | None:
    """Which GPUs Ray gives, written down anew: whole ones that are idle, else the fullest one."""
    if part >= 1:
        idle = [gpu for gpu, left in enumerate(free) if left == 1]
        return idle[: int(part)] if len(idle) >= part else None
    room = [(left, gpu) for gpu, left in enumerate(free) if left >= part]
    return [min(room)[1]] if room else None


@given(NODES, STEPS)
def test_nothing_is_given_twice_and_alone_is_alone(
    nodes: list[Node], steps: list[tuple[Need, bool, int, int]]
) -> None:
    held: list[tuple[Place, Need]] = []
    for need, alone, ends, priority in steps:
        if held and ends < len(held):
            del held[ends]
        rooms = Rooms(nodes, [place for place, _ in held])
        if alone:
            rooms.keep(need, priority, "mine")
            place = rooms.take_alone(need, priority, "mine")
        else:
            place = rooms.take(need, priority)
        if place is not None:
            held.append((place, need))
        for node in nodes:
            here = [(place, need) for place, need in held if place.node == node.id]
            assert sum(exact(place.cpus) for place, _ in here) <= exact(node.cpus)
            assert sum(place.memory_gib for place, _ in here) <= node.memory_gib + 1e-6
            for gpu in range(int(node.gpus)):
                parts = [min(Fraction(1), exact(p.gpus)) for p, _ in here if gpu in p.on]
                assert sum(parts) <= 1
            for place, need in here:
                assert need.accelerator_type in (None, node.accelerator_type)
                assert need.labels.items() <= node.labels.items()
                assert len(place.on) == (0 if not need.gpus else max(1, int(place.gpus)))
                assert all(gpu < node.gpus for gpu in place.on)
                if place.exclusive:
                    assert len(here) == 1
                if place.isolated:
                    assert place.exclusive
                    assert place.cpus == node.cpus
                    assert place.gpus == int(place.gpus)


@given(st.integers(1, 3), st.lists(st.tuples(GPUS, st.integers(0, 20)), max_size=25))
def test_gpus_are_counted_as_ray_gives_them(count: int, steps: list[tuple[float, int]]) -> None:
    """What fits here must fit there: a trial that waits in Ray runs for nobody."""
    node = Node(1000, count)
    free = [Fraction(1)] * count
    held: list[tuple[Place, list[int]]] = []
    for gpus, ends in steps:
        if ends < len(held):
            place, given_back = held.pop(ends)
            for gpu in given_back:
                free[gpu] += min(Fraction(1), exact(place.gpus))
        place = Rooms([node], [each for each, _ in held]).take(Need(1, gpus), 0)
        if gpus:
            rays = as_ray_gives(free, exact(gpus))
            assert (None if place is None else list(place.on)) == rays
            if place is not None:
                assert rays is not None
                held.append((place, rays))
                for gpu in rays:
                    free[gpu] -= min(Fraction(1), exact(gpus))


def test_what_is_left_on_two_gpus_is_no_room_on_one() -> None:
    node = Node(8, 2)
    held = [Place("", 1, 0.75, 0, (0,)), Place("", 1, 0.75, 0, (1,))]
    assert Rooms([node], held).take(Need(1, 0.5), 0) is None
    quarter = Rooms([node], held).take(Need(1, 0.25), 0)
    assert quarter is not None
    assert Rooms([Node(8, 1)], [Place("", 1, 9 / 16, 0, (0,))]).take(Need(1, 9 / 16), 0) is None


@given(NODES, NEEDS)
def test_the_size_of_a_plan_is_what_places_are_found_for(nodes: list[Node], need: Need) -> None:
    rooms, count = Rooms(nodes), 0
    while rooms.take(need, 0) is not None:
        count += 1
    assert count == sum(fit(need, node) for node in nodes)
    assert (shortage(need, nodes) is None) == (count > 0)


def test_trials_without_a_gpu_leave_nodes_with_gpus_to_others() -> None:
    rooms = Rooms([Node(8, 1, id="gpu"), Node(2, 0, id="plain")])
    found = [rooms.take(Need(1), 0) for _ in range(3)]
    assert [place.node for place in found if place] == ["plain", "plain", "gpu"]


# --- alone ----------------------------------------------------------------------------------------


def beside(node: str, count: int) -> list[Place]:
    return [Place(node, 1, 0, 0) for _ in range(count)]


def test_others_do_not_take_the_cpu_that_becomes_free_on_a_kept_node() -> None:
    nodes, need = [Node(4, 0, id="a"), Node(4, 0, id="b")], Need(1)
    rooms = Rooms(nodes, beside("a", 4) + beside("b", 3))
    assert rooms.keep(need, 0, "mine")
    assert rooms.take(need, 0) is None
    urgent = rooms.take(need, 1)  # but those of higher priority do
    assert urgent is not None
    assert urgent.node == "b"


@given(st.lists(st.integers(1, 5), min_size=1, max_size=40))
def test_a_trial_that_is_to_run_alone_does_so_in_the_end(lengths: list[int]) -> None:
    """However long the others run, and though each free CPU is asked for at once."""
    nodes = [Node(3, 0, id=str(at)) for at in range(3)]
    length = itertools.cycle(lengths)
    running = [(place, next(length)) for node in nodes for place in beside(node.id, 3)]
    least = 3
    for _ in range(3 * 3 * max(lengths)):  # as many CPUs, each freed by one of the nodes in turn
        running = [(place, left - 1) for place, left in running if left > 1]
        rooms = Rooms(nodes, [place for place, _ in running])
        assert rooms.keep(Need(1), 0, "mine")
        if rooms.take_alone(Need(1), 0, "mine") is not None:
            return
        while (place := rooms.take(Need(1), 0)) is not None:
            running.append((place, next(length)))
        on = [sum(place.node == node.id for place, _ in running) for node in nodes]
        assert min(on) <= least
        least = min(on)
    raise AssertionError(f"it starves: {least} are still on the kept node")


def test_one_node_at_a_time_is_kept_and_only_where_it_can_help() -> None:
    nodes = [Node(4, 0, id="a"), Node(4, 1, labels={"zone": "b"}, id="b")]
    rooms = Rooms(nodes, beside("a", 1) + beside("b", 1))
    assert rooms.keep(Need(1), 0, "first")
    assert not rooms.keep(Need(1), 0, "second")
    assert rooms.keep(Need(1, labels={"zone": "b"}), 0, "third")  # of other nodes
    assert not rooms.keep(Need(1, labels={"zone": "c"}), 0, "fourth")  # it fits nowhere
    runs = [Place("a", 4, 0, 0, exclusive=True, isolated=True)]
    assert not Rooms(nodes, runs).keep(Need(1), 0, "first")
    by_itself = [Place("a", 4, 0, 0, exclusive=True)]  # which nobody asked for
    assert Rooms(nodes, by_itself).keep(Need(1), 0, "first")


def test_a_trial_that_fills_an_empty_node_is_alone_there() -> None:
    place = Rooms([Node(2, 0)]).take(Need(2), 0)
    assert place is not None
    assert place.exclusive
    assert not place.isolated
    second = Rooms([Node(2, 0)], beside("", 1)).take(Need(1), 0)
    assert second is not None
    assert not second.exclusive


def test_who_needs_no_gpu_has_a_node_without_one_to_itself() -> None:
    # Catches: four GPUs that nobody can use, for want of a CPU.
    nodes = [Node(8, 4, id="gpus"), Node(8, 0, id="plain")]
    place = Rooms(nodes).take_alone(Need(1), 0, "mine")
    assert place is not None
    assert place.node == "plain"
    rooms = Rooms(nodes, beside("plain", 2))
    assert rooms.keep(Need(1), 0, "mine")
    assert rooms.take(Need(1), 0) == Place("gpus", 1, 0, 0)
    with_gpu = Rooms(nodes).take_alone(Need(1, 0.25), 0, "mine")
    assert with_gpu is not None
    assert with_gpu.node == "gpus"


# --- large trials -----------------------------------------------------------------------------


@pytest.mark.parametrize("large", [Need(4), Need(1, 4), Need(1, memory_gib=8)])
def test_a_large_trial_starts_though_small_ones_ask_for_all_that_becomes_free(large: Need) -> None:
    nodes = [Node(4, 4, 8, id=str(at)) for at in range(2)]
    small = Need(1, 1, 2)
    running = [Place(node.id, 1, 1, 2, (gpu,)) for node in nodes for gpu in range(4)]
    for _ in range(8):  # one ends
        running.pop(0)
        rooms = Rooms(nodes, running)
        if (place := rooms.take(large, 9)) is not None:
            assert place.node == "0"
            return
        assert rooms.is_blocked(large, 9)
        rooms.reserve(large, 9)
        while (other := rooms.take(small, 0)) is not None:
            running.append(other)
    raise AssertionError("it starves")


def test_what_a_large_trial_does_not_wait_for_others_take() -> None:
    nodes = [Node(32, 4, id="a"), Node(32, 4, id="b")]  # 28 CPUs of each are free, and no GPU
    busy = [Place(node.id, 1, 1, 0, (gpu,)) for node in nodes for gpu in range(4)]
    rooms = Rooms(nodes, busy)
    rooms.reserve(Need(1, 1), 9)
    found = list(itertools.takewhile(bool, (rooms.take(Need(1), 0) for _ in itertools.count())))
    assert len(found) == 2 * 28 - 1  # but for the CPU that goes with the GPU
    rooms = Rooms(nodes, busy[1:])
    rooms.reserve(Need(1, 2), 9)
    assert rooms.take(Need(1, 1), 8) is None
    assert rooms.take(Need(1, 1), 9) is not None  # equals share
    assert not Rooms(nodes, busy).is_blocked(Need(33), 9)  # that is no wait but a shortage


# --- what is lacking ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("need", "said"),
    [
        (Need(1, accelerator_type="B200"),
         "a trial needs an accelerator of type B200; the cluster has A100, H100"),
        (Need(1, labels={"zone": "c"}),
         "a trial needs a node with the labels zone=c; no node has them"),
        (Need(1, accelerator_type="A100", labels={"zone": "a"}),
         "a trial needs a node with the labels zone=a and an accelerator A100; no node has them"),
        (Need(1, memory_gib=64),
         "a trial needs 64 GiB of memory on one node; the largest node has 32"),
        (Need(1, memory_gib=32, accelerator_type="H100"),
         "a trial needs 32 GiB of memory on one node; the largest such node has 16"),
        (Need(16), "a trial needs 16 CPUs on one node; the largest node has 8"),
        (Need(1, 4), "a trial needs 4 GPUs on one node; the largest node has 2"),
        (Need(8, 2), "a trial needs 8 CPUs and 2 GPUs together; no single node has both"),
        (Need(8, 1, 4), "a trial needs 8 CPUs, 1 GPU and 4 GiB of memory together; "
         "no single node has all of it"),
        (Need(4, 2, 16), None),
    ],
)  # fmt: skip
def test_what_fits_nowhere_says_what_is_lacking(need: Need, said: str | None) -> None:
    nodes = [
        Node(4, 2, 16, "H100", {"zone": "a"}, "1"),
        Node(4, 1, 32, "A100", {"zone": "b"}, "2"),
        Node(8, 0, 8, id="3"),
    ]
    assert shortage(need, nodes) == said


def test_without_nodes_it_says_that() -> None:
    assert shortage(Need(1), []) == "the cluster has no node at present"
