"""Nodes that lack a data set: a trial goes elsewhere, and fails where there is no elsewhere."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from lrd_core.messages import Ended, Outcome
from service.dispatcher import Dispatcher
from service.settings import Settings
from service.store.models import Trial
from service.store.session import Database
from tests.conftest import small_sweep
from tests.inline import InlineExecutor
from tests.service.test_dispatcher import finish, submit
from workers.tasks import run_trial


class Executor(InlineExecutor):
    """On nodes that are called `bare…` there is no data, nor a way to it."""

    def start(self, trial_id: int, attempt: int, *rest: Any) -> None:
        super().start(trial_id, attempt, *rest)
        if self.places[trial_id, attempt]["node"].startswith("bare"):
            self._running[trial_id, attempt] = iter([Ended(Outcome.no_data, "no digits here")])


def step(database: Database, dispatcher: Dispatcher) -> None:
    """As if the time had passed in which lost trials wait."""
    with database.write() as session:
        session.execute(update(Trial).values(not_before=None))
    dispatcher._plan_at = 0
    dispatcher.step(0)


def trials(api: TestClient, sweep_id: str) -> list[dict[str, Any]]:
    return list(api.get(f"/api/v1/sweeps/{sweep_id}/trials").json()["items"])


def test_workers_say_it_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LRD_DATA_DIR", str(tmp_path / "file" / "data"))
    trial = small_sweep()["base"] | {"dataset": "mnist", "seed": 0}
    (end,) = run_trial(trial, str(tmp_path), 1, 1, [], 0)
    assert isinstance(end, Ended)
    assert end.outcome is Outcome.no_data
    assert end.text.startswith(f"MNIST is not in {tmp_path}/file/data and could not be downloaded")


def test_a_node_without_the_data_does_not_fail_a_whole_sweep(
    api: TestClient, database: Database, settings: Settings
) -> None:
    """Catches: trials that end at once on the node which, always the emptiest, gets all of them."""
    executor = Executor(settings.trials, nodes=[{"id": "bare", "CPU": 4}, {"id": "good", "CPU": 1}])
    dispatcher = Dispatcher(database, executor, 60)
    sweep_id = submit(api, seeds=6)
    step(database, dispatcher)
    lost = [trial for trial in trials(api, sweep_id) if trial["reason"] == "lost"]
    assert [(trial["state"], trial["message"]) for trial in lost] == 4 * [
        ("queued", "no digits here")
    ]
    step(database, dispatcher)
    assert finish(api, dispatcher, sweep_id)["state"] == "succeeded"
    assert [place["node"] for place in executor.places.values()].count("bare") == len(lost)


@pytest.mark.parametrize("nodes", [1, 3])
def test_where_no_node_has_the_data_a_trial_fails(
    api: TestClient, database: Database, settings: Settings, nodes: int
) -> None:
    """Catches: a newcomer who has forgotten to fetch it, and waits for an hour to be told."""
    bare = [{"id": f"bare {at}", "CPU": 1} for at in range(nodes)]
    dispatcher = Dispatcher(database, Executor(settings.trials, nodes=bare), 60)
    sweep_id = submit(api, seeds=1, grid={})
    for _ in bare:
        assert trials(api, sweep_id)[0]["state"] == "queued"
        step(database, dispatcher)
    (trial,) = trials(api, sweep_id)
    assert (trial["state"], trial["reason"]) == ("failed", "error")
    assert trial["message"] == "no digits here"
