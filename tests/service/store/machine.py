"""The store's protocol as a Hypothesis state machine: any order of submits, claims, reports, ends,
requests, deletions, lapsed leases and broken connections, held against a model that is simple
enough to trust.

A connection breaks before a commit (nothing happened) or after it (it happened, and nobody was
told): the caller then does what the dispatcher or a client does, it tries again.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from lrd_core.spec import SweepSpec, expand_arms
from service.errors import Conflict, NotFound
from service.lifecycle import TERMINAL, TRANSITIONS, Reason, TrialState
from service.placement import Node, Rooms
from service.store import (
    answers,
    claims,
    leases,
    purging,
    queue,
    recording,
    requests,
    settling,
    submission,
    sweeps,
    turns,
)
from service.store.models import Answer, Event, Lease, Report, Sweep, Trial
from service.store.session import Database
from tests.conftest import small_sweep

EPOCHS = 2
HOLDERS = ("first dispatcher", "second dispatcher")


class Try(NamedTuple):
    """An attempt at a trial, as the one who runs it knows it."""

    trial_id: int
    attempt: int


NEVER = 1e12
"""A time that no test lives to see."""

WHICH = st.integers(0, 4)
"""0: any attempt there ever was; else one of those that run."""


class Broken(Exception):
    """The connection broke."""


class Flaky:
    """A database whose next write breaks, before or after its commit, when told so."""

    def __init__(self, database: Database) -> None:
        self.database, self.engine = database, database.engine
        self.fault: str | None = None

    @contextlib.contextmanager
    def write(self) -> Iterator[Session]:
        fault, self.fault = self.fault, None
        with self.database.write() as session:
            yield session
            if fault == "before":
                raise Broken
        if fault == "after":
            raise Broken

    def read(self) -> Any:
        return self.database.read()


@contextlib.contextmanager
def is_missing(what: str = "") -> Iterator[None]:
    """What is asked for is said not to be there."""
    found = False
    try:
        yield
        found = True
    except NotFound as error:
        found = what not in str(error)
    assert not found, f"{what} is there still"


class Store(RuleBasedStateMachine):
    """Rules are what happens to the store; invariants are what is promised."""

    database: Database
    attempts = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        self.db = Flaky(self.database)
        self.keys: dict[str, str] = {}
        """Which of two it is -> the sweep."""
        self.deleted: list[tuple[str, str]] = []
        """The idempotency keys of those that were deleted, and the sweeps that they had made."""
        self.sweep_of: dict[int, str] = {}
        """Trial -> its sweep, also of those that are gone."""
        self.last_id = 0
        """The largest id that a trial ever had."""
        self.recorded: dict[tuple[int, int], float] = {}
        """(trial, epoch) -> the loss that was recorded first."""
        self.owner: dict[int, tuple[str, int]] = {}
        """Trial -> the (dispatcher, attempt) that may write it."""
        self.results: dict[int, tuple[str, int]] = {}
        """Trial -> (state, epochs) of those that have succeeded or diverged: for ever."""
        self.leader: str | None = None

    @initialize(target=attempts)
    def one_trial_runs(self) -> Any:
        with self.database.write() as session:
            session.execute(delete(Sweep))
            session.execute(delete(Answer))
            session.execute(delete(Lease))
        self.submit("a")
        self.lead(HOLDERS[0])
        return self.claim(HOLDERS[0], cpus=1)

    # --- rules ------------------------------------------------------------------------------------

    @rule(fault=st.sampled_from(["before", "after"]))
    def the_next_write_breaks(self, fault: str) -> None:
        self.db.fault = fault

    @rule(key=st.sampled_from(["a", "b"]))
    def submit(self, key: str) -> None:
        spec = SweepSpec.parse(small_sweep(seeds=2))

        def create(session: Session) -> answers.Made:
            sweep = submission.create(session, spec, expand_arms(spec), code_version="1")
            return answers.Made({"id": sweep.id})

        for before, sweep_id in self.deleted:
            with is_missing(sweep_id), self.database.write() as session:
                answers.once(session, answers.Key(0, before, ""), create)
        kept = answers.Key(0, self.key_of(key), "")
        made, _ = self.again(lambda session: answers.once(session, kept, create))
        sweep_id = made.body["id"]
        if key not in self.keys:
            self.keys[key] = sweep_id
            with self.database.write() as session:
                session.get_one(Sweep, sweep_id).created_at = float(len(self.keys))
                ids = session.scalars(select(Trial.id).where(Trial.sweep_id == sweep_id)).all()
            assert min(ids) > self.last_id, "an id is given again"
            self.last_id = max(ids)
            self.sweep_of |= dict.fromkeys(ids, sweep_id)
        assert self.keys[key] == sweep_id

    @rule(holder=st.sampled_from(HOLDERS))
    def lead(self, holder: str) -> None:
        took = self.again(
            lambda session: leases.take(session, holder, host="host", pid=1, seconds=1000)
        )
        assert took == (self.leader in (None, holder))
        if took:
            self.leader = holder

    @rule()
    def the_lease_lapses(self) -> None:
        with self.database.write() as session:
            session.execute(update(Lease).values(expires_at=1.0))
        self.leader = None

    @rule()
    def reap(self) -> None:
        lost = {trial for trial, (holder, _) in self.owner.items() if holder != self.leader}
        leases.reap(self.database)
        for trial_id in lost:
            del self.owner[trial_id]

    @rule()
    def backoffs_pass(self) -> None:
        with self.database.write() as session:
            session.execute(update(Trial).values(not_before=None))

    @precondition(lambda self: "queued" in self.states().values())
    @rule(target=attempts, holder=st.sampled_from(HOLDERS), cpus=st.integers(1, 3))
    def claim(self, holder: str, cpus: int) -> Any:
        self.no_pause_ends()
        before = self.states()
        with self.database.read() as session:
            shares = turns.plan(session, Rooms([Node(cpus, 0)]))
        try:
            with self.db.write() as session:
                taken = claims.claim(session, holder, shares)
        except Broken:
            taken = []
        assert len(taken) <= cpus
        for each in taken:
            assert before[each.trial_id] == "queued"
            if self.row(each.trial_id).alone:
                assert (each.place.cpus, len(taken)) == (cpus, 1)
            self.owner[each.trial_id] = (holder, each.attempt)
        for trial_id, state in self.states().items():  # those whose claim broke after its commit
            if state == "running" and trial_id not in self.owner:
                attempt = self.row(trial_id).attempt
                self.owner[trial_id] = (holder, attempt)
        return multiple(*(Try(each.trial_id, each.attempt) for each in taken))

    @rule(
        trial=attempts,
        which=WHICH,
        ahead=st.sampled_from([-1, 0, 0, 0, 1]),
        loss=st.integers(1, 3),
    )
    def report(self, trial: Try, which: int, ahead: int, loss: int) -> None:
        trial = self.pick(trial, which)
        done = self.row(trial.trial_id).epochs_done
        epoch = done + 1 + ahead
        if not 1 <= epoch <= EPOCHS:
            return
        said = {"epoch": epoch, "loss": float(loss), "seconds": 1.0}
        self.again(
            lambda session: recording.record(
                session, recording.ReportedEpoch(trial.trial_id, trial.attempt, said, None)
            )
        )
        if self.owns(trial) and ahead == 0:
            self.recorded.setdefault((trial.trial_id, epoch), float(loss))

    @rule(one=attempts, which=WHICH, other=attempts, other_which=WHICH, again=st.booleans())
    def report_together(
        self, one: Try, which: int, other: Try, other_which: int, again: bool
    ) -> None:
        """The epochs that two attempts lack, or all of them, in one group."""
        tries = [self.pick(one, which), self.pick(other, other_which)]
        said = [
            recording.ReportedEpoch(
                each.trial_id, each.attempt, {"epoch": epoch, "loss": 1.0, "seconds": 1.0}, None
            )
            for each in tries
            for epoch in range(
                1 if again else self.row(each.trial_id).epochs_done + 1, EPOCHS + 1
            )
        ]  # fmt: skip
        self.again(lambda session: recording.record_all(session, said) and None)
        for trial_id, attempt, report, _ in said:
            if self.owns(Try(trial_id, attempt)):
                self.recorded.setdefault((trial_id, report["epoch"]), 1.0)

    @rule(trial=attempts, which=WHICH)
    def report_the_rest(self, trial: Try, which: int) -> None:
        trial = self.pick(trial, which)
        for _ in range(EPOCHS):
            self.report(trial, which=0, ahead=0, loss=1)

    @rule(trial=attempts, which=WHICH, reason=st.sampled_from([None, None, *Reason]))
    def end(self, trial: Try, which: int, reason: Reason | None) -> None:
        trial = self.pick(trial, which)
        owned = self.owns(trial)
        before = self.row(trial.trial_id)
        self.again(lambda session: settling.settle(session, trial.trial_id, trial.attempt, reason))
        self.ended(trial, reason, before, owned=owned)

    def ended(self, trial: Try, reason: Reason | None, before: Trial, *, owned: bool) -> None:
        after = self.row(trial.trial_id)
        if not owned:
            assert (after.state, after.attempt) == (before.state, before.attempt)
            return
        del self.owner[trial.trial_id]
        assert after.state != TrialState.running
        if before.cancel_requested_at is not None:
            assert after.state == TrialState.cancelled
        elif reason is None:
            whole = before.epochs_done == EPOCHS
            assert after.state == (TrialState.succeeded if whole else TrialState.failed)
        elif reason is Reason.oom:
            again = (TrialState.queued, True, before.losses)
            assert (after.state, after.alone, after.losses) == (
                (TrialState.failed, *again[1:]) if before.alone else again
            )

    @rule(
        key=st.sampled_from(["a", "b"]),
        verb=st.sampled_from(["pause", "resume", "resume", "retry_sweep", "cancel_sweep"]),
    )
    def ask_of_a_sweep(self, key: str, verb: str) -> None:
        options = {"cancelled": True} if verb == "retry_sweep" else {}
        if key in self.keys:
            with contextlib.suppress(Conflict):
                self.again(
                    lambda session: (
                        getattr(requests, verb)(session, self.keys[key], **options) and None
                    )
                )

    @rule(trial=attempts, which=WHICH, verb=st.sampled_from(["cancel_trial", "retry_trial"]))
    def ask_of_a_trial(self, trial: Try, which: int, verb: str) -> None:
        trial = self.pick(trial, which)
        deleted = self.sweep_of[trial.trial_id] not in self.keys.values()
        with is_missing() if deleted else contextlib.suppress(Conflict):
            self.again(lambda session: getattr(requests, verb)(session, trial.trial_id) and None)

    @rule(key=st.sampled_from(["a", "b"]))
    def delete(self, key: str) -> None:
        if key not in self.keys:
            return
        sweep_id, broken = self.keys[key], self.db.fault == "after"
        going = {"queued", "running"} & {
            state for trial, state in self.states().items() if self.sweep_of[trial] == sweep_id
        }
        try:
            self.again(lambda session: requests.delete_sweep(session, sweep_id))
        except Conflict:
            assert going
            return
        except NotFound:
            assert broken  # the first time did it
        assert not going
        self.deleted.append((self.key_of(key), sweep_id))
        del self.keys[key]

    @precondition(lambda self: self.deleted)
    @rule()
    def purge(self) -> None:
        """One more transaction."""
        with self.database.read() as session:
            waiting = purging.deleted(session, settled_seconds=0)
            trials = purging.next_trials(session, waiting[0])[:1] if waiting else []
        if not waiting:
            return

        def erase(session: Session) -> None:
            if purging.hold(session, waiting[0]):
                if trials:
                    assert purging.erase(session, [trials[0][0]])
                else:
                    assert purging.bury(session, waiting[0])

        self.again(erase)
        for trial_id, _ in trials:
            for epoch in range(1, EPOCHS + 1):
                self.recorded.pop((trial_id, epoch), None)
            self.results.pop(trial_id, None)

    # Orders of events that chance would seldom find.

    @rule(trial=attempts, which=WHICH, reason=st.sampled_from([None, Reason.lost, Reason.error]))
    def it_ends_just_after_somebody_cancelled_it(
        self, trial: Try, which: int, reason: Reason | None
    ) -> None:
        trial = self.pick(trial, which)
        self.ask_of_a_trial(trial, which=0, verb="cancel_trial")
        self.end(trial, which=0, reason=reason)

    @rule(trial=attempts, reason=st.sampled_from([None, Reason.lost, Reason.diverged]))
    def an_attempt_ends_after_its_successor_started(
        self, trial: Try, reason: Reason | None
    ) -> None:
        trial = self.pick(trial, 1)
        self.end(trial, which=0, reason=Reason.user)
        if "queued" in self.states().values():
            self.claim(HOLDERS[0], cpus=3)
        self.end(trial, which=0, reason=reason)

    @rule(trial=attempts)
    def it_runs_out_of_memory_and_so_it_does_alone(self, trial: Try) -> None:
        trial = self.pick(trial, 1)
        self.end(trial, which=0, reason=Reason.oom)
        for _ in range(2):  # the first may be another's turn
            if "queued" in self.states().values():
                self.claim(HOLDERS[0], cpus=3)
        self.end(self.newest(trial), which=0, reason=Reason.oom)

    @rule(trial=attempts)
    def a_stale_attempt_speaks_among_others(self, trial: Try) -> None:
        trial = self.pick(trial, 1)
        self.end(trial, which=0, reason=Reason.user)
        if "queued" in self.states().values():
            self.claim(HOLDERS[0], cpus=3)
        self.report_together(trial, 0, trial, 1, again=False)

    @rule(
        one=attempts, other=attempts, which=WHICH, other_which=WHICH, rest=st.booleans(),
        reasons=st.tuples(*[st.sampled_from([None, None, *Reason])] * 2),
    )  # fmt: skip
    def two_end_together(
        self, one: Try, other: Try, which: int, other_which: int, rest: bool,
        reasons: tuple[Reason | None, Reason | None],
    ) -> None:  # fmt: skip
        tries = [self.pick(one, which), self.pick(other, other_which)]
        if rest:
            for each in tries:
                self.report_the_rest(each, which=0)
        said = {
            (each.trial_id, each.attempt): settling.Ending(reason, weights_sha256="sum")
            for each, reason in zip(tries, reasons, strict=True)
        }
        rows = {key: (self.owns(Try(*key)), self.row(key[0])) for key in said}
        self.again(lambda session: settling.settle_all(session, said) and None)
        ended = {key[0] for key, (owned, _) in rows.items() if owned}
        for key, (owned, before) in rows.items():
            if owned or key[0] not in ended:  # else two attempts of one trial
                self.ended(Try(*key), said[key].reason, before, owned=owned)

    @precondition(lambda self: self.keys)
    @rule(trial=attempts, others=st.integers(0, 5))
    def a_sweep_is_cancelled_deleted_and_purged_while_an_attempt_of_it_lives_on(
        self, trial: Try, others: int
    ) -> None:
        trial = self.pick(trial, 1)
        sweep_id = self.sweep_of[trial.trial_id]
        key = next((key for key, its in self.keys.items() if its == sweep_id), None)
        if key is None:
            return
        self.ask_of_a_sweep(key, "cancel_sweep")
        for trial_id, (_, attempt) in list(self.owner.items()):
            if self.sweep_of[trial_id] == sweep_id:
                self.end(Try(trial_id, attempt), which=0, reason=Reason.user)
        self.delete(key)
        for _ in range(others):
            if self.deleted:
                self.purge()
        self.submit(key)
        self.report(trial, which=0, ahead=0, loss=3)
        self.end(trial, which=0, reason=None)

    @rule(trial=attempts)
    def it_says_that_it_is_done_too_early(self, trial: Try) -> None:
        self.end(self.pick(trial, 1), which=0, reason=None)

    @rule(trial=attempts)
    def it_skips_an_epoch(self, trial: Try) -> None:
        self.report(self.pick(trial, 1), which=0, ahead=1, loss=1)

    @rule(trial=attempts)
    def it_says_another_thing_of_the_same_epoch(self, trial: Try) -> None:
        trial = self.pick(trial, 1)
        self.report(trial, which=0, ahead=0, loss=1)
        self.report(trial, which=0, ahead=-1, loss=2)

    @rule(trial=attempts, reason=st.sampled_from([Reason.diverged, Reason.error]))
    def it_fails_and_its_sweep_is_retried(self, trial: Try, reason: Reason) -> None:
        self.end(self.pick(trial, 1), which=0, reason=reason)
        self.results_stay()  # it is seen, before anybody asks for more
        for key in self.keys:
            self.ask_of_a_sweep(key, "retry_sweep")

    # --- what is promised -------------------------------------------------------------------------

    @invariant()
    def counts_add_up(self) -> None:
        with self.database.read() as session:
            for sweep in session.scalars(select(Sweep).where(Sweep.deleted_at.is_(None))):
                states = session.scalars(
                    select(Trial.state).where(Trial.sweep_id == sweep.id)
                ).all()
                assert {s: getattr(sweep, s) for s in TrialState} == {
                    s: states.count(s) for s in TrialState
                }

    @invariant()
    def one_sweep_a_key(self) -> None:
        with self.database.read() as session:
            there = select(Sweep.id).where(Sweep.deleted_at.is_(None))
            assert set(session.scalars(there)) == set(self.keys.values())

    @invariant()
    def nothing_is_seen_of_a_deleted_sweep_and_nothing_of_it_runs(self) -> None:
        states = self.states()
        seen = [state for trial, state in states.items() if self.sweep_of[trial] in self.there()]
        with self.database.read() as session:
            assert {sweep.id for sweep in sweeps.page(session, None, 10)} == self.there()
            assert queue.counts(session) == {state: seen.count(state) for state in TrialState}
            for trial_id, state in states.items():
                if self.sweep_of[trial_id] not in self.there():
                    assert state in TERMINAL
                    with is_missing(str(trial_id)):
                        sweeps.get_trial(session, trial_id)

    @invariant()
    def every_epoch_is_recorded_once_as_it_was_first_said(self) -> None:
        with self.database.read() as session:
            rows = session.scalars(select(Report)).all()
            done = dict(map(tuple, session.execute(select(Trial.id, Trial.epochs_done))))
        assert {(r.trial_id, r.epoch): r.report["loss"] for r in rows} == self.recorded
        for trial_id, epochs in done.items():
            assert sorted(e for t, e in self.recorded if t == trial_id) == list(
                range(1, epochs + 1)
            )

    @invariant()
    def what_runs_is_what_was_claimed(self) -> None:
        running = {trial_id for trial_id, state in self.states().items() if state == "running"}
        assert running == set(self.owner)

    @invariant()
    def results_stay(self) -> None:
        with self.database.read() as session:
            rows = session.scalars(select(Trial)).all()
        for trial in rows:
            if trial.state == TrialState.succeeded:
                assert trial.epochs_done == EPOCHS
            if trial.id in self.results:
                assert (trial.state, trial.epochs_done) == self.results[trial.id]
            elif trial.state == TrialState.succeeded or trial.reason == Reason.diverged:
                assert trial.state in TERMINAL
                self.results[trial.id] = (trial.state, trial.epochs_done)

    @invariant()
    def events_tell_every_move(self) -> None:
        with self.database.read() as session:
            events = session.scalars(
                select(Event).where(Event.trial_id.is_not(None)).order_by(Event.id)
            ).all()
        last: dict[int | None, str] = {}
        for event in events:
            assert event.from_state == last.get(event.trial_id, "queued")
            assert TrialState(str(event.to_state)) in TRANSITIONS[TrialState(event.from_state)]
            last[event.trial_id] = str(event.to_state)
        for trial_id, state in self.states().items():
            assert state == last.get(trial_id, "queued")

    # --- inside -----------------------------------------------------------------------------------

    def no_pause_ends(self) -> None:
        """However long the machine has taken since the loss."""
        with self.database.write() as session:
            pausing = update(Trial).where(Trial.not_before.is_not(None))
            session.execute(pausing.values(not_before=NEVER))

    def again(self, work: Any) -> Any:
        """Do it; if the connection breaks, do it once more, as every caller does."""
        for _ in range(2):
            try:
                with self.db.write() as session:
                    return work(session)
            except Broken:
                continue
        raise AssertionError("one fault at a time")

    def pick(self, trial: Try, which: int) -> Try:
        running = sorted(self.owner)
        if which == 0 or not running:
            return trial
        trial_id = running[which % len(running)]
        return Try(trial_id, self.owner[trial_id][1])

    def newest(self, trial: Try) -> Try:
        return Try(trial.trial_id, self.row(trial.trial_id).attempt)

    def owns(self, trial: Try) -> bool:
        holder_attempt = self.owner.get(trial.trial_id)
        return holder_attempt is not None and holder_attempt[1] == trial.attempt

    def key_of(self, name: str) -> str:
        """The idempotency key of the present sweep of this name, or of the next one."""
        return f"{name}{sum(key.startswith(name) for key, _ in self.deleted)}"

    def there(self) -> set[str]:
        return set(self.keys.values())

    def row(self, trial_id: int) -> Trial:
        """As it is; one that never ran where it is gone."""
        with self.database.read() as session:
            return session.get(Trial, trial_id) or Trial(
                state="gone", attempt=0, epochs_done=0, losses=0, alone=False
            )

    def states(self) -> dict[int, str]:
        with self.database.read() as session:
            return dict(map(tuple, session.execute(select(Trial.id, Trial.state))))
