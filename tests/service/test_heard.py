"""Messages on their way to the database: any text, and how long each has waited."""

from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from lrd_core.messages import Ended, Outcome
from service.dispatcher import Dispatcher
from service.store.transitions import lock_sweeps
from tests.inline import InlineExecutor
from tests.service.test_requests import submit


def test_a_report_that_waits_for_its_sweep_counts_from_its_own_arrival(
    api: TestClient, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: `lrd_report_lag_seconds` of nothing, where a request held a sweep for 20 s and other
    sweeps' reports were recorded meanwhile."""
    now, held = 1000.0, set[str]()
    clock = SimpleNamespace(monotonic=lambda: now)

    def lock(session: Session, ids: set[str], **options: Any) -> set[str]:
        return lock_sweeps(session, ids - held, **options)

    for module in ("dispatcher", "held"):
        monkeypatch.setattr(f"service.{module}.time", clock)
    monkeypatch.setattr("service.dispatcher.lock_sweeps", lock)
    held_sweep, _ = (submit(api, seeds=1, grid={}) for _ in range(2))
    dispatcher.step(0)  # both have started
    held.add(held_sweep)
    dispatcher.step(0)  # epoch 1 of both arrives, at 1000
    now += 10
    dispatcher.step(0)  # epoch 2 of both, at 1010
    assert dispatcher._totals.reports == 2
    assert dispatcher._totals.report_seconds == 0
    held.clear()
    now += 10
    dispatcher.step(0)
    assert dispatcher._totals.reports == 4
    assert dispatcher._totals.report_seconds == 20 + 10


def test_an_error_s_text_may_hold_anything(
    api: TestClient, dispatcher: Dispatcher, executor: InlineExecutor
) -> None:
    sweep_id = submit(api, seeds=1, grid={})
    dispatcher.step(0)
    text = "no such file: '/data/\udcff.png' \0 \x1b[31m\a" + 10_000 * "x"
    ended = Ended(Outcome.error, text)
    executor.poll = lambda _: [(*key, ended) for key in executor.running()]  # type: ignore[method-assign]
    dispatcher.step(0)
    (trial,) = api.get(f"/api/v1/sweeps/{sweep_id}/trials").json()["items"]
    assert trial["state"] == "failed"
    assert trial["message"].startswith("no such file: '/data/\ufffd.png' \ufffd \ufffdxxx")
    assert 1990 < len(trial["message"]) <= 2000
