"""How much GPU memory trials use, and so which part of a GPU each trial of a sweep takes."""

import math

from sqlalchemy import insert, or_, select, update
from sqlalchemy.orm import Session

from service.lifecycle import TrialState
from service.store.models import Event, Sweep, Trial
from service.store.session import db_now

ROOM = 1.15
"""A trial gets this multiple of its measured peak of memory."""


def share_of(peak_bytes: int, total_bytes: int) -> float:
    """The part of a GPU for a trial with this peak: with 15 % of headroom, in sixteenths."""
    return min(16, max(1, math.ceil(16 * ROOM * peak_bytes / total_bytes))) / 16


def record_memory(
    session: Session, trial_id: int, attempt: int, peak_bytes: int, total_bytes: int
) -> None:
    """Record an attempt's peak of GPU memory, if it still holds its trial. The largest peak of a
    sweep decides what each of its trials needs."""
    share = share_of(peak_bytes, total_bytes)
    sweep_id = select(Trial.sweep_id).where(
        Trial.id == trial_id, Trial.attempt == attempt, Trial.state == TrialState.running
    )
    raised = session.execute(
        update(Sweep)
        .where(
            Sweep.id == sweep_id.scalar_subquery(),
            or_(Sweep.gpu_share.is_(None), Sweep.gpu_share < share),
        )
        .values(gpu_share=share, version=Sweep.version + 1)
        .returning(Sweep.id)
    ).scalar()
    if raised is not None:
        used, total = peak_bytes / 2**30, total_bytes / 2**30
        session.execute(
            insert(Event).values(
                sweep_id=raised,
                at=select(db_now()).scalar_subquery(),
                kind="memory",
                message=f"trial {trial_id} used {used:.2f} of {total:.2f} GiB: "
                f"a trial needs {16 * share:g}/16 of a GPU",
            )
        )
