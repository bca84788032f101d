"""The notes under a table: what was left out, what the signs mean, what n can show."""

from collections.abc import Iterator, Sequence

from lrd_core.titles import path_title, speaking_titles, value_at
from service.analysis.arms import ArmSummary
from service.analysis.baselines import without_baseline
from service.analysis.comparisons import Comparison
from service.analysis.configurations import scope, under
from service.analysis.paired import ALPHA
from service.analysis.power import power_of, within_reach
from service.analysis.resampling import exactness
from service.analysis.shown import shown_p
from service.formatting import count, listed

MAX_ARMS_NAMED = 20
ITS_BASELINE = "its baseline"
"""The name for several baselines that have nothing in common."""
WAITING = {"queued", "running"}
"""States without a final number yet."""


def notes_on(
    summaries: Sequence[ArmSummary],
    comparisons: Sequence[Comparison],
    *,
    bold: str | None,
    best: str = "best",
    unsaid: Sequence[str] = (),
    baseline: Sequence[str] = (),
) -> Iterator[str]:
    """The notes of a table, in reading order.

    Args:
        bold: the pair factor, if it made any cell bold.
        best: what the best mean is called, as `Metric.best` says.
        unsaid: the paths in which arms differ though no title says so.
        baseline: the dotted paths of the sweep's baseline.
    """
    yield _about_spread(summaries)
    if unsaid:
        paths = _titles(unsaid)
        yield f"The arms also differ in {paths}; the table's CSV shows it, its titles do not."
    if bold:
        yield f"Bold: the {best} mean, as shown, of arms that differ only in {path_title(bold)}."
    yield from notes_on_comparisons(summaries, comparisons, baseline)


def notes_on_comparisons(
    summaries: Sequence[ArmSummary], comparisons: Sequence[Comparison], baseline: Sequence[str] = ()
) -> Iterator[str]:
    """What is missing, what is tested, and what is compared otherwise than requested; `baseline`:
    the dotted paths of the sweep's baseline."""
    yield from _about_gaps(summaries)
    yield from _about_tests(comparisons, against(summaries, comparisons, baseline))
    yield from _about_divergence(comparisons)
    yield from about_more_than_asked(comparisons, baseline)
    yield from _about_the_lonely(summaries, comparisons)


def advice_on(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Advice for the researcher before spending more, not for readers of the paper."""
    family = primary_of(comparisons)
    pairs = most_pairs(family)
    if pairs and not any(markable(family)):
        yield power_of(pairs, len(family)).sentence


def primary_of(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Those that the sweep is made for: one family for Holm's correction."""
    return [each for each in comparisons if each.primary]


def markable(family: Sequence[Comparison]) -> list[bool]:
    """Whether some data could give each of the primary comparisons a dagger, with the pairs that it
    has."""
    return within_reach([None if each.seedless else each.n for each in family])


def most_pairs(comparisons: Sequence[Comparison]) -> int:
    """The largest n of the comparisons tested; more are no help where seeds change nothing."""
    return max((comparison.n for comparison in comparisons if not comparison.seedless), default=0)


def against(
    summaries: Sequence[ArmSummary], comparisons: Sequence[Comparison], paths: Sequence[str]
) -> str:
    """`the baseline (Adam, without LRD)`; for several, what they have in common: `the baseline
    (without LRD, otherwise equal)`, if they are."""
    ids = {comparison.baseline_id for comparison in comparisons}
    if len(ids) == 1:
        return f"the baseline ({comparisons[0].baseline})"
    configs = [summary.arm.config for summary in summaries if summary.arm.id in ids]
    said = [
        speaking_titles(path, [values[0]])[0]
        for path in paths
        if (values := [value_at(config, path) for config in configs])
        and all(value == values[0] for value in values)
    ]
    if said and not _differing_in_more(comparisons, paths):
        said.append("otherwise equal")
    return f"the baseline ({', '.join(said)})" if said else ITS_BASELINE


def the_test(comparisons: Sequence[Comparison]) -> str:
    """Which test the daggers stand for: `exact two-sided paired sign-flip test`, and its family."""
    exact = exactness(comparison.flips for comparison in comparisons)
    family, kind = len(primary_of(comparisons)), "comparison"
    if family < len(comparisons):
        kind = "primary comparison"
    alone = family == len(comparisons) == 1 or not family
    over = "" if alone else f", Holm-adjusted over {count(family, kind)}"
    return f"{exact} two-sided paired sign-flip test{over}"


def lonely(summaries: Sequence[ArmSummary], comparisons: Sequence[Comparison]) -> list[str]:
    """The labels of the arms that have no baseline where others are or have one."""
    compared = {comparison.arm_id for comparison in comparisons}
    return without_baseline([summary.arm for summary in summaries], compared)


def about_more_than_asked(comparisons: Sequence[Comparison], paths: Sequence[str]) -> Iterator[str]:
    """A sentence that names the arms that differ from their baseline in more than `paths`, those of
    the sweep's baseline, and in what."""
    wider = _differing_in_more(comparisons, paths)
    if wider:
        named = _named([f"{arm} ({_titles(more)})" for arm, more in wider.items()])
        asked = _titles(paths)
        yield f"Compared with a baseline that differs in more than {asked}: {named}."


# --- inside ---------------------------------------------------------------------------------------


def _about_spread(summaries: Sequence[ArmSummary]) -> str:
    planned = sorted({summary.planned for summary in summaries})
    if planned == [1]:
        return "One seed per arm: nothing is known about the spread."
    text = "Mean ± sample standard deviation (divisor n − 1); in brackets n, the number of seeds"
    if any(not summary.complete for summary in summaries):
        text += ", out of those planned"
    return text + "."


def _about_gaps(summaries: Sequence[ArmSummary]) -> Iterator[str]:
    incomplete = [summary for summary in summaries if not summary.complete]
    waiting = [summary for summary in incomplete if summary.missing.keys() <= WAITING]
    broken = [summary for summary in incomplete if not summary.missing.keys() <= WAITING]
    for summary in broken[:MAX_ARMS_NAMED]:
        yield f"{summary.arm.label}: {summary.status}."
    if len(broken) > MAX_ARMS_NAMED:
        yield f"{len(broken) - MAX_ARMS_NAMED} more arms lack seeds; the CSV names them."
    if waiting:
        trials = sum(summary.planned - summary.n for summary in waiting)
        arms = "1 arm is" if len(waiting) == 1 else f"{len(waiting)} arms are"
        those = count(trials, "trial")
        yield f"{arms} not finished ({those} queued or running)."


def _about_tests(comparisons: Sequence[Comparison], whom: str) -> Iterator[str]:
    if not comparisons:
        return
    family = primary_of(comparisons)
    test, pairs, able = the_test(comparisons), most_pairs(family), markable(family)
    if any(comparison.significant for comparison in comparisons):
        yield f"† p < {ALPHA:g} against {whom}: {test}."
    elif pairs and not any(able):
        those = "1 pair is" if pairs == 1 else f"{pairs} pairs are"
        yield (
            f"Nothing is marked: {those} too few for p < {ALPHA:g} against {whom}, whatever the "
            f"data, by the {test}."
        )
    elif any(comparison.p_holm is not None for comparison in comparisons):
        yield f"No difference from {whom} is marked at p < {ALPHA:g}: {test}."
    exploratory = [each.arm for each in comparisons if not each.primary]
    if exploratory:
        yield (
            f"Exploratory, so their p is not adjusted and they are never marked: "
            f"{_named(exploratory)}."
        )
    for comparison in comparisons:
        if comparison.survivors_only and (comparison.p_holm or 1) < ALPHA:
            yield (
                f"{comparison.arm}: p < {ALPHA:g} among the seeds that did not diverge; not marked."
            )
    seedless = [each.arm for each in comparisons if each.seedless]
    if seedless:
        yield f"Not tested, because no seed changes the arm or its baseline: {_named(seedless)}."
    if not most_pairs(comparisons) and not seedless:
        yield "No seed gave a number in both an arm and its baseline: nothing is tested."
    if not any(able):
        return  # `advice_on` says it
    few = [
        f"{each.arm} ({each.n})"
        for each, is_able in zip(family, able, strict=True)
        if not each.seedless and not is_able
    ]
    if few:
        yield f"Too few pairs for any †, whatever the data: {_named(few)}."


def _about_divergence(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Notes on what the tests of differences leave out: seeds that diverged on one side."""
    told = [each for each in comparisons if each.diverged + each.baseline_diverged]
    for each in told[:MAX_ARMS_NAMED]:
        test = ""
        if each.p_wins is not None:  # otherwise no seed changes either, and nothing is tested
            test = f"; exact sign test p = {shown_p(each.p_wins)}, not adjusted"
        yield (
            f"{each.arm} against {each.baseline}, counting a diverged seed as lost: wins "
            f"{each.wins}, losses {each.losses}{test}."
        )


def _differing_in_more(
    comparisons: Sequence[Comparison], paths: Sequence[str]
) -> dict[str, list[str]]:
    """The arms that differ from their baseline in more than the sweep's baseline names, and in
    what; none if one arm was asked for as the baseline of all (no `paths`)."""
    tops = [scope(path) for path in paths]
    wider = {
        each.arm: [path for path in each.differs_in if not any(under(path, top) for top in tops)]
        for each in comparisons
        if tops
    }
    return {arm: more for arm, more in wider.items() if more}


def _titles(paths: Sequence[str]) -> str:
    return ", ".join(map(path_title, paths))


def _named(arms: Sequence[str]) -> str:
    return listed(arms, most=MAX_ARMS_NAMED)


def _about_the_lonely(
    summaries: Sequence[ArmSummary], comparisons: Sequence[Comparison]
) -> Iterator[str]:
    alone = lonely(summaries, comparisons)
    if alone:
        yield f"Without a baseline to compare with: {_named(alone)}."
