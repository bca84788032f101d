"""Kept answers: what is read of them equals what is computed afresh, whatever has happened."""

import json
import random
import threading
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lrd_core.spec import SweepSpec, expand_arms
from service import results_cache
from service.errors import Conflict, NotFound
from service.lifecycle import Reason
from service.placement import Node, Rooms
from service.results_cache import Asked, CachedAnswer, ResultsCache
from service.store import (
    claims,
    leases,
    recording,
    requests,
    settling,
    submission,
    sweeps,
    turns,
)
from service.store.claims import Assignment
from service.store.models import Sweep
from service.store.session import Database
from service.versions import tag_of_results
from tests.conftest import small_sweep
from tests.waiting import until

ADDRESSES = (
    "arms",
    "comparisons",
    "effects",
    "methods?format=markdown",
    "table",
    "table?format=csv",
    "table?metric=train_loss&at=best",
)


def submit(database: Database, **changes: Any) -> str:
    spec = SweepSpec.parse(small_sweep(**changes))
    with database.write() as session:
        return submission.create(session, spec, expand_arms(spec), code_version="1").id


class History:
    """Something happens to a sweep, then something else."""

    def __init__(self, database: Database, sweep_id: str, seed: int) -> None:
        self._database, self._sweep_id = database, sweep_id
        self._draws = random.Random(seed)
        self._running: list[Assignment] = []
        self._done: dict[int, int] = {}

    def go_on(self) -> None:
        event = self._draws.choice(["claim", "epoch", "epoch", "epoch", "end", "ask"])
        with self._database.write() as session:
            if event == "claim" or not self._running:
                leases.take(session, "d", host="", pid=1, seconds=1000)
                shares = turns.plan(session, Rooms([Node(3, 0)]))
                self._running += claims.claim(session, "d", shares)
            elif event == "ask":
                verb = self._draws.choice(["extend", "retry", "pause", "resume"])
                self._ask(session, verb)
            else:
                trial = self._draws.choice(self._running)
                done = sweeps.get_trial(session, trial.trial_id).epochs_done
                if event == "epoch" and done < 2:
                    report = self._report(done + 1)
                    said = recording.ReportedEpoch(trial.trial_id, trial.attempt, report, None)
                    recording.record(session, said)
                    recording.touch(session, [self._sweep_id])
                else:
                    reason = None if done == 2 else self._draws.choice([*Reason])
                    settling.settle(session, trial.trial_id, trial.attempt, reason)
                    self._running.remove(trial)

    def _ask(self, session: Any, verb: str) -> None:
        sweep = sweeps.get(session, self._sweep_id)
        match verb:
            case "extend":
                more = SweepSpec.model_validate(sweep.spec | {"seeds": len(_seeds(sweep)) + 1})
                requests.extend(session, sweep.id, more)
            case "retry":
                try:
                    requests.retry_sweep(session, sweep.id)
                except Conflict:
                    return
            case "pause" if sweep.queued or sweep.running:
                requests.pause(session, sweep.id)
            case _:
                requests.resume(session, sweep.id)

    def _report(self, epoch: int) -> dict[str, Any]:
        value = self._draws.choice([self._draws.random(), self._draws.random(), "NaN"])
        return {
            "epoch": epoch, "train_loss": self._draws.random(), "test_accuracy": value,
            "lr": 0.1, "seconds": self._draws.random(),
        }  # fmt: skip


def _seeds(sweep: Any) -> list[int]:
    return SweepSpec.model_validate(sweep.spec).seeds


@pytest.mark.parametrize("seed", range(3))
def test_kept_answers_equal_those_computed_afresh(
    api: TestClient, database: Database, seed: int
) -> None:
    sweep_id = submit(database, seeds=3)
    history = History(database, sweep_id, seed)
    draws = random.Random(seed)
    kept = api.app.state.results  # type: ignore[attr-defined]
    for _ in range(40):
        for _ in range(draws.randrange(3)):
            history.go_on()
        address = f"/api/v1/sweeps/{sweep_id}/{draws.choice(ADDRESSES)}"
        answer = api.get(address)
        kept._kept.clear()
        afresh = api.get(address)
        assert answer.status_code == afresh.status_code == 200
        assert answer.content == afresh.content
        assert answer.headers["etag"] == afresh.headers["etag"]


def test_nothing_is_computed_while_nothing_changes(
    api: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep_id = submit(database)
    made: list[Asked] = []
    make = results_cache.make
    monkeypatch.setattr(
        results_cache, "make", lambda *given: (made.append(given[-1]), make(*given))[1]
    )
    for _ in range(3):
        api.get(f"/api/v1/sweeps/{sweep_id}/table")
    assert len(made) == 1
    api.post(f"/api/v1/sweeps/{sweep_id}/pause")
    api.get(f"/api/v1/sweeps/{sweep_id}/table")
    assert len(made) == 2


@pytest.fixture
def all_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_cache, "SMALL", 1)
    monkeypatch.setattr(results_cache, "LARGE", 1)


@pytest.mark.usefixtures("all_are_large")
def test_an_answer_made_apart_equals_one_made_here(
    api: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep_id = submit(database)
    history = History(database, sweep_id, 1)
    for _ in range(30):
        history.go_on()
    for address in ADDRESSES:
        apart = api.get(f"/api/v1/sweeps/{sweep_id}/{address}")
        api.app.state.results._kept.clear()  # type: ignore[attr-defined]
        monkeypatch.setattr(results_cache, "LARGE", 1000)
        here = api.get(f"/api/v1/sweeps/{sweep_id}/{address}")
        monkeypatch.setattr(results_cache, "LARGE", 1)
        api.app.state.results._kept.clear()  # type: ignore[attr-defined]
        assert apart.content == here.content
        assert apart.headers["etag"] == here.headers["etag"]
    missing = api.get(f"/api/v1/sweeps/{sweep_id}/table?baseline=999999")
    assert missing.status_code == 404
    beyond = api.get(f"/api/v1/sweeps/{sweep_id}/table?at=epoch:99")
    assert beyond.status_code == 422
    assert "has so many epochs: " in beyond.json()["detail"]


@pytest.mark.usefixtures("all_are_large")
def test_a_large_sweep_that_runs_shows_its_last_answer_and_has_the_next_one_made(
    api: TestClient, database: Database
) -> None:
    sweep_id = submit(database)
    address = f"/api/v1/sweeps/{sweep_id}/table"
    first = api.get(address)
    api.patch(f"/api/v1/sweeps/{sweep_id}", json={"priority": 3})
    old = api.get(address)
    assert old.headers["etag"] == first.headers["etag"]
    assert "age" in old.headers
    assert old.content == first.content
    now = api.get(f"/api/v1/sweeps/{sweep_id}").headers["etag"]
    version = tag_of_results(int(now.strip('"')))
    until(lambda: api.get(address).headers["etag"] == version, "no newer answer")
    assert "age" not in api.get(address).headers
    again = api.get(address, headers={"If-None-Match": version})
    assert again.status_code == 304


def test_an_answer_about_a_sweep_that_is_deleted_meanwhile_is_not_found(database: Database) -> None:
    """Catches: an internal error for whoever waits for a large one."""
    sweep_id = submit(database)
    with database.write() as session:
        requests.cancel_sweep(session, sweep_id)
        requests.delete_sweep(session, sweep_id)
    with pytest.raises(NotFound, match=sweep_id):
        ResultsCache(database).wait(Asked(sweep_id, "arms"), 1)


@pytest.mark.usefixtures("all_are_large")
def test_a_sweep_that_has_ended_is_shown_as_it_is(api: TestClient, database: Database) -> None:
    sweep_id = submit(database)
    address = f"/api/v1/sweeps/{sweep_id}/arms"
    api.get(address)
    api.post(f"/api/v1/sweeps/{sweep_id}/cancel")
    arms = api.get(address).json()["items"]
    assert [arm["missing"] for arm in arms] == [{"cancelled": [0, 1]}] * 2


def test_one_between_is_made_here_when_somebody_waits_and_apart_when_not(
    api: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_cache, "SMALL", 1)
    refreshed: list[Asked] = []
    monkeypatch.setattr(ResultsCache, "_refresh", lambda _, asked: refreshed.append(asked))
    monkeypatch.setattr(ResultsCache, "_apart", None)
    sweep_id = submit(database)
    address = f"/api/v1/sweeps/{sweep_id}/arms"
    api.get(address)
    api.patch(f"/api/v1/sweeps/{sweep_id}", json={"priority": 3})
    assert "age" in api.get(address).headers
    assert len(refreshed) == 1
    api.post(f"/api/v1/sweeps/{sweep_id}/cancel")
    assert "cancelled" in api.get(address).text
    assert len(refreshed) == 1


def test_many_who_ask_for_the_same_wait_for_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, asked = ResultsCache(database), Asked("x", "table")
    made: list[Asked] = []
    asking: list[int] = []

    def slow(_: ResultsCache, asked: Asked) -> CachedAnswer:
        made.append(asked)
        until(lambda: len(asking) == 5, "not all have asked")
        return CachedAnswer(7, b"{}")

    def ask(number: int) -> None:
        asking.append(number)
        kept.wait(asked, 7)

    monkeypatch.setattr(ResultsCache, "_apart", slow)
    threads = [threading.Thread(target=ask, args=[number]) for number in range(5)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(made) == 1


def test_each_of_several_answers_is_made_in_its_turn(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a table that is never made anew, for somebody else looks at the arms more often."""
    clock, oldest = [0.0], dict.fromkeys(("arms", "table", "effects"), 0.0)
    monkeypatch.setattr(results_cache.time, "monotonic", lambda: clock[0])
    kept, sweep = (
        ResultsCache(database),
        Sweep(version=99, queued=5, running=5, trials_total=30_000),
    )

    def go_on(ticks: int) -> None:
        """Of 20 ms: the arms are looked at in each, the others once a second."""
        for _ in range(ticks):
            clock[0] = round(clock[0] + 0.02, 2)
            for what in oldest if clock[0] % 1 == 0 else ["arms"]:
                shown = kept.of(None, sweep, Asked("s", what))()  # type: ignore[arg-type]
                oldest[what] = max(oldest[what], clock[0] - shown.made_at)

    def slow(asked: Asked) -> CachedAnswer:
        go_on(10)
        return CachedAnswer(1, b"x", clock[0])

    class AtOnce(threading.Thread):
        def start(self) -> None:
            self.run()

    monkeypatch.setattr(kept, "_apart", slow)
    monkeypatch.setattr(results_cache.threading, "Thread", AtOnce)
    for what in oldest:
        kept._keep(Asked("s", what), CachedAnswer(1, b"x", 0.0))
    go_on(2000)
    assert max(oldest.values()) <= 3 * 4 * 0.2 + 1 + 0.1


def test_the_questions_that_wait_are_bounded(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: an API that remembers whatever anybody has asked for."""
    monkeypatch.setattr(results_cache, "PENDING", 2)
    kept = ResultsCache(database)
    monkeypatch.setattr(kept, "_apart", lambda _: CachedAnswer(1, b"x"))
    with kept._turn:
        for number in range(5):
            kept._refresh(Asked(str(number), "arms"))
    assert [asked.sweep_id for asked in kept._pending] == ["0", "1"]
    kept._refresh(Asked("4", "arms"))
    until(lambda: Asked("0", "arms") in kept._kept, "the first is not made")
    assert [asked.sweep_id for asked in kept._pending] == ["1"]


def test_what_is_kept_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_cache, "KEPT_BYTES", 250)
    kept = ResultsCache(database)
    for number in range(5):
        kept._keep(Asked(str(number), "arms"), CachedAnswer(1, b"x" * 100))
    assert [asked.sweep_id for asked in kept._kept] == ["3", "4"]
    kept._keep(Asked("4", "arms"), CachedAnswer(2, b"x" * 10))
    assert kept._bytes == 110
    older = kept._keep(Asked("4", "arms"), CachedAnswer(1, b"x" * 99))
    assert older.version == 1
    assert kept._kept[Asked("4", "arms")].version == 2


def test_numbers_that_are_none_are_spelled_out() -> None:
    said = results_cache._json({"a": float("nan"), "b": (1.5, float("inf"))})
    assert json.loads(said)["b"][0] == 1.5
    assert "NaN" in said
    assert '"NaN"' in said
