"""The comparisons of a sweep as a listing, with the notes a reader needs."""

from dataclasses import dataclass
from typing import Any

from service.analysis.arms import ArmSummary
from service.analysis.comparisons import Comparison
from service.analysis.listings import Line
from service.analysis.metrics import Metric, NumberFormat
from service.analysis.notes import ITS_BASELINE, advice_on, against, notes_on_comparisons
from service.analysis.printed import COMPARISONS
from service.analysis.shown import number_of, shown_p, signed
from service.analysis.subjects import place_read, subject

NONE = (
    "No arm has a baseline to be compared with. Any arm can be asked for as the baseline, by its "
    "label or its id: lrd compare SWEEP --baseline ARM (lrd table SWEEP --format csv has both)."
)
ALONE = "The sweep has one arm, so there is nothing to compare it with."


def why_none(arms: int) -> str:
    """Why a sweep of so many arms has no comparison."""
    return ALONE if arms == 1 else NONE


@dataclass(frozen=True)
class ComparisonTable:
    """The comparisons of one metric, read at one place."""

    comparisons: tuple[Comparison, ...]
    summaries: tuple[ArmSummary, ...]
    """Summaries of all arms, including those without a comparison."""
    metric: Metric
    at: str
    """`last`, `best` or `epoch:N`."""
    baseline: tuple[str, ...] = ()
    """The dotted paths of the sweep's baseline; empty if an arm was asked for instead."""
    warnings: tuple[str, ...] = ()
    """Warnings for the researcher, besides what more seeds could show."""

    @property
    def of(self) -> str:
        """The kind of listing, which identifies it in a paper's LaTeX file."""
        return COMPARISONS

    @property
    def caption(self) -> str:
        """`Test accuracy, last epoch: each arm minus the baseline (Adam); FCNet on MNIST`."""
        about = subject([summary.arm.config for summary in self.summaries])
        words = self.metric.words[:1].upper() + self.metric.words[1:]
        text = f"{words}, {place_read(self.at)}: each arm minus {self._whom}"
        return f"{text}; {about}" if about else text

    @property
    def heads(self) -> tuple[str, ...]:
        """Column headings."""
        unit = self.metric.difference_unit
        return (
            "arm" if self._is_said else "arm − its baseline",
            f"difference ({unit})" if unit else "difference",
            "95 % t interval",
            "wins-ties-losses",
            "n",
            "p",
            "p (Holm)",
        )

    @property
    def alignment(self) -> str:
        """Column alignment in LaTeX's notation."""
        return "lrccrrr"

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names of the CSV."""
        return "arm_id", "arm", "baseline_id", "baseline", "metric", "at", *_COLUMNS

    @property
    def lines(self) -> list[Line]:
        """One line per arm with a baseline, in the order of the arms; † means p (Holm) < 0.05."""
        number, is_said = number_of(self.metric, self.comparisons), self._is_said
        return [
            Line(
                each.arm,
                "",
                (
                    each.arm if is_said else f"{each.arm} − {each.baseline}",
                    *_cells(each, number),
                ),
                (
                    *(each.arm_id, each.arm, each.baseline_id, each.baseline),
                    *(self.metric.name, self.at),
                    *(getattr(each, name) for name in _COLUMNS),
                ),
            )
            for each in self.comparisons
        ]

    @property
    def items(self) -> list[dict[str, Any]]:
        """The comparisons as plain data."""
        return [each.to_json() for each in self.comparisons]

    @property
    def notes(self) -> list[str]:
        """What a difference is, what is tested and what is left out; or why there are none."""
        if not self.comparisons:
            return [why_none(len(self.summaries))]
        better = "higher" if self.metric.higher_is_better else "lower"
        return [
            "Difference: the mean over the n seeds that gave a number in both arms; its interval "
            f"is not adjusted for the number of comparisons. {better.capitalize()} is better.",
            "Wins-ties-losses: seeds on which the arm is better, equal, worse; an arm that "
            "diverged where the other did not has lost.",
            *notes_on_comparisons(self.summaries, self.comparisons, self.baseline),
        ]

    @property
    def advice(self) -> tuple[str, ...]:
        """What more seeds could show, and the warnings."""
        return *advice_on(self.comparisons), *self.warnings

    # --- inside -----------------------------------------------------------------------------------

    @property
    def _whom(self) -> str:
        return against(self.summaries, self.comparisons, self.baseline)

    @property
    def _is_said(self) -> bool:
        """Whether the caption says what an arm is compared with."""
        return self._whom != ITS_BASELINE


_COLUMNS = (
    "primary", "n", "wins", "ties", "losses", "diverged", "baseline_diverged", "difference", "std",
    "t_low", "t_high", "ci_low", "ci_high", "p_sign_flip", "flips", "p_holm", "p_wins", "p_t",
    "p_welch", "d_z", "g_z", "correlation", "survivors_only", "significant", "left_out",
)  # fmt: skip


def _cells(each: Comparison, number: NumberFormat) -> tuple[str, ...]:
    return (
        signed(number, each.difference) + "†" * each.significant,
        signed(number, each.t_low, each.t_high, " to "),
        f"{each.wins}-{each.ties}-{each.losses}",
        str(each.n),
        shown_p(each.p_sign_flip),
        shown_p(each.p_holm),
    )
