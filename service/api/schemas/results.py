"""Results of a sweep: arms, comparisons, effects, table, methods, curves, speed, power, figures."""

from typing import Any, Literal

from pydantic import Field

from service.api.schemas.parts import Answer, Number, Page
from service.choices import Axis


class Statistics(Answer):
    """A metric over the seeds of an arm."""

    n: int
    mean: Number | None
    std: Number | None
    standard_error: Number | None
    ci_low: Number | None
    ci_high: Number | None
    median: Number | None
    iqm: Number | None
    min: Number | None
    max: Number | None
    epoch: float | None


class Arm(Answer):
    """A configuration, the outcome of its seeds, and their statistics."""

    id: int
    label: str
    config: dict[str, Any]
    is_baseline: bool
    is_primary: bool
    n: int
    planned: int
    failed: int
    diverged: int
    status: str
    missing: dict[str, Any]
    metrics: dict[str, Statistics]
    seconds: float
    gpu_seconds: float
    cpu_seconds: float


class ArmPage(Page[Arm]):
    """Arms in order."""


class Comparison(Answer):
    """An arm against its baseline, paired by seed."""

    arm_id: int
    arm: str
    baseline_id: int
    baseline: str
    differs_in: list[str]
    metric: str
    higher_is_better: bool
    primary: bool
    n: int
    left_out: dict[str, list[int]]
    wins: int
    ties: int
    losses: int
    diverged: int
    baseline_diverged: int
    difference: Number | None
    ci_low: Number | None
    ci_high: Number | None
    t_low: Number | None
    t_high: Number | None
    std: Number | None
    p_sign_flip: float | None
    flips: int | None
    p_holm: float | None
    p_wins: float | None
    p_t: Number | None
    p_welch: Number | None
    d_z: Number | None
    g_z: Number | None
    correlation: Number | None
    better: bool | None
    significant: bool
    survivors_only: bool


class Comparisons(Page[Comparison]):
    """Each arm against its baseline."""

    caption: str
    metric: str
    at: str
    unit: str
    scale: float = Field(description="factor that converts the numbers to `unit`")
    notes: list[str]


class Effect(Answer):
    """The effect of a factor's level, averaged over the settings of the others; or an interaction
    of two factors."""

    kind: Literal["main", "interaction"]
    name: str
    where: dict[str, Any]
    factors: list[str]
    levels: list[str]
    references: list[str]
    along: list[str]
    asked: bool
    planned: int
    settings: int
    metric: str
    higher_is_better: bool
    n: int
    n_least: int
    left_out: dict[str, list[int]]
    diverged: int
    survivors_only: bool
    difference: Number | None
    lowest: Number | None
    highest: Number | None
    t_low: Number | None
    t_high: Number | None
    std: Number | None
    p_sign_flip: float | None
    flips: int | None
    p_holm: float | None
    p_t: Number | None
    d_z: Number | None
    better: bool | None
    significant: bool


class Effects(Page[Effect]):
    """Main effects, then interactions; if there are none, `notes` says why."""

    caption: str
    metric: str
    at: str
    unit: str
    scale: float = Field(description="factor that converts the numbers to `unit`")
    notes: list[str]


class ShownDifference(Answer):
    """The numbers of a difference as texts, with as many digits as its table takes; a dash for what
    is not known."""

    difference: str
    interval: str = Field(description="the Student t interval: `+0.50 to +1.00`")
    p_sign_flip: str
    p_holm: str


class Difference(Answer):
    """A cell compared with its baseline."""

    baseline_id: int
    n: int
    difference: Number | None
    ci_low: Number | None
    ci_high: Number | None
    t_low: Number | None
    t_high: Number | None
    p_sign_flip: float | None
    p_holm: float | None
    shown: ShownDifference


class Cell(Answer):
    """A cell of the table, as text and as numbers."""

    text: str
    best: bool
    significant: bool
    arm_id: int
    number: int
    label: str
    planned: int
    n: int
    failed: int
    diverged: int
    mean: Number | None
    std: Number | None
    ci_low: Number | None
    ci_high: Number | None
    status: str
    comparison: Difference | None


class Row(Answer):
    """A row of the table."""

    titles: list[str]
    cells: list[Cell | None]


class Layout(Answer):
    """The paths that make the rows and the columns."""

    rows: list[str]
    columns: list[str]
    pair: str | None


class Table(Answer):
    """The table of one metric."""

    caption: str
    metric: str
    at: str
    unit: str
    scale: float = Field(description="factor that converts the numbers to `unit`")
    higher_is_better: bool
    layout: Layout
    heads: list[str]
    columns: list[list[str]]
    rows: list[Row]
    notes: list[str]
    expected: list[dict[str, Any]]
    source: str
    metrics: list[str]


class Paragraph(Answer):
    """A paragraph about one subject."""

    title: str
    text: str


class Methods(Page[Paragraph]):
    """How the numbers of one metric were obtained."""

    metric: str
    at: str


class Curve(Answer):
    """The mean over an arm's seeds, epoch by epoch."""

    arm_id: int
    label: str
    trials: int
    epochs: list[int]
    x: list[Number | None]
    mean: list[Number | None]
    std: list[Number | None]
    n: list[int]
    thinned_from: int | None
    planned: int
    diverged: list[int]
    n_least: int | None
    n_most: int | None


class Curves(Page[Curve]):
    """The curves of one metric."""

    metric: str
    by: Axis


class Reach(Answer):
    """How soon an arm's trials reach a value."""

    arm_id: int
    label: str
    trials: int
    reached: int
    never: list[int]
    undecided: list[int]
    epochs: Number | None
    seconds: Number | None


class Speed(Answer):
    """How soon an arm reaches the value, compared with its baseline."""

    arm_id: int
    arm: str
    baseline_id: int
    baseline: str
    n: int
    faster: int
    ties: int
    slower: int
    epoch_ratio: Number | None
    second_ratio: Number | None


class SpeedAnswer(Page[Reach]):
    """How soon each arm reaches a value of a metric."""

    metric: str
    threshold: Number
    comparisons: list[Speed]


class Detectable(Answer):
    """What the pairs of one comparison can find, and how many a given difference takes."""

    arm_id: int
    arm: str
    baseline_id: int
    baseline: str
    primary: bool
    n: int = Field(description="pairs so far")
    alpha: float = Field(description="0.05 over the number of primary comparisons; for others 0.05")
    std: float | None = Field(description="standard deviation of the paired differences")
    std_high: float | None = Field(description="its upper 80 % confidence limit")
    detectable: float | None = Field(
        description="the smallest difference that n pairs find with 80 % power"
    )
    seeds: int | None = Field(description="pairs that find the difference asked about")
    seeds_high: int | None = Field(description="the same if the spread is std_high")


class Power(Page[Detectable]):
    """Which differences the seeds so far can find."""

    metric: str
    at: str
    difference: float | None
    unit: str
    scale: float
    notes: list[str]


class Plot(Answer):
    """A figure for Plotly."""

    data: list[dict[str, Any]]
    layout: dict[str, Any]
