"""What people may ask of sweeps and trials, over REST, in every state; and asked twice."""

import re
import uuid
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from lrd_core.models import fcnet
from service.app import create_app
from service.dispatcher import Dispatcher
from service.lifecycle import Reason, TrialState
from service.settings import Settings
from service.store import settling
from service.store.models import Arm, Trial
from service.store.session import Database, db_now
from tests.conftest import small_sweep
from tests.inline import InlineExecutor


def submit(api: TestClient, **changes: Any) -> str:
    answer = api.post("/api/v1/sweeps", json=small_sweep(**changes))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def ask(api: TestClient, path: str, code: int = 200, **request: Any) -> dict[str, Any]:
    answer = api.post(f"/api/v1{path}", **request)
    assert answer.status_code == code, answer.text
    return dict(answer.json())


def sweep(api: TestClient, sweep_id: str) -> dict[str, Any]:
    return dict(api.get(f"/api/v1/sweeps/{sweep_id}").json())


def trials(api: TestClient, sweep_id: str) -> list[dict[str, Any]]:
    return list(api.get(f"/api/v1/sweeps/{sweep_id}/trials").json()["items"])


def work(dispatcher: Dispatcher, steps: int = 60) -> None:
    for _ in range(steps):
        dispatcher._watch_at = 0  # as if a second had passed
        dispatcher.step(0)


def fail(database: Database, dispatcher: Dispatcher, executor: InlineExecutor, reason: str) -> int:
    """Start a trial and let it fail; its id."""
    dispatcher.step(0)
    trial_id, attempt = executor.running()[0]
    with database.write() as session:
        settling.settle(session, trial_id, attempt, Reason(reason), "as the test wants it")
    executor.cancel(trial_id, attempt)
    work(dispatcher, 2)
    return trial_id


class TestPause:
    def test_sends_running_trials_back_with_their_epochs_and_starts_none(
        self, api: TestClient, dispatcher: Dispatcher
    ) -> None:
        sweep_id = submit(api)
        work(dispatcher, 2)
        ask(api, f"/sweeps/{sweep_id}/pause")
        work(dispatcher, 10)
        paused = sweep(api, sweep_id)
        assert paused["state"] == "paused"
        assert paused["trials"]["running"] == 0
        assert max(trial["epochs_done"] for trial in trials(api, sweep_id)) > 0
        assert {trial["losses"] for trial in trials(api, sweep_id)} == {0}
        ask(api, f"/sweeps/{sweep_id}/resume")
        work(dispatcher)
        assert sweep(api, sweep_id)["state"] == "succeeded"

    def test_asked_twice_is_asked_once(self, api: TestClient) -> None:
        sweep_id = submit(api)
        first = ask(api, f"/sweeps/{sweep_id}/pause")
        assert ask(api, f"/sweeps/{sweep_id}/pause") == first
        first = ask(api, f"/sweeps/{sweep_id}/resume")
        assert ask(api, f"/sweeps/{sweep_id}/resume") == first

    def test_is_not_for_a_sweep_that_has_ended(self, api: TestClient) -> None:
        sweep_id = submit(api)
        ask(api, f"/sweeps/{sweep_id}/cancel")
        assert "ended" in ask(api, f"/sweeps/{sweep_id}/pause", 409)["detail"]
        assert "cancelled" in ask(api, f"/sweeps/{sweep_id}/resume", 409)["detail"]


class TestRetry:
    def test_runs_again_only_what_failed(
        self,
        api: TestClient,
        database: Database,
        dispatcher: Dispatcher,
        executor: InlineExecutor,
    ) -> None:
        sweep_id = submit(api)
        failed = fail(database, dispatcher, executor, "error")
        work(dispatcher)
        assert sweep(api, sweep_id)["state"] == "failed"
        ask(api, f"/sweeps/{sweep_id}/retry")
        work(dispatcher)
        assert sweep(api, sweep_id)["state"] == "succeeded"
        attempts = {trial["id"]: trial["attempt"] for trial in trials(api, sweep_id)}
        assert attempts.pop(failed) == 2
        assert set(attempts.values()) == {1}

    def test_leaves_diverged_trials_as_the_findings_they_are(
        self,
        api: TestClient,
        database: Database,
        dispatcher: Dispatcher,
        executor: InlineExecutor,
    ) -> None:
        sweep_id = submit(api)
        diverged = fail(database, dispatcher, executor, "diverged")
        work(dispatcher)
        assert "diverged" in ask(api, f"/sweeps/{sweep_id}/retry", 409)["detail"]
        assert "diverged" in ask(api, f"/trials/{diverged}/retry", 409)["detail"]
        assert sweep(api, sweep_id)["trials"] == {
            "queued": 0, "running": 0, "succeeded": 3, "failed": 1, "cancelled": 0,
        }  # fmt: skip

    def test_brings_a_cancelled_sweep_back_when_told_so(
        self, api: TestClient, dispatcher: Dispatcher
    ) -> None:
        sweep_id = submit(api)
        ask(api, f"/sweeps/{sweep_id}/cancel")
        assert "cancelled=true" in ask(api, f"/sweeps/{sweep_id}/retry", 409)["detail"]
        ask(api, f"/sweeps/{sweep_id}/retry?cancelled=true")
        work(dispatcher)
        assert sweep(api, sweep_id)["state"] == "succeeded"

    def test_of_one_trial_brings_back_that_one(
        self, api: TestClient, dispatcher: Dispatcher
    ) -> None:
        sweep_id = submit(api)
        one, *others = [trial["id"] for trial in trials(api, sweep_id)]
        for trial_id in (one, *others):
            assert ask(api, f"/trials/{trial_id}/cancel")["state"] == "cancelled"
            ask(api, f"/trials/{trial_id}/cancel")
        assert ask(api, f"/trials/{one}/retry")["state"] == "queued"
        assert ask(api, f"/trials/{one}/retry")["state"] == "queued"
        work(dispatcher)
        assert [t["state"] for t in trials(api, sweep_id)] == ["succeeded"] + ["cancelled"] * 3
        assert "result" in ask(api, f"/trials/{one}/retry", 409)["detail"]
        assert "succeeded" in ask(api, f"/trials/{one}/cancel", 409)["detail"]


class TestExtend:
    def test_runs_only_the_missing_trials(self, api: TestClient, dispatcher: Dispatcher) -> None:
        sweep_id = submit(api)
        work(dispatcher)
        before = trials(api, sweep_id)
        more = {"seeds": 3, "grid": {"optimizer.keep_prob": [0.5, 0.7]}}
        after = ask(api, f"/sweeps/{sweep_id}/extend", json=more)
        assert (after["trials_total"], after["trials"]["queued"]) == (9, 5)
        assert ask(api, f"/sweeps/{sweep_id}/extend", json=more) == after
        work(dispatcher, 100)
        assert sweep(api, sweep_id)["state"] == "succeeded"
        assert trials(api, sweep_id)[:4] == before
        table = api.get(f"/api/v1/sweeps/{sweep_id}/table").json()
        assert {cell["n"] for row in table["rows"] for cell in row["cells"]} == {3}

    def test_refuses_a_new_axis_with_its_place(self, api: TestClient) -> None:
        sweep_id = submit(api)
        problem = ask(api, f"/sweeps/{sweep_id}/extend", 422, json={"grid": {"base.lr": [1]}})
        assert problem["errors"][0]["pointer"] == "/grid/base.lr"
        problem = ask(
            api, f"/sweeps/{sweep_id}/extend", 422, json={"grid": {"optimizer.keep_prob": [7]}}
        )
        assert problem["errors"][0]["pointer"].startswith("/grid/optimizer.keep_prob")
        more = {
            "grid": {"optimizer.keep_prob": [0.5, 0.7, 7]},
            "arms": [{"label": "a", "set": {"epochs": 3}}, {"label": "b", "set": {"epochs": 0}}],
        }
        problem = ask(api, f"/sweeps/{sweep_id}/extend", 422, json=more)
        # Catches: the place in a list that the sender has never seen.
        assert {each["pointer"] for each in problem["errors"]} == {
            "/grid/optimizer.keep_prob/2",
            "/arms/1/set/epochs",
        }
        assert sweep(api, sweep_id)["trials_total"] == 4


def test_a_clone_is_a_sweep_of_its_own(api: TestClient) -> None:
    sweep_id = submit(api)
    answer = api.post(f"/api/v1/sweeps/{sweep_id}/clone", json={"name": "again", "seeds": 5})
    assert answer.status_code == 201
    clone = answer.json()
    assert answer.headers["Location"] == f"/api/v1/sweeps/{clone['id']}"
    assert (clone["name"], clone["trials_total"]) == ("again", 10)
    assert api.post(f"/api/v1/sweeps/{sweep_id}/clone").json()["trials_total"] == 4


def test_priority_and_limit_change_while_it_runs(
    api: TestClient, dispatcher: Dispatcher, executor: InlineExecutor
) -> None:
    sweep_id = submit(api, max_concurrent=1)
    dispatcher.step(0)
    assert len(executor.running()) == 1
    changes = {"max_concurrent": None, "priority": 7}
    answer = api.patch(f"/api/v1/sweeps/{sweep_id}", json=changes)
    assert answer.status_code == 200
    assert {name: answer.json()[name] for name in changes} == changes
    dispatcher.step(0)
    assert len(executor.running()) == 2
    clone = api.post(f"/api/v1/sweeps/{sweep_id}/clone").json()  # not what was asked for at first
    assert {name: clone[name] for name in changes} == changes
    assert {name: clone["spec"].get(name) for name in changes} == changes
    assert api.patch(f"/api/v1/sweeps/{sweep_id}", json={"state": "succeeded"}).status_code == 422


def test_a_trial_that_fits_nowhere_says_what_is_missing(
    api: TestClient, dispatcher: Dispatcher
) -> None:
    sweep_id = submit(api, resources={"num_cpus": 1, "num_gpus": 1})
    work(dispatcher, 2)
    assert sweep(api, sweep_id)["waiting_for"] == (
        "a trial needs 1 GPU on one node; the largest node has 0"
    )


def test_a_trial_without_a_word_is_killed_and_tried_again(
    api: TestClient, database: Database, dispatcher: Dispatcher, executor: InlineExecutor
) -> None:
    sweep_id = submit(api, seeds=1, grid={})
    dispatcher.step(0)
    with database.write() as session:
        session.execute(update(Trial).values(reported_at=1.0, seconds=0.0))
    executor.poll = lambda timeout: []  # type: ignore[method-assign]  # it hangs
    dispatcher._listening.seconds += 600
    work(dispatcher, 1)
    (trial,) = trials(api, sweep_id)
    assert (trial["state"], trial["reason"], trial["losses"]) == ("queued", "stalled", 1)
    assert executor.running() == []


def test_a_trial_whose_first_epoch_takes_longer_gets_there(
    api: TestClient, database: Database, dispatcher: Dispatcher, executor: InlineExecutor
) -> None:
    """Catches: one killed at the same point, 21 times; and one that hangs, tried for days."""
    sweep_id = submit(api, seeds=1, grid={})
    executor.poll = lambda timeout: []  # type: ignore[method-assign]

    def silent_for(minutes: float) -> str:
        with database.write() as session:
            session.execute(update(Trial).values(reported_at=db_now() - 60 * minutes))
        dispatcher._listening.seconds += 60 * minutes
        work(dispatcher, 1)
        return str(trials(api, sweep_id)[0]["state"])

    found = []
    for minutes in (10, 20, 40, 80, 160, 160):
        with database.write() as session:
            session.execute(update(Trial).values(not_before=None))
        dispatcher.step(0)
        found.append((silent_for(minutes - 0.5), silent_for(minutes + 0.5)))
    assert found == [("running", "queued")] * 5 + [("running", "failed")]


def test_a_trial_beyond_its_time_limit_fails(
    api: TestClient, dispatcher: Dispatcher, executor: InlineExecutor
) -> None:
    sweep_id = submit(api, seeds=1, grid={}, resources={"timeout_seconds": 1e-6})
    executor.poll = lambda timeout: []  # type: ignore[method-assign]
    work(dispatcher, 2)
    (trial,) = trials(api, sweep_id)
    assert (trial["state"], trial["reason"]) == ("failed", "timeout")


def test_a_claim_whose_answer_was_lost_goes_back(
    api: TestClient, database: Database, dispatcher: Dispatcher
) -> None:
    sweep_id = submit(api, seeds=1, grid={})
    work(dispatcher, 1)
    dispatcher._held.clear()  # as after an error behind the commit
    work(dispatcher, 1)
    with database.read() as session:
        trial = session.get_one(Trial, trials(api, sweep_id)[0]["id"])
    assert (trial.state, trial.attempt, trial.losses) == (TrialState.running, 2, 0)


def test_attempts_events_and_logs_tell_the_story(
    api: TestClient, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep_id = submit(api, seeds=1, grid={})
    work(dispatcher)
    (trial,) = trials(api, sweep_id)
    path = f"/api/v1/trials/{trial['id']}"
    (attempt,) = api.get(f"{path}/attempts").json()["items"]
    assert attempt["outcome"] == "succeeded"
    assert attempt["environment"]["torch"]
    provenance = api.get(path).json()["provenance"]
    assert provenance["environment"] == attempt["environment"]
    assert provenance["seed"] == trial["seed"]
    assert re.fullmatch("[0-9a-f]{64}", provenance["config_sha256"])
    assert re.fullmatch("[0-9a-f]{64}", attempt["environment"]["data_sha256"])
    assert {"commit", "dirty", "lrd", "device", "driver"} <= set(attempt["environment"])
    width = fcnet.HIDDEN
    hidden = (64 + 1) * width + (width + 1) * width
    assert attempt["environment"]["parameters"] == hidden + (width + 1) * 10
    moves = [(e["from_state"], e["to_state"]) for e in api.get(f"{path}/events").json()["items"]]
    assert moves == [("queued", "running"), ("running", "succeeded")]
    kinds = [e["kind"] for e in api.get(f"/api/v1/sweeps/{sweep_id}/events").json()["items"]]
    assert kinds == ["submitted", "trial", "trial"]
    first, second = (
        api.get(f"/api/v1/sweeps/{sweep_id}/events?page_size=2").json(),
        api.get(f"/api/v1/sweeps/{sweep_id}/events").json(),
    )
    assert first["next_page_token"]
    assert first["items"] == second["items"][:2]
    log = api.get(f"{path}/logs")
    assert log.headers["content-type"].startswith("text/plain")
    assert "attempt 1 starts" in log.text
    assert "epoch 2" in api.get(f"{path}/logs?tail=2").text
    assert trial["weights_sha256"] in log.text
    monkeypatch.setattr("service.api.trials.LINE_BYTES", 1)  # however long lines are
    for tail in range(1, 20):
        lines = api.get(f"{path}/logs?tail={tail}").text.splitlines()
        assert lines == log.text.splitlines()[-tail:]
    assert api.get(f"{path}/logs?attempt=9").status_code == 404


def test_the_cluster_says_who_dispatches_and_what_is_in_use(
    api: TestClient, dispatcher: Dispatcher
) -> None:
    assert api.get("/api/v1/cluster").json()["dispatcher"] is None
    submit(api)
    work(dispatcher, 1)
    dispatcher._renew_at = 0
    dispatcher.step(0)
    cluster = api.get("/api/v1/cluster").json()
    assert cluster["dispatcher"]["id"] == dispatcher.id
    assert cluster["cpus"] == {"total": 2, "held": 2}
    assert cluster["trials_running"] == 2


def test_a_trial_whose_folder_is_in_an_object_store_pauses_resumes_and_shows_its_log(
    settings: Settings, database: Database
) -> None:
    remote = settings.model_copy(update={"trials_url": f"memory://{uuid.uuid4()}"})
    dispatcher = Dispatcher(database, InlineExecutor(remote.trials), lease_seconds=60)
    with TestClient(create_app(remote, database), base_url="http://127.0.0.1") as api:
        sweep_id = submit(api, seeds=1, grid={"epochs": [6]})
        work(dispatcher, 2)
        ask(api, f"/sweeps/{sweep_id}/pause")
        work(dispatcher, 10)
        assert trials(api, sweep_id)[0]["state"] == "queued"
        ask(api, f"/sweeps/{sweep_id}/resume")
        work(dispatcher)
        (trial,) = trials(api, sweep_id)
        assert (trial["state"], trial["attempt"]) == ("succeeded", 2)
        log = api.get(f"/api/v1/trials/{trial['id']}/logs").text
        assert "goes on after epoch" in log
        assert trial["weights_sha256"] in log
        first = api.get(f"/api/v1/trials/{trial['id']}/logs?attempt=1").text
        assert "ends: asked to stop" in first


def test_arms_are_called_as_they_are_called_together(api: TestClient, database: Database) -> None:
    # Catches: `SD` beside `SD(keep_prob=0.5)`, and names that an earlier version gave.
    axis = "regularizers"
    sd = [{"kind": "SD", "keep_prob": 0.8}]
    sweep_id = submit(api, grid={axis: [[], sd]}, baseline={axis: []}, seeds=1)
    labels = [arm["label"] for arm in api.get(f"/api/v1/sweeps/{sweep_id}/arms").json()["items"]]
    with database.write() as session:
        session.execute(update(Arm).where(Arm.label == labels[0]).values(label="of old"))
    more = {"grid": {axis: [[{"kind": "SD", "keep_prob": 0.5}]]}}
    assert api.post(f"/api/v1/sweeps/{sweep_id}/extend", json=more).status_code == 200
    now = [arm["label"] for arm in api.get(f"/api/v1/sweeps/{sweep_id}/arms").json()["items"]]
    assert now == ["no regularizers", "SD(keep_prob=0.8)", "SD(keep_prob=0.5)"]
    assert labels == ["no regularizers", "SD"]
