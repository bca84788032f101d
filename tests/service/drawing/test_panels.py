"""Which lines share a panel, and what they are called there."""

import math
from itertools import combinations

from service.analysis.arms import ArmSummary, summarise
from service.analysis.curves import Curve, mean_curves
from service.analysis.data import ArmInfo
from service.drawing.panels import (
    Panel,
    of_arms,
    over_keep_prob,
    with_numbers,
)
from service.drawing.parting import MOST_LINES, MOST_PANELS
from tests.service.analysis.cases import arm, series, trials

SETS = ([], [{"kind": "SD"}], [{"kind": "DG"}], [{"kind": "SD"}, {"kind": "DG"}])
LR = {"sgdm": 0.1, "rmsprop": 0.01, "adam": 0.001}


def grid(names=tuple(LR), sets=SETS, keep_probs=(1.0, 0.5)) -> list[ArmInfo]:
    return [
        arm(
            f"{name} {number} {p}", name=name, lr=LR.get(name, 0.02), keep_prob=p, regularizers=some
        )
        for name in names
        for number, some in enumerate(sets)
        for p in keep_probs
    ]


ABLATION = grid()
"""24 arms: three optimizers, four sets of regularizers, with LRD and without."""


def ablated(arms=ABLATION) -> list[ArmSummary]:
    values = {
        each.id: [0.9 + at / 1000 + k / 200 for k in range(3)] for at, each in enumerate(arms)
    }
    return summarise(arms, [one for key, some in values.items() for one in trials(str(key), some)])


def ablation_curves() -> list[Curve]:
    every = [
        series(str(each.id), seed, [1 - math.exp(-epoch - at / 50) for epoch in range(4)])
        for at, each in enumerate(ABLATION)
        for seed in range(2)
    ]
    return mean_curves(ABLATION, every)


def lines(panels) -> list[list[str]]:
    return [[line.name for line in panel.lines] for panel in panels]


def test_few_lines_share_one_panel_without_a_title() -> None:
    (panel,) = of_arms(ABLATION[:MOST_LINES])
    assert (panel.title, len(panel.lines)) == ("", MOST_LINES)
    assert [line.name for line in panel.lines] == [each.label for each in ABLATION[:MOST_LINES]]


def test_many_are_parted_by_what_leaves_few_enough_in_the_fewest_panels() -> None:
    """Four panels by regularizers would do as well as three by optimizer, and are more."""
    panels = of_arms(ABLATION)
    assert [panel.title for panel in panels] == ["SGDM", "RMSprop", "Adam"]
    assert [len(panel.lines) for panel in panels] == [8, 8, 8]


def test_lines_that_differ_in_their_panels_alone_look_alike_and_have_one_name() -> None:
    """A learning rate that goes with the optimizer tells no two lines of a panel apart."""
    first, *rest = of_arms(ABLATION)
    assert first.lines[0].name == "no regularizers, without LRD"
    for panel in rest:
        for line, like in zip(panel.lines, first.lines, strict=True):
            assert (line.name, line.look) == (like.name, like.look)
    for panel in (first, *rest):
        assert len({line.look for line in panel.lines}) == len(panel.lines)
        assert len({line.name for line in panel.lines}) == len(panel.lines)


def test_every_arm_is_in_one_panel() -> None:
    found = [line.of.id for panel in of_arms(ABLATION) for line in panel.lines]
    assert sorted(map(str, found)) == sorted(str(each.id) for each in ABLATION)


def test_values_of_keep_prob_stay_in_one_panel() -> None:
    """They are what is compared; eleven of them are more than a panel should have."""
    arms = grid(names=("adam",), sets=SETS[:1], keep_probs=[p / 10 for p in range(1, 11)] + [0.95])
    (panel,) = of_arms(arms)
    assert len(panel.lines) == 11


def test_no_panel_is_made_for_each_line() -> None:
    arms = [arm(f"batch {size}", batch_size=size) for size in range(1, 13)]
    assert len(of_arms(arms)) == 1


def test_what_no_path_parts_is_dealt_and_pairs_stay_together() -> None:
    """Catches: 26 lines in a panel for want of a path; an arm apart from the one without LRD; one
    name for two lines."""
    names = [f"optimizer-{at}" for at in range(MOST_PANELS + 1)]
    panels = of_arms(grid(names=names, sets=SETS[:1]))
    assert [panel.title for panel in panels] == ["1 of 3", "2 of 3", "3 of 3"]
    assert max(len(panel.lines) for panel in panels) <= MOST_LINES
    for panel in panels:
        names = [line.of.config["optimizer"]["name"] for line in panel.lines]
        assert names[::2] == names[1::2]
    every = [line.name for panel in panels for line in panel.lines]
    assert len(set(every)) == len(every) == 2 * (MOST_PANELS + 1)


def test_sixteen_sets_of_regularizers_are_parted_by_two_of_the_four() -> None:
    """Catches: 32 lines in one panel; `no regularizers` below the title `SD, no NG`."""
    kinds = [{"kind": kind} for kind in ("SD", "NG", "NL", "DG")]
    sets = [list(some) for count in range(5) for some in combinations(kinds, count)]
    panels = of_arms(grid(names=("adam",), sets=sets))
    assert [panel.title for panel in panels] == [
        "no SD, no NG", "SD, no NG", "no SD, NG", "SD, NG",
    ]  # fmt: skip
    for panel in panels:
        assert [line.name for line in panel.lines][::2] == [
            f"{name}, without LRD" for name in ("no other regularizers", "NL", "DG", "NL+DG")
        ]
    assert sorted(line.of.id for panel in panels for line in panel.lines) == sorted(
        each.id for each in grid(names=("adam",), sets=sets)
    )


def test_eight_sets_are_two_panels_and_not_eight_of_two_lines() -> None:
    kinds = [{"kind": kind} for kind in ("SD", "NG", "NL")]
    sets = [list(some) for count in range(4) for some in combinations(kinds, count)]
    panels = of_arms(grid(names=("adam",), sets=sets))
    assert [(panel.title, len(panel.lines)) for panel in panels] == [("no SD", 8), ("SD", 8)]


def labelled(*labels: str, keep_probs: tuple[float, ...]) -> list[ArmInfo]:
    """Explicit arms, their regularizers in their labels, by a grid of the others."""
    return [
        ArmInfo(
            f"{label} {each.id}",
            f"{label}, {each.id}",
            each.config | {"regularizers": [{"kind": kind} for kind in kinds]},
            False,
            given=label,
        )
        for label in labels
        for kinds in [[kind for kind in label.split("+") if kind != "none"]]
        for each in grid(names=("adam",), sets=([],), keep_probs=keep_probs)
    ]


EXPLICIT = ("none", "SD", "NL", "NG", "DG", "SD+NL+NG")


def test_the_labels_of_explicit_arms_are_the_titles_of_their_panels() -> None:
    """Catches: `no SD, no NL, no NG` above the lines of `none` and of `DG`."""
    panels = of_arms(labelled(*EXPLICIT, keep_probs=(1.0, 0.9, 0.7, 0.5)))
    assert [panel.title for panel in panels] == list(EXPLICIT)
    for panel in panels:
        assert {line.of.given for line in panel.lines} == {panel.title}
        assert [line.name for line in panel.lines] == [
            "without LRD",
            *(f"LRD (keep_prob = {p})" for p in (0.9, 0.7, 0.5)),
        ]
        assert [line.look for line in panel.lines] == [line.look for line in panels[0].lines]


def test_labels_that_tell_lrd_from_none_make_no_panels() -> None:
    """Catches: an arm and its baseline in two panels, where their labels are `LRD` and `plain`."""
    names = [f"optimizer-{at}" for at in range(6)]
    arms = [
        ArmInfo(each.id, each.label, each.config, False, given=label)
        for each in grid(names=names, sets=SETS[:1])
        for label in ["LRD" if each.config["optimizer"]["keep_prob"] == 0.5 else "plain"]
    ]
    for panel in of_arms(arms):
        assert {line.look.dashed for line in panel.lines} == {True, False}


def test_labels_of_single_lines_make_no_panels() -> None:
    arms = [
        ArmInfo(each.id, each.label, each.config, False, given=str(each.id)) for each in ABLATION
    ]
    assert [panel.title for panel in of_arms(arms)] == ["SGDM", "RMSprop", "Adam"]


SETTINGS = [
    arm(f"{data} {name} {p}", dataset=data, name=name, keep_prob=p)
    for name in LR
    for data in ("mnist", "cifar100")
    for p in (1.0, 0.5)
]


def test_data_sets_and_models_never_share_a_panel() -> None:
    """Catches: a panel an optimizer, with losses of MNIST and of CIFAR-100 on one axis."""
    few = of_arms(SETTINGS[:4])
    assert [(panel.title, panel.scale_group) for panel in few] == [("MNIST", 0), ("CIFAR-100", 1)]
    models = of_arms([arm("a"), arm("b", model="resnet34")])
    assert [panel.title for panel in models] == ["FCNet", "ResNet-34"]


def test_the_panels_of_a_data_set_stand_together() -> None:
    arms = SETTINGS + [
        ArmInfo(f"{each.id} {lr}", "", each.config | {"batch_size": lr}, False)
        for lr in (1, 2, 3)
        for each in SETTINGS
    ]
    panels = of_arms(arms)
    assert [panel.title for panel in panels] == [
        f"{data}, {name}" for data in ("MNIST", "CIFAR-100") for name in ("SGDM", "RMSprop", "Adam")
    ]
    assert [panel.scale_group for panel in panels] == [0, 0, 0, 1, 1, 1]
    assert {panel.scale_group for panel in over_keep_prob(ablated(arms))} == {0, 1}


def test_two_paths_part_what_one_leaves_too_many_of() -> None:
    arms = [
        arm(f"{name} {size} {at} {p}", name=name, batch_size=size, epochs=at, keep_prob=p)
        for name in LR
        for size in (32, 128)
        for at in range(1, 6)
        for p in (1.0, 0.5)
    ]
    panels = of_arms(arms)
    assert [panel.title for panel in panels][:2] == [
        "SGDM, batch size = 32",
        "SGDM, batch size = 128",
    ]
    assert [len(panel.lines) for panel in panels] == [10] * 6


def test_a_line_over_keep_prob_is_called_by_its_label_where_that_is_given() -> None:
    arms = [
        ArmInfo(each.id, each.label, each.config, False, given=str(each.config["regularizers"]))
        for each in ABLATION
    ]
    panels = over_keep_prob(ablated(arms))
    assert lines(panels)[0] == [str(some) for some in SETS]
    assert [panel.title for panel in panels] == ["SGDM", "RMSprop", "Adam"]


def test_a_label_that_says_the_panel_too_is_not_the_name_of_a_line() -> None:
    """Catches: `SGDM with SD` in the legend for all optimizers."""
    arms = [
        ArmInfo(each.id, each.label, each.config, False, given=str(each.id)) for each in ABLATION
    ]
    assert lines(over_keep_prob(ablated(arms)))[0] == ["no regularizers", "SD", "DG", "SD+DG"]


def test_lines_over_keep_prob_keep_the_order_of_the_arms_whatever_has_a_number() -> None:
    """Catches: learning rates 0.01, 0.5, 4, 8, 2, since 2 diverged at the first keep_prob."""
    rates = (0.01, 0.5, 2.0, 4.0, 8.0)
    arms = [arm(f"{rate} {p}", lr=rate, keep_prob=p) for p in (0.1, 0.5) for rate in rates]
    diverged = ("2.0 0.1", "8.0 0.1", "8.0 0.5")
    summaries = summarise(
        arms,
        [
            one
            for each in arms
            for one in trials(str(each.id), ["diverged" if each.id in diverged else 0.9])
        ],
    )
    (panel,) = every = over_keep_prob(summaries)
    assert [line.name for line in panel.lines] == [f"lr = {rate:g}" for rate in rates]
    (drawn,) = with_numbers(every)
    assert drawn.lines == panel.lines[:-1]
    assert [[each.mean for _, each in line.of] for line in drawn.lines][2] == [None, 0.9]


def test_a_panel_without_any_number_is_not_drawn_and_the_others_look_as_before() -> None:
    """Catches: colours and panels that change with every trial that ends."""
    known = [one for each in ABLATION[8:16] for one in trials(str(each.id), [0.9])]
    (panel,) = with_numbers(over_keep_prob(summarise(ABLATION, known)))
    assert panel == Panel("RMSprop", panel.lines)
    looks = [line.look for line in over_keep_prob(ablated())[1].lines]
    assert [line.look for line in panel.lines] == looks


def test_nothing_is_no_panel() -> None:
    assert (of_arms([]), over_keep_prob([]), with_numbers([])) == ([], [], [])
