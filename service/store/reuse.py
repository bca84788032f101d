"""Results that are there already: the same configuration, seed, execution and code elsewhere."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Select, exists, func, insert, literal, select
from sqlalchemy.orm import Session, aliased

from lrd_core.sources import Code
from service.lifecycle import TrialState
from service.store.models import Arm, Attempt, Event, Report, Sweep, Trial
from service.store.provenance import has_made

T = TypeVar("T")

IMPORTED = "imported"
"""The kind of an event that no sweep has but one that came in as a bundle."""
Key = tuple[str, int]
"""(hash of the configuration, seed)"""


def present(
    session: Session,
    codes: Mapping[str, Code],
    *,
    execution: dict[str, Any],
    owner: str | None,
) -> dict[Key, int]:
    """(hash, seed) -> the id of the newest trial whose results may stand for it in a sweep of
    `owner`.

    `codes`: the code that would run each configuration now, by its hash. A trial's own is what its
    attempts have recorded; where they say nothing, or not the sum, it is not known to be this.
    What was imported did not run here: it may have been written by hand, so it stands for nobody's
    trials but its owner's, also where it was reused meanwhile.
    """
    newest: dict[Key, int] = {}
    fitting: dict[str, bool] = {}
    trusted: dict[str, bool] = {}
    first = aliased(Trial)
    for part in _parts(list(codes)):
        fitting |= _fitting(session, part, fitting.keys(), execution)
        ran = _ran(session, part)
        query = (
            _succeeded(part, Arm.config_sha256, Trial.seed, Trial.id, Trial.sweep_id)
            .add_columns(first.sweep_id)  # in which its results were made
            .where(first.id == func.coalesce(Trial.reused_from, Trial.id))
            .order_by(Trial.id)
        )
        for sha256, seed, trial_id, sweep_id, made_in in session.execute(query):
            if not fitting.get(sweep_id) or ran[trial_id] != {codes[sha256]}:
                continue
            if made_in not in trusted:
                trusted[made_in] = _stands_for(session, made_in, owner)
            if trusted[made_in]:
                newest[sha256, seed] = trial_id
    return newest


def donors(session: Session, codes: Mapping[str, Code], **like: Any) -> dict[Key, Trial]:
    """The trials that `present` finds."""
    newest = present(session, codes, **like)
    trials: dict[int, Trial] = {}
    for ids in _parts(list(newest.values())):
        trials |= {
            each.id: each for each in session.scalars(select(Trial).where(Trial.id.in_(ids)))
        }
    return {key: trials[trial_id] for key, trial_id in newest.items()}


def results_of(donor: Trial, now: float) -> dict[str, Any]:
    """What a trial takes over from its donor; it has cost nothing here."""
    return {
        "state": TrialState.succeeded,
        "attempt": 1,
        "epochs_done": donor.epochs_done,
        "last_report": donor.last_report,
        "seconds": donor.seconds,
        "weights_sha256": donor.weights_sha256,
        "reused_from": donor.reused_from or donor.id,
        "started_at": now,
        "finished_at": now,
    }


def copy_reports(session: Session, sweep_id: str) -> None:
    """Give the sweep's reused trials their donors' epochs and the attempt that made them."""
    mine = (Trial.sweep_id == sweep_id) & Trial.reused_from.is_not(None)
    own_attempt, own_report = aliased(Attempt), aliased(Report)
    done = select(own_attempt.trial_id).where(own_attempt.trial_id == Trial.id).exists()
    session.execute(
        insert(Attempt).from_select(
            ["trial_id", "attempt", "dispatcher_id", "started_at", "ended_at", "outcome",
             "message", "environment"],
            select(
                Trial.id, literal(1), Attempt.dispatcher_id, Attempt.started_at, Attempt.ended_at,
                Attempt.outcome, literal("reused"), Attempt.environment,
            )
            .join(Attempt, Attempt.trial_id == Trial.reused_from)
            .where(mine, Attempt.outcome == TrialState.succeeded, ~done),
        )
    )  # fmt: skip
    recorded = select(own_report.trial_id).where(own_report.trial_id == Trial.id).exists()
    session.execute(
        insert(Report).from_select(
            ["trial_id", "epoch", "attempt", "report", "sha256", "recorded_at"],
            select(
                Trial.id, Report.epoch, literal(1), Report.report, Report.sha256,
                Report.recorded_at,
            )
            .join(Report, Report.trial_id == Trial.reused_from)
            .where(mine, ~recorded),
        )
    )  # fmt: skip


# --- inside ---------------------------------------------------------------------------------------


def _succeeded(hashes: Sequence[str], *columns: Any) -> Select[Any]:
    """`columns` of the trials that have succeeded with these configurations."""
    return select(*columns).where(
        Arm.config_sha256.in_(hashes),
        Trial.arm_id == Arm.id,
        Trial.sweep_id == Arm.sweep_id,  # says nothing new: the index over trials begins with it
        Trial.state == TrialState.succeeded,
    )


def _ran(session: Session, hashes: Sequence[str]) -> Mapping[int, set[Code]]:
    """The code of each trial that has succeeded with these configurations."""
    parts = [Attempt.environment[name].as_string() for name in ("lrd", "plugins")]
    ran: defaultdict[int, set[Code]] = defaultdict(set)
    for trial_id, *code in session.execute(_succeeded(hashes, Trial.id, *parts).where(has_made())):
        ran[trial_id].add(Code._make(code))
    return ran


def _fitting(
    session: Session,
    hashes: Sequence[str],
    known: Collection[str],
    execution: dict[str, Any],
) -> dict[str, bool]:
    """Whether a sweep with these configurations was executed so; without those known.

    Of each sweep once, and of its spec this part: a spec may have a megabyte, and a sweep a
    hundred thousand trials.
    """
    there = select(Arm.sweep_id).where(Arm.config_sha256.in_(hashes)).distinct()
    ran_it = [each for each in session.scalars(there) if each not in known]
    found = dict.fromkeys(ran_it, False)
    for ids in _parts(ran_it):
        query = select(Sweep.id, Sweep.spec["execution"]).where(Sweep.id.in_(ids))
        found |= {each: (given or {}) == execution for each, given in session.execute(query)}
    return found


def _stands_for(session: Session, sweep_id: str, owner: str | None) -> bool:
    if session.scalars(select(Sweep.owner).where(Sweep.id == sweep_id)).one() == owner:
        return True
    imported = exists().where(Event.sweep_id == sweep_id, Event.kind == IMPORTED)
    return not session.scalar(select(imported))


def _parts(items: Sequence[T], size: int = 500) -> Iterator[Sequence[T]]:
    """In parts: a database takes some thousand parameters at most."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
