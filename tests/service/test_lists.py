"""What the lists answer: filters, tags, what runs where and what waits for what."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from service.dispatcher import Dispatcher
from service.store.models import Sweep, Trial
from service.store.session import Database
from tests.conftest import small_sweep


def submit(api: TestClient, **changes: Any) -> str:
    return str(api.post("/api/v1/sweeps", json=small_sweep(**changes)).json()["id"])


def ids(api: TestClient, path: str, key: str = "id", **params: Any) -> list[Any]:
    answer = api.get(f"/api/v1{path}", params=params)
    assert answer.status_code == 200, answer.text
    return [item[key] for item in answer.json()["items"]]


def test_each_failure_is_listed_once_with_its_count(api: TestClient, database: Database) -> None:
    sweep_id, other = submit(api, seeds=4), submit(api)
    trials = ids(api, f"/sweeps/{sweep_id}/trials")
    befell = ["no disk"] * 2 + ["no memory"] * 3
    with database.write() as session:
        for trial_id, message in zip(trials, befell, strict=False):
            session.execute(
                update(Trial)
                .where(Trial.id == trial_id)
                .values(state="failed", reason="error", message=message)
            )
    assert api.get(f"/api/v1/sweeps/{sweep_id}/failures").json()["items"] == [
        {"reason": "error", "message": "no memory", "trials": 3, "trial_id": trials[2]},
        {"reason": "error", "message": "no disk", "trials": 2, "trial_id": trials[0]},
    ]
    assert api.get(f"/api/v1/sweeps/{other}/failures").json()["items"] == []
    assert api.get("/api/v1/sweeps/none/failures").status_code == 404


COUNTS: dict[str, dict[str, Any]] = {
    "queued": {"queued": 4},
    "running": {"running": 1, "queued": 3},
    "running, all but started": {"queued": 2, "failed": 2},
    "running, pausing": {"running": 1, "queued": 3, "paused_at": 1.0},
    "paused": {"queued": 4, "paused_at": 1.0},
    "paused in the middle": {"queued": 2, "succeeded": 2, "paused_at": 1.0},
    "succeeded": {"succeeded": 4},
    "succeeded, paused in vain": {"succeeded": 4, "paused_at": 1.0},
    "failed": {"failed": 1, "succeeded": 2, "cancelled": 1},
    "cancelled": {"cancelled": 1, "succeeded": 3},
}


def test_sweeps_are_found_by_their_state(api: TestClient, database: Database) -> None:
    none = dict.fromkeys(("queued", "running", "succeeded", "failed", "cancelled"), 0)
    for name, counts in COUNTS.items():
        sweep_id = submit(api, name=name)
        with database.write() as session:
            session.execute(update(Sweep).where(Sweep.id == sweep_id).values({**none, **counts}))
    found = {
        state: ids(api, "/sweeps", "name", state=state)
        for state in ("queued", "running", "paused", "succeeded", "failed", "cancelled")
    }
    for state, names in found.items():
        assert names, state
        assert {name.split(",")[0].split(" ")[0] for name in names} == {state}
        items = api.get("/api/v1/sweeps", params={"state": state}).json()["items"]
        assert {item["state"] for item in items} == {state}  # as `sweep_state` derives it
    assert sum(map(len, found.values())) == len(COUNTS)


def test_sweeps_are_found_by_name_and_id_over_pages(api: TestClient) -> None:
    made = [submit(api, name=f"100% of {word}") for word in ("Adam", "adamax", "sgdm")]
    assert ids(api, "/sweeps", search="ADAM") == [made[1], made[0]]
    assert ids(api, "/sweeps", search="0% o") == made[::-1]
    assert ids(api, "/sweeps", search="%d%") == []  # no pattern of the user's
    assert ids(api, "/sweeps", search=made[2]) == [made[2]]
    first = api.get("/api/v1/sweeps", params={"search": "adam", "page_size": 1}).json()
    rest = ids(api, "/sweeps", search="adam", page_token=first["next_page_token"])
    assert [first["items"][0]["id"], *rest] == [made[1], made[0]]


def test_trials_are_found_by_state_and_arm(api: TestClient, dispatcher: Dispatcher) -> None:
    sweep_id = submit(api)
    dispatcher.step(0)
    path = f"/sweeps/{sweep_id}/trials"
    every = api.get(f"/api/v1{path}").json()["items"]
    arm = every[-1]["arm_id"]
    assert ids(api, path, state="running") == [t["id"] for t in every[:2]]
    assert ids(api, path, state="queued") == [t["id"] for t in every[2:]]
    assert ids(api, path, arm_id=arm) == [t["id"] for t in every if t["arm_id"] == arm]
    assert ids(api, path, state="running", arm_id=arm) == [every[1]["id"]]  # seed by seed
    for other in (arm + 999, 2**62):  # Catches: an empty list, as of an arm without trials
        refused = api.get(f"/api/v1{path}", params={"arm_id": other})
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"] == "/query/arm_id"
    labels = {
        arm["id"]: arm["label"]
        for arm in api.get(f"/api/v1/sweeps/{sweep_id}/arms").json()["items"]
    }
    assert all(trial["label"] == labels[trial["arm_id"]] for trial in every)


def test_a_sweep_started_when_its_first_trial_did(
    api: TestClient, database: Database, dispatcher: Dispatcher
) -> None:
    sweep_id = submit(api)
    dispatcher.step(0)
    with database.write() as session:
        session.execute(update(Sweep).where(Sweep.id == sweep_id).values(started_at=1000.0))
    for _ in range(20):  # the other two trials start
        dispatcher.step(0)
    sweep = api.get(f"/api/v1/sweeps/{sweep_id}").json()
    assert sweep["state"] == "succeeded"
    assert sweep["started_at"] == "1970-01-01T00:16:40.000Z"


def test_events_newest_first_over_pages(api: TestClient, dispatcher: Dispatcher) -> None:
    sweep_id = submit(api)
    for _ in range(20):
        dispatcher.step(0)
    path = f"/sweeps/{sweep_id}/events"
    forward = ids(api, path)
    assert len(forward) == 9  # submitted, four starts, four ends
    page = api.get(f"/api/v1{path}", params={"newest_first": True, "page_size": 4}).json()
    rest = ids(api, path, newest_first=True, page_token=page["next_page_token"])
    assert [event["id"] for event in page["items"]] + rest == forward[::-1]


@pytest.mark.parametrize("path", ["/sweeps", "/trials/1", "/trials/1/events", "/cluster"])
def test_an_answer_without_a_version_is_not_sent_again(api: TestClient, path: str) -> None:
    submit(api)
    if path.startswith("/trials"):
        sweep = api.get("/api/v1/sweeps").json()["items"][0]["id"]
        trial = ids(api, f"/sweeps/{sweep}/trials")[0]
        path = path.replace("/1", f"/{trial}")
    tag = api.get(f"/api/v1{path}").headers["etag"]
    again = api.get(f"/api/v1{path}", headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    submit(api, name="another")
    if path == "/sweeps":
        after = api.get("/api/v1/sweeps", headers={"If-None-Match": tag})
        assert after.status_code == 200
        assert after.headers["etag"] != tag


def test_the_cluster_says_what_runs_where_and_what_waits_for_what(
    api: TestClient, database: Database, dispatcher: Dispatcher
) -> None:
    def why() -> dict[str, str]:
        waiting = api.get("/api/v1/cluster").json()["waiting"]
        return {each["name"]: each["why"] for each in waiting}

    first = submit(api, name="first")
    assert "no dispatcher leads" in why()["first"]
    dispatcher.step(0)
    dispatcher.step(0)
    cluster = api.get("/api/v1/cluster").json()
    assert [each["sweep"] for each in cluster["running"]] == ["first", "first"]
    assert all(each["node"] and each["cpus"] == 1 for each in cluster["running"])
    assert why()["first"] == "its turn: 0 CPUs free, given out by priority and in equal parts"
    submit(api, name="huge", resources={"num_cpus": 64})
    submit(api, name="urgent", priority=5)
    paused = submit(api, name="paused")
    api.post(f"/api/v1/sweeps/{paused}/pause")
    api.patch(f"/api/v1/sweeps/{first}", json={"max_concurrent": 2})
    dispatcher._watch_at = 0
    dispatcher.step(0)
    assert next(iter(why())) == "urgent"
    assert "largest node has 2" in why()["huge"]
    assert why()["paused"] == "it is paused"
    assert "limit of 2" in why()["first"]
