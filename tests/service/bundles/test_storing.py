"""A bundle comes in as its sender's sweep, within the sender's limits, in a short transaction."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update
from sqlalchemy.orm import Session

from lrd_core import sources
from service.analysis import printed
from service.app import create_app
from service.bundles import reading, storing
from service.choices import Role
from service.purge import Purger
from service.settings import Settings
from service.store import tokens
from service.store.models import Event
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed
from tests.service.bundles.forging import ELSEWHERE, Rows, forged, sent

SWEEPS = "/api/v1/sweeps"
SMALL_BATCHES = {"label": "small batches", "set": {"batch_size": 64}}


def bearer(database: Database, name: str, **limits: int) -> dict[str, str]:
    with database.write() as session:
        _, secret = tokens.create(session, name, Role.submitter, **limits)
    return {"Authorization": f"Bearer {secret}"}


def of_alice(rows: Rows) -> None:
    rows["sweep"][0]["owner"] = "alice"


def test_it_belongs_to_who_sends_it(api: TestClient, database: Database, bundle: bytes) -> None:
    """Catches: the owner taken from the file: results in the name of somebody else."""
    open_to_all = sent(api, forged(bundle, of_alice, "a" * 12))
    assert open_to_all.json()["owner"] is None
    answer = sent(api, forged(bundle, of_alice), **bearer(database, "bob"))
    assert answer.json()["owner"] == "bob"


def test_it_has_no_more_trials_than_a_sweep_of_the_token(
    api: TestClient, database: Database, bundle: bytes
) -> None:
    """Catches: a limit that a submission has, gone round by an import."""
    answer = sent(api, bundle, **bearer(database, "small", max_sweep_trials=3))
    assert answer.status_code == 422
    assert "has 4 trials; the limit for one sweep is 3" in answer.json()["detail"]
    assert sent(api, bundle, **bearer(database, "large", max_sweep_trials=4)).status_code == 201


def test_what_a_retry_would_queue_has_room_in_the_queue(
    api: TestClient, database: Database, bundle: bytes
) -> None:
    """Catches: a queue filled beyond the token's limit by cancelled trials from a bundle, retried.
    The bundle has two trials that did not succeed."""
    token = bearer(database, "bob", max_queued_trials=5)
    assert api.post(SWEEPS, json=small_sweep(), headers=token).status_code == 201
    answer = sent(api, bundle, **token)
    assert answer.status_code == 429
    assert (
        "bob has 4 trials queued, and 2 more would exceed the limit of 5" in answer.json()["detail"]
    )
    api.post(
        f"{SWEEPS}/{api.get(SWEEPS, headers=token).json()['items'][0]['id']}/cancel", headers=token
    )
    assert sent(api, bundle, **token).status_code == 201


def test_a_sweep_that_grew_comes_back_whole(api: TestClient) -> None:
    sweep_id = api.post(SWEEPS, json=small_sweep()).json()["id"]
    api.post(f"{SWEEPS}/{sweep_id}/extend", json={"arms": [SMALL_BATCHES], "seeds": 3})
    api.post(f"{SWEEPS}/{sweep_id}/cancel")
    made = api.get(f"{SWEEPS}/{sweep_id}/export?format=bundle")
    answer = sent(api, forged(made.content, lambda rows: None))
    assert answer.status_code == 201, answer.text
    assert answer.json()["trials"]["cancelled"] == 12
    shown = api.get(answer.headers["location"])
    assert (shown.json(), shown.headers["etag"]) == (answer.json(), answer.headers["etag"])


def test_a_sweep_with_arms_that_its_spec_no_longer_lists_comes_back(
    api: TestClient, database: Database
) -> None:
    """Catches: a bundle refused that an earlier version made: in it the first explicit arms of a
    grid stood in place of the grid's own."""
    document = small_sweep(arms=[{"label": "base"}, SMALL_BATCHES])
    sweep_id = seed(database, document, stored={"arms": [SMALL_BATCHES]})
    made = api.get(f"{SWEEPS}/{sweep_id}/export?format=bundle")
    answer = sent(api, forged(made.content, lambda rows: None))
    assert answer.status_code == 201, answer.text
    assert answer.json()["trials_total"] == 8


def test_its_ids_are_those_of_this_database(
    api: TestClient, database: Database, bundle: bytes
) -> None:
    """Catches: ids of elsewhere, under which other trials stand here."""
    api.post(SWEEPS, json=small_sweep())
    assert sent(api, bundle).status_code == 201
    assert sent(api, forged(bundle, lambda rows: None)).status_code == 201
    trials = api.get(f"{SWEEPS}/{ELSEWHERE}/trials").json()["items"]
    for trial in trials:
        reports = api.get(f"/api/v1/trials/{trial['id']}/reports").json()["items"]
        assert [each["epoch"] for each in reports] == list(range(1, trial["epochs_done"] + 1))
        (attempt,) = api.get(f"/api/v1/trials/{trial['id']}/attempts").json()["items"]
        assert attempt["environment"]["torch"]
    events = api.get(f"{SWEEPS}/{ELSEWHERE}/events").json()["items"]
    assert [event["kind"] for event in events] == ["imported", "submitted"]


def test_a_table_that_was_printed_elsewhere_is_verified_here(
    api: TestClient, bundle: bytes
) -> None:
    """Catches: cells held against other arms, which have these ids here."""
    api.post(SWEEPS, json=small_sweep(grid={"optimizer.keep_prob": [1.0, 0.7, 0.5, 0.3, 0.1]}))
    assert sent(api, bundle).status_code == 201
    assert sent(api, forged(bundle, lambda rows: None)).status_code == 201
    with zipfile.ZipFile(io.BytesIO(bundle)) as files:
        (table,) = printed.read(files.read("table.tex").decode())
    for sweep_id in (table.question["sweep"], ELSEWHERE):
        here = api.get(f"{SWEEPS}/{sweep_id}/table").json()
        assert printed.differences(table, here) == []
        assert set(printed.arm_ids(here)) == {1, 2}


def test_what_did_not_succeed_can_be_tried_again_here(
    api: TestClient, bundle: bytes, database: Database
) -> None:
    """Catches: counts that do not fit the trials, which the first change of one would break."""
    sweep = f"{SWEEPS}/{sent(api, bundle).json()['id']}"
    assert api.post(f"{sweep}/retry?cancelled=true").json()["trials"]["queued"] == 2
    assert api.post(f"{sweep}/cancel").json()["trials"]["cancelled"] == 2


def test_it_stands_for_nobodys_trials_but_its_owners(
    api: TestClient, database: Database, bundle: bytes
) -> None:
    """Catches: numbers written by hand, reused in another's sweep as if they had been computed
    here; and the same by way of a sweep that reuses them first."""
    bob, alice = bearer(database, "bob"), bearer(database, "alice")

    def as_here(rows: Rows) -> None:
        for attempt in rows["attempts"]:
            if attempt["environment"]:
                attempt["environment"] |= {"lrd": code, "plugins": None}

    def reused(token: dict[str, str]) -> int:
        made = api.post(SWEEPS, json=small_sweep(reuse=True), headers=token).json()
        return int(made["trials"]["succeeded"])

    code = api.post(SWEEPS, json=small_sweep(), headers=bob).json()["code_version"]
    assert code == sources.IMPORTED
    assert sent(api, forged(bundle, as_here), **bob).status_code == 201
    assert reused(alice) == 0
    with database.write() as session:  # as it was once: the last of its events
        session.execute(update(Event).where(Event.kind == "imported").values(id=10**6))
    assert reused(alice) == 0
    assert reused(bob) == 2
    assert reused(alice) == 0


def test_it_is_read_before_the_transaction_begins(
    api: TestClient, database: Database, bundle: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a zip unpacked and checked while SQLite's one writer waits."""
    writing: list[bool] = []
    inside, transactions = False, 0
    opened, write = reading.Files._open, database.write

    def looked(files: reading.Files, name: str) -> object:
        writing.append(inside)
        return opened(files, name)

    @contextmanager
    def watched() -> Iterator[Session]:
        nonlocal inside, transactions
        with write() as session:
            inside, transactions = True, transactions + 1
            yield session
        inside = False

    monkeypatch.setattr(reading.Files, "_open", looked)
    monkeypatch.setattr(database, "write", watched)
    monkeypatch.setattr(storing, "BATCH", 1)
    assert sent(api, bundle).status_code == 201
    assert transactions == 1
    assert writing
    assert not any(writing)


def test_a_deleted_sweep_comes_in_again_once_it_is_purged(
    settings: Settings, database: Database, bundle: bytes
) -> None:
    """Catches: an id that is taken for ever; an ETag that a reader knows, on another sweep."""
    api = TestClient(create_app(settings, database), base_url="http://127.0.0.1")
    first = sent(api, bundle).json()
    path = f"{SWEEPS}/{first['id']}"
    tag = api.get(path).headers["ETag"]
    for times in (1, 2):
        assert api.delete(path).status_code == 204
        refused = sent(api, bundle)
        assert (refused.status_code, refused.headers["Retry-After"]) == (409, "1")
        assert "is being removed; send the bundle again later" in refused.json()["detail"]
        assert Purger(database, settings.trials, settled_seconds=0).step()
        assert sent(api, bundle).json() == first
        again = api.get(path, headers={"If-None-Match": tag})
        assert (again.status_code, again.json()) == (200, first), times
        assert again.headers["ETag"] != tag
        tag = again.headers["ETag"]
        assert len(api.get(f"{path}/arms").json()["items"]) == 2
    assert "is here already" in sent(api, bundle).json()["detail"]
