"""Our numbers compared with published ones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lrd_core.spec import ExpectedSpec
from lrd_core.titles import speaking_titles, value_titles
from service.analysis.arms import ArmSummary, t_quantile
from service.analysis.configurations import Flat, agrees, flatten, value_at
from service.analysis.data import NON_FINITE, ArmId
from service.analysis.metrics import NumberFormat
from service.formatting import count

MEANING = (
    "Within noise: the published number is in the interval that holds one more run of ours in 95 % "
    "of cases, or within its tolerance. With few seeds the interval is wide, and no proof of "
    "equality."
)
"""The note below a table that has published numbers."""
MIN_SEEDS = 3
"""With two seeds the interval is 22 standard deviations wide, so everything is within noise."""


@dataclass(frozen=True)
class ExpectedRow:
    """One published value next to ours. Numbers are in the metric's own unit.

    The paper gives one number without a spread, so it is taken for one more run: if our runs and
    the paper's come from the same normal distribution, it lies with probability 0.95 in the
    prediction interval mean ± t(0.975, n − 1) · std · sqrt(1 + 1/n) of our n seeds. `verdict` is

    - `within noise`: the published value is in that interval, or within the given tolerance of
      our mean;
    - `differs`: it is outside both;
    - `too few seeds`: it is outside the tolerance, and n < 3 gives no interval worth the name;
    - `3 of 10 seeds survived: not compared`: others diverged, and the mean of those that did not is
      that of a choice of seeds;
    - `other settings: …`: nothing is judged, because the arm differs from what the published
      numbers were measured with (`expected.where`, `expected.parts`) in the settings listed;
    - `no such arm`, `several arms`: the conditions do not name exactly one arm of the sweep.
    """

    label: str
    """The arm's name; unless it is just one arm, the conditions: `Adam, LRD (keep_prob = 0.5)`."""
    where: dict[str, Any]
    paper: float
    arm_id: ArmId | None
    n: int
    ours: float | None
    std: float | None
    difference: float | None
    """ours − paper"""
    low: float | None
    """Ends of the prediction interval."""
    high: float | None
    verdict: str
    shown: tuple[str, str, str]
    """`paper`, `ours` and `difference` as the table writes them."""
    interval: str
    """The prediction interval as the table writes it."""

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self) | {"shown": list(self.shown)}


def hold_against(
    expected: ExpectedSpec, summaries: Sequence[ArmSummary], number: NumberFormat
) -> Iterator[ExpectedRow]:
    """Compare ours with each published value, in the order given; none is left out."""
    scale = 0.01 if expected.unit == "percent" else 1.0
    flats = [flatten(summary.arm.config) for summary in summaries]
    for value in expected.values:
        found = [
            (summary, flat)
            for summary, flat in zip(summaries, flats, strict=True)
            if agrees(flat, value.where)
        ]
        paper = value.value * scale
        arm = None
        verdict, low, high = ("several arms" if found else "no such arm"), None, None
        if len(found) == 1:
            ((arm, flat),) = found
            verdict, low, high = _judge(arm, paper, value.tolerance * scale)
            if unlike := _unlike(flat, _measured_with(expected, flat)):
                verdict, low, high = f"other settings: {unlike}", None, None
        ours = arm.mean if arm else None
        difference = None if ours is None else ours - paper
        yield ExpectedRow(
            label=arm.arm.label if arm else _conditions(value.where),
            where=dict(value.where),
            paper=paper,
            arm_id=arm.arm.id if arm else None,
            n=arm.n if arm else 0,
            ours=ours,
            std=arm.std if arm else None,
            difference=difference,
            low=low,
            high=high,
            verdict=verdict,
            shown=(number.show(paper), _ours(arm, number), _signed(difference, number)),
            interval="–"
            if low is None or high is None
            else f"{number.show(low)} to {number.show(high)}",
        )


# --- inside ---------------------------------------------------------------------------------------


def _judge(
    arm: ArmSummary, paper: float, tolerance: float
) -> tuple[str, float | None, float | None]:
    n, mean, std = arm.n, arm.mean, arm.std
    if arm.survivors_only:
        ended = n + sum(len(seeds) for why, seeds in arm.missing.items() if why in NON_FINITE)
        return f"{n} of {count(ended, 'seed')} survived: not compared", None, None
    # The slack allows for rounding: 0.9377 is not 93.77 / 100 to the last bit.
    close = mean is not None and abs(mean - paper) <= tolerance + 1e-12 * max(1.0, abs(paper))
    if mean is None or std is None or n < MIN_SEEDS:
        return ("within noise" if close and tolerance else "too few seeds"), None, None
    half = t_quantile(n - 1) * std * (1 + 1 / n) ** 0.5
    inside = close or abs(mean - paper) <= half
    return ("within noise" if inside else "differs"), mean - half, mean + half


def _measured_with(expected: ExpectedSpec, flat: Flat) -> dict[str, Any]:
    """The settings of an arm's published number."""
    parts = [part.where for part in expected.parts if agrees(flat, part.of)]
    return {path: value for where in (expected.where, *parts) for path, value in where.items()}


def _unlike(flat: Flat, where: Mapping[str, Any]) -> str:
    """How a configuration differs: `epochs = 2 (published: 200)`."""
    return "; ".join(
        f"{speaking_titles(path, [value_at(flat, path)])[0]} (published: "
        f"{'none' if published is None else value_titles(path, [published])[0]})"
        for path, published in where.items()
        if not agrees(flat, {path: published})
    )


def _conditions(where: Mapping[str, Any]) -> str:
    return ", ".join(speaking_titles(path, [value])[0] for path, value in where.items())


def _ours(arm: ArmSummary | None, number: NumberFormat) -> str:
    if arm is None or arm.mean is None:
        return "–"
    spread = "" if arm.std is None else f" ± {number.show(arm.std)}"
    return f"{number.show(arm.mean)}{spread} ({arm.count})"


def _signed(difference: float | None, number: NumberFormat) -> str:
    return "–" if difference is None else number.show(difference, sign=True)
