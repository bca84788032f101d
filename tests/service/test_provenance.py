"""What made a sweep's numbers: results of other code stand for nothing, and mixtures are told."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from lrd_core import plugins, sources
from service.settings import Settings
from service.store.models import Attempt, Trial
from service.store.session import Database
from tests.conftest import small_sweep
from tests.copied import ROOT, copy_of, edit
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


def test_a_table_tells_of_trials_that_do_not_repeat_themselves(
    api: TestClient, database: Database
) -> None:
    """Also where another sweep took their results. Catches: a curve of two computations, as one."""

    def recompute(name: str, **epochs: int) -> str:
        sweep_id = seed(database, small_sweep(name=name))
        three = select(Trial.id).where(Trial.sweep_id == sweep_id).limit(3)
        with database.write() as session:
            for trial_id in session.scalars(three).all():
                for column, epoch in epochs.items():
                    setattr(session.get_one(Attempt, (trial_id, 1)), column, epoch)
        return sweep_id

    def methods(sweep_id: str) -> str:
        return api.get(f"{SWEEPS}/{sweep_id}/methods?format=markdown").text

    never = recompute("never")
    assert "recomputed" not in said(api, never)
    assert "computed twice" not in methods(never)
    same = recompute("same", recomputed_from=1, recomputed_to=2)
    assert "recomputed" not in said(api, same)
    assert "6 epochs were computed twice, with the same numbers." in methods(same)
    taken = api.post(SWEEPS, json=small_sweep(reuse=True)).json()["id"]
    assert "computed twice" not in methods(taken)  # its own trials computed nothing
    sweep_id = recompute("other", recomputed_from=1, recomputed_to=2, different_epoch=2)
    told = "After an interruption, 3 trials recomputed epochs with other numbers"
    assert told in said(api, sweep_id)
    assert told in methods(sweep_id)
    assert "computed twice" not in methods(sweep_id)
    again = api.post(SWEEPS, json=small_sweep(reuse=True)).json()
    assert again["trials"]["succeeded"] == 4
    assert told in said(api, again["id"])
    trial = api.get(f"{SWEEPS}/{again['id']}/trials").json()["items"][0]["id"]
    (attempt,) = api.get(f"/api/v1/trials/{trial}/attempts").json()["items"]
    columns = ("recomputed_from", "recomputed_to", "different_epoch")
    assert [attempt[name] for name in columns] == [2, 2, 2]


def test_results_of_an_edited_plugin_are_not_reused(
    api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: `reuse: true` that shows the old network's numbers as the new one's."""
    document = small_sweep(reuse=True)

    def code(of: str) -> str:
        monkeypatch.setattr(plugins, "versions_of", lambda configs: [f"my-lab 1.0 {of}"])
        return str(api.post(SWEEPS, json=document).json()["code_version"])

    assert code("aa") == code("aa") != code("bb")
    monkeypatch.setattr(plugins, "versions_of", lambda configs: [])
    assert api.post(SWEEPS, json=document).json()["code_version"] == sources.IMPORTED


def reused(api: TestClient) -> tuple[int, int]:
    """How many trials a plan says are there, and how many of a sweep are taken over."""
    document = small_sweep(reuse=True)
    plan = api.post(f"{SWEEPS}?validate_only=true", json=document).json()
    made = api.post(SWEEPS, json=document).json()
    api.post(f"{SWEEPS}/{made['id']}/cancel")
    return plan["present_elsewhere"], made["trials"]["succeeded"]


def test_results_of_edited_sources_are_not_reused(
    api: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: `lrd submit --set reuse=true` after an edit of lrd_core/models/fcnet.py, answered
    with the old network's table."""
    seed(database, small_sweep())
    assert reused(api) == (4, 4)
    monkeypatch.setattr(sources, "on_disk", lambda: "0.1.0+cd34cd34cd34")
    assert reused(api) == (0, 0)


PLAN = """
import sys
from pathlib import Path
from fastapi.testclient import TestClient
import lrd_core
from service.app import create_app
from service.settings import Settings
from service.store.session import Database
from tests.conftest import small_sweep
from tests.copied import ROOT, copy_of, edit

folder, url = sys.argv[1:]
assert Path(lrd_core.__file__).is_relative_to(folder)
settings = Settings(storage_dir=Path(folder), database_url=url)
with TestClient(create_app(settings, Database(url)), base_url="http://127.0.0.1") as api:
    asked = "/api/v1/sweeps?validate_only=true"
    print(api.post(asked, json=small_sweep(reuse=True)).json()["present_elsewhere"])
"""


def test_a_service_that_is_restarted_after_an_edit_takes_nothing_over(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    """Catches: the same, of real files: a sum that does not see them."""
    seed(database, small_sweep())
    folder = copy_of(tmp_path / "copied", "lrd_core", "workers")

    def present() -> str:
        return subprocess.run(
            [sys.executable, "-c", PLAN, str(folder), settings.database], cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip

    assert present() == "4"
    edit(folder)
    assert present() == "0"


def test_what_an_extension_takes_over_is_of_the_code_that_would_run(
    api: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: new seeds by the code of the day on which the sweep was submitted."""
    made = api.post(SWEEPS, json=small_sweep(reuse=True, seeds=1)).json()["id"]
    seed(database, small_sweep())
    monkeypatch.setattr(sources, "on_disk", lambda: "0.1.0+cd34cd34cd34")
    more = api.post(f"{SWEEPS}/{made}/extend", json={"seeds": 2}).json()
    assert more["trials"]["succeeded"] == 0


def test_a_trial_that_went_on_in_other_code_is_told(api: TestClient, database: Database) -> None:
    """Catches: a sweep that was paused, edited and resumed, without a word below its table."""
    sweep_id = seed(database, small_sweep())
    with database.write() as session:
        for trial in session.scalars(select(Trial)):
            session.add(Attempt(
                trial_id=trial.id, attempt=2, dispatcher_id="seeded", started_at=1.0,
                outcome="succeeded", environment={"lrd": "0.1.0+cd34cd34cd34"},
            ))  # fmt: skip
            trial.attempt = 2
    text = said(api, sweep_id)
    assert "Its trials ran different code" in text
    assert "lrd 0.1.0+cd34cd34cd34" in text
    assert sources.IMPORTED in text
