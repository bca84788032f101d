"""The text that `lrd` prints: plans, progress, failures and waits."""

import csv
import io
import json
import shlex
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from lrd_core.report import BESIDE_METRICS, decode_number
from service.analysis.escaping import escape_csv
from service.analysis.metrics import Metric, NumberFormat, headline
from service.analysis.printed import PrintedListing
from service.client.verifying import Verified
from service.commands.arguments import PLAIN_TEXTS
from service.formatting import count, duration
from service.lifecycle import TERMINAL, TrialState

WITHOUT_RESULT = (TrialState.failed, TrialState.cancelled)
UNCHECKED = "checked is what the cells say: not headings, captions, notes, or what was left out"
"""The last line of `lrd verify`: numbers may be right under headings that were swapped."""
SHOWN = 10
"""Running trials shown one by one."""
SPEED_COLUMNS = (
    "arm_id", "arm", "trials", "reached", "never", "undecided", "epochs", "seconds",
    "baseline_id", "baseline", "n", "faster", "ties", "slower", "epoch_ratio", "second_ratio",
)  # fmt: skip
POWER_COLUMNS = (
    "arm_id", "arm", "baseline_id", "baseline", "metric", "at", "primary", "n", "alpha", "std",
    "std_high", "detectable", "difference", "seeds", "seeds_high",
)  # fmt: skip
TRIED_AGAIN = ("lost", "stalled", "oom")
"""Outcomes of an attempt that is followed by another; `user` (a pause or a drain) is no loss."""


def sweep(found: dict[str, Any], since: str = "") -> str:
    """A sweep in one line: id, `since`, state, trials that have ended, how many of them without a
    result, name, tags."""
    done = f"{finished(found)}/{found['trials_total']}"
    counts = {state: found["trials"][state] for state in WITHOUT_RESULT}
    without = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    name = " ".join(found["name"].splitlines())
    tags = f"[{', '.join(found['tags'])}]" if found["tags"] else ""
    parts = [found["id"], f"{since}{found['state']:<9}", done, without, name, tags]
    return "  ".join(filter(None, parts))


def finished(found: dict[str, Any]) -> int:
    """Number of trials that have ended."""
    return sum(int(found["trials"][state]) for state in TERMINAL)


def plan(found: dict[str, Any]) -> str:
    """What a sweep would be."""
    time, present = found["time"], found["present_elsewhere"]
    lines = [f"{count(found['trials_total'], 'trial')}: {count(found['arms_total'], 'arm')}"]
    if present:
        again = "would run again; `reuse: true` takes over the existing results"
        fate = f"{'is' if present == 1 else 'are'} reused" if found["reuse"] else again
        has = "has" if present == 1 else "have"
        lines.append(f"{present} {has} succeeded elsewhere and {fate}")
    if time["trial_seconds"] is None:
        lines.append("no trial like these has run here yet: their time is not known")
    else:
        verb = "is" if time["unknown"] == 1 else "are"
        unknown = f"; {count(time['unknown'], 'trial')} {verb} of a kind not seen yet"
        lines.append(
            f"about {duration(time['wall_seconds'])} with {time['slots']} at a time "
            f"({duration(time['trial_seconds'])} of training{unknown * bool(time['unknown'])})"
        )
    lines += found["advice"]
    if found["waiting_for"]:
        lines.append(f"none of its trials could start now: {found['waiting_for']}")
    if found["comparisons"]:
        lines.append(found["seeds"]["sentence"])
    elif found["arms_total"] > 1 and all(arm["is_baseline"] for arm in found["arms"]):
        lines.append("every arm is a baseline: nothing is compared")
    elif found["arms_total"] > 1 and not any(arm["is_baseline"] for arm in found["arms"]):
        lines.append(
            "no arm is a baseline: nothing is compared; say which is, e.g. `baseline: "
            "{optimizer.keep_prob: 1.0}`"
        )
    return "\n".join(lines)


def speed(found: dict[str, Any]) -> str:
    """How soon each arm reaches a value: one line per arm, below an explanation of the numbers."""
    metric = Metric(found["metric"])
    value = NumberFormat.fitting(metric, [found["threshold"]]).show(found["threshold"])
    goal = " ".join(filter(None, [value, metric.unit]))
    at = "at least" if metric.higher_is_better else "at most"
    against = {each["arm_id"]: each for each in found["comparisons"]}
    rows = [("seeds", "epochs", "seconds", "× epochs", "× seconds", "faster-ties-slower", "arm")]
    for arm in found["items"]:
        paired = against.get(arm["arm_id"], {})
        reached = f"{arm['reached']}/{arm['trials']}"
        if arm["undecided"]:
            reached += f", {len(arm['undecided'])} undecided"
        times = [_plain(arm[name], ".3g") for name in ("epochs", "seconds")]
        ratios = [
            {0: "never", "Infinity": "∞"}.get(ratio) or _plain(ratio, ".2f")
            for ratio in (paired.get("epoch_ratio"), paired.get("second_ratio"))
        ]
        tally = "-".join(str(paired[name]) for name in ("faster", "ties", "slower") if paired)
        rows.append((reached, *times, *ratios, tally or "–", arm["label"]))
    return "\n".join([
        f"{metric.words} {at} {goal}: seeds that reached it, medians of when (–: half never do)",
        "×: how many times as fast as the arm's baseline, the median over the same seeds; seconds "
        "depend on what else ran",
        "never: on most seeds only the baseline reached it; ∞: only the arm did; –: no median",
        "an arm that fluctuates more reaches a value sooner by luck: compare the curves, too",
        *_columns(rows),
    ])  # fmt: skip


def speed_csv(found: dict[str, Any]) -> str:
    """The same as CSV, in full precision: one row per arm, with its comparison if there is one."""
    against = {each["arm_id"]: each for each in found["comparisons"]}
    rows = []
    for arm in found["items"]:
        seeds = {name: len(arm[name]) for name in ("never", "undecided")}
        rows.append(arm | seeds | {"arm": arm["label"]} | against.get(arm["arm_id"], {}))
    return _csv(SPEED_COLUMNS, rows)


def power(found: dict[str, Any]) -> str:
    """What the seeds so far can find: one line per arm, below the service's notes."""
    metric, asked = Metric(found["metric"]), found["difference"]
    sizes = [asked, *(each["detectable"] for each in found["items"])]
    number = NumberFormat.of_differences(metric, sizes, [each["std"] for each in found["items"]])

    def shown(size: float | None) -> str:
        return "–" if size is None else number.show(size)

    def pairs(each: dict[str, Any], name: str) -> str:
        if each["std"] is None:
            return "–"
        return "none can" if each[name] is None else f"{each[name]:,}"

    heads = ["n", "s", "found now"]
    if asked is not None:
        heads += [f"seeds for {shown(asked)}", "if s is larger"]
    rows = [(*heads, "arm")]
    for each in found["items"]:
        cells = [str(each["n"]), shown(each["std"]), shown(each["detectable"])]
        if asked is not None:
            cells += [pairs(each, "seeds"), pairs(each, "seeds_high")]
        rows.append((*cells, each["arm"] + ", exploratory" * (not each["primary"])))
    return "\n".join([*found["notes"], *(_columns(rows) if found["items"] else ())])


def power_csv(found: dict[str, Any]) -> str:
    """The same as CSV, in full precision and in the metric's own unit: one row per comparison."""
    return _csv(POWER_COLUMNS, [each | found for each in found["items"]])


def failures(causes: Sequence[dict[str, Any]], failed: int, sweep_id: str) -> str:
    """Why `failed` trials of a sweep have failed: each cause once, with its number of trials."""
    lines = [f"{count(failed, 'trial')} failed; `lrd trials {sweep_id} --state failed` lists them:"]
    for cause in causes:
        why = ": ".join(filter(None, [cause["reason"], cause["message"]]))
        lines.append(f"  {count(cause['trials'], 'trial')}: {why}")
    others = failed - sum(cause["trials"] for cause in causes)
    if others > 0:  # the service names only the most frequent causes
        lines.append(f"  and {count(others, 'trial')} for other reasons")
    return "\n".join(lines)


def cancelled(trials: int, sweep_id: str) -> str:
    """The sentence that trials have no result because somebody cancelled them."""
    verb, them = ("was", "it") if trials == 1 else ("were", "them")
    return (
        f"{count(trials, 'trial')} {verb} cancelled; `lrd retry {sweep_id} --cancelled` runs {them}"
    )


def verified(found: Verified) -> str:
    """Whether a table of a paper still says what the service says."""
    table, differ = found.table, found.differences
    asked, what = table.question, f"{table.of} of " if isinstance(table, PrintedListing) else ""
    of = f"line {table.line}: {what}{asked['metric']} at {asked['at']} of sweep {asked['sweep']}"
    if found.unverified is not None:
        return f"{of}: nothing in it is verified: {found.unverified}"
    if not differ:
        return f"{of}: {table.counted}, all as the service has them"
    unsigned = len(table.unsigned)
    wrong, said = len(differ) - unsigned, f"{table.counted} as the service has them"
    if wrong:
        said = f"{wrong} of {table.counted} not as the service has them"
    if unsigned:
        said += f", {count(unsigned, 'row')} not verified"
    return "\n".join([f"{of}: {said}", *(f"  {d}" for d in differ)])


def trial(found: dict[str, Any], asked: str | None) -> str:
    """A trial in a line; `asked` is the metric of its sweep's table, where that names one."""
    state = ": ".join(filter(None, [found["state"], found["reason"]]))
    epochs = f"{found['epochs_done']}/{found['epochs']}"
    last = _last(found["last_report"] or {}, asked)
    of = f"seed {found['seed']}  {found['label']}"
    return f"{found['id']:>6}  {state:<16}  {epochs:>7}  {last:<23}  {of}"


def progress(running: int, trials: Iterable[dict[str, Any]]) -> str:
    """The progress of the running trials; `trials` are some of them."""
    shown = [f"{each['epochs_done']}/{each['epochs']}" for each in islice(trials, SHOWN)]
    if not shown:  # they have ended in the meantime
        return f"running: {count(running, 'trial')}"
    more = f", and {running - len(shown)} more" if running > len(shown) else ""
    return f"running: {count(running, 'trial')}, epochs {', '.join(shown)}{more}"


def again(found: dict[str, Any], attempts: Sequence[dict[str, Any]] = ()) -> str:
    """That a trial is retried, and why; for a running trial, its `attempts` say so."""
    which, losses = f"trial {found['id']}", found["losses"]
    if found["state"] == "queued" and found["reason"]:
        return f"{which} {found['reason']}, to be tried again: {found['message']}"
    said = [each["message"] for each in attempts if each["outcome"] in TRIED_AGAIN]
    why = f": {said[-1]}" if said and said[-1] else ""
    if losses:
        return f"{which} is tried again, after {losses} loss{'es' * (losses > 1)} in a row{why}"
    return f"{which} is tried again, alone on a node{why or ': it had run out of memory'}"


def extension(found: dict[str, Any]) -> str:
    """What an extension would add, and the sweep that would result."""
    if not found["trials_added"]:
        return extended(0)
    return f"{count(found['trials_added'], 'trial')} would be added, to make:\n{plan(found)}"


def extended(added: int) -> str:
    """How many trials an extension added."""
    if not added:
        return "nothing is added: the sweep has all of these trials already"
    return f"{count(added, 'trial')} added"


def changeable(found: dict[str, Any]) -> str:
    """What `lrd set` can change, setting by setting, each as a shell gives it."""
    spec = {"priority": 0, "max_concurrent": None, "max_failures": None} | found["spec"]
    names = ["priority", "max_concurrent", "max_failures", "tags", "notes", "table"]
    return "\n".join(
        "  " + shlex.quote(f"{name}={_given(name, spec[name])}") for name in names if name in spec
    )


def deletion(sweeps: int, trials: int) -> str:
    """The question before sweeps are deleted."""
    return (
        f"Delete {count(sweeps, 'sweep')} with {count(trials, 'trial')}, all results, checkpoints "
        "and logs? This cannot be undone."
    )


def paused(sweep_id: str, because: str | None) -> str:
    """Why no trial of a paused sweep starts."""
    if because is None:
        return f"paused: no trial of it starts until `lrd resume {sweep_id}`"
    return (
        f"paused, because {because}: once the cause is gone, `lrd retry {sweep_id}` queues them "
        f"again and `lrd resume {sweep_id}` continues"
    )


def waiting(sweep: dict[str, Any]) -> str:
    """Why no trial of a sweep can start."""
    return f"waiting, because none of its trials can start: {sweep['waiting_for']}"


def _given(name: str, value: Any) -> str:
    """A setting's value as a shell gives it."""
    return value if name in PLAIN_TEXTS else json.dumps(value, ensure_ascii=False)


def _csv(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = [row.get(name) for name in columns]
        writer.writerow([escape_csv(each) if isinstance(each, str) else each for each in values])
    return out.getvalue()


def _plain(value: Any, form: str) -> str:
    return "–" if value is None else format(decode_number(value), form)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Numbers right-aligned; the last column, which is text, left-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    return [
        "  ".join([*map(str.rjust, row[:-1], widths), row[-1]])
        for row in rows
    ]  # fmt: skip


def _last(report: dict[str, Any], asked: str | None) -> str:
    """The metric of the table in a report, `test accuracy 94.61 %`."""
    name = headline(asked, [each for each in report if each not in BESIDE_METRICS])
    if name not in report:
        return "–"
    metric, value = Metric(name), decode_number(report[name])
    number = NumberFormat.fitting(metric, [value]).show(value)
    return " ".join(filter(None, [metric.words, number, metric.unit]))
