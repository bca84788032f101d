"""What made a sweep's numbers: its attempts' environments, with code, data and devices."""

from sqlalchemy import ColumnElement, case, func, or_, select
from sqlalchemy.orm import Session

from service.analysis.mixtures import Provenance, Recomputed
from service.lifecycle import TrialState
from service.store.models import Attempt, Report, Trial


def made_by(session: Session, sweep_id: str) -> list[Provenance]:
    """What made the sweep's succeeded trials, without duplicates. A trial that was resumed in other
    code was made by both."""
    # As text also the number of parameters: PostgreSQL's integers end at 2,147,483,647.
    names = ("data_sha256", "lrd", "commit", "plugins", "torch", "device", "parameters")
    query = (
        select(Trial.arm_id, *(Attempt.environment[name].as_string() for name in names))
        .join(Attempt, has_made())
        .where(Trial.sweep_id == sweep_id, Trial.state == TrialState.succeeded)
        .distinct()
    )
    return [
        Provenance._make((*row, None if count is None else int(count)))
        for *row, count in session.execute(query)
    ]


def recomputed(session: Session, sweep_id: str) -> Recomputed:
    """What the sweep's trials computed a second time."""
    differs = case((Attempt.different_epoch.is_not(None), Attempt.trial_id))
    epochs = func.sum(Attempt.recomputed_to - Attempt.recomputed_from + 1)
    query = (
        select(func.coalesce(epochs, 0), func.count(differs.distinct()))
        .join(Trial, Trial.id == Attempt.trial_id)
        .where(Trial.sweep_id == sweep_id, Attempt.recomputed_to.is_not(None))
    )
    return Recomputed._make(session.execute(query).one())


def devices(session: Session, sweep_id: str) -> list[tuple[str, int, bool]]:
    """The devices on which trials of the sweep ran, the most used first: its name, the number of
    trials including failed ones, and whether it is a GPU. A CPU's name has its model, if known.
    """
    names = ("device", "processor", "cuda")
    each = (
        select(Trial.id, *(Attempt.environment[name].as_string().label(name) for name in names))
        .join(Attempt, has_made())
        .where(Trial.sweep_id == sweep_id, Trial.epochs_done > 0)
        .subquery()
    )
    trials = func.count(each.c.id.distinct())
    # The processor next to a GPU says little, and would distinguish equal GPUs of two nodes.
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
    # Most trials have one attempt, so no epoch is read for them.
    return (Attempt.trial_id == Trial.id) & or_(
        Attempt.attempt == Trial.attempt, epochs.correlate(Attempt).exists()
    )


def environments(session: Session, sweep_id: str) -> list[str]:
    """The distinct environments of the sweep's attempts, one line each, in order."""
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
