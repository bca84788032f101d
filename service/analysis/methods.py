"""How a sweep's numbers were obtained, in the words of a paper's section on methods.

All of it comes from the spec and the records, including failures and costs. What the sweep was for
and what it means is left to its author.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lrd_core.choices import AUGMENTED
from lrd_core.titles import value_titles
from service.analysis import mixtures
from service.analysis.arms import CONFIDENCE, ArmSummary, name_seeds
from service.analysis.comparisons import Comparison, is_seeded
from service.analysis.effects import Effect
from service.analysis.escaping import escape_latex, escape_markdown, latex_comment
from service.analysis.metrics import Metric
from service.analysis.mixtures import Provenance, Recomputed
from service.analysis.notes import (
    MAX_ARMS_NAMED,
    WAITING,
    about_more_than_asked,
    against,
    lonely,
    markable,
    most_pairs,
    primary_of,
    the_test,
)
from service.analysis.paired import ALPHA
from service.analysis.recipe import has_networks, recipe, shared_of
from service.analysis.resampling import exactness
from service.analysis.subjects import place_read
from service.formatting import count, listed


@dataclass(frozen=True)
class Ran:
    """Facts about the trials other than their numbers."""

    seeds: tuple[int, ...]
    """The seeds of all trials, in ascending order."""
    precision: str = "fp32"
    """`fp32`, `tf32` or `bf16`, as requested."""
    reused: int = 0
    """Trials whose results come from another sweep."""
    repeated: int = 0
    """Trials that took more than one attempt."""
    extended: tuple[str, ...] = ()
    """How the sweep was extended after it was submitted: `extended by 3 trials`."""
    has_primary: bool = False
    """Whether the sweep names primary comparisons, those with its own baseline."""
    made: tuple[Provenance, ...] = ()
    recomputed: Recomputed = mixtures.NOTHING
    devices: tuple[tuple[str, int, bool], ...] = ()
    """Each device, the number of trials that ran on it, and whether it is a GPU."""


@dataclass(frozen=True)
class Paragraph:
    """A paragraph about one subject."""

    title: str
    text: str


@dataclass(frozen=True)
class Methods:
    """The paragraphs, and the numbers that they describe."""

    metric: Metric
    at: str
    paragraphs: tuple[Paragraph, ...]


def describe(
    summaries: Sequence[ArmSummary],
    comparisons: Sequence[Comparison],
    ran: Ran,
    *,
    effects: Sequence[Effect] = (),
    metric: str,
    at: str = "last",
    baseline: Sequence[str] = (),
) -> Methods:
    """Describe how the numbers of one metric were obtained.

    Args:
        summaries: those of every arm.
        comparisons: as `comparisons.compare` gives them.
        ran: other facts about the trials.
        effects: as `effects.effects_of` gives them.
        metric: the summaries' metric.
        at: where it was read.
        baseline: the dotted paths of the sweep's baseline; empty if an arm was asked for instead.
    """
    arms = [summary.arm for summary in summaries]
    on_gpus = any(is_gpu for *_, is_gpu in ran.devices) if ran.devices else None
    said = {
        "Draft": _draft(summaries),
        "Training": recipe(arms, ran.precision, on_gpus=on_gpus, sizes=_sizes(summaries, ran)),
        "Seeds": _seeds(summaries, ran),
        "Numbers": _numbers(summaries, metric, at),
        "Tests": _tests(summaries, comparisons, effects, baseline, ran),
        "Trials": _trials(summaries, ran),
        "Cost": _cost(summaries, ran),
        "Code and data": _code(summaries, ran),
    }
    paragraphs = (Paragraph(title, " ".join(texts)) for title, texts in said.items())
    return Methods(Metric(metric), at, tuple(each for each in paragraphs if each.text))


def markdown(methods: Methods) -> str:
    """One paragraph each, its title in bold."""
    return "\n".join(
        f"**{each.title}.** {escape_markdown(each.text)}\n" for each in methods.paragraphs
    )


def latex(methods: Methods, provenance: Mapping[str, Any] | None = None) -> str:
    r"""One `\paragraph` each, with the `provenance` (name -> value) in comments above them."""
    lines = [latex_comment(f"{key}: {value}") for key, value in (provenance or {}).items()]
    lines += [
        rf"\paragraph{{{each.title}.}} {escape_latex(each.text)}" for each in methods.paragraphs
    ]
    return "\n".join(lines) + "\n"


def to_json(methods: Methods) -> dict[str, Any]:
    """The paragraphs in order."""
    items = [asdict(each) for each in methods.paragraphs]
    return {"metric": methods.metric.name, "at": methods.at, "items": items}


# --- inside ---------------------------------------------------------------------------------------


def _draft(summaries: Sequence[ArmSummary]) -> Iterator[str]:
    """A warning that the account is provisional, if the sweep has not ended."""
    waiting = sum(
        len(seeds)
        for summary in summaries
        for why, seeds in summary.missing.items()
        if why in WAITING
    )
    if waiting:
        planned = sum(summary.planned for summary in summaries)
        yield (
            f"{planned - waiting} of {count(planned, 'trial')} have ended; the sweep has not, "
            "and what follows will change."
        )


def _sizes(summaries: Sequence[ArmSummary], ran: Ran) -> list[int | None]:
    """The number of parameters of each arm's network; None until a trial has reported it."""
    known = {each.arm_id: each.parameters for each in ran.made if each.parameters is not None}
    return [known.get(summary.arm.id) for summary in summaries]


def _seeds(summaries: Sequence[ArmSummary], ran: Ran) -> Iterator[str]:
    planned = sorted({summary.planned for summary in summaries})
    if len(planned) == 1:
        yield f"Each arm has {count(planned[0], 'seed')} ({_spelt(ran.seeds)})."
    else:
        yield f"Arms have {planned[0]} to {planned[-1]} of the seeds {_spelt(ran.seeds)}."
    configs = [summary.arm.config for summary in summaries]
    drawn = _drawn(configs)
    if not has_networks(configs) and any(config.get("dataset") != "surface" for config in configs):
        yield "The seed sets torch's random number generators and LRD's masks."
    elif not drawn:
        yield "Nothing in them is random: the seed changes nothing."
    else:
        and_last = " and ".join([*filter(None, [", ".join(drawn[:-1])]), drawn[-1]])
        yield f"The seed determines {and_last}."
    if has_networks(configs) and len(configs) > 1:
        is_one = {"model", "dataset"} <= shared_of(configs).keys()
        of_one = "" if is_one else " with the same model and data set"
        if common := _common(configs):
            yield f"With the same seed, arms{of_one} {' and '.join(common)}."
    unmoved = [summary.arm.label for summary in summaries if not is_seeded(summary.arm.config)]
    if drawn and unmoved:
        yield f"Arms that the seed does not affect: {listed(unmoved, '; ')}."
    if ran.extended:
        yield f"After it was submitted, the sweep was {listed(ran.extended)}."


def _common(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What arms of one model and data set have in common with the same seed."""
    shared = shared_of([{"data": {}, "pretrained": False, **config} for config in configs])
    weights = ["start from the same weights"] if "pretrained" in shared else []
    batches = ["see the same batches"] if {"batch_size", "data"} <= shared.keys() else []
    return weights + batches


def _drawn(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The things that are drawn at random in some arm."""
    kinds = {each["kind"] for config in configs for each in config.get("regularizers", [])}
    masked = any(config["optimizer"].get("keep_prob", 1.0) != 1.0 for config in configs)
    augmented = any(
        config.get("dataset") in AUGMENTED or "cutout" in (config.get("data") or {})
        for config in configs
    )
    drawn = []
    if any(config.get("dataset") != "surface" for config in configs):
        drawn += ["the initial weights", "the order of the data"]
    drawn += ["data augmentation"] if augmented else []
    drawn += ["the label noise"] if "NL" in kinds else []
    drawn += ["the gradient noise"] if "NG" in kinds else []
    drawn += ["the masks"] if masked or kinds & {"SD", "DG"} else []
    return drawn


def _spelt(seeds: Sequence[int]) -> str:
    """`0 to 9`, `4`, `1, 5, 8`."""
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"{seeds[0]} to {seeds[-1]}"
    return listed([str(seed) for seed in seeds])


def _numbers(summaries: Sequence[ArmSummary], metric: str, at: str) -> Iterator[str]:
    words = Metric(metric).words
    if at == "best":
        yield (
            f"The {words} is that of each trial's best epoch, chosen by that same metric, which "
            "favours arms that fluctuate."
        )
    else:
        the = "" if at.startswith("epoch:") else "the "
        place = place_read(at)
        yield f"The {words} is read at {the}{place} of each trial; it was not used to choose it."
    if max(summary.planned for summary in summaries) > 1:
        yield (
            "Tables give the mean ± sample standard deviation (divisor n − 1) over the successful "
            f"trials of each arm; intervals are {100 * CONFIDENCE:g} % Student t intervals."
        )
    else:
        yield "With one trial per arm, nothing is known about the spread."


def _tests(
    summaries: Sequence[ArmSummary],
    comparisons: Sequence[Comparison],
    effects: Sequence[Effect],
    baseline: Sequence[str],
    ran: Ran,
) -> Iterator[str]:
    seedless = [comparison.arm for comparison in comparisons if comparison.seedless]
    if len(seedless) < len(comparisons):
        yield (
            f"Arms are compared with {against(summaries, comparisons, baseline)} on the same "
            f"seeds, by the {the_test(comparisons)}; p < {ALPHA:g} is called significant."
        )
        family = primary_of(comparisons)
        pairs = most_pairs(family)
        if pairs and not any(markable(family)):
            yield f"{count(pairs, 'pair')} cannot reach that, whatever the data."
        yield from _about_the_family(comparisons, family, ran, asked=not baseline)
    if seedless:
        yield f"Not tested, because no seed changes them or their baseline: {listed(seedless)}."
    if any(each.diverged or each.baseline_diverged for each in comparisons):
        yield (
            "A seed that diverged in either arm forms no pair; in the counts of wins and losses, "
            "an arm that diverged where the other did not has lost. No difference is called "
            "significant if the better side is better only because its worst seeds diverged."
        )
    if alone := lonely(summaries, comparisons):
        yield f"Without a baseline to compare with: {listed(alone)}."
    yield from about_more_than_asked(comparisons, baseline)
    yield from _about_effects(effects, named=len(seedless) < len(comparisons))


def _about_the_family(
    comparisons: Sequence[Comparison], family: Sequence[Comparison], ran: Ran, *, asked: bool
) -> Iterator[str]:
    """Which comparisons were named as primary, and when; `asked`: with an arm that was asked for as
    the baseline, of which the sweep's own primary comparisons say nothing."""
    if asked:
        own = "; the primary comparisons that the sweep names are with another and do not apply"
        yield f"This baseline was chosen when the results were read{own * ran.has_primary}."
    when = "before the trials ran"
    if ran.reused:
        known = count(ran.reused, "trial")
        when = f"when the sweep was submitted, with the results of {known} already known"
    rest = len(comparisons) - len(family)
    if not family:
        yield f"No primary comparison, named {when}, has a baseline; all are exploratory."
    elif rest:
        named = listed([each.arm for each in family], most=MAX_ARMS_NAMED)
        yield (
            f"The primary comparisons, named {when}, are those of {named}; "
            f"{'the other is' if rest == 1 else f'the other {rest} are'} exploratory."
        )


def _about_effects(effects: Sequence[Effect], *, named: bool) -> Iterator[str]:
    """How effects are tested; `named`: whether the test and its level have been named before."""
    mains = [each for each in effects if each.kind == "main"]
    asked = [each for each in effects if each.kind == "interaction" and each.asked]
    if mains:
        apart = f" and, separately, over {count(len(asked), 'interaction')}" if asked else ""
        exact = exactness(each.flips for each in mains)
        how = "in the same way" if named else f"by the {exact} two-sided sign-flip test"
        level = "" if named else f"; p < {ALPHA:g} is called significant"
        yield (
            "Effects of single factors are averaged over the settings of the other factors and "
            f"tested {how}, with whole seeds as the units, Holm-adjusted over "
            f"{count(len(mains), 'main effect')}{apart}{level}."
        )


def _trials(summaries: Sequence[ArmSummary], ran: Ran) -> Iterator[str]:
    planned, given = (
        sum(getattr(summary, name) for summary in summaries) for name in ("planned", "n")
    )
    if given == planned:
        all_of = "The only trial" if planned == 1 else f"All {planned} trials"
        yield f"{all_of} succeeded; none is left out."
    elif given:
        yield f"Of {count(planned, 'trial')}, {given} gave a number; none of these is left out."
    else:
        yield f"Of {count(planned, 'trial')}, none has given a number."
    reasons: dict[str, list[str]] = {}
    for summary in summaries:
        for why, seeds in summary.missing.items():
            reasons.setdefault(why, []).append(f"{summary.arm.label}: {name_seeds(seeds)}")
    for why, where in reasons.items():
        state, colon, reason = why.partition(": ")
        yield f"{state.capitalize()}{f' ({reason})' * bool(colon)}: {listed(where, '; ')}."
    if ran.repeated:
        yield f"{count(ran.repeated, 'trial')} took more than one attempt."
    twice = ran.recomputed.epochs
    if twice and not ran.recomputed.differing:
        verb = "was" if twice == 1 else "were"
        yield f"{count(twice, 'epoch')} {verb} computed twice, with the same numbers."


def _cost(summaries: Sequence[ArmSummary], ran: Ran) -> Iterator[str]:
    totals = {
        kind: sum(getattr(summary, f"{kind.lower()}_seconds") for summary in summaries)
        for kind in ("GPU", "CPU")
    }
    spent = [_time(seconds, kind) for kind, seconds in totals.items() if seconds]
    if spent:
        failed = any(summary.failed for summary in summaries)
        also = ", failed trials included" if failed else ""
        again = " Work that was lost and repeated is not counted." if ran.repeated else ""
        yield (
            "The epochs' wall-clock time, multiplied by the resources that each trial held, is "
            f"{' and '.join(spent)}{also}.{again}"
        )
    if ran.reused:
        verbs = ("reuse", "cost") if ran.reused > 1 else ("reuses", "costs")
        yield (
            f"{count(ran.reused, 'trial')} {verbs[0]} the results of an earlier sweep with the "
            f"same code and {verbs[1]} nothing here."
        )
    if ran.devices:
        on = [f"{name} ({count(trials, 'trial')})" for name, trials, _ in ran.devices]
        yield f"Trained on {listed(on, '; ')}."


def _time(seconds: float, kind: str) -> str:
    """`3.2 GPU-hours`; short times in minutes or seconds."""
    unit, of = next(
        ((name, size) for name, size in (("hour", 3600), ("minute", 60)) if seconds >= size),
        ("second", 1),
    )
    amount = seconds / of
    number = f"{amount:,.0f}" if amount >= 100 else f"{amount:.2g}"
    return f"{number} {kind}-{unit}{'s' * (number != '1')}"


def _code(summaries: Sequence[ArmSummary], ran: Ran) -> Iterator[str]:
    arms = [summary.arm for summary in summaries]
    plugins = (package for each in ran.made for package in (each.plugins or "").split(", "))
    lrd = (f"lrd {each.lrd}" for each in ran.made if each.lrd)
    torch = (f"torch {each.torch}" for each in ran.made if each.torch)
    code = [*dict.fromkeys(lrd), *dict.fromkeys(torch), *filter(None, dict.fromkeys(plugins))]
    if code:
        yield f"Code: {listed(code)}."
    configs = {arm.id: arm.config for arm in arms}
    data: dict[str, None] = {}
    for each in ran.made:
        if each.data:
            config = configs.get(each.arm_id, {})
            name = value_titles("dataset", [config.get("dataset") or config.get("task") or ""])[0]
            data[f"{name} (SHA-256 {each.data[:12]}…)"] = None
    if data:
        yield f"Data: {listed(list(data))}."
    for mixture in mixtures.warnings(arms, ran.made, ran.recomputed):
        yield mixture.replace("Its trials", "The trials", 1)
