"""What made a sweep's numbers: the environments of its attempts, their code, data and devices."""

from sqlalchemy import ColumnElement, case, func, or_, select
from sqlalchemy.orm import Session

from service.analysis.mixtures import Provenance
from service.lifecycle import TrialState
from service.store.models import Attempt, Report, Trial


def made_by(session: Session, sweep_id: str) -> list[Provenance]:
    """What made the trials of the sweep that have succeeded, equal ones once; one that went on in
    other code from where an attempt had stopped was made by both."""
    names = ("data_sha256", "lrd", "commit", "plugins", "torch", "device")
    query = (
        select(
            Trial.arm_id,
            *(Attempt.environment[name].as_string() for name in names),
            Attempt.environment["parameters"].as_integer(),
        )
        .join(Attempt, has_made())
        .where(Trial.sweep_id == sweep_id, Trial.state == TrialState.succeeded)
        .distinct()
    )
    return [Provenance._make(row) for row in session.execute(query)]


def devices(session: Session, sweep_id: str) -> list[tuple[str, int, bool]]:
    """Each device on which trials of the sweep ran, the most used first: how many did, those that
    failed included, and whether it is a GPU. A CPU is named by its model too, where that is known.
    """
    names = ("device", "processor", "cuda")
    each = (
        select(Trial.id, *(Attempt.environment[name].as_string().label(name) for name in names))
        .join(Attempt, has_made())
        .where(Trial.sweep_id == sweep_id, Trial.epochs_done > 0)
        .subquery()
    )
    trials = func.count(each.c.id.distinct())
    # The processor beside a GPU tells little, and would tell GPUs of two nodes apart.
    model = case((each.c.cuda.is_(None), each.c.processor))
    query = (
        select(each.c.device, model, trials, func.max(each.c.cuda))
        .where(each.c.device.is_not(None))
        .group_by(each.c.device, model)
    )
    found = [
        (f"{model}, {device}" if model else device, number, cuda is not None)
        for device, model, number, cuda in session.execute(query)
    ]
    return sorted(found, key=lambda each: (-each[1], each[0]))


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
            if name not in ("node", "pid", "parameters") and value is not None
        ]
        lines[", ".join(parts)] = None
    return list(lines)
