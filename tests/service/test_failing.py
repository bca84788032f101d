"""A sweep whose trials keep failing pauses (`max_failures`), and goes on when it is told to."""

import pytest
from fastapi.testclient import TestClient

from service.dispatcher import Dispatcher
from service.store import webhooks
from service.store.session import Database
from tests.inline import InlineExecutor
from tests.service.test_requests import ask, fail, submit, sweep, trials, work

BECAUSE = "2 trials failed, as many as its max_failures allows"


def states(api: TestClient, sweep_id: str) -> list[tuple[str, str | None]]:
    return [(trial["state"], trial["reason"]) for trial in trials(api, sweep_id)]


def test_it_pauses_at_the_last_failure_allowed_and_says_why(
    api: TestClient, database: Database, dispatcher: Dispatcher, executor: InlineExecutor
) -> None:
    sweep_id = submit(api, max_failures=2, seeds=9)
    with database.write() as session:
        hook = webhooks.add(session, "https://example.com").id
    fail(database, dispatcher, executor, "error")
    assert sweep(api, sweep_id)["paused_at"] is None
    fail(database, dispatcher, executor, "error")
    other = submit(api)
    work(dispatcher)
    found = sweep(api, sweep_id)
    assert (found["state"], found["paused_because"]) == ("paused", BECAUSE)
    assert found["trials"]["queued"] > 0
    assert found["trials"]["running"] == 0
    assert sweep(api, other)["state"] == "succeeded"
    events = api.get(f"/api/v1/sweeps/{sweep_id}/events").json()["items"]
    assert [each["message"] for each in events if each["kind"] == "paused"] == [BECAUSE]
    sent = api.get(f"/api/v1/webhooks/{hook}/deliveries").json()["items"]
    assert [(each["sweep_id"], each["event"]) for each in sent][::-1] == [
        (sweep_id, "sweep.paused"),
        (other, "sweep.succeeded"),
    ]
    waiting = {
        each["sweep_id"]: each["why"] for each in api.get("/api/v1/cluster").json()["waiting"]
    }
    assert waiting[sweep_id] == f"it is paused, because {BECAUSE}"


def test_what_was_retried_no_longer_counts(
    api: TestClient, database: Database, dispatcher: Dispatcher, executor: InlineExecutor
) -> None:
    sweep_id = submit(api, max_failures=1)
    fail(database, dispatcher, executor, "error")
    work(dispatcher)
    assert sweep(api, sweep_id)["state"] == "paused"
    ask(api, f"/sweeps/{sweep_id}/retry")
    found = ask(api, f"/sweeps/{sweep_id}/resume")
    assert (found["paused_at"], found["paused_because"]) == (None, None)
    work(dispatcher)
    assert sweep(api, sweep_id)["state"] == "succeeded"


def test_resumed_with_its_failures_it_pauses_at_the_next(
    api: TestClient, database: Database, dispatcher: Dispatcher, executor: InlineExecutor
) -> None:
    sweep_id = submit(api, max_failures=1)
    for number in (1, 2):
        fail(database, dispatcher, executor, "error")
        work(dispatcher)
        failed = f"{number} trial{'s' * (number > 1)} failed"
        assert sweep(api, sweep_id)["paused_because"].startswith(failed)
        ask(api, f"/sweeps/{sweep_id}/resume")
    work(dispatcher)
    assert states(api, sweep_id).count(("succeeded", None)) == 2


@pytest.mark.parametrize("reason", ["diverged", "lost"])
def test_results_and_losses_that_are_tried_again_do_not_count(
    api: TestClient,
    database: Database,
    dispatcher: Dispatcher,
    executor: InlineExecutor,
    reason: str,
) -> None:
    sweep_id = submit(api, max_failures=1)
    fail(database, dispatcher, executor, reason)
    assert sweep(api, sweep_id)["paused_at"] is None


def test_the_last_failure_of_all_ends_it_as_ever(
    api: TestClient, database: Database, dispatcher: Dispatcher, executor: InlineExecutor
) -> None:
    sweep_id = submit(api, max_failures=1, seeds=1, grid={})
    fail(database, dispatcher, executor, "error")
    found = sweep(api, sweep_id)
    assert (found["state"], found["paused_at"]) == ("failed", None)


def test_a_person_who_pauses_needs_no_reason(
    api: TestClient, database: Database, dispatcher: Dispatcher, executor: InlineExecutor
) -> None:
    sweep_id = submit(api, max_failures=1)
    fail(database, dispatcher, executor, "error")
    assert ask(api, f"/sweeps/{sweep_id}/pause")["paused_because"] is not None  # it was paused
    ask(api, f"/sweeps/{sweep_id}/resume")
    assert ask(api, f"/sweeps/{sweep_id}/pause")["paused_because"] is None
