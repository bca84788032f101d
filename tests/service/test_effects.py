"""What each factor of a sweep does, by REST and in a bundle."""

import io
import zipfile

import pytest
from fastapi.testclient import TestClient

from service.analysis import effect_table
from service.bundles.packing import pack
from service.store.session import Database
from tests.conftest import factorial, small_sweep
from tests.seeded import seed

NAMES = ["LRD (keep_prob = 0.5)", "SD", "LRD (keep_prob = 0.5) × SD"]


@pytest.fixture
def sweep(database: Database) -> str:
    return seed(database, factorial(seeds=4))


def test_they_are_those_of_the_arms(api: TestClient, sweep: str) -> None:
    answer = api.get(f"/api/v1/sweeps/{sweep}/effects").json()
    arms = api.get(f"/api/v1/sweeps/{sweep}/arms").json()["items"]
    mean = {
        (arm["config"]["optimizer"]["keep_prob"], len(arm["config"]["regularizers"])): (
            arm["metrics"]["test_accuracy"]["mean"]
        )
        for arm in arms
    }
    alone, with_sd = mean[0.5, 0] - mean[1.0, 0], mean[0.5, 1] - mean[1.0, 1]
    lrd, sd, both = answer["items"]
    assert [each["name"] for each in (lrd, sd, both)] == NAMES
    assert lrd["difference"] == pytest.approx((alone + with_sd) / 2)
    assert both["difference"] == pytest.approx(with_sd - alone)
    assert (both["lowest"], both["highest"]) == pytest.approx((alone, with_sd))
    assert answer["caption"].endswith("FCNet on digits, 2 epochs")
    assert answer["next_page_token"] is None


def test_metric_place_and_baseline_are_as_asked(api: TestClient, sweep: str) -> None:
    path = f"/api/v1/sweeps/{sweep}/effects"
    loss = api.get(path, params={"metric": "test_loss", "at": "epoch:1"}).json()
    assert (loss["metric"], loss["at"], loss["unit"]) == ("test_loss", "epoch:1", "")
    assert not loss["items"][0]["higher_is_better"]
    arms = api.get(f"/api/v1/sweeps/{sweep}/arms").json()["items"]
    (lrd_and_sd,) = (
        arm["id"]
        for arm in arms
        if arm["config"]["optimizer"]["keep_prob"] == 0.5 and arm["config"]["regularizers"]
    )
    turned = api.get(path, params={"baseline": lrd_and_sd}).json()["items"]
    assert [each["name"] for each in turned[:2]] == [
        "without LRD − LRD (keep_prob = 0.5)",
        "no SD − SD",
    ]
    there = api.get(path).json()["items"]
    assert sorted(-each["difference"] for each in turned[:2]) == pytest.approx(
        sorted(each["difference"] for each in there[:2])
    )
    assert api.get(path, params={"metric": "tset_loss"}).status_code == 422


@pytest.mark.parametrize(
    ("form", "begins"),
    [
        ("markdown", "Effect of each factor on test accuracy, last epoch"),
        ("csv", "kind,name,metric,at,factors"),
        ("latex", "% sweep: LRD and SD"),
    ],
)
def test_each_form_of_the_table(api: TestClient, sweep: str, form: str, begins: str) -> None:
    answer = api.get(f"/api/v1/sweeps/{sweep}/effects", params={"format": form})
    assert answer.text.startswith(begins)
    assert answer.headers["ETag"]


def test_of_one_factor_it_says_why_there_are_none(api: TestClient, database: Database) -> None:
    sweep_id = seed(database, small_sweep())
    answer = api.get(f"/api/v1/sweeps/{sweep_id}/effects").json()
    assert (answer["items"], answer["notes"]) == ([], [effect_table.NONE])
    assert api.get(f"/api/v1/sweeps/{sweep_id}/plots/effects").json()["data"] == []


def test_a_sweep_that_has_not_begun_has_its_effects_to_come(
    api: TestClient, database: Database
) -> None:
    sweep_id = seed(database, factorial(), states=("queued",))
    answer = api.get(f"/api/v1/sweeps/{sweep_id}/effects").json()
    assert [each["name"] for each in answer["items"]] == NAMES
    assert {each["n"] for each in answer["items"]} == {0}
    assert any("queued: seeds 0, 1" in note for note in answer["notes"])
    assert api.get(f"/api/v1/sweeps/{sweep_id}/figures/effects.svg").status_code == 200


def test_a_bundle_has_them_where_there_are_any(database: Database, sweep: str) -> None:
    with pack(database, sweep, "none") as file:
        bundle = zipfile.ZipFile(io.BytesIO(file.read()))
    names = set(bundle.namelist())
    assert {"effects.md", "effects.csv", "effects.tex", "figures/effects.pdf"} <= names
    assert "- effects: effect on test accuracy" in bundle.read("figures/captions.md").decode()
    with pack(database, seed(database, small_sweep()), "none") as file:
        bundle = zipfile.ZipFile(io.BytesIO(file.read()))
    assert not [name for name in bundle.namelist() if "effects" in name]
    assert bundle.read("methods.md").startswith(b"**Training.** FCNet was trained on digits")


@pytest.mark.parametrize("name", ["keep-prob", "forest", "effects"])
@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("last", "read at the last epoch;"),
        ("best", "read at the best epoch, which favours"),
        ("epoch:1", "read at epoch 1;"),
    ],
)
def test_a_figure_says_where_it_was_read(
    api: TestClient, sweep: str, name: str, at: str, said: str
) -> None:
    """Catches: `at` that reaches the numbers and not the caption."""
    plot = api.get(f"/api/v1/sweeps/{sweep}/plots/{name}", params={"at": at}).json()
    assert said in plot["layout"]["meta"]["caption"]
    svg = api.get(f"/api/v1/sweeps/{sweep}/figures/{name}.svg", params={"at": at})
    assert svg.status_code == 200


def test_a_bundle_says_once_where_each_figure_was_read(database: Database) -> None:
    """Catches: `read at: best` beside it; the last epoch said of a table at the best one."""
    document = factorial(seeds=2) | {"table": {"at": "best"}}
    with pack(database, seed(database, document), "none") as file:
        said = zipfile.ZipFile(io.BytesIO(file.read())).read("figures/captions.md").decode()
    lines = {line.split(":")[0]: line.count("read at") for line in said.splitlines()}
    assert lines == {"- learning-curves": 0, "- keep-prob": 1, "- forest": 1, "- effects": 1}
    assert said.count("read at the best epoch") == 3
