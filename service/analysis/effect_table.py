"""The effects of a sweep's factors as a listing, with the notes a reader needs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lrd_core.titles import path_title
from service.analysis.arms import name_seeds
from service.analysis.effects import Effect, in_no_effect
from service.analysis.factors import Design
from service.analysis.listings import Line
from service.analysis.metrics import Metric, NumberFormat
from service.analysis.paired import ALPHA
from service.analysis.power import power_of
from service.analysis.printed import EFFECTS
from service.analysis.resampling import exactness
from service.analysis.shown import number_of, shown_p, signed
from service.analysis.subjects import place_read
from service.formatting import count, listed

NONE = (
    "The arms of this sweep differ in one factor, or in none, so comparing arms says "
    "everything. Effects are for grids of several factors."
)
_NONE_OF_EACH = (
    "{what} are never averaged over, and the arms of each differ in one factor, or in none, so "
    "comparing arms says everything. Effects are for grids of several factors."
)
_NONE_ALONE = (
    "No two arms differ in just one factor, between its reference and another level, so no factor "
    "has an effect. Effects are for grids of several factors."
)
_ONE_ARM = "The sweep has one arm, so no factor has an effect."
_NAMED = 5
"""Factors, effects or arms that are named in a note; the rest are counted."""


@dataclass(frozen=True)
class EffectTable:
    """The effects of one metric, read at one place."""

    effects: tuple[Effect, ...]
    metric: Metric
    at: str
    """`last`, `best` or `epoch:N`."""
    subject: str = ""
    """`FCNet on MNIST`, if all arms have the same; otherwise empty."""
    advice: tuple[str, ...] = ()
    """Advice for the researcher, not for the paper."""
    designs: tuple[Design, ...] = ()
    """The arms whose effects these are, for notes on those that are in none."""

    @property
    def caption(self) -> str:
        """`Effect of each factor on test accuracy, last epoch; FCNet on MNIST`."""
        text = f"Effect of each factor on {self.metric.words}, {place_read(self.at)}"
        return f"{text}; {self.subject}" if self.subject else text

    @property
    def heads(self) -> tuple[str, ...]:
        """Column headings."""
        unit = self.metric.difference_unit
        effect = f"effect ({unit})" if unit else "effect"
        return (
            "factor",
            effect,
            "95 % t interval",
            "in its settings",
            "settings",
            "n",
            "p",
            "p (Holm)",
        )

    @property
    def of(self) -> str:
        """The kind of listing, which identifies it in a paper's LaTeX file."""
        return EFFECTS

    @property
    def alignment(self) -> str:
        """Column alignment in LaTeX's notation."""
        return "lrccrrrr"

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names of the CSV."""
        return "kind", "name", "metric", "at", *_COLUMNS

    @property
    def lines(self) -> list[Line]:
        """One line per effect, main effects first; † means p (Holm) < 0.05."""
        number = number_of(self.metric, self.effects)
        head = self.metric.name, self.at
        return [
            Line(
                each.name,
                each.kind,
                _cells(each, number),
                (each.kind, each.name, *head, *(_value(each, name) for name in _COLUMNS)),
            )
            for each in self.effects
        ]

    @property
    def items(self) -> list[dict[str, Any]]:
        """The effects as plain data."""
        return [each.to_json() for each in self.effects]

    @property
    def notes(self) -> list[str]:
        """What an effect is, what is tested and what is left out; or why there are none."""
        if not self.effects:
            return [why_none(self.designs)]
        return [*_notes(self.effects), *_about_the_unused(self.designs)]


def why_none(designs: Sequence[Design]) -> str:
    """Why none of these designs has an effect."""
    if any(len(design.factors) > 1 for design in designs):
        return _NONE_ALONE
    if len(designs) < 2:
        return _ONE_ARM if sum(len(design.arms) for design in designs) == 1 else NONE
    plural = {"dataset": "data sets", "model": "models"}
    what = " and ".join(plural[path] for path in designs[0].where)
    return _NONE_OF_EACH.format(what=what.capitalize())


# --- inside ---------------------------------------------------------------------------------------


_COLUMNS = (
    "factors", "levels", "references", "planned", "settings", "n", "n_least", "diverged",
    "difference", "lowest", "highest", "std", "t_low", "t_high", "p_sign_flip", "p_holm", "p_t",
    "d_z", "asked", "survivors_only", "significant",
)  # fmt: skip


def _cells(each: Effect, number: NumberFormat) -> tuple[str, ...]:
    difference = signed(number, each.difference) + "†" * each.significant
    interval = signed(number, each.t_low, each.t_high, " to ")
    arrow = " to " if each.kind == "main" else " → "
    within = signed(number, each.lowest, each.highest, arrow)
    whole = each.settings == each.planned
    settings = str(each.settings) if whole else f"{each.settings}/{each.planned}"
    seeds = str(each.n) if each.n == each.n_least else f"{each.n_least} to {each.n}"
    p_values = shown_p(each.p_sign_flip), shown_p(each.p_holm)
    return each.name, difference, interval, within, settings, seeds, *p_values


def _value(each: Effect, name: str) -> Any:
    value = getattr(each, name)
    return " × ".join(value) if isinstance(value, tuple) else value


def _about_the_unused(designs: Sequence[Design]) -> Iterator[str]:
    """Notes on the arms of which no effect says anything."""
    several = [design for design in designs if len(design.factors) > 1]
    unused = [arm.label for design in several for arm in in_no_effect(design)]
    if unused:
        yield (
            "In no effect, because no arm differs from them in just one factor, between its "
            f"reference and another level: {_named(unused)}."
        )
    alone = [arm.label for each in designs if len(each.factors) < 2 for arm in each.arms]
    if alone:
        yield (
            "In no effect, because the arms of their data set and model differ in one factor, or "
            f"in none: {_named(alone)}."
        )


def _notes(effects: Sequence[Effect]) -> Iterator[str]:
    mains = [each for each in effects if each.kind == "main"]
    interactions = [each for each in effects if each.kind == "interaction"]
    asked = [each for each in interactions if each.asked]
    yield (
        "Effect of a factor: its level minus the reference with the same seed, averaged over the "
        "settings of the other factors; next to it the smallest and the largest effect in any "
        "setting."
    )
    if interactions:
        yield (
            "A × B: how much larger the effect of A is with B than without; next to it the effects "
            "without and with B. It is 0 where the two simply add up."
        )
    seedless = [each.name for each in effects if each.seedless]
    if len(seedless) < len(effects):
        yield _about_tests(effects, mains, asked, len(interactions) - len(asked))
    if seedless:
        yield f"Not tested, because no seed changes any of their arms: {_named(seedless)}."
    for family, noun in ((mains, "main effect"), (asked, "interaction")):
        yield from _about_few(family, noun)
    single = [each.name for each in effects if each.n_least == 1 and not each.seedless]
    if single:
        yield (
            "Without an interval, because some setting has a single seed, which says nothing about "
            f"spread: {_named(single)}."
        )
    yield from _about_left_out(effects)
    for path in dict.fromkeys(path for each in mains for path in each.along):
        of = [each.name for each in mains if path in each.along]
        yield f"{path_title(path)} changes together with {_named(of)}: the effect is that of both."
    unmarked = [each.name for each in effects if each.survivors_only and (each.p_holm or 1) < ALPHA]
    if unmarked:
        yield f"Not marked, because only the surviving seeds support it: {_named(unmarked)}."


def _about_tests(
    effects: Sequence[Effect], mains: Sequence[Effect], asked: Sequence[Effect], others: int
) -> str:
    exact = exactness(each.flips for each in effects)
    marked = "†" if any(each.significant for each in effects) else "None is marked at"
    over = count(len(mains), "main effect")
    if asked:
        with_which = " with a factor of the baseline" if others else ""
        over += f" and, separately, over {count(len(asked), 'interaction')}{with_which}"
    explored = (
        f" The p of the other {count(others, 'interaction')} is not adjusted and marks nothing."
        if others
        else ""
    )
    return (
        f"{marked} p < {ALPHA:g}: {exact} two-sided sign-flip test of whole seeds, Holm-adjusted "
        f"over {over}.{explored}"
    )


def _about_few(family: Sequence[Effect], noun: str) -> Iterator[str]:
    """A note if no data could mark any of these as significant."""
    most = max((each.n for each in family if not each.seedless), default=0)
    prospect = power_of(most, len(family))
    if most and not prospect.can_reject and prospect.seeds_needed:
        yield (
            f"{count(most, 'seed')} cannot reach p < {ALPHA:g} over {count(len(family), noun)}, "
            f"whatever the data; {prospect.seeds_needed} can."
        )


def _about_left_out(effects: Sequence[Effect]) -> Iterator[str]:
    """A note on the seeds without a number in some arm."""
    why: dict[str, set[int]] = {}
    for each in effects:
        for reason, seeds in each.left_out.items():
            why.setdefault(reason, set()).update(seeds)
    if why:
        said = "; ".join(f"{reason}: {name_seeds(sorted(seeds))}" for reason, seeds in why.items())
        yield (
            "A setting counts the seeds with a number in all of its arms; a setting with no such "
            f"seed is left out. Without a number in some arm: {said}."
        )


def _named(names: Sequence[str]) -> str:
    return listed(names, most=_NAMED)
