"""Nothing of a bundle is believed that the service would not have written itself."""

import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from service.bundles import reading
from service.store import leases
from service.store.models import Arm, Report, Sweep, Trial
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed
from tests.service.bundles.forging import (
    ELSEWHERE,
    Rows,
    files_of,
    forged,
    sent,
    zipped,
)

Change = Callable[[Rows], Any]


VICTIM = "b" * 12
"""Stands for the id of somebody else's sweep."""


def at(file: str, **values: Any) -> Change:
    """Sets values of a file's first row."""
    return lambda rows: rows[file][0].update(values)


def report(**values: Any) -> Change:
    return lambda rows: rows["reports"][0]["report"].update(values)


def config(**values: Any) -> Change:
    return lambda rows: rows["arms"][0]["config"].update(values)


def twice(name: str) -> Change:
    return lambda rows: rows[name].append(dict(rows[name][-1]))


def lacking(name: str) -> Change:
    return lambda rows: rows[name].pop()


def stolen(rows: Rows) -> None:
    for row in (*rows["arms"], *rows["trials"]):
        row["sweep_id"] = VICTIM


def no_baseline(rows: Rows) -> None:
    rows["sweep"][0]["spec"]["baseline"] = {"optimizer.keep_prob": 0.3}
    for row in rows["arms"]:
        row["is_baseline"] = False


FORGED: dict[str, tuple[Change, str]] = {
    "a trial that runs": (at("trials", state="running", dispatcher_id="x"), "has not ended"),
    "a trial that is queued": (at("trials", state="queued"), "has not ended"),
    "a trial that somebody holds": (at("trials", dispatcher_id="x"), "nobody holds"),
    "a state that is none": (at("trials", state="won"), "trials.jsonl, row 1: /state"),
    "a sweep that has not ended": (at("sweep", queued=1), "has not ended"),
    "arms and trials of another sweep": (stolen, "arms.jsonl, row 1: /sweep_id"),
    "a trial of another sweep": (at("trials", sweep_id=VICTIM), "trials.jsonl, row 1: /sweep_id"),
    "an event of another sweep": (at("events", sweep_id=VICTIM), "events.jsonl, row 1"),
    "two sweeps": (twice("sweep"), "more than one row"),
    "no sweep": (lacking("sweep"), "has no row"),
    "a dangling trial": (at("trials", arm_id=99_999), "there is no arm 99999"),
    "a dangling attempt": (at("attempts", trial_id=99_999), "there is no trial 99999"),
    "a dangling report": (at("reports", trial_id=99_999), "there is no trial 99999"),
    "a dangling event": (at("events", trial_id=99_999), "there is no trial 99999"),
    "a report of no attempt": (at("reports", attempt=7), "had no attempt 7"),
    "a trial twice": (twice("trials"), "trials.jsonl, row 5"),
    "an arm twice": (twice("arms"), "arms.jsonl, row 3: /id: stands twice"),
    "an arm under a new id": (
        lambda rows: rows["arms"].append(rows["arms"][0] | {"id": 99_999, "position": 7}),
        "/config: stands twice",
    ),
    "an attempt twice": (twice("attempts"), "attempts.jsonl, row 5"),
    "a report twice": (twice("reports"), "where epoch"),
    "a report too few": (lacking("reports"), "reports.jsonl has 1"),
    "an attempt too few": (lacking("attempts"), "attempts.jsonl has 0"),
    "a trial too few": (lacking("trials"), "has 3 of the spec's 4 trials"),
    "an arm too few": (lacking("arms"), "has 1 of the spec's 2 arms"),
    "a seed that is none": (at("trials", seed=77), "the spec has no seed 77"),
    "epochs that are not the arm's": (at("trials", epochs=3), "/epochs: its arm has another"),
    "a success without its epochs": (at("trials", epochs_done=1), "1 of 2"),
    "a success without its attempt": (at("attempts", outcome="lost"), "0 of its attempts"),
    "a success with a reason": (at("trials", reason="error"), "/reason"),
    "a text as a time": (at("trials", created_at="yesterday"), "trials.jsonl, row 1: /created_at"),
    "no time": (at("sweep", created_at=None), "sweep.jsonl, row 1: /created_at"),
    "a time no calendar shows": (at("sweep", created_at=1e18), "/created_at"),
    "a time to come": (at("sweep", created_at=2e11), "lies in the future"),
    "a number no column holds": (at("trials", losses=2**31), "/losses"),
    "true for a number": (at("trials", attempt=True), "/attempt"),
    "a row that is a list": (lambda rows: rows["arms"].__setitem__(0, [1]), "arms.jsonl, row 1"),
    "a row that is a text": (lambda rows: rows["events"].append("x"), "events.jsonl"),
    "a column too many": (at("trials", more=1), "row 1: has other columns"),
    "a column too few": (lambda rows: rows["trials"][1].pop("seed"), "row 2: has other columns"),
    "an id that is a header": (at("sweep", id='a"\r\nX: y'), "sweep.jsonl, row 1: /id"),
    "a name of 100,000 letters": (at("sweep", name="n" * 100_000), "sweep.jsonl, row 1: /name"),
    "NUL": (at("trials", message="\0"), "trials.jsonl, row 1: /message"),
    "a lone surrogate": (at("trials", message="\ud800"), "trials.jsonl, row 1"),
    "a spec that is none": (
        lambda rows: rows["sweep"][0]["spec"]["base"].update(dataset="digitz"),
        "/spec/base/dataset: unknown dataset 'digitz'",
    ),
    "a baseline that is no arm": (
        lambda rows: rows["sweep"][0]["spec"].update(baseline={"optimizer.keep_prob": 0.3}),
        "arms.jsonl, row 1: /is_baseline: is not what the spec's baseline says",
    ),
    "no baseline where the spec has one": (no_baseline, "no arm is the spec's baseline"),
    "a configuration that is a list": (at("arms", config=[1]), "arms.jsonl, row 1: /config"),
    "a configuration that was changed": (config(batch_size=64), "/config_sha256"),
    "a configuration that is none": (
        lambda rows: rows["arms"][0].update(
            config={"optimizer": 1}, config_sha256=sum_of({"optimizer": 1})
        ),
        "arms.jsonl, row 1: /config/",
    ),
    "a report that is a list": (at("reports", report=[1]), "reports.jsonl, row 1: /report"),
    "a report without an epoch": (at("reports", report={"a": 1}), "/report/epoch"),
    "a report of another epoch": (report(epoch=2), "of a report of 2, where epoch 1"),
    "a text as a metric": (report(test_accuracy="abc"), "/report/test_accuracy"),
    "a list as a metric": (report(test_accuracy=[0.5]), "/report/test_accuracy"),
    "a text as the number of parameters": (
        at("attempts", environment={"parameters": "many"}),
        "attempts.jsonl, row 1: /environment: parameters is their number, got 'many'",
    ),
    "an integer of 4,000 digits": (config(batch_size=int("9" * 4000)), "arms.jsonl, row 1"),
    "100 levels": (
        lambda rows: rows["sweep"][0].update(spec=json.loads('{"a":' * 100 + "1" + "}" * 100)),
        "nested deeper",
    ),
}


def sum_of(config: Any) -> str:
    from lrd_core.spec import config_hash

    return config_hash(config)


def counted(database: Database) -> list[int | None]:
    with database.read() as session:
        return [session.scalar(select(func.count()).select_from(t)) for t in (Sweep, Arm, Trial)]


@pytest.mark.parametrize("what", FORGED)
def test_a_bundle_that_no_service_wrote_is_refused_by_file_and_row(
    api: TestClient, database: Database, bundle: bytes, what: str
) -> None:
    """Catches: rows that are put in as they came: a running trial without a dispatcher's lease
    breaks every dispatcher, one with another's sweep_id stands among that one's results, and what
    no reader expects is an internal error, at once or when it is read."""
    change, said = FORGED[what]
    victim = seed(database, small_sweep())
    before = counted(database)
    answer = sent(api, forged(bundle, change, names={VICTIM: victim}))
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["detail"]
    assert len(answer.content) < 5_000
    assert counted(database) == before
    assert leases.reap(database) == 0


def test_counts_and_last_reports_are_those_of_the_rows(api: TestClient, bundle: bytes) -> None:
    """Catches: counts of the head taken over, whose first change breaks a constraint; and a table
    made of last reports that no epoch has."""

    def lie(rows: Rows) -> None:
        rows["sweep"][0].update(trials_total=9, succeeded=9, failed=0, version=10**9)
        for trial in rows["trials"]:
            trial.update(seconds=1e9, last_report={"test_accuracy": "abc"})

    honest = sent(api, forged(bundle, lambda rows: None, "a" * 12))
    answer = sent(api, forged(bundle, lie))
    assert (honest.status_code, answer.status_code) == (201, 201), answer.text
    here, there = (f"/api/v1/sweeps/{each}" for each in (ELSEWHERE, "a" * 12))
    assert answer.json()["trials"] == honest.json()["trials"]
    assert answer.json()["trials"]["succeeded"] == 2
    mine, theirs = (api.get(f"{each}/trials").json()["items"] for each in (here, there))
    for name in ("state", "last_report", "seconds", "epochs_done"):
        assert [trial[name] for trial in mine] == [trial[name] for trial in theirs]
    assert mine[0]["last_report"]["epoch"] == 2
    assert mine[0]["seconds"] == 1.0
    assert api.get(here).headers["etag"] == '"1"'


def test_checkpoints_of_elsewhere_are_not_gone_on_from(
    api: TestClient, database: Database, bundle: bytes
) -> None:
    """Catches: a name from the bundle that a worker opens as a file: one that is not there, or
    that climbs out of the trial's folder."""
    change = at("reports", checkpoint="../../7/epoch-1.pt", checkpoint_sha256="0" * 64)
    assert sent(api, forged(bundle, change)).status_code == 201
    with database.read() as session:
        assert set(session.scalars(select(Report.checkpoint))) == {None}


# --- the zip itself -------------------------------------------------------------------------------


def test_a_bundle_of_another_version_is_refused(api: TestClient, bundle: bytes) -> None:
    files = files_of(bundle) | {"rows/version.json": b'{"version": 92}'}
    answer = sent(api, zipped(files))
    assert answer.status_code == 422
    assert "this service reads bundles of version 2" in answer.json()["detail"]


def test_what_unpacks_to_too_much_is_refused_unread(
    api: TestClient, bundle: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a small zip of a great many zeros, unpacked before it is measured; and one row of
    them, which no reading line by line makes smaller."""
    bomb = zipped(files_of(bundle) | {"rows/reports.jsonl": bytes(1 << 20)})
    assert len(bomb) < len(bundle) + 10_000
    monkeypatch.setattr(reading, "MAX_LINE", 50_000)
    answer = sent(api, bomb)
    assert "a row of rows/reports.jsonl has more than 50000 bytes" in answer.json()["detail"]
    monkeypatch.setattr(reading, "MAX_UNPACKED", 1 << 20)
    answer = sent(api, bomb)
    assert "unpacks to more than 1048576 bytes" in answer.json()["detail"]
    assert sent(api, bundle).status_code == 201


def test_a_zip_that_is_none_inside_is_refused(api: TestClient, bundle: bytes) -> None:
    """Catches: errors of the decoder that are no BadZipFile, answered as internal ones."""
    files = files_of(bundle)
    encrypted, torn = bytearray(bundle), bytearray(bundle)
    entry = encrypted.find(b"PK\1\2")
    while entry >= 0:
        encrypted[entry + 8] |= 1  # the flag in each entry of the directory
        entry = encrypted.find(b"PK\1\2", entry + 4)
    rows = torn.index(b"rows/reports.jsonl") + 60
    torn[rows : rows + 20] = b"\xff" * 20
    without = {name: data for name, data in files.items() if name != "rows/arms.jsonl"}
    for content in (zipped(files, zipfile.ZIP_LZMA), bytes(encrypted), bytes(torn),
                    zipped(without), b"", b"PK\5\6" + bytes(18)):  # fmt: skip
        answer = sent(api, content)
        assert answer.status_code == 422, answer.text
        assert len(answer.json()["detail"]) > 20
