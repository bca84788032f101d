"""A deleted sweep is gone for every reader from the moment of the answer; who may, and when."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from lrd_core.trial_folder import trial_folder, weights_name
from service.app import create_app
from service.dispatcher import Dispatcher
from service.purge import Purger
from service.settings import Settings
from service.store import tokens, webhooks
from service.store.models import Delivery, Sweep, Trial
from service.store.session import Database
from service.store.tokens import Role
from service.webhooks import Sender
from tests.conftest import small_sweep
from tests.inline import InlineExecutor
from tests.seeded import seed

SWEEPS = "/api/v1/sweeps"


@pytest.fixture
def api(settings: Settings, database: Database) -> TestClient:
    """Without what the application does by itself: the tests purge when they want it."""
    return TestClient(
        create_app(settings, database), base_url="http://127.0.0.1", raise_server_exceptions=False
    )


def purge(database: Database, settings: Settings) -> None:
    assert Purger(database, settings.trials, settled_seconds=0).step()


def trials(database: Database, sweep_id: str) -> list[int]:
    with database.read() as session:
        query = select(Trial.id).where(Trial.sweep_id == sweep_id)
        return list(session.scalars(query.order_by(Trial.id)))


def delete(api: TestClient, sweep_id: str, code: int = 204, **headers: str) -> str:
    answer = api.delete(f"{SWEEPS}/{sweep_id}", headers=headers)
    assert answer.status_code == code, answer.text
    return "" if code == 204 else str(answer.json()["detail"])


# --- gone -----------------------------------------------------------------------------------------

FILLED = {
    "{name}.{kind}": "forest.svg",
    "{name}": "forest",
    "/speed": "/speed?threshold=0.5",
}
"""What else is in the paths below a sweep."""


def test_no_address_shows_it(api: TestClient, database: Database, settings: Settings) -> None:
    # Catches: a route that reads a sweep's rows and does not ask whether it was deleted.
    sweep_id = seed(database, small_sweep())
    (trial_id, *_) = trials(database, sweep_id)
    trial_folder(settings.trials, trial_id).write(weights_name("a" * 64), b"weights")
    with database.write() as session:
        session.execute(update(Trial).values(weights_sha256="a" * 64))
    document: Any = api.get("/openapi.json").json()
    asked = []
    for path, methods in document["paths"].items():
        for name in ("{sweep_id}", "{trial_id}"):
            if name in path:
                filled = path.replace("{sweep_id}", sweep_id).replace("{trial_id}", str(trial_id))
                for part, value in FILLED.items():
                    filled = filled.replace(part, value)
                asked += [(method, filled) for method in methods]
    assert len(asked) > 25
    read = [path for method, path in asked if method == "get"]
    tags = {path: api.get(path).headers.get("ETag", "") for path in read}
    assert {api.get(path).status_code for path in read} == {200}
    delete(api, sweep_id)
    for purged in (False, True):
        for method, path in asked:
            body: dict[str, Any] = {"seeds": 9} if path.endswith(("/extend", "/clone")) else {}
            known = {"If-None-Match": tags[path]} if path in tags else {}
            content = {} if method in ("get", "delete") else {"json": body}
            answer = api.request(method.upper(), path, headers=known, **content)
            assert answer.status_code == 404, (purged, method, path, answer.text)
        purge(database, settings)


def test_it_is_in_no_list_count_or_plan(api: TestClient, database: Database) -> None:
    sweep_id = seed(database, small_sweep(name="a trial run"), states=("succeeded", "failed"))
    kept = seed(database, small_sweep(name="kept"), states=("failed",))
    delete(api, sweep_id)
    for question in ({}, {"search": "run"}, {"search": sweep_id}, {"state": "failed"}):
        items = api.get(SWEEPS, params=question).json()["items"]
        assert [each["id"] for each in items] == ([] if "search" in question else [kept])
    metrics = api.get("/metrics").text
    assert 'lrd_trials{state="succeeded"} 0.0' in metrics
    assert 'lrd_trials{state="failed"} 4.0' in metrics
    with database.write() as session:  # what the other one has failed at is no example of a time
        session.execute(update(Trial).where(Trial.sweep_id == kept).values(epochs_done=0))
    planned = api.post(f"{SWEEPS}?validate_only=true", json=small_sweep()).json()
    assert planned["present_elsewhere"] == 0
    assert planned["time"]["trial_seconds"] is None


def test_a_second_time_there_is_nothing_to_delete_but_a_request_may_be_sent_again(
    api: TestClient, database: Database
) -> None:
    # Catches: `not found` for one whose first answer was lost on its way.
    sweep_id = seed(database, small_sweep())
    first = api.delete(f"{SWEEPS}/{sweep_id}", headers={"Idempotency-Key": "k"})
    assert (first.status_code, first.content) == (204, b"")
    assert "content-type" not in first.headers
    again = api.delete(f"{SWEEPS}/{sweep_id}", headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (204, "true")
    assert "there is no sweep" in delete(api, sweep_id, 404)
    assert "there is no sweep" in delete(api, "nope", 404)


def test_kept_answers_do_not_show_it_and_it_is_not_made_again(
    api: TestClient, database: Database
) -> None:
    # Catches: the spec and name of a deleted sweep, for thirty days; a second sweep by one request.
    key = {"Idempotency-Key": "k"}
    sweep = api.post(SWEEPS, json=small_sweep(), headers=key).json()
    path = f"{SWEEPS}/{sweep['id']}"
    trial = f"/api/v1/trials/{trials(database, sweep['id'])[0]}"
    for asked in (f"{trial}/cancel", f"{path}/cancel"):
        assert api.post(asked, headers={"Idempotency-Key": asked}).status_code == 200
    delete(api, sweep["id"])
    for asked in (f"{trial}/cancel", f"{path}/cancel"):
        assert api.post(asked, headers={"Idempotency-Key": asked}).status_code == 404
    again = api.post(SWEEPS, json=small_sweep(), headers=key)
    assert again.status_code == 404
    assert sweep["id"] in again.json()["detail"]
    assert api.get(SWEEPS).json()["items"] == []


# --- when, and who --------------------------------------------------------------------------------


def test_only_what_has_ended_is_deleted_and_the_refusal_says_what_to_do(
    api: TestClient, database: Database, dispatcher: Dispatcher
) -> None:
    sweep_id = api.post(SWEEPS, json=small_sweep()).json()["id"]
    dispatcher.step(0)
    said = delete(api, sweep_id, 409)
    assert "has 2 queued trials and 2 running ones" in said
    assert f"`lrd cancel {sweep_id}`" in said
    api.post(f"{SWEEPS}/{sweep_id}/cancel")
    assert "when its trials have stopped" in delete(api, sweep_id, 409)
    dispatcher._watch_at = 0
    for _ in range(3):
        dispatcher.step(0)
    delete(api, sweep_id)


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled"])
def test_each_way_of_ending_will_do(api: TestClient, database: Database, state: str) -> None:
    delete(api, seed(database, small_sweep(), states=(state,)))


def test_a_token_deletes_its_own_and_an_admins_any(api: TestClient, database: Database) -> None:
    # Catches: anybody's results gone by a slip of somebody else.
    def token(name: str, role: Role) -> dict[str, str]:
        with database.write() as session:
            return {"Authorization": f"Bearer {tokens.create(session, name, role)[1]}"}

    def ended(headers: dict[str, str]) -> str:
        sweep_id = str(api.post(SWEEPS, json=small_sweep(), headers=headers).json()["id"])
        api.post(f"{SWEEPS}/{sweep_id}/cancel", headers=headers)
        return sweep_id

    of_nobody = seed(database, small_sweep())
    ada, bob = token("ada", Role.submitter), token("bob", Role.submitter)
    admin, viewer = token("root", Role.admin), token("eve", Role.viewer)
    hers = [ended(ada) for _ in range(2)]
    said = delete(api, hers[0], 403, **bob)
    assert said.startswith("this sweep is 'ada''s, not 'bob''s: only its owner or an admin may")
    assert "nobody's" in delete(api, of_nobody, 403, **ada)
    assert "role submitter" in delete(api, hers[0], 403, **viewer)
    delete(api, hers[0], **ada)
    delete(api, hers[1], **admin)
    delete(api, of_nobody, **admin)
    log = api.get("/api/v1/audit", headers=admin).json()["items"]
    assert [(each["name"], each["action"], each["target"]) for each in log[:3]] == [
        ("root", "DELETE", f"{SWEEPS}/{of_nobody}"),
        ("root", "DELETE", f"{SWEEPS}/{hers[1]}"),
        ("ada", "DELETE", f"{SWEEPS}/{hers[0]}"),
    ]


# --- others ---------------------------------------------------------------------------------------


def test_webhooks_are_told_nothing_more(
    api: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Catches: a deleted sweep's name and spec, sent fifteen hours later; a sender that asks each
    # second for a message that it does not get; a crash of one that was sending.
    with database.write() as session:
        webhooks.add(session, "https://example.com/")
    gone, kept = (seed(database, small_sweep(name=name)) for name in ("gone", "kept"))
    with database.write() as session:
        webhooks.announce(session, [gone])
        session.execute(update(Delivery).values(next_at=1.0))  # it is the first to be sent
        webhooks.announce(session, [kept])
    with database.write() as session:
        sending = webhooks.claim(session)
    assert sending is not None
    assert sending.sweep.id == gone
    delete(api, gone)
    with database.write() as session:
        webhooks.failed(session, sending, "no answer", 0)
    told: list[bytes] = []
    monkeypatch.setattr("service.webhooks.post", lambda _, body, *__, **___: told.append(body))
    assert Sender(database, private=True).step() == 1
    assert [b"kept" in body for body in told] == [True]
    with database.read() as session:
        assert not webhooks.any_due(session)
        assert session.scalars(select(Delivery.sweep_id)).all() == [kept]


def test_a_dispatcher_that_comes_back_too_late_stops_what_it_holds(
    api: TestClient, database: Database, settings: Settings
) -> None:
    # Catches: a crash on rows that are gone; a process that trains for nobody.
    sweep_id = api.post(SWEEPS, json=small_sweep()).json()["id"]
    executor = InlineExecutor(settings.trials)
    late = Dispatcher(database, executor, lease_seconds=60)
    late.step(0)
    held = executor.running()
    assert len(held) == 2
    with database.write() as session:  # as a reaper and a user do while it hangs
        session.execute(
            update(Trial)
            .where(Trial.sweep_id == sweep_id)
            .values(state="cancelled", dispatcher_id=None)
        )
        session.execute(
            update(Sweep).where(Sweep.id == sweep_id).values(queued=0, running=0, cancelled=4)
        )
    delete(api, sweep_id)
    purge(database, settings)
    other = api.post(SWEEPS, json=small_sweep()).json()["id"]
    late._watch_at = 0
    for _ in range(60):
        late.step(0)
    assert not set(held) & set(executor.running())
    assert api.get(f"{SWEEPS}/{other}").json()["state"] == "succeeded"
    assert api.get(SWEEPS).json()["items"][0]["id"] == other
