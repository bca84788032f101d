"""A sweep's baseline is the arms that its spec means, in the plan as in the results."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from lrd_core import plugins
from service.store.session import Database
from tests.conftest import factorial, small_sweep
from tests.seeded import seed
from tests.waiting import until

SPECS: dict[str, tuple[dict[str, Any], list[bool]]] = {
    "a value": ({"baseline": {"optimizer.keep_prob": 1.0}}, [True, False]),
    "none, so the plain optimizer": ({}, [True, False]),
    "a field that is left out": (
        {"grid": {"schedule.power": [None, 0.9]}, "baseline": {"schedule.power": None}},
        [True, False],
    ),
    "one that is left out of another part": (
        {"grid": {"data.cutout": [None, 4]}, "baseline": {"data.cutout": None}},
        [True, False],
    ),
    "a part, the rest of it as by default": (
        {"baseline": {"optimizer": {"name": "adam"}}},
        [True, False],
    ),
    "a regularizer by its kind": (
        {"grid": {"regularizers": [[], ["SD"]]}, "baseline": {"regularizers": ["SD"]}},
        [False, True],
    ),
}


def spec_of(changes: dict[str, Any]) -> dict[str, Any]:
    document = small_sweep(**changes)
    return document if "baseline" in changes else document | {"baseline": {}}


@pytest.mark.parametrize("which", SPECS)
def test_it_is_the_same_in_the_plan_and_wherever_results_are_read(
    api: TestClient, database: Database, which: str
) -> None:
    """Catches: a second rule, by which a field left out was no value: 404 from every reader; or
    one by which all arms were baselines, and nothing was ever compared."""
    changes, expected = SPECS[which]
    document = spec_of(changes)
    plan = api.post("/api/v1/sweeps?validate_only=true", json=document).json()
    assert [arm["is_baseline"] for arm in plan["arms"]] == expected
    assert plan["comparisons"] == 1
    sweep = f"/api/v1/sweeps/{seed(database, document)}"
    arms = api.get(f"{sweep}/arms").json()["items"]
    assert [arm["is_baseline"] for arm in arms] == expected
    (comparison,) = api.get(f"{sweep}/comparisons").json()["items"]
    assert (comparison["arm_id"], comparison["baseline_id"]) == (
        arms[expected.index(False)]["id"],
        arms[expected.index(True)]["id"],
    )
    for path in ("table", "curves?metric=train_loss", "plots/forest", "export?format=bundle"):
        assert api.get(f"{sweep}/{path}").status_code == 200, path


def test_an_arm_that_the_sweep_has_not_is_no_baseline(api: TestClient, database: Database) -> None:
    sweep_id = seed(database, small_sweep())
    for path in (
        "table",
        "comparisons",
        "effects",
        "methods",
        "plots/forest",
        "figures/forest.svg",
    ):
        answer = api.get(f"/api/v1/sweeps/{sweep_id}/{path}?baseline=999")
        assert answer.status_code == 404
        assert answer.json()["detail"] == (f"sweep {sweep_id} has no arm 999 to be the baseline")


def test_results_outlive_the_package_of_their_model(
    api: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: `has no arm None to be the baseline`."""
    document = small_sweep()
    document["base"]["model"] = "theirs"
    with monkeypatch.context() as installed:
        installed.setattr(plugins, "names", lambda _: ["theirs"])
        sweep = f"/api/v1/sweeps/{seed(database, document)}"
    for path in (
        "table",
        "arms",
        "curves",
        "comparisons",
        "effects",
        "methods",
        "figures/forest.svg",
    ):
        assert api.get(f"{sweep}/{path}").status_code == 200, path
    answer = api.post(f"{sweep}/extend", json={"seeds": 5})
    assert answer.status_code == 422
    assert "unknown model 'theirs'" in answer.text


def test_primary_comparisons_are_one_family_from_the_plan_to_the_bundle(
    api: TestClient, database: Database
) -> None:
    document = factorial(primary={"optimizer.keep_prob": 0.5, "regularizers": []}, seeds=6)
    plan = api.post("/api/v1/sweeps?validate_only=true", json=document).json()
    assert (plan["comparisons"], plan["seeds"]["comparisons"]) == (2, 1)
    sweep_id = seed(database, document)
    path = f"/api/v1/sweeps/{sweep_id}"
    found = api.get(f"{path}/comparisons").json()["items"]
    assert [each["primary"] for each in found] == [True, False]
    assert [each["p_holm"] is None for each in found] == [False, True]
    assert [arm["is_primary"] for arm in api.get(f"{path}/arms").json()["items"]].count(True) == 1
    assert "Exploratory, so" in api.get(f"{path}/table?format=markdown").text
    methods = api.get(f"{path}/methods?format=markdown").text
    assert "The primary comparisons, named before the trials ran, are those of" in methods
    other = api.get(f"{path}/arms").json()["items"][1]["id"]
    against = api.get(f"{path}/comparisons?baseline={other}").json()["items"]
    assert all(each["primary"] and each["p_holm"] is not None for each in against)
    asked = api.get(f"{path}/methods?format=markdown&baseline={other}").text
    assert "the primary comparisons that the sweep names are with another" in asked
    bundle = api.get(f"{path}/export?format=bundle").content
    api.delete(path)
    headers = {"Content-Type": "application/zip"}
    until(
        lambda: api.post("/api/v1/import", content=bundle, headers=headers).status_code == 201,
        "the bundle does not come back",
    )
    assert api.get(f"{path}/comparisons").json()["items"][1]["primary"] is False
