"""How a sweep's numbers were made, in the words of a paper's section on methods.

Every word comes from what was asked for and what was recorded, failures and costs included; what it
was for, and what it means, its author knows.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lrd_core.choices import AUGMENTED
from lrd_core.titles import KEEP_PROB, path_title, spell, value_titles
from service.analysis import mixtures
from service.analysis.arms import CONFIDENCE, ArmSummary, name_seeds
from service.analysis.captions import place_read
from service.analysis.comparisons import ALPHA, Comparison
from service.analysis.configurations import distinguishing, flatten, identity, varying
from service.analysis.escaping import escape_latex, escape_markdown, latex_comment
from service.analysis.metrics import Metric
from service.analysis.mixtures import Made
from service.analysis.notes import against, the_test
from service.analysis.planning import plan
from service.wording import count

_WAITING = {"queued", "running"}
LISTED = 12
"""So many values, optimizers or arms are named; the rest are counted."""
_REGULARIZERS = {
    "SD": "standard dropout: hidden units are kept with probability {keep_prob} and scaled by its "
    "inverse",
    "NL": "noisy labels: with probability {prob} a training label is another one, for the whole "
    "trial",
    "NG": "noisy gradients: Gaussian noise of variance {eta} / (1 + t)^{gamma} is added at step t",
    "DG": "dropout on the gradient: its elements are kept with probability {keep_prob}",
}
_LRD = (
    "With learning-rate dropout (LRD, arXiv 1912.00144) each element of the weights keeps its "
    "learning rate with probability keep_prob at each step, and else stays as it is; nothing is "
    "rescaled, and keep_prob = 1 is without it."
)


@dataclass(frozen=True)
class Ran:
    """What is known of the trials beside their numbers."""

    seeds: tuple[int, ...]
    """Of any trial, rising."""
    precision: str
    """`fp32`, `tf32` or `bf16`."""
    reused: int
    """Trials whose results come from another sweep."""
    made: tuple[Made, ...]


@dataclass(frozen=True)
class Paragraph:
    """What is to be said of one thing."""

    title: str
    text: str


@dataclass(frozen=True)
class Methods:
    """The paragraphs, and of which numbers they speak."""

    metric: Metric
    at: str
    paragraphs: tuple[Paragraph, ...]


def describe(
    summaries: Sequence[ArmSummary],
    comparisons: Sequence[Comparison],
    ran: Ran,
    *,
    metric: str,
    at: str = "last",
    baseline: Sequence[str] = (),
) -> Methods:
    """How the numbers of one metric were made.

    Args:
        summaries: of every arm.
        comparisons: as `comparisons.compare` gives them.
        ran: what else is known.
        metric: the summaries' metric.
        at: where it was read.
        baseline: the dotted paths of the sweep's baseline.
    """
    said = {
        "Training": _training(summaries, ran),
        "Seeds": _seeds(summaries, ran),
        "Numbers": _numbers(summaries, metric, at),
        "Tests": _tests(summaries, comparisons, baseline),
        "Trials": _trials(summaries),
        "Cost": _cost(summaries, ran),
        "Code and data": _code(summaries, ran),
    }
    paragraphs = (Paragraph(title, " ".join(texts)) for title, texts in said.items())
    return Methods(Metric(metric), at, tuple(each for each in paragraphs if each.text))


def markdown(methods: Methods) -> str:
    """A paragraph each, its title in bold."""
    return "\n".join(
        f"**{each.title}.** {escape_markdown(each.text)}\n" for each in methods.paragraphs
    )


def latex(methods: Methods, provenance: Mapping[str, Any] | None = None) -> str:
    r"""A `\paragraph` each; `provenance`, by name, stands in comments above them."""
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


def _training(summaries: Sequence[ArmSummary], ran: Ran) -> Iterator[str]:
    configs = [summary.arm.config for summary in summaries]
    shared = _shared(configs)
    yield f"{_what(shared)}, in {ran.precision.upper()}."
    flats = [flatten(config) for config in configs]
    told = distinguishing(flats, varying(flats))
    if told:
        differ = "; ".join(f"{path_title(path)} ({_listed(_values(path, flats))})" for path in told)
        yield f"The {count(len(configs), 'arm')} differ in {differ}."
    yield from _images(configs)
    optimizers = [config["optimizer"] for config in configs]
    if any(optimizer.get("keep_prob", 1.0) != 1.0 for optimizer in optimizers):
        yield _LRD
    regularizers = _distinct(each for config in configs for each in config.get("regularizers", []))
    for each in regularizers:
        words = _REGULARIZERS[each["kind"]].format(
            **{name: spell(value) for name, value in each.items()}
        )
        yield f"{each['kind']} is {words}."
    plain = _distinct(
        {name: value for name, value in optimizer.items() if name != "keep_prob"}
        for optimizer in optimizers
    )
    yield f"Optimizers: {_listed([_optimizer(each) for each in plain], '; ')}."
    if "schedule" in shared:
        yield f"Learning rate over the epochs: {value_titles('schedule', [shared['schedule']])[0]}."


def _shared(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all configurations have in common, at their first level."""
    first = configs[0]
    return {
        name: value
        for name, value in first.items()
        if all(config.get(name) == value for config in configs)
    }


def _what(shared: Mapping[str, Any]) -> str:
    """`FCNet was trained on MNIST for 30 epochs in batches of 128`, as far as all arms have it."""
    data, named = shared.get("data") or {}, {}
    for path in ("model", "dataset"):
        if shared.get(path):
            named[path] = value_titles(path, [shared[path]])[0]
    epochs = f" for {count(shared['epochs'], 'epoch')}" if "epochs" in shared else ""
    if shared.get("dataset") == "surface":
        where = f" on the surface {data['surface']}" if "surface" in data else ""
        return f"Points descended{where}{epochs} of 100 steps"
    parts = [f"{named.get('model', 'A model')} was trained"]
    parts += [f" on {named['dataset']}"] if "dataset" in named else []
    if examples := data.get("max_examples"):
        parts.append(f" (the first {count(examples, 'example')} of each part)")
    parts.append(epochs)
    if "batch_size" in shared:
        parts.append(f" in batches of {shared['batch_size']}")
    return "".join(parts)


def _images(configs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What becomes of training images, and with which weights a network begins if not at random;
    of what only some arms have, the differences tell."""
    for name in _distinct(config.get("dataset", "") for config in configs):
        if name in AUGMENTED:
            title = value_titles("dataset", [name])[0]
            yield f"Training images of {title} are {AUGMENTED[name]}."
    shared = _shared([config.get("data") or {} for config in configs])
    if "cutout" in shared:
        yield f"A square of {shared['cutout']} pixels is blotted out of each."
    if "crop_size" in shared:
        yield f"They are squares of {count(shared['crop_size'], 'pixel')}."
    if all(config.get("pretrained") for config in configs):
        yield "The backbone begins with ImageNet weights."


def _values(path: str, flats: Sequence[Mapping[str, Any]]) -> list[str]:
    """The values at a path, each once, as they read."""
    values = _distinct(flat[path] for flat in flats if path in flat)
    if path == KEEP_PROB:
        return [spell(value) for value in values]
    titles = value_titles(path, values)
    return ["none" if value == [] else title for value, title in zip(values, titles, strict=True)]


def _optimizer(plain: Mapping[str, Any]) -> str:
    """`SGDM (learning rate 0.1, weight decay 0, momentum 0.9)`."""
    name = value_titles("optimizer.name", [plain["name"]])[0]
    rest = {key: value for key, value in plain.items() if key not in ("name", "lr")}
    settings = [
        f"{path_title(key)} {spell(value)}"
        for key, value in flatten(rest).items()
        if value is not False
    ]
    return f"{name} ({', '.join(['learning rate ' + spell(plain['lr']), *settings])})"


def _seeds(summaries: Sequence[ArmSummary], ran: Ran) -> Iterator[str]:
    planned = sorted({summary.planned for summary in summaries})
    if len(planned) == 1:
        yield f"Each arm was trained with {count(planned[0], 'seed')} ({_spelt(ran.seeds)})."
    else:
        yield f"Arms have {planned[0]} to {planned[-1]} of the seeds {_spelt(ran.seeds)}."
    configs = [summary.arm.config for summary in summaries]
    kinds = {each["kind"] for config in configs for each in config.get("regularizers", [])}
    descends = all(config.get("dataset") == "surface" for config in configs)
    drawn = [] if descends else ["the initial weights", "the order and augmentation of the data"]
    drawn += ["noisy labels"] if "NL" in kinds else []
    drawn += ["the noise of gradients"] if "NG" in kinds else []
    drawn += ["all masks"]
    and_all = " and ".join([*filter(None, [", ".join(drawn[:-1])]), drawn[-1]])
    yield f"A seed decides {and_all}; trials of one seed have these in common, whatever their arm."


def _spelt(seeds: Sequence[int]) -> str:
    """`0 to 9`, `4`, `1, 5, 8`."""
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"{seeds[0]} to {seeds[-1]}"
    return _listed([str(seed) for seed in seeds])


def _numbers(summaries: Sequence[ArmSummary], metric: str, at: str) -> Iterator[str]:
    words = Metric(metric).words
    place = place_read(at)
    if at == "best":
        yield (
            f"The {words} is that of each trial's best epoch, chosen by the {words} itself: it "
            "flatters whatever fluctuates."
        )
    else:
        the = "" if at.startswith("epoch:") else "the "
        yield f"The {words} is read at {the}{place} of each trial; no epoch was chosen by it."
    if any(summary.std is not None for summary in summaries):
        yield (
            "Tables give the mean ± sample standard deviation (divided by n − 1) over the trials "
            f"of an arm that succeeded; intervals are {100 * CONFIDENCE:g} % Student t intervals."
        )
    else:
        yield "No arm has two numbers: nothing is known about the spread."


def _tests(
    summaries: Sequence[ArmSummary], comparisons: Sequence[Comparison], baseline: Sequence[str]
) -> Iterator[str]:
    if not comparisons:
        return
    yield (
        f"Arms are compared with {against(summaries, comparisons, baseline)} on equal seeds, by "
        f"the {the_test(comparisons)}; p < {ALPHA:g} is called significant."
    )
    pairs = max(comparison.n for comparison in comparisons)
    prospect = plan(pairs, len(comparisons))
    if pairs and not prospect.can_reject:
        yield f"{count(pairs, 'pair')} cannot reach that, whatever the data."


def _trials(summaries: Sequence[ArmSummary]) -> Iterator[str]:
    planned, given = (
        sum(getattr(summary, name) for summary in summaries) for name in ("planned", "n")
    )
    if given == planned:
        yield f"All {count(planned, 'trial')} succeeded, and each is in the numbers."
        return
    if any(not _WAITING.isdisjoint(summary.missing) for summary in summaries):
        yield "The sweep has not ended."
    of = f"Of {count(planned, 'trial')}"
    yield (
        f"{of} {given} gave a number, and each of these is in the table."
        if given
        else (f"{of} none has given a number.")
    )
    reasons: dict[str, list[str]] = {}
    for summary in summaries:
        for why, seeds in summary.missing.items():
            reasons.setdefault(why, []).append(f"{summary.arm.label}: {name_seeds(seeds)}")
    for why, where in reasons.items():
        state, colon, reason = why.partition(": ")
        yield f"{state.capitalize()}{f' ({reason})' * bool(colon)}: {_listed(where, '; ')}."
    if "diverged" in reasons:
        yield "A trial that diverged is in no mean; it loses against each that did not."


def _cost(summaries: Sequence[ArmSummary], ran: Ran) -> Iterator[str]:
    spent = [
        _time(sum(getattr(summary, f"{kind.lower()}_seconds") for summary in summaries), kind)
        for kind in ("GPU", "CPU")
    ]
    spent = [each for each in spent if each]
    if spent:
        yield f"The epochs took {' and '.join(spent)} in all, those of failed trials included."
    if ran.reused:
        yield (
            f"{count(ran.reused, 'trial')} took over the results of an earlier sweep of the same "
            "code, and cost nothing here."
        )
    devices: Counter[str] = Counter()
    for each in ran.made:
        if each.device:
            devices[each.device] += each.trials
    if devices:
        on = [f"{name} ({count(trials, 'trial')})" for name, trials in devices.most_common()]
        yield f"Trained on {_listed(on)}."


def _time(seconds: float, kind: str) -> str:
    """`3.2 GPU-hours`; of little time minutes or seconds, of none nothing."""
    unit, of = next(
        ((name, size) for name, size in (("hour", 3600), ("minute", 60)) if seconds >= size),
        ("second", 1),
    )
    amount = seconds / of
    number = f"{amount:,.0f}" if amount >= 100 else f"{amount:.2g}"
    return f"{number} {kind}-{unit}{'s' * (number != '1')}" if seconds else ""


def _code(summaries: Sequence[ArmSummary], ran: Ran) -> Iterator[str]:
    arms = [summary.arm for summary in summaries]
    plugins = (package for each in ran.made for package in (each.plugins or "").split(", "))
    lrd = (f"lrd {each.lrd}" for each in ran.made if each.lrd)
    torch = (f"torch {each.torch}" for each in ran.made if each.torch)
    code = [*dict.fromkeys(lrd), *dict.fromkeys(torch), *filter(None, dict.fromkeys(plugins))]
    if code:
        yield f"Code: {_listed(code)}."
    configs = {arm.id: arm.config for arm in arms}
    data: dict[str, None] = {}
    for each in ran.made:
        if each.data:
            name = value_titles("dataset", [configs.get(each.arm_id, {}).get("dataset", "")])[0]
            data[f"{name} (SHA-256 {each.data[:12]}…)"] = None
    if data:
        yield f"Data: {_listed(list(data))}."
    yield from mixtures.warnings(arms, ran.made)


def _distinct(values: Iterable[Any]) -> list[Any]:
    """Each once, in order."""
    return list({identity(value): value for value in values}.values())


def _listed(texts: Sequence[str], between: str = ", ") -> str:
    more = f" and {len(texts) - LISTED} more" if len(texts) > LISTED else ""
    return between.join(texts[:LISTED]) + more
