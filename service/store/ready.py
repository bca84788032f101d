"""Which trials of which sweeps are ready to start, for many sweeps in one statement."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    Boolean,
    ColumnElement,
    CompoundSelect,
    Integer,
    Select,
    String,
    bindparam,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.orm import Session

from service.lifecycle import TrialState
from service.store.models import Trial
from service.store.session import db_now

TOGETHER = 20
"""Sweeps per statement. The number is fixed because SQLAlchemy compiles a statement of another size
anew, at 3 ms a sweep; a compiled one takes 0.1 ms."""


class Wanted(NamedTuple):
    """Up to `most` ready trials of a sweep."""

    sweep_id: str
    most: int
    alone: bool = False
    """Whether to take those that must run alone, or the others."""


def is_ready() -> ColumnElement[bool]:
    """Condition on a trial: it is queued, and not waiting after a loss."""
    due = or_(Trial.not_before.is_(None), Trial.not_before <= db_now())
    return (Trial.state == TrialState.queued) & due


def next_of_each(session: Session, wanted: Sequence[Wanted]) -> list[list[int]]:
    """The ids of the next ready trials of each."""
    return _of_each(session, _next, wanted)


def count_of_each(session: Session, wanted: Sequence[Wanted]) -> list[int]:
    """The number of ready trials of each, up to what is wanted."""
    return [sum(counts) for counts in _of_each(session, _count, wanted)]


# --- inside ---------------------------------------------------------------------------------------


def _next(place: int) -> Select[Any]:
    found = (
        select(Trial.id)
        .where(
            Trial.sweep_id == bindparam(f"sweep_id_{place}", type_=String),
            Trial.alone == bindparam(f"alone_{place}", type_=Boolean),
            is_ready(),
        )
        .order_by(Trial.id)
        .limit(bindparam(f"most_{place}", type_=Integer))
    ).subquery()
    return select(literal(place), found)


def _count(place: int) -> Select[Any]:
    columns: list[ColumnElement[Any]] = [literal(place), func.count()]
    return select(*columns).select_from(_next(place).subquery())


@functools.cache
def _together(part: Callable[[int], Select[Any]], size: int) -> CompoundSelect[Any]:
    return union_all(*map(part, range(size)))


def _of_each(
    session: Session, part: Callable[[int], Select[Any]], wanted: Sequence[Wanted]
) -> list[list[int]]:
    """Run the query `part` for each of `wanted`; what it finds."""
    found: list[list[int]] = [[] for _ in wanted]
    asked = [at for at, each in enumerate(wanted) if each.most > 0]
    size = 1 if len(asked) == 1 else TOGETHER
    for start in range(0, len(asked), size):
        some = asked[start : start + size]
        values: dict[str, Any] = {}
        for place in range(size):
            each = wanted[some[place]] if place < len(some) else Wanted("", 0)
            values |= {f"{name}_{place}": value for name, value in each._asdict().items()}
        for place, value in session.execute(_together(part, size), values):
            if place < len(some):
                found[some[place]].append(value)
    return found
