"""A mistyped parameter is answered with the one that was meant, and not with other numbers."""

import pytest
from fastapi.testclient import TestClient

from tests.conftest import small_sweep


@pytest.mark.parametrize(
    ("path", "pointer", "said"),
    [
        ("/trials?page_size=many", "/query/page_size", "should be an integer, got 'many'"),
        ("/trials?state=late", "/query/state", "should be 'queued', 'running',"),
        ("/speed", "/query/threshold", "missing; this field is required"),
        ("/table?metrc=test_loss", "/query/metrc", "did you mean 'metric'?"),
        ("/trials?page_size=5&staet=failed", "/query/staet", "did you mean 'state'?"),
        ("/failures?zork=1", "/query/zork", "there is none here"),
        ("/table?zork=1&at=last", "/query/zork", "one of at, "),
    ],
)
def test_a_parameter_that_is_none_or_cannot_be_is_refused(
    api: TestClient, path: str, pointer: str, said: str
) -> None:
    """Catches: the accuracy for whoever asked for the loss and slipped."""
    sweep = api.post("/api/v1/sweeps", json=small_sweep()).json()["id"]
    answer = api.get(f"/api/v1/sweeps/{sweep}{path}")
    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert fault["pointer"] == pointer
    assert said in fault["detail"]


def test_what_changes_something_is_held_to_it_too(api: TestClient) -> None:
    answer = api.post("/api/v1/sweeps?validate_onyl=true", json=small_sweep())
    assert answer.status_code == 422
    assert "validate_only" in answer.json()["errors"][0]["detail"]
    assert api.get("/api/v1/sweeps").json()["items"] == []
