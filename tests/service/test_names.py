"""An arm has one name, wherever it is met."""

from fastapi.testclient import TestClient

from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed

LABELS = ("plain", "with SD, long")
LRD = ("without LRD", "LRD (keep_prob = 0.5)")
NAMES = [f"{label}, {lrd}" for label in LABELS for lrd in LRD]


def test_an_arm_is_called_the_same_in_tables_figures_trials_and_files(
    api: TestClient, database: Database
) -> None:
    """Catches: `none` in the table, `plain, keep_prob=0.5` in the forest."""
    arms = [{"label": LABELS[0]}, {"label": LABELS[1], "set": {"regularizers": ["SD"]}}]
    sweep = f"/api/v1/sweeps/{seed(database, small_sweep(arms=arms))}"

    table = api.get(f"{sweep}/table").json()
    assert [row["titles"] for row in table["rows"]] == [[label] for label in LABELS]
    assert table["columns"] == [[lrd] for lrd in LRD]
    assert [cell["label"] for row in table["rows"] for cell in row["cells"]] == NAMES

    lines = api.get(f"{sweep}/plots/learning-curves").json()["data"]
    assert [each["name"] for each in lines if each.get("mode") == "lines+markers"] == NAMES * 3
    forest = api.get(f"{sweep}/plots/forest").json()
    assert forest["layout"]["yaxis"]["ticktext"] == NAMES[1::2]
    lines = api.get(f"{sweep}/plots/keep-prob").json()["data"]
    assert [each["name"] for each in lines] == [*LABELS]

    trials = api.get(f"{sweep}/trials").json()["items"]
    assert list(dict.fromkeys(trial["label"] for trial in trials)) == NAMES
    assert [arm["label"] for arm in api.get(f"{sweep}/arms").json()["items"]] == NAMES
    drawn = api.get(f"{sweep}/figures/learning-curves.svg").text
    assert all(name in drawn for name in NAMES)


def test_a_plan_and_a_fault_use_the_same_names(api: TestClient) -> None:
    plan = api.post("/api/v1/sweeps?validate_only=true", json=small_sweep()).json()
    assert [arm["label"] for arm in plan["arms"]] == [*LRD]
    twice = small_sweep(grid={"optimizer.keep_prob": [1.0, 0.5, 0.50]})
    (fault,) = api.post("/api/v1/sweeps", json=twice).json()["errors"]
    assert fault["detail"] == f"{LRD[1]!r} and {LRD[1]!r} are the same arm"
