"""What made a sweep's numbers: the environments of its attempts, their code and their data."""

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from service.analysis.mixtures import Made
from service.lifecycle import TrialState
from service.store.models import Attempt, Report, Trial


def made_by(session: Session, sweep_id: str) -> list[Made]:
    """What made the trials of the sweep that have succeeded, equal ones once; one that went on in
    other code from where an attempt had stopped was made by both."""
    parts = [
        Attempt.environment[name].as_string()
        for name in ("data_sha256", "lrd", "commit", "plugins")
    ]
    query = (
        select(Trial.arm_id, *parts)
        .join(Attempt, has_made())
        .where(Trial.sweep_id == sweep_id, Trial.state == TrialState.succeeded)
        .distinct()
    )
    return [Made(*row) for row in session.execute(query)]


def has_made() -> ColumnElement[bool]:
    """Whether an attempt made its trial's numbers: the last, and each whose epochs still count."""
    epochs = select(Report.epoch).where(
        Report.trial_id == Attempt.trial_id, Report.attempt == Attempt.attempt
    )
    # Most trials have one attempt, so that no epoch is looked at.
    return (Attempt.trial_id == Trial.id) & or_(
        Attempt.attempt == Trial.attempt, epochs.correlate(Attempt).exists()
    )


def environments(session: Session, sweep_id: str) -> list[str]:
    """Each environment that an attempt of the sweep ran in, as one line; distinct, in order."""
    query = (
        select(Attempt.environment)
        .join(Trial, Trial.id == Attempt.trial_id)
        .where(Trial.sweep_id == sweep_id, Attempt.environment.is_not(None))
        .order_by(Attempt.trial_id, Attempt.attempt)
    )
    lines: dict[str, None] = {}
    for environment in session.scalars(query):
        parts = [
            f"{name} {value}"
            for name, value in (environment or {}).items()
            if name not in ("node", "pid") and value is not None
        ]
        lines[", ".join(parts)] = None
    return list(lines)
