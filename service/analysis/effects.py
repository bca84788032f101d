"""What each factor of a sweep does: main effects, and interactions of two, paired by seed.

A comparison sets one arm against another. An effect sets one level of a factor against its
reference in every setting of the other factors, and takes the mean. With 16 arms of SD, NL, NG and
DG, on and off, the effect of SD rests on 8 differences per seed instead of one.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import combinations, product
from typing import Any, Literal

import numpy as np

from lrd_core.titles import value_titles
from service.analysis.arms import group_by_arm
from service.analysis.comparisons import is_seeded, tested
from service.analysis.contrasts import averaged
from service.analysis.data import NON_FINITE, ArmInfo, Floats, Observation
from service.analysis.factors import Design, designs
from service.analysis.metrics import Metric
from service.analysis.paired import ALPHA, holm


@dataclass(frozen=True)
class Effect:
    """A main effect or an interaction of two factors.

    In each setting it is a mean over the seeds that gave a number in all of the setting's arms (two
    for a main effect, four for an interaction). The effect is the mean over the settings that have
    such a seed, with equal weights. Differences are in the metric's own unit (accuracies are
    shares). A field is None if the number of seeds or the spread does not define it.
    """

    kind: Literal["main", "interaction"]
    name: str
    """`SD`, `SGDM − Adam`, `LRD (keep_prob = 0.5) × SD`; with the data set or model, if several."""
    where: dict[str, Any]
    """The data set and the model, where the sweep has several."""
    factors: tuple[str, ...]
    """One dotted path or two: `optimizer.keep_prob`, `regularizers.SD`."""
    levels: tuple[str, ...]
    """The level of each factor."""
    references: tuple[str, ...]
    """The level that each is compared with."""
    along: tuple[str, ...]
    """Paths that change with a factor between some of the arms, so that it does not act alone."""
    asked: bool
    """Whether it is tested in a family: a main effect, or an interaction with a factor of the
    sweep's baseline (with any factor, if the baseline names none). The others are exploratory: they
    have an unadjusted p and are never marked."""
    planned: int
    """Settings of the other factors for which the sweep has every arm needed."""
    settings: int
    """Settings that also have a seed: the mean is taken over these."""
    metric: str
    higher_is_better: bool
    n: int
    """Seeds that count in at least one setting."""
    n_least: int
    """Seeds of the setting with the fewest; n if every seed counts in all settings."""
    left_out: dict[str, tuple[int, ...]]
    """Why seeds do not count in some setting -> those seeds; a seed may occur twice."""
    diverged: int
    """Trials of its arms whose numbers left the floats."""
    survivors_only: bool
    """Whether, in some setting, the better side diverged on a seed that the other side finished;
    for an interaction, whether any trial diverged. Such an effect is between survivors, and never
    marked as significant."""
    difference: float | None = None
    """Main effect: level − reference. Interaction: how much larger the first factor's effect is
    with the second than without, (both − second alone) − (first alone − neither)."""
    lowest: float | None = None
    """Main effect: the smallest in any setting. Interaction: the first factor's effect without the
    second."""
    highest: float | None = None
    """Main effect: the largest in any setting. Interaction: the first factor's effect with the
    second."""
    t_low: float | None = None
    """95 % Student t interval of the difference, with n_least − 1 degrees of freedom; n_least ≥ 2.
    Its standard error is that of the seeds' shares in the difference (clustered by seed); each
    setting's residuals are multiplied by √(n / (n − 1)) with its own n."""
    t_high: float | None = None
    std: float | None = None
    """√n times that standard error; n_least ≥ 2. If every seed counts in all settings, this is the
    sample standard deviation of the seeds' differences."""
    p_sign_flip: float | None = None
    """Two-sided, by sign flips of whole seeds; never below 2 / 2^n."""
    flips: int | None = None
    """Random sign patterns behind `p_sign_flip`, if there were too many seeds to count all."""
    p_holm: float | None = None
    """`p_sign_flip`, adjusted by Holm over all main effects of the metric, or over all interactions
    that are `asked`; None for the others."""
    p_t: float | None = None
    """Two-sided t test of the difference; n_least ≥ 2 and a spread."""
    d_z: float | None = None
    """Cohen's d of the seeds' differences: difference / std."""

    @property
    def better(self) -> bool | None:
        """Whether it improves the metric; None if nothing changes or nothing is known."""
        if not self.difference:
            return None
        return (self.difference > 0) == self.higher_is_better

    @property
    def significant(self) -> bool:
        """Whether p_holm < 0.05, other than by survival alone."""
        return self.p_holm is not None and self.p_holm < ALPHA and not self.survivors_only

    @property
    def seedless(self) -> bool:
        """Whether no seed changes any of its arms, so that nothing is tested."""
        return self.n > 0 and self.p_sign_flip is None

    @property
    def title(self) -> str:
        """The name of its line in a forest plot."""
        return self.name

    @property
    def tested(self) -> str:
        """`n = 9, p (Holm) = 0.039`, next to its line in a figure."""
        lost = f", diverged: {self.diverged}" if self.diverged and not self.n else ""
        return tested(self.n, self.p_holm) + lost

    def to_json(self) -> dict[str, Any]:
        """Flat and JSON-safe, with `better` and `significant`."""
        flat = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("factors", "levels", "references", "along"):
            flat[name] = list(flat[name])
        flat["left_out"] = {why: list(seeds) for why, seeds in self.left_out.items()}
        return flat | {"better": self.better, "significant": self.significant}


def effects_of(
    arms: Sequence[ArmInfo],
    observations: Iterable[Observation],
    *,
    metric: str = "test_accuracy",
    baseline: Iterable[str] = (),
) -> list[Effect]:
    """The main effects of each factor, then the interactions of every two.

    Each data set and model is treated by itself, and has no effects if its arms differ in only one
    factor, since their comparisons already say everything.

    Args:
        baseline: the dotted paths of the sweep's baseline.

    Raises:
        ValueError: an observation names an unknown arm, or an arm has a seed twice.
    """
    of_arm = group_by_arm(arms, observations)
    contrasts: list[_Contrast] = []
    sights: list[_Sight] = []
    for design in designs(arms, baseline):
        if len(design.factors) > 1:
            seen = _Seen([of_arm[arm.id] for arm in design.arms])
            of_design = list(_contrasts(design))
            contrasts += of_design
            sights += map(seen.through, of_design)
    numbers = averaged([sight.settings for sight in sights])
    for contrast, found in zip(contrasts, numbers, strict=True):
        if not contrast.seeded:
            found["p_sign_flip"] = None
    for is_main in (True, False):
        family = [
            found
            for found, contrast in zip(numbers, contrasts, strict=True)
            if contrast.is_main == is_main and contrast.told["asked"]
        ]
        adjusted = holm([each.get("p_sign_flip") for each in family])
        for each, p_holm in zip(family, adjusted, strict=True):
            each["p_holm"] = p_holm
    every = [
        _effect(contrast, sight, found, Metric(metric))
        for contrast, sight, found in zip(contrasts, sights, numbers, strict=True)
    ]
    return sorted(every, key=lambda effect: (effect.kind != "main", not effect.asked))


def in_no_effect(design: Design) -> list[ArmInfo]:
    """The arms that are in no setting of any effect: no other differs from them in one factor
    alone, one of the two having its reference level."""
    used = {
        at
        for factor in range(len(design.factors))
        for settings in _settings(design, [factor]).values()
        for arms in settings
        for at in arms
    }
    return [arm for at, arm in enumerate(design.arms) if at not in used]


# --- inside ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Contrast:
    """Which arms of a design an effect adds and which it subtracts, by their indices."""

    told: dict[str, Any]
    """The effect's fields that are not numbers, by name."""
    settings: list[tuple[int, ...]]
    """The arms of each setting: (level, reference) for a main effect; (both factors, first alone,
    second alone, neither) for an interaction. `signs` says which are subtracted."""
    seeded: bool
    """Whether the seed changes the result of any of them."""

    @property
    def is_main(self) -> bool:
        """Whether this is a main effect; otherwise it is an interaction."""
        return len(self.settings[0]) == 2

    @property
    def signs(self) -> tuple[int, ...]:
        """The signs of a setting's arms."""
        return (1, -1) if self.is_main else (1, -1, -1, 1)


@dataclass(frozen=True)
class _Sight:
    """A contrast, seed by seed."""

    settings: Floats
    """Each arm's number with its sign: (settings, arms of a setting, seeds). NaN where a seed does
    not count."""
    left_out: dict[str, tuple[int, ...]]
    ran_away: int
    """Trials of its arms whose numbers left the floats."""
    lost: tuple[int, int]
    """How many of them count against the added side, if that is better, and against the subtracted
    one. For a main effect: that side's trials whose opposite gave a number; for an interaction:
    all."""


class _Seen:
    """The numbers of a design's arms, arm by arm and seed by seed."""

    def __init__(self, of_arm: Sequence[Sequence[Observation]]) -> None:
        self._seeds = sorted({trial.seed for trials in of_arm for trial in trials})
        column = {seed: at for at, seed in enumerate(self._seeds)}
        shape = len(of_arm), len(self._seeds)
        self._values = np.full(shape, np.nan)
        self._why = np.full(shape, "not planned", dtype=object)
        for row, trials in enumerate(of_arm):
            for trial in trials:
                at = row, column[trial.seed]
                self._why[at] = trial.missing
                if trial.missing is None:
                    self._values[at] = trial.value
        self._ran_away = np.isin(self._why, list(NON_FINITE))

    def through(self, contrast: _Contrast) -> _Sight:
        """The contrast, seed by seed."""
        arms, signs = np.array(contrast.settings), np.array(contrast.signs)
        values = self._values[arms]
        gone, whole = self._ran_away[arms], np.isfinite(values)
        values[np.broadcast_to(np.isnan(values).any(axis=1, keepdims=True), values.shape)] = np.nan
        used = np.unique(arms)
        left_out: dict[str, list[int]] = {}
        for at in np.flatnonzero((self._why[used] != None).any(axis=0)):  # noqa: E711 - elementwise
            for why in sorted({str(why) for why in self._why[used, at] if why is not None}):
                left_out.setdefault(why, []).append(self._seeds[at])
        ran_away = int(self._ran_away[used].sum())
        lost = ran_away, ran_away
        if contrast.is_main:
            lost = int((gone[:, 0] & whole[:, 1]).sum()), int((gone[:, 1] & whole[:, 0]).sum())
        return _Sight(
            values * signs[None, :, None],
            {why: tuple(seeds) for why, seeds in left_out.items()},
            ran_away,
            lost,
        )


def _contrasts(design: Design) -> Iterator[_Contrast]:
    for order in (1, 2):
        for chosen in combinations(range(len(design.factors)), order):
            for levels, settings in sorted(_settings(design, chosen).items()):
                yield _contrast(design, chosen, levels, settings)


def _settings(
    design: Design, chosen: Sequence[int]
) -> dict[tuple[int, ...], list[tuple[int, ...]]]:
    """For each combination of these factors' non-reference levels, the settings that have both arms
    of the main effect, or all four of the interaction."""
    place = {point: at for at, point in enumerate(design.points)}
    found: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for point in design.points:
        levels = tuple(point[at] for at in chosen)
        if 0 in levels:
            continue
        arms: list[int] = []
        for kept in product((1, 0), repeat=len(chosen)):
            moved = list(point)
            for at, keep in zip(chosen, kept, strict=True):
                moved[at] *= keep
            if (arm := place.get(tuple(moved))) is None:
                break  # a hole in the grid
            arms.append(arm)
        else:
            found.setdefault(levels, []).append(tuple(arms))
    return found


def _contrast(
    design: Design,
    chosen: Sequence[int],
    levels: Sequence[int],
    settings: list[tuple[int, ...]],
) -> _Contrast:
    factors = [design.factors[at] for at in chosen]
    names = [factor.names[level] for factor, level in zip(factors, levels, strict=True)]
    if len(names) > 1:
        names = [f"({name})" if " − " in name else name for name in names]
    where = [value_titles(path, [value])[0] for path, value in design.where.items()]
    of_question = any(factor.is_asked for factor in design.factors)
    told = {
        "kind": "main" if len(names) == 1 else "interaction",
        "name": ": ".join(filter(None, [", ".join(where), " × ".join(names)])),
        "where": design.where,
        "factors": tuple(factor.path for factor in factors),
        "levels": tuple(each.levels[level] for each, level in zip(factors, levels, strict=True)),
        "references": tuple(factor.levels[0] for factor in factors),
        "along": tuple(dict.fromkeys(path for factor in factors for path in factor.along)),
        "asked": len(names) == 1 or not of_question or any(each.is_asked for each in factors),
        "planned": len(settings),
    }
    seeded = any(is_seeded(design.arms[at].config) for arms in settings for at in arms)
    return _Contrast(told, settings, seeded)


def _effect(contrast: _Contrast, sight: _Sight, numbers: dict[str, Any], metric: Metric) -> Effect:
    difference, (up, down) = numbers.get("difference"), sight.lost
    better_up = difference is not None and metric.better(difference) > 0
    lost = up if better_up else down
    return Effect(
        **contrast.told,
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
        left_out=sight.left_out,
        diverged=sight.ran_away,
        survivors_only=bool(difference) and lost > 0,
        **numbers,
    )
