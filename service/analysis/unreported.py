"""Notes on metrics that a sweep asks for and that none of its trials reports."""

from collections import Counter
from collections.abc import Iterator, Sequence

from lrd_core.choices import SELDOM
from lrd_core.spec import ExpectedSpec
from lrd_core.spelling import did_you_mean
from service.formatting import count


def about_the_table(metric: str, reported: Sequence[str]) -> Iterator[str]:
    """A note if a table is of a metric that no trial reports; none before the first report."""
    if reported and metric not in (*reported, *SELDOM):
        yield (
            f"No trial reports {metric!r}{did_you_mean(metric, reported)}, which this table asks "
            f"for; the trials report {', '.join(reported)}: ask for one of these, or change "
            "table.metric with `lrd set`."
        )


def about_expected(expected: ExpectedSpec | None, reported: Sequence[str]) -> Iterator[str]:
    """A note for published numbers of a metric that no trial reports, which appear nowhere."""
    if not reported or expected is None:
        return
    named = Counter(value.metric or expected.metric for value in expected.values)
    for metric, numbers in named.items():
        if metric not in (*reported, *SELDOM):
            verb = "is" if numbers == 1 else "are"
            yield (
                f"{count(numbers, 'expected number')} {verb} of "
                f"{metric!r}{did_you_mean(metric, reported)}, which no trial reports, so compared "
                f"with nothing; the trials report {', '.join(reported)}."
            )
