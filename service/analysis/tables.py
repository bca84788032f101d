"""The table of a sweep, as data: rows, columns, cells and the notes a reader needs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lrd_core.spec import ExpectedSpec, TableSpec
from lrd_core.titles import ABSENT, ARM, path_title
from service.analysis.arms import ArmSummary
from service.analysis.comparisons import Comparison
from service.analysis.configurations import Flat, identity, scope, under, varying
from service.analysis.data import ArmId
from service.analysis.expected import MEANING, ExpectedRow, hold_against
from service.analysis.layout import Layout, axis, flatten_arms, lay_out, unsaid
from service.analysis.metrics import Metric, NumberFormat
from service.analysis.notes import advice_on, notes_on
from service.analysis.subjects import place_read, subject


@dataclass(frozen=True)
class Cell:
    """One arm in the table; a cell without an arm is a hole in the grid."""

    summary: ArmSummary | None = None
    comparison: Comparison | None = None
    """The comparison with its baseline; None for a baseline."""
    mean: str = ""
    """As shown: `94.61`; `diverged`, `running` … where there is no number yet."""
    spread: str = ""
    """Sample standard deviation as shown: `0.12`; empty for n = 1."""
    count: str = ""
    """The number of seeds behind it: `5`, or `4/5` if a planned one gave no number."""
    best: bool = False
    """Whether it is the better of its pair, by the mean as shown."""

    @property
    def text(self) -> str:
        """`94.61 ± 0.12 (4/5)`; empty for a hole."""
        spread = f" ± {self.spread}" if self.spread else ""
        return f"{self.mean}{spread} ({self.count})" if self.count else ""

    @property
    def significant(self) -> bool:
        """Whether it carries the dagger: p_holm < 0.05 against its baseline."""
        return self.comparison is not None and self.comparison.significant


@dataclass(frozen=True)
class Row:
    """One row: a title for each row path, and a cell for each column."""

    titles: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """Rows and columns with their titles; every arm of the sweep is in exactly one cell."""

    metric: Metric
    at: str
    """`last`, `best` or `epoch:N`."""
    layout: Layout
    heads: tuple[str, ...]
    """The title of each row path."""
    columns: tuple[tuple[str, ...], ...]
    """For each column, a title for each column path, outermost first."""
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    """What ± means, which cells are partial and why, which test the dagger stands for."""
    advice: tuple[str, ...]
    """What more seeds could show: for the researcher, not for the paper."""
    expected: tuple[ExpectedRow, ...]
    source: str
    """Where the expected values are published."""
    summaries: tuple[ArmSummary, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def caption(self) -> str:
        """`test loss, last epoch: mean ± standard deviation (n) over seeds; FCNet on MNIST`.

        A model or a data set that differs between arms is in a title instead.
        """
        place = place_read(self.at)
        text = f"{self.metric.title}, {place}: mean ± standard deviation (n) over seeds"
        about = subject([summary.arm.config for summary in self.summaries])
        return f"{text}; {about}" if about else text


def build_table(
    summaries: Sequence[ArmSummary],
    comparisons: Sequence[Comparison] = (),
    *,
    layout: TableSpec | None = None,
    metric: str = "test_accuracy",
    at: str = "last",
    baseline: Iterable[str] = (),
    expected: ExpectedSpec | None = None,
) -> Table:
    """The table of one metric.

    Args:
        summaries: as `arms.summarise` gives them.
        comparisons: as `comparisons.compare` gives them; without them there are no daggers.
        layout: rows, columns and pair; `layout.lay_out` chooses what it leaves out. Its `metric`
            and `at` are ignored, because the summaries already have one metric and place.
        metric: the summaries' metric.
        at: where it was read, for the caption.
        baseline: the dotted paths of the sweep's baseline.
        expected: published values; those of other metrics are ignored.
    """
    kind, asked, paths = Metric(metric), layout or TableSpec(), tuple(baseline)
    arms = [summary.arm for summary in summaries]
    flats = flatten_arms(arms, asked)
    chosen = lay_out(flats, asked, paths, labelled=any(arm.given for arm in arms))
    rows = axis(arms, flats, chosen.rows, headed=True)
    columns = axis(arms, flats, chosen.columns, headed=False)
    places = [(_at(flat, chosen.rows), _at(flat, chosen.columns)) for flat in flats]
    means, spreads = ([getattr(each, name) for each in summaries] for name in ("mean", "std"))
    number = NumberFormat.fitting(kind, means, spreads)
    best = _best(summaries, flats, chosen, number)
    of_arm = {comparison.arm_id: comparison for comparison in comparisons}
    cells = {
        place: _cell(summary, of_arm.get(summary.arm.id), number, summary.arm.id in best)
        for place, summary in zip(places, summaries, strict=True)
    }
    wanted = expected.of(metric) if expected else None
    return Table(
        metric=kind,
        at=at,
        layout=chosen,
        heads=tuple(path_title(path) for path in chosen.rows),
        columns=tuple(columns.titles),
        rows=tuple(
            Row(titles, tuple(cells.get((row, column), Cell()) for column in columns.places))
            for row, titles in zip(rows.places, rows.titles, strict=True)
        ),
        notes=(
            *notes_on(
                summaries,
                comparisons,
                bold=chosen.pair if best else None,
                best=kind.best,
                unsaid=unsaid(flats, chosen),
                baseline=paths,
            ),
            *([MEANING] if wanted else []),
        ),
        advice=tuple(advice_on(comparisons)),
        expected=tuple(hold_against(wanted, summaries, number)) if wanted else (),
        source=wanted.source if wanted else "",
        summaries=tuple(summaries),
        comparisons=tuple(comparisons),
    )


# --- inside ---------------------------------------------------------------------------------------


def _at(flat: Flat, paths: Iterable[str]) -> tuple[Any, ...]:
    return tuple(identity(flat.get(path, ABSENT)) for path in paths)


def _best(
    summaries: Sequence[ArmSummary], flats: Sequence[Flat], layout: Layout, number: NumberFormat
) -> set[ArmId]:
    """The ids of the arms to set in bold.

    Only the arms of a pair compete: those that differ in the pair factor alone (or, where that is
    the label, that share a row or a column). Means that read the same are equally good; if all read
    the same, none is bold. A mean over survivors (an arm with diverged seeds) is never bold, and
    neither is any mean that it beats.
    """
    if layout.pair is None:
        return set()
    paths = (*layout.rows, *layout.columns) if layout.pair == ARM else varying(flats)
    shared = [path for path in paths if path != ARM and not under(path, scope(layout.pair))]
    groups: dict[Any, list[ArmSummary]] = {}
    for flat, summary in zip(flats, summaries, strict=True):
        if summary.mean is not None:
            groups.setdefault(_at(flat, shared), []).append(summary)
    best: set[ArmId] = set()
    for group in groups.values():
        shown = {summary.arm.id: number.show(summary.mean or 0.0) for summary in group}
        if len(set(shown.values())) < 2:
            continue
        first = max(group, key=lambda summary: number.metric.better(summary.mean or 0.0))
        ties = [summary for summary in group if shown[summary.arm.id] == shown[first.arm.id]]
        if not any(summary.survivors_only for summary in ties):
            best |= {summary.arm.id for summary in ties}
    return best


def _cell(
    summary: ArmSummary, comparison: Comparison | None, number: NumberFormat, best: bool
) -> Cell:
    if summary.mean is None:
        # Every seed met the same fate: say it in a word.
        fates = list(summary.missing)
        word = fates[0] if len(fates) == 1 else "–"
        return Cell(summary, comparison, mean=word, count=summary.count)
    spread = "" if summary.std is None else number.show(summary.std)
    return Cell(summary, comparison, number.show(summary.mean), spread, summary.count, best)
