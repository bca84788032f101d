"""What made a sweep's numbers: results of other code stand for nothing, and mixtures are told."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from lrd_core import plugins
from service.store.models import Attempt
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed

SWEEPS = "/api/v1/sweeps"


def ran(database: Database, *environments: dict[str, Any]) -> None:
    """Give the attempts, in turn, these parts of their environments."""
    with database.write() as session:
        for at, attempt in enumerate(session.scalars(select(Attempt).order_by(Attempt.trial_id))):
            new = environments[at % len(environments)]
            attempt.environment = (attempt.environment or {}) | new


def said(api: TestClient, sweep_id: str) -> str:
    """All that stands below the table."""
    notes = api.get(f"{SWEEPS}/{sweep_id}/table").json()["notes"]
    text = " ".join(notes)
    assert all(note in api.get(f"{SWEEPS}/{sweep_id}/table?format=markdown").text for note in notes)
    return text


def test_a_table_tells_of_data_that_were_replaced_while_it_filled(
    api: TestClient, database: Database
) -> None:
    """Catches: one arm's seeds on two data sets, as if they were one sample."""
    sweep_id = seed(database, small_sweep())
    ran(database, {"data_sha256": "a" * 64})
    assert "different data" not in said(api, sweep_id)
    sweep_id = seed(database, small_sweep(name="another"))
    ran(database, {"data_sha256": "a" * 64}, {"data_sha256": "b" * 64})
    assert f"digits ran on different data, by their SHA-256: {'a' * 12} and {'b' * 12}" in said(
        api, sweep_id
    )


def test_a_table_tells_of_code_that_changed_while_it_filled(
    api: TestClient, database: Database
) -> None:
    sweep_id = seed(database, small_sweep())
    ran(database, {"lrd": "0.1.0", "plugins": "my-lab 1.0 aa"})
    assert "different code" not in said(api, sweep_id)
    sweep_id = seed(database, small_sweep(name="another"))
    ran(
        database,
        {"lrd": "0.1.0", "plugins": "my-lab 1.0 aa"},
        {"lrd": "0.2.0", "plugins": "my-lab 1.0 bb"},
    )
    assert "different code: lrd 0.1.0 and lrd 0.2.0." in said(api, sweep_id)
    assert "different code: my-lab 1.0 aa and my-lab 1.0 bb." in said(api, sweep_id)
    assert (
        "% Its trials ran different code" in api.get(f"{SWEEPS}/{sweep_id}/table?format=latex").text
    )


def test_results_of_an_edited_plugin_are_not_reused(
    api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: `reuse: true` that shows the old network's numbers as the new one's."""
    document = small_sweep(reuse=True)

    def code(of: str) -> str:
        monkeypatch.setattr(plugins, "sources", lambda configs: [f"my-lab 1.0 {of}"])
        return str(api.post(SWEEPS, json=document).json()["code_version"])

    assert code("aa") == code("aa") != code("bb")
    monkeypatch.setattr(plugins, "sources", lambda configs: [])
    version = api.post(SWEEPS, json=document).json()["code_version"]
    assert "+" not in version
