"""The final weights of a trial, from its worker to a file that torch loads."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from lrd_core.checkpoint import weights_sha256
from lrd_core.errors import LRDError
from lrd_core.messages import Ended, EpochDone, Outcome, Started
from lrd_core.spec import TrialSpec
from lrd_core.training import TrainState
from lrd_core.trial_folder import LocalFolder, trial_folder, weights_name
from service.dispatcher import Dispatcher
from service.purge import Purger
from service.settings import Settings
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed
from tests.service.test_cli import lrd
from workers.tasks import run_trial

KEPT = {"execution": {"keep_weights": True}}


def trained(api: TestClient, dispatcher: Dispatcher, **changes: Any) -> list[dict[str, Any]]:
    """The trials of a sweep that has run."""
    sweep = api.post("/api/v1/sweeps", json=small_sweep(**{"seeds": 1} | changes)).json()
    while not api.get(f"/api/v1/sweeps/{sweep['id']}").json()["finished_at"]:
        dispatcher.step(0)
    return list(api.get(f"/api/v1/sweeps/{sweep['id']}/trials").json()["items"])


def test_they_are_those_that_the_trial_ended_with(api: TestClient, dispatcher: Dispatcher) -> None:
    """Catches: weights of another trial, of an earlier epoch, or none that torch reads safely."""
    for trial in trained(api, dispatcher, **KEPT):
        assert api.get(f"/api/v1/trials/{trial['id']}").json()["has_weights"]
        answer = api.get(f"/api/v1/trials/{trial['id']}/weights")
        assert answer.status_code == 200
        name = f"trial-{trial['id']}-weights-{trial['weights_sha256'][:16]}.pt"
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        model = TrainState.create(TrialSpec.parse(trial["config"] | {"seed": trial["seed"]})).model
        assert weights_sha256(model) != trial["weights_sha256"]
        model.load_state_dict(torch.load(io.BytesIO(answer.content), weights_only=True))
        assert weights_sha256(model) == trial["weights_sha256"]


def test_settings_without_effect_are_told_by_the_networks_they_made(
    api: TestClient, dispatcher: Dispatcher
) -> None:
    """Catches: a gamma without milestones, as an arm and a comparison of its own, and no word."""
    grid = {"schedule.gamma": [0.1, 0.5], "optimizer.keep_prob": [1.0, 0.5]}
    first, *_ = trained(api, dispatcher, seeds=2, grid=grid)
    notes = {
        path: [
            note
            for note in api.get(f"/api/v1/sweeps/{first['sweep_id']}/{path}").json()["notes"]
            if "the same networks, bit for bit" in note
        ]
        for path in ("table", "comparisons")
    }
    assert [note.partition(" made")[0] for note in notes["table"]] == [
        f"gamma = 0.1, {lrd} and gamma = 0.5, {lrd}"
        for lrd in ("without LRD", "LRD (keep_prob = 0.5)")
    ]
    assert [note.endswith("separate comparisons.") for note in notes["table"]] == [False, True]
    assert notes["comparisons"] == notes["table"]


def test_none_are_kept_that_nobody_asked_for(
    api: TestClient, dispatcher: Dispatcher, settings: Settings
) -> None:
    """Catches: 85 MB a trial for nothing."""
    for trial in trained(api, dispatcher):
        names = trial_folder(settings.trials, trial["id"]).names()
        assert not [name for name in names if name.startswith("weights")]
        answer = api.get(f"/api/v1/trials/{trial['id']}/weights")
        assert answer.status_code == 404
        assert "its sweep did not ask for them (`execution: {keep_weights: true}`)" in answer.text
        detail = api.get(f"/api/v1/trials/{trial['id']}").json()
        assert not detail["has_weights"]
        assert detail["provenance"]["execution"] == {
            "precision": "fp32", "channels_last": "auto", "compile": "auto", "keep_weights": False,
        }  # fmt: skip


@pytest.mark.parametrize("state", ["queued", "running", "failed", "cancelled"])
def test_only_a_trial_that_has_succeeded_has_any(
    api: TestClient, database: Database, state: str
) -> None:
    seed(database, small_sweep(**KEPT), states=(state,))
    answer = api.get("/api/v1/trials/1/weights")
    assert answer.status_code == 404
    assert answer.json()["detail"] == (
        f"trial 1 is {state}: only one that has succeeded has weights"
    )
    assert api.get("/api/v1/trials/99/weights").json()["detail"] == "there is no trial 99"


def test_reused_results_have_the_weights_of_their_trial(
    api: TestClient, dispatcher: Dispatcher
) -> None:
    """Catches: results that stand for a trial whose weights were asked for, without them."""
    plain = trained(api, dispatcher)
    kept = trained(api, dispatcher, reuse=True, **KEPT)
    assert [trial["reused_from"] for trial in kept] == [None] * 2  # the first have no weights
    again = trained(api, dispatcher, reuse=True, **KEPT)
    assert [trial["reused_from"] for trial in again] == [trial["id"] for trial in kept]
    assert all(api.get(f"/api/v1/trials/{trial['id']}").json()["has_weights"] for trial in again)
    assert [api.get(f"/api/v1/trials/{trial['id']}/weights").content for trial in again] == [
        api.get(f"/api/v1/trials/{trial['id']}/weights").content for trial in kept
    ]
    without = trained(api, dispatcher, reuse=True)  # weights besides do no harm
    assert all(trial["reused_from"] for trial in without)
    assert {trial["weights_sha256"] for trial in without} == {
        trial["weights_sha256"] for trial in plain
    }


def test_who_took_results_over_keeps_their_weights_when_the_first_are_deleted(
    api: TestClient, dispatcher: Dispatcher, database: Database, settings: Settings
) -> None:
    """Catches: weights that go with a sweep of somebody else's; and a third sweep that counts on
    them though nobody can tell any more that they are there."""
    kept = trained(api, dispatcher, **KEPT)
    content = api.get(f"/api/v1/trials/{kept[0]['id']}/weights").content
    taken = trained(api, dispatcher, reuse=True, **KEPT)
    plain = trained(api, dispatcher, reuse=True)
    assert api.delete(f"/api/v1/sweeps/{kept[0]['sweep_id']}").status_code == 204
    assert Purger(database, settings.trials, 0).step()
    assert not (Path(settings.trials) / str(kept[0]["id"])).exists()
    assert api.get(f"/api/v1/trials/{taken[0]['id']}/weights").content == content
    assert not (Path(settings.trials) / str(plain[0]["id"])).exists()  # it had asked for none
    third = trained(api, dispatcher, reuse=True, **KEPT)
    assert [trial["reused_from"] for trial in third] == [None] * 2
    assert api.get(f"/api/v1/trials/{third[0]['id']}/weights").content == content


def test_a_bundle_brings_no_weights_so_that_none_are_counted_on(
    api: TestClient, dispatcher: Dispatcher, database: Database, settings: Settings
) -> None:
    """Catches: `keep_weights` that is fulfilled by results without any."""
    sweep_id = trained(api, dispatcher, **KEPT)[0]["sweep_id"]
    bundle = api.get(f"/api/v1/sweeps/{sweep_id}/export?format=bundle").content
    api.delete(f"/api/v1/sweeps/{sweep_id}")
    assert Purger(database, settings.trials, 0).step()
    zipped = {"Content-Type": "application/zip"}
    assert api.post("/api/v1/import", content=bundle, headers=zipped).status_code == 201
    (first, _) = api.get(f"/api/v1/sweeps/{sweep_id}/trials").json()["items"]
    answer = api.get(f"/api/v1/trials/{first['id']}/weights")
    assert "or came as a bundle, which has none" in answer.json()["detail"]
    assert not api.get(f"/api/v1/trials/{first['id']}").json()["has_weights"]
    assert [t["reused_from"] for t in trained(api, dispatcher, reuse=True, **KEPT)] == [None] * 2
    assert all(t["reused_from"] for t in trained(api, dispatcher, reuse=True))


def test_an_attempt_that_was_given_up_takes_nobodys_weights(
    api: TestClient, dispatcher: Dispatcher, settings: Settings
) -> None:
    """Catches: weights of a process that hung, woke up and wrote, as those of the trial."""
    (trial, _) = trained(api, dispatcher, **KEPT)
    content = api.get(f"/api/v1/trials/{trial['id']}/weights").content
    late = trial["config"] | {"seed": 99, **KEPT}  # as on another device: it ends elsewhere
    *_, last = run_trial(late, settings.trials, trial["id"], 1, [], 0)
    assert isinstance(last, Ended)
    assert last.weights_sha256 != trial["weights_sha256"]
    assert api.get(f"/api/v1/trials/{trial['id']}/weights").content == content


def test_a_trial_whose_weights_cannot_be_written_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: success without the weights, because the disk was full for a moment."""
    trial = small_sweep()["base"] | {"seed": 0, **KEPT}
    write = LocalFolder.write

    def full(self: LocalFolder, name: str, content: bytes) -> None:
        if name.startswith("weights"):
            raise OSError(28, "No space left on device")
        write(self, name, content)

    with monkeypatch.context() as patch:
        patch.setattr(LocalFolder, "write", full)
        *_, epoch, last = run_trial(trial, str(tmp_path), 1, 1, [], 0)
    assert isinstance(epoch, EpochDone)
    assert epoch.checkpoint is not None
    assert isinstance(last, Ended)
    assert last.outcome is Outcome.lost
    assert last.text == "its weights cannot be kept now: [Errno 28] No space left on device"
    *before, last = run_trial(trial, str(tmp_path), 1, 2, [epoch.checkpoint], 0)
    assert [type(message) for message in before] == [Started]  # no epoch is run again
    assert isinstance(last, Ended)
    assert last.outcome is Outcome.done
    (file,) = (tmp_path / "1").glob("weights-*.pt")
    assert file.name == weights_name(last.weights_sha256 or "")
    assert file.stat().st_size > 1000


@pytest.mark.usefixtures("url")
def test_by_shell(api: TestClient, dispatcher: Dispatcher, tmp_path: Path) -> None:
    (trial, _) = trained(api, dispatcher, **KEPT)
    file = tmp_path / "w.pt"
    assert lrd("weights", str(trial["id"]), str(file)) == f"written to {file}\n"
    assert file.read_bytes() == api.get(f"/api/v1/trials/{trial['id']}/weights").content
    with pytest.raises(LRDError, match="there is no trial 99"):
        lrd("weights", "99", str(tmp_path / "none.pt"))
    assert not (tmp_path / "none.pt").exists()
