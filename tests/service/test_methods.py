"""How a sweep's numbers were made, by REST: from its rows, and of the metric that is asked for."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert, select, update

from service.store.models import Attempt, Trial
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed


def paragraphs(api: TestClient, sweep_id: str, **question: str) -> dict[str, str]:
    answer = api.get(f"/api/v1/sweeps/{sweep_id}/methods", params=question)
    assert answer.status_code == 200, answer.text
    return {item["title"]: item["text"] for item in answer.json()["items"]}


def test_all_of_it_comes_from_the_rows(api: TestClient, database: Database) -> None:
    """Catches: a device, a precision or a cost that is not the trials' own."""
    sweep_id = seed(
        database,
        small_sweep(execution={"precision": "bf16"}),
        states=("succeeded", "succeeded", "succeeded", "failed"),
    )
    with database.write() as session:
        for at, attempt in enumerate(session.scalars(select(Attempt).order_by(Attempt.trial_id))):
            device = {"device": "NVIDIA H200" if at < 2 else "NVIDIA A100", "data_sha256": "d" * 64}
            device["cuda"] = "13.2"
            attempt.environment = (attempt.environment or {}) | device
        session.execute(update(Trial).values(gpus=0.5, seconds=3600.0))
    found = paragraphs(api, sweep_id)
    assert "trained on digits for 2 epochs in batches of 512." in found["Training"]
    assert "The network computes in bfloat16 (autocast)" in found["Training"]
    assert "Each arm has 2 seeds (0, 1)." in found["Seeds"]
    assert "Of 4 trials, 3 gave a number" in found["Trials"]
    assert "Failed (error): LRD (keep_prob = 0.5): seed 1." in found["Trials"]
    assert "resources that each trial held, is 2 GPU-hours and 4 CPU-hours, failed" in found["Cost"]
    assert found["Cost"].endswith("Trained on NVIDIA A100 (2 trials); NVIDIA H200 (2 trials).")
    assert "Data: digits (SHA-256 dddddddddddd…)." in found["Code and data"]
    notes = " ".join(api.get(f"/api/v1/sweeps/{sweep_id}/table").json()["notes"])
    mixture = "Its trials ran on different devices: NVIDIA A100 and NVIDIA H200;"
    assert mixture.replace("Its", "The") in found["Code and data"]
    assert mixture in notes


def test_a_cpu_is_named_by_its_model_and_networks_by_their_size(
    api: TestClient, database: Database
) -> None:
    """Catches: an H200 that counts as two devices, since its nodes' processors differ."""
    sweep_id = seed(database, small_sweep())
    # Of a size that is a number to every database: PostgreSQL's integers end at 2,147,483,647.
    cpu = {"device": "x86_64 AVX512", "cuda": None, "parameters": 3_000_000_000}
    gpu = {"device": "NVIDIA H200", "cuda": "13.2", "parameters": 3_000_000_000}
    ran_on = [
        cpu | {"processor": "AMD EPYC 9B14"},
        cpu | {"processor": None},
        gpu | {"processor": "AMD EPYC 9B14"},
        gpu | {"processor": "Intel Xeon 8481C"},
    ]
    with database.write() as session:
        for attempt in session.scalars(select(Attempt)):
            attempt.environment = (attempt.environment or {}) | ran_on[attempt.trial_id - 1]
    found = paragraphs(api, sweep_id)
    assert found["Cost"].endswith(
        "Trained on NVIDIA H200 (2 trials); AMD EPYC 9B14, x86_64 AVX512 (1 trial); "
        "x86_64 AVX512 (1 trial)."
    )
    assert "The network has 3,000,000,000 parameters." in found["Training"]


def test_reused_results_are_told_of_and_cost_nothing(api: TestClient, database: Database) -> None:
    seed(database, small_sweep())
    again = api.post("/api/v1/sweeps", json=small_sweep(name="again", reuse=True)).json()
    assert again["trials"]["succeeded"] == 4
    found = paragraphs(api, again["id"])
    assert found["Cost"].startswith("4 trials reuse the results of an earlier sweep")
    assert found["Cost"].endswith("Trained on x86_64 (4 trials).")


def test_primary_comparisons_are_not_said_to_precede_results_that_were_reused(
    api: TestClient, database: Database
) -> None:
    """Catches: `named before the trials ran`, of a clone whose family was chosen by the table of
    the original."""
    grid = {"optimizer.keep_prob": [1.0, 0.7, 0.5]}
    first = seed(database, small_sweep(grid=grid, primary={"optimizer.keep_prob": 0.5}))
    assert "named before the trials ran, are" in paragraphs(api, first)["Tests"]
    chosen = {"primary": {"optimizer.keep_prob": 0.7}, "reuse": True}
    again = api.post(f"/api/v1/sweeps/{first}/clone", json=chosen).json()
    said = "named when the sweep was submitted, with the results of 6 trials already known, are"
    assert said in paragraphs(api, again["id"])["Tests"]


def test_each_trial_is_counted_once_on_a_device_however_often_it_went_on(
    api: TestClient, database: Database
) -> None:
    """Catches: five trials of four, because the code was edited in between."""
    sweep_id = seed(database, small_sweep())
    with database.write() as session:
        first = session.get_one(Attempt, (1, 1))
        edited = (first.environment or {}) | {"lrd": "0.1.0+edited"}
        session.execute(
            insert(Attempt).values(
                trial_id=1, attempt=2, dispatcher_id="d", started_at=0.0, outcome="succeeded",
                environment=edited,
            )
        )  # fmt: skip
        session.execute(update(Trial).where(Trial.id == 1).values(attempt=2))
    found = paragraphs(api, sweep_id)
    assert found["Cost"].endswith("Trained on x86_64 (4 trials).")
    assert found["Trials"].endswith("1 trial took more than one attempt.")
    assert "The trials ran different code: lrd 0.1.0+" in found["Code and data"]
    api.post(f"/api/v1/sweeps/{sweep_id}/extend", json={"seeds": 3})
    assert "the sweep was extended by 2 trials." in paragraphs(api, sweep_id)["Seeds"]


def test_metric_place_and_baseline_are_as_asked(api: TestClient, database: Database) -> None:
    sweep_id = seed(database, small_sweep(seeds=3))
    arms = api.get(f"/api/v1/sweeps/{sweep_id}/arms").json()["items"]
    found = paragraphs(api, sweep_id, metric="test_loss", at="epoch:1", baseline=arms[1]["id"])
    assert "The test loss is read at epoch 1 of each trial" in found["Numbers"]
    assert "compared with the baseline (LRD (keep_prob = 0.5)) on" in found["Tests"]
    path = f"/api/v1/sweeps/{sweep_id}/methods"
    assert api.get(path, params={"metric": "tset_loss"}).status_code == 422
    assert api.get(path, params={"format": "csv"}).status_code == 422


@pytest.mark.parametrize(
    ("form", "kind", "begins"),
    [
        ("markdown", "text/markdown; charset=utf-8", "**Training.** FCNet"),
        ("latex", "application/x-latex; charset=utf-8", "% sweep: small"),
    ],
)
def test_each_form_of_it(
    api: TestClient, database: Database, form: str, kind: str, begins: str
) -> None:
    sweep_id = seed(database, small_sweep())
    answer = api.get(f"/api/v1/sweeps/{sweep_id}/methods", params={"format": form})
    assert answer.text.startswith(begins)
    assert answer.headers["content-type"] == kind
    tag = {"If-None-Match": answer.headers["ETag"]}
    again = api.get(f"/api/v1/sweeps/{sweep_id}/methods", params={"format": form}, headers=tag)
    assert again.status_code == 304


def test_a_sweep_that_has_not_begun_has_its_plan(api: TestClient, database: Database) -> None:
    found = paragraphs(api, seed(database, small_sweep(), states=("queued",)))
    assert found["Draft"].startswith("0 of 4 trials have ended;")
    assert "Of 4 trials, none has given a number." in found["Trials"]
    assert {"Cost", "Code and data"}.isdisjoint(found)
