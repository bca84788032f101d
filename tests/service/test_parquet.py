"""An export as Parquet: each column has one type, whatever its first rows hold."""

import csv
import io
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update

from service import exports
from service.store.models import Arm, Report, Trial
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import AT, seed


@pytest.fixture(autouse=True)
def each_row_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a large sweep has in its first 5,000 rows, a small one has in its first."""
    monkeypatch.setattr(exports, "BATCH", 1)


def exported(api: TestClient, sweep_id: str, of: str) -> pa.Table:
    answer = api.get(f"/api/v1/sweeps/{sweep_id}/export?format=parquet&of={of}")
    assert answer.status_code == 200, answer.text
    return pq.read_table(io.BytesIO(answer.content))


def test_a_setting_that_the_first_arm_lacks_is_there(api: TestClient, database: Database) -> None:
    # Catches: text for what the first 5,000 trials lack, and 500 where a number follows.
    grid = {"optimizer.name": ["adam", "sgdm"]}
    plain = {"optimizer.name": "adam"}
    sweep_id = seed(database, small_sweep(grid=grid, seeds=1, baseline=plain))
    found = exported(api, sweep_id, "trials").to_pydict()
    assert found["config.optimizer.beta1"] == [0.9, None]
    assert found["config.optimizer.momentum"] == [None, 0.9]


def test_a_column_that_begins_empty_takes_what_follows(api: TestClient, database: Database) -> None:
    # Catches: 500 for a sweep whose first reused trial comes late.
    sweep_id = seed(database, small_sweep())
    with database.write() as session:
        newest = select(func.max(Trial.id)).scalar_subquery()
        session.execute(update(Trial).where(Trial.id == newest).values(reused_from=7))
    assert exported(api, sweep_id, "trials")["reused_from"].to_pylist() == [None, None, None, 7]


def test_a_metric_that_is_reported_late_is_a_number(api: TestClient, database: Database) -> None:
    # Catches: 500 where the first 5,000 reports lack a metric.
    sweep_id = seed(database, small_sweep())
    with database.write() as session:
        trial = session.scalars(select(Trial).order_by(Trial.id.desc()).limit(1)).one()
        last = session.get_one(Report, (trial.id, trial.epochs))
        last.report = trial.last_report = last.report | {"late": "Infinity"}
    assert exported(api, sweep_id, "reports")["late"].to_pylist() == [None] * 7 + [float("inf")]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_metric_that_the_last_report_lacks_is_there(
    api: TestClient, database: Database, kind: str
) -> None:
    # Catches: `map_50`, which every tenth epoch has, left out of a cancelled trial's file.
    sweep_id = seed(database, small_sweep(seeds=1))
    with database.write() as session:
        first = session.scalars(select(Report).where(Report.epoch == 1)).first()
        assert first is not None
        first.report = first.report | {"now and then": 0.25}
    if kind == "parquet":
        found = exported(api, sweep_id, "reports")["now and then"].to_pylist()
        assert found == [0.25, None, None, None]
    else:
        text = api.get(f"/api/v1/sweeps/{sweep_id}/export?format=csv&of=reports").text
        assert [row["now and then"] for row in csv.DictReader(io.StringIO(text))] == [
            "0.25", "", "", "",
        ]  # fmt: skip


def test_the_types_are_the_same_before_and_after(api: TestClient, database: Database) -> None:
    # Catches: two exports of one sweep that no reader can put together.
    before = exported(api, seed(database, small_sweep(), states=("queued",)), "trials").schema
    after = exported(api, seed(database, small_sweep()), "trials").schema
    assert [(name, after.field(name).type) for name in before.names] == list(
        zip(before.names, before.types, strict=True)
    )


def set_in_turn(database: Database, sweep_id: str, values: list[Any]) -> None:
    """Give each arm a setting of a plugin's."""
    with database.write() as session:
        query = select(Arm).where(Arm.sweep_id == sweep_id).order_by(Arm.id)
        for arm, value in zip(session.scalars(query), values, strict=True):
            arm.config = arm.config | {"mine": value}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ([1, 0.5], [1.0, 0.5]),
        ([True, None], [True, None]),
        ([2, "auto"], ["2", "auto"]),
        ([True, 0.5], ["true", "0.5"]),
        ([[1, 2], []], ["[1, 2]", "[]"]),
        ([None, None], [None, None]),
    ],
)
def test_a_setting_is_of_the_type_that_holds_every_arms(
    api: TestClient, database: Database, given: list[Any], read: list[Any]
) -> None:
    # Catches: a type taken from the first arm, into which the second one's value does not go.
    sweep_id = seed(database, small_sweep(seeds=1))
    set_in_turn(database, sweep_id, given)
    assert exported(api, sweep_id, "trials")["config.mine"].to_pylist() == read


def test_times_are_times(api: TestClient, database: Database) -> None:
    # Catches: numbers and texts that each reader has to be told are times.
    frame = exported(api, seed(database, small_sweep()), "trials").to_pandas()
    assert set(frame["started_at"]) == {pd.Timestamp(AT, unit="s", tz="UTC").floor("ms")}


def test_an_epoch_says_by_name_of_which_arm_it_is(api: TestClient, database: Database) -> None:
    # Catches: a curve for each of thirty numbers, and another file to look them up in.
    sweep_id = seed(database, small_sweep(seeds=1))
    found = exported(api, sweep_id, "reports")
    assert found.schema.field("arm").type == pa.string()
    assert found["arm"].to_pylist() == ["without LRD"] * 2 + ["LRD (keep_prob = 0.5)"] * 2


def test_a_metric_of_that_name_from_before_is_no_label(api: TestClient, database: Database) -> None:
    # Catches: numbers among the names of arms, of a plugin that called a metric `arm`.
    sweep_id = seed(database, small_sweep(seeds=1))
    with database.write() as session:
        for report in session.scalars(select(Report)):
            report.report = report.report | {"arm": 0.5}
    labels = exported(api, sweep_id, "reports")["arm"].to_pylist()
    assert labels == ["without LRD"] * 2 + ["LRD (keep_prob = 0.5)"] * 2
