"""The metrics that a sweep's trials report, found without reading every report."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.orm import Session

from lrd_core.choices import SELDOM
from lrd_core.report import BESIDE_METRICS
from lrd_core.spelling import did_you_mean
from service.errors import Unprocessable
from service.store.models import Arm, Report, Sweep, Trial
from service.store.session import on_postgres


def refuse_unknown(session: Session, sweep: Sweep, metric: str | None) -> None:
    """Refuse a metric that the sweep's trials do not report.

    Any metric passes before the first report. Metrics that not every epoch has always pass: they
    may be missing from the last reports and still come.

    Raises:
        Unprocessable: trials have reported, and none reports this metric.
    """
    if metric in (None, *SELDOM, sweep.spec.get("table", {}).get("metric")):
        return
    first = select(Trial.last_report).where(*_has_reported(sweep.id)).order_by(Trial.id).limit(1)
    report = session.scalar(first)
    if report is None or metric in report:  # mostly, nothing more is read
        return
    known: dict[str, None] = {}
    for report in _one_of_each_arm(session, sweep.id):
        known |= dict.fromkeys(report)
    if metric not in known:
        names = [name for name in known if name not in BESIDE_METRICS]
        raise Unprocessable(
            f"no trial of sweep {sweep.id} reports {metric!r}{did_you_mean(metric, names)}; "
            f"they report {', '.join(names)}"
        )


def every_name(session: Session, sweep_id: str) -> set[str]:
    """Every name in any of the sweep's reports, also those that the last reports lack. The database
    reads all of them."""
    if on_postgres(session):
        query = select(func.json_object_keys(Report.report)).select_from(Report)
    else:
        each = func.json_each(Report.report).table_valued("key")
        query = select(each.c.key).select_from(Report).join(each, true())
    of_sweep = query.join(Trial, Trial.id == Report.trial_id).where(Trial.sweep_id == sweep_id)
    return set(session.scalars(of_sweep.distinct()))


def _one_of_each_arm(session: Session, sweep_id: str) -> Iterator[dict[str, Any]]:
    """The last report of one trial per arm: the configuration decides what trials report."""
    one = (
        select(Trial.last_report)
        .where(*_has_reported(sweep_id), Trial.arm_id == Arm.id)
        .limit(1)
        .scalar_subquery()
    )
    query = select(one).where(Arm.sweep_id == sweep_id).order_by(Arm.position)
    return (report for report in session.scalars(query) if report is not None)


def _has_reported(sweep_id: str) -> tuple[ColumnElement[bool], ...]:
    return Trial.sweep_id == sweep_id, Trial.last_report.is_not(None)
