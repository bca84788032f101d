"""A metric that no trial reports is refused with those that there are."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from service.store.models import Trial
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed

READ = (
    "table", "comparisons", "curves", "speed?threshold=0.5", "power", "plots/keep-prob",
    "figures/learning-curves.svg",
)  # fmt: skip


def ask(api: TestClient, sweep_id: str, what: str, metric: str) -> tuple[int, str]:
    sign = "&" if "?" in what else "?"
    answer = api.get(f"/api/v1/sweeps/{sweep_id}/{what}{sign}metric={metric}")
    return answer.status_code, answer.text if answer.status_code == 200 else answer.json()["detail"]


def report(database: Database, sweep_id: str, number: int, names: list[str]) -> None:
    """One trial's last report, of these metrics."""
    content: dict[str, Any] = {"epoch": 2, **dict.fromkeys(names, 0.5), "lr": 0.1, "seconds": 1.0}
    with database.write() as session:
        ids = session.scalars(select(Trial.id).where(Trial.sweep_id == sweep_id)).all()
        query = update(Trial).where(Trial.id == sorted(ids)[number])
        session.execute(query.values(last_report=content))


@pytest.mark.parametrize("what", READ)
def test_a_mistyped_metric_is_refused_with_those_that_there_are(
    api: TestClient, database: Database, what: str
) -> None:
    """Catches: a table of `not reported`, which reads as if the results were missing."""
    sweep_id = seed(database, small_sweep(), states=("succeeded", "running"))
    assert ask(api, sweep_id, what, "tset_loss") == (
        422,
        f"no trial of sweep {sweep_id} reports 'tset_loss' (did you mean 'test_loss'?); "
        "they report train_loss, train_accuracy, test_loss, test_accuracy",
    )
    assert ask(api, sweep_id, what, "test_loss")[0] == 200


@pytest.mark.parametrize("what", READ)
def test_before_the_first_report_any_metric_may_be_asked_for(
    api: TestClient, database: Database, what: str
) -> None:
    """Catches: a page that cannot be opened before the first epoch has ended."""
    sweep_id = seed(database, small_sweep(), states=("queued",))
    assert ask(api, sweep_id, what, "accuracy_of_a_plugin")[0] == 200


def test_a_metric_of_the_last_arm_alone_is_known(api: TestClient, database: Database) -> None:
    """Catches: a look at one trial of a sweep over several tasks, which report different things."""
    sweep_id = seed(database, small_sweep(), states=("succeeded", "queued", "queued", "succeeded"))
    report(database, sweep_id, -1, ["mean_iou"])
    assert ask(api, sweep_id, "table", "mean_iou")[0] == 200
    status, said = ask(api, sweep_id, "table", "mean_iuo")
    assert status == 422
    assert "'mean_iou'?); they report train_loss, train_accuracy, test_loss, test_accuracy" in said
    assert said.endswith(", mean_iou")


def test_what_the_spec_names_may_be_asked_for_by_its_name(
    api: TestClient, database: Database
) -> None:
    """Catches: a page that shows the spec's table, and is refused that table's curves."""
    sweep_id = seed(database, small_sweep(), stored={"table": {"metric": "val_loss"}})
    assert ask(api, sweep_id, "curves", "val_loss")[0] == 200


def test_a_sweep_whose_metrics_nobody_knows_is_shown_by_the_first_of_them(
    api: TestClient, database: Database
) -> None:
    """Catches: a table of a plugin's task about `test_accuracy`, which that does not report."""
    sweep_id = seed(database, small_sweep(), states=("queued",))
    for number in range(4):
        report(database, sweep_id, number, ["regret", "bleu"])
    assert api.get(f"/api/v1/sweeps/{sweep_id}/table").json()["metric"] == "regret"
