"""What may change after a sweep was submitted: all that no result depends on, and nothing else."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.dispatcher import Dispatcher
from tests.service.test_lists import ids
from tests.service.test_requests import ask, submit, sweep, work

KEEP = "optimizer.keep_prob"


def patch(api: TestClient, sweep_id: str, code: int = 200, **changes: Any) -> dict[str, Any]:
    answer = api.patch(f"/api/v1/sweeps/{sweep_id}", json=changes)
    assert answer.status_code == code, answer.text
    return dict(answer.json())


def test_tags_are_found_whole_and_as_they_are_now(api: TestClient) -> None:
    first = submit(api, tags=["ablation", "café no: a comma"])
    second = submit(api, tags=["ablation"])
    submit(api, name="ablation", tags=["ablations"])
    assert ids(api, "/sweeps", tag="ablation") == [second, first]
    assert ids(api, "/sweeps", tag="café no: a comma") == [first]
    assert ids(api, "/sweeps", tag="abl") == ids(api, "/sweeps", tag='"') == []
    assert patch(api, first, tags=["done", "done"])["tags"] == ["done"]
    assert ids(api, "/sweeps", tag="ablation") == [second]
    assert patch(api, first, tags=None)["tags"] == []
    assert ids(api, "/sweeps", tag="done") == []


def test_a_new_name_is_everywhere(api: TestClient) -> None:
    sweep_id = submit(api)
    found = patch(api, sweep_id, name="as in the paper", notes="Seed 3 looks odd.\nWhy?")
    assert (found["name"], found["spec"]["name"]) == ("as in the paper", "as in the paper")
    assert found["notes"] == found["spec"]["notes"] == "Seed 3 looks odd.\nWhy?"
    assert ids(api, "/sweeps", search="as in") == [sweep_id]
    events = api.get(f"/api/v1/sweeps/{sweep_id}/events").json()["items"]
    assert events[-1]["message"] == "name changed, notes changed"
    clone = ask(api, f"/sweeps/{sweep_id}/clone", 201)
    assert (clone["name"], clone["notes"]) == (found["name"], found["notes"])


def test_parts_of_the_layout_change_the_table_and_null_takes_them_back(
    api: TestClient, dispatcher: Dispatcher
) -> None:
    sweep_id = submit(api)
    work(dispatcher)

    def table() -> dict[str, Any]:
        return dict(api.get(f"/api/v1/sweeps/{sweep_id}/table").json())

    at_first = table()
    patch(api, sweep_id, table={"metric": "test_loss"})
    patch(api, sweep_id, table={"at": "best"})  # and the metric stays
    assert (table()["metric"], table()["at"]) == ("test_loss", "best")
    patch(api, sweep_id, table={"metric": None})
    assert (table()["metric"], table()["at"]) == ("test_accuracy", "best")
    patch(api, sweep_id, table=None)
    assert table() == at_first
    assert sweep(api, sweep_id)["state"] == "succeeded"


def test_a_published_number_may_come_later(api: TestClient, dispatcher: Dispatcher) -> None:
    sweep_id = submit(api)
    work(dispatcher)
    values = [{"where": {KEEP: 0.5}, "value": 0.9}]
    patch(api, sweep_id, expected={"source": "a paper", "values": values})
    text = api.get(f"/api/v1/sweeps/{sweep_id}/table?format=markdown").text
    assert "a paper" in text


@pytest.mark.parametrize(
    ("changes", "pointer", "detail"),
    [
        ({"table": {"rows": "optimizer.nothing"}}, "/table/rows", "is not a path"),
        ({"table": {"at": "epoch:0"}}, "/table/at", "match"),
        ({"table": {"row": "arm"}}, "/table/row", "rows"),
        ({"expected": {"source": "x", "values": []}}, "/expected/values", "is empty"),
        ({"name": None}, "/name", "string"),
        ({"name": " "}, "/name", "blank"),
        ({"tags": ["a,b"]}, "/tags/0", "comma"),
        ({"seeds": 3}, "/seeds", "unknown field"),
        ({"baseline": {KEEP: 0.5}}, "/baseline", "unknown field"),
        ({"primary": {KEEP: 0.5}}, "/primary", "unknown field"),
    ],
)
def test_what_does_not_fit_is_refused_at_its_place_and_nothing_changes(
    api: TestClient, changes: dict[str, Any], pointer: str, detail: str
) -> None:
    sweep_id = submit(api)
    before = sweep(api, sweep_id)
    (fault, *_) = patch(api, sweep_id, 422, **changes)["errors"]
    assert fault["pointer"] == pointer
    assert detail in fault["detail"]
    assert sweep(api, sweep_id) == before


def test_equal_values_change_nothing(api: TestClient) -> None:
    sweep_id = submit(api, tags=["a"], table={"at": "best"})
    tag = api.get(f"/api/v1/sweeps/{sweep_id}").headers["ETag"]
    patch(api, sweep_id, tags=["a"], notes=None, priority=None, table={"at": "best"})
    patch(api, sweep_id, table={})  # no part of it: the layout stays
    assert api.get(f"/api/v1/sweeps/{sweep_id}").headers["ETag"] == tag
