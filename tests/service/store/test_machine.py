"""The store keeps its promises in any order of events; and bugs planted in it do not go unseen."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy.exc import IntegrityError

from service import placement
from service.store import (
    answers,
    claims,
    leases,
    purging,
    queue,
    recording,
    requests,
    reuse,
    settling,
    sweeps,
    transitions,
    turns,
    webhooks,
)
from service.store.session import Database
from tests.service.store.machine import Store

ORDER = [
    placement, webhooks, transitions, recording, settling, turns, claims, queue, leases, reuse,
    sweeps, requests, answers, purging,
]  # fmt: skip
"""Each imports only from those before it."""


def run(database: Database, examples: int, steps: int = 40, *, explain: bool = True) -> None:
    machine = type("Machine", (Store,), {"database": database})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            report_multiple_bugs=False,
            phases=(Phase.generate, Phase.shrink) if explain else (Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_store_keeps_its_promises(database: Database) -> None:
    run(database, examples=24)


MUTANTS: dict[str, tuple[ModuleType, list[tuple[str, str]]]] = {
    "no fence on reports": (
        recording,
        [
            (
                '        Trial.id == bindparam("of"),\n        Trial.attempt == bindparam("by"),\n',
                '        Trial.id == bindparam("of"),\n        Trial.attempt >= bindparam("by"),\n',
            )
        ],
    ),
    "an attempt that has ended goes on reporting": (
        recording,
        [
            (
                "        Trial.state == TrialState.running,\n"
                '        Trial.epochs_done == bindparam("before"),',
                '        Trial.epochs_done == bindparam("before"),',
            )
        ],
    ),
    "nobody counts what moved": (recording, [("if moved == len(epochs):", "if True:")]),
    "what was tried together is not taken back": (
        recording,
        [("        point.rollback()\n", "        point.commit()\n")],
    ),
    "no fence on ends": (
        settling,
        [
            (
                "tuple_(Trial.id, Trial.attempt).in_(list(ends)), Trial.state",
                "Trial.id.in_([of for of, _ in ends]), Trial.state",
            ),
            (
                "found = {(trial.id, trial.attempt): (trial, number)",
                "found = {trial.id: (trial, number)",
            ),
            (
                "{key: found[key] for key in ends if key in found}",
                "{key: found[key[0]] for key in ends if key[0] in found}",
            ),
            (
                "        tuple_(Trial.id, Trial.attempt).in_(keys),\n        reason=found.reason,",
                "        Trial.id.in_([of for of, _ in keys]),\n        reason=found.reason,",
            ),
        ],
    ),
    "epochs may be skipped": (
        recording,
        [
            (
                'Trial.epochs_done == bindparam("before"),',
                'Trial.epochs_done <= bindparam("before"),',
            )
        ],
    ),
    "a second word overwrites the first": (
        recording,
        [
            (
                "    if differs:\n        return Recorded.different",
                "    earlier.report = earlier.report | {'loss': -1.0}",
            )
        ],
    ),
    "success before the last epoch": (
        settling,
        [("if trial.epochs_done == trial.epochs == recorded:", "if True:")],
    ),
    "finish beats cancel": (
        settling,
        [
            (
                "if trial.cancel_requested_at is not None:",
                "if trial.cancel_requested_at is not None and reason is not None:",
            ),
            (
                "if reason is None and found.state is not TrialState.cancelled:",
                "if reason is None:",
            ),
        ],
    ),
    "idempotency keys are ignored": (
        answers,
        [("(Answer, (key.token_id, key.text))", "(Answer, (key.token_id + 1, key.text))")],
    ),
    "results are tried again": (requests, [("        refusals.MAY_RETRY,\n", "")]),
    "a living lease is reaped": (
        leases,
        [
            (
                "Lease.holder == Trial.dispatcher_id, Lease.expires_at > db_now()",
                "Lease.holder == Trial.dispatcher_id, Lease.expires_at > db_now() + 2000",
            )
        ],
    ),
    "a living lease is taken": (
        leases,
        [("if lease.expires_at > now:", "if lease.expires_at < 0:")],
    ),
    "claims do not raise the attempt": (
        claims,
        [
            (
                "attempt=Trial.attempt + 1,",
                "attempt=func.coalesce(func.nullif(Trial.attempt, 0), 1),",
            )
        ],
    ),
    "more is claimed than fits": (
        placement,
        [("        self.cpus -= _units(place.cpus)\n", "")],
    ),
    "out of memory is tried for ever": (
        settling,
        [("if not (unshared or trial.alone):", "if True:")],
    ),
    "out of memory counts as a loss": (
        settling,
        [('{"alone": True}', '{"alone": True, "losses": trial.losses + 1}')],
    ),
    "a move does not look where it comes from": (
        transitions,
        [(".where(Trial.state == from_state, *conditions)", ".where(*conditions)")],
    ),
    "counts are not moved": (
        transitions,
        [("        from_state: getattr(Sweep, from_state) - moved,\n", "")],
    ),
    "moves without an event": (
        transitions,
        [
            (
                "    session.connection().execute(\n        insert(Event.__table__)",
                "    len(moved) > 1 and session.connection().execute(\n"
                "        insert(Event.__table__)",
            )
        ],
    ),
    "what still runs is deleted": (
        requests,
        [("    _proceeds(sweep, refusals.delete_sweep(sweep))\n", "")],
    ),
    "a deleted sweep's answer is given again": (
        answers,
        [("            sweeps.get(session, sweep_id)\n", "            pass\n")],
    ),
    "a trial is asked though its sweep is deleted": (
        sweeps,
        [("Trial.id == trial_id, Sweep.deleted_at.is_(None)", "Trial.id == trial_id")],
    ),
    "a deleted sweep is counted": (
        queue,
        [("select(*sums).where(Sweep.deleted_at.is_(None))", "select(*sums)")],
    ),
    "ends together share one verdict": (
        settling,
        [("alike.setdefault(repr(found), (found, []))", "alike.setdefault('', (found, []))")],
    ),
}


@pytest.fixture
def planted(request: pytest.FixtureRequest) -> Iterator[None]:
    module, changes = MUTANTS[request.param]
    sources = {each: Path(str(each.__file__)).read_text() for each in ORDER}
    mutant = sources[module]
    for right, wrong in changes:
        assert mutant.count(right) == 1, f"the place to plant it in is gone: {right}"
        mutant = mutant.replace(right, wrong)
    with restored():
        load({**sources, module: mutant})
        yield


@contextmanager
def restored() -> Iterator[None]:
    """The modules are as before afterwards, to their very classes: others have imported those."""
    before = {module: dict(vars(module)) for module in ORDER}
    try:
        yield
    finally:
        for module, names in before.items():
            vars(module).clear()
            vars(module).update(names)


def load(sources: dict[ModuleType, str]) -> None:
    for module in ORDER:
        exec(compile(sources[module], str(module.__file__), "exec"), module.__dict__)


def test_reloading_alone_breaks_nothing(sqlite: object, tmp_path: Path) -> None:
    with restored():
        load({module: Path(str(module.__file__)).read_text() for module in ORDER})
        database = Database(sqlite(tmp_path))  # type: ignore[operator]
        run(database, examples=5)
        database.close()


@pytest.mark.slow
@pytest.mark.parametrize("planted", MUTANTS, indirect=True)
def test_a_planted_bug_is_seen(planted: None, sqlite: object, tmp_path: Path) -> None:
    database = Database(sqlite(tmp_path))  # type: ignore[operator]
    try:
        with pytest.raises((AssertionError, IntegrityError)):  # the database's own checks count
            run(database, examples=1000, explain=False)
    finally:
        database.close()
