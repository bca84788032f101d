"""Everything in a sweep, for other programs: row by row, nothing sampled; and as CSV.

A trial's row holds its whole configuration by dotted path (`config.optimizer.lr`) and the metrics
of its last epoch (`last.test_accuracy`), so that a data frame needs no join.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from lrd_core.report import BESIDE_METRICS, decode_number
from service.analysis.configurations import flatten
from service.analysis.escaping import escape_csv
from service.formatting import rfc3339
from service.store import sweeps as store
from service.store.models import Arm, Report, Trial
from service.store.reported import every_name

Row = dict[str, Any]
KINDS = ("trials", "reports")
BATCH = 5_000
"""Rows held in memory at a time."""

_TRIAL = (
    "id", "sweep_id", "arm_id", "seed", "state", "reason", "message", "attempt", "losses", "alone",
    "epochs", "epochs_done", "seconds", "cpus", "gpus", "weights_sha256", "reused_from",
    "created_at", "started_at", "finished_at",
)  # fmt: skip
TIMES = ("created_at", "started_at", "finished_at")
"""The columns that hold times."""
_REPORT = ("trial_id", "arm_id", "arm", "seed", "attempt", "epoch")


def rows(session: Session, sweep_id: str, kind: str) -> Iterator[Row]:
    """The `trials` or the `reports` of a sweep, in order. A row has only the keys it has values
    for; `columns` lists them all."""
    return _trials(session, sweep_id) if kind == "trials" else _reports(session, sweep_id)


def columns(session: Session, sweep_id: str, kind: str) -> list[str]:
    """The columns of `rows`: every path of any arm, every metric of any report."""
    reported: dict[str, None] = {}
    last = select(Trial.last_report).where(
        Trial.sweep_id == sweep_id, Trial.last_report.is_not(None)
    )
    for report in session.scalars(last):
        reported |= dict.fromkeys(report or ())
    if kind == "reports":
        reported |= dict.fromkeys(sorted(every_name(session, sweep_id)))  # e.g. `map_50`
        return list(dict.fromkeys([*_REPORT, *reported]))
    paths: dict[str, None] = {}
    for config in session.scalars(select(Arm.config).where(Arm.sweep_id == sweep_id)):
        paths |= dict.fromkeys(flatten(config))
    metrics = [f"last.{name}" for name in reported if name not in BESIDE_METRICS]
    return [*_TRIAL, *metrics, "arm", *(f"config.{path}" for path in paths)]


def csv_lines(session: Session, sweep_id: str, kind: str) -> Iterator[str]:
    """The rows as CSV, header first; missing values are empty, lists are JSON."""
    names = columns(session, sweep_id, kind)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([escape_csv(name) for name in names])
    for row in rows(session, sweep_id, kind):
        writer.writerow([_csv_value(row.get(name)) for name in names])
        if out.tell() > 1 << 16:
            yield out.getvalue()
            out.seek(0)
            out.truncate()
    yield out.getvalue()


# --- inside ---------------------------------------------------------------------------------------


def _trials(session: Session, sweep_id: str) -> Iterator[Row]:
    query = (
        select(Trial, Arm.label, Arm.config)
        .join(Arm, Arm.id == Trial.arm_id)
        .where(Trial.sweep_id == sweep_id)
        .order_by(Trial.id)
        .execution_options(yield_per=BATCH)
    )
    for trial, label, config in session.execute(query):
        own = {name: getattr(trial, name) for name in _TRIAL}
        own |= {name: rfc3339(own[name]) for name in TIMES}
        last = {f"last.{name}": number for name, number in _numbers(trial.last_report or {})}
        settings = {f"config.{path}": value for path, value in flatten(config).items()}
        yield {**own, **last, "arm": label, **settings}


def _reports(session: Session, sweep_id: str) -> Iterator[Row]:
    labels = {arm.id: arm.label for arm in store.arms_of(session, sweep_id)}
    query = (
        select(Trial.arm_id, Trial.seed, Report.trial_id, Report.attempt, Report.report)
        .join(Report, Report.trial_id == Trial.id)
        .where(Trial.sweep_id == sweep_id)
        .order_by(Report.trial_id, Report.epoch)
        .execution_options(yield_per=BATCH)
    )
    for arm_id, seed, trial_id, attempt, report in session.execute(query):
        head = (trial_id, arm_id, labels[arm_id], seed, attempt, report["epoch"])
        yield dict(_numbers(report)) | dict(zip(_REPORT, head, strict=True))


def _numbers(report: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    return ((name, decode_number(value)) for name, value in report.items() if name != "epoch")


def _csv_value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return escape_csv(value if isinstance(value, str) else json.dumps(value))
