"""What a reader has already is not sent again, however it says so."""

import pytest
from fastapi.testclient import TestClient

from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed


@pytest.fixture(params=["", "/table", "/curves?metric=test_loss", "/trials"])
def path(request: pytest.FixtureRequest, database: Database) -> str:
    """An answer with the sweep's version, a kept one, one made on the spot, one by its content."""
    return f"/api/v1/sweeps/{seed(database, small_sweep())}{request.param}"


@pytest.mark.parametrize(
    "said", ["{tag}", "W/{tag}", '"other", {tag}', 'W/"a,b",W/{tag} , "c"', "*", " * "]
)
def test_a_reader_that_knows_the_tag_is_told_so(api: TestClient, path: str, said: str) -> None:
    # Catches: the whole answer again behind a proxy that makes tags weak, or joins several.
    tag = api.get(path).headers["etag"]
    again = api.get(path, headers={"If-None-Match": said.format(tag=tag)})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)


@pytest.mark.parametrize("said", ["", '"other"', "{bare}", '"{bare}0"', '"a {tag}', 'W/"*"'])
def test_a_reader_that_knows_another_gets_the_answer(api: TestClient, path: str, said: str) -> None:
    # Catches: 304 for a part of a tag, after which the reader shows what is no longer so.
    tag = api.get(path).headers["etag"]
    given = said.format(tag=tag, bare=tag.strip('"'))
    assert api.get(path, headers={"If-None-Match": given}).status_code == 200


def test_tags_in_two_lines_are_one_list(api: TestClient, path: str) -> None:
    # Catches: the first of two header lines read as all of it.
    tag = api.get(path).headers["etag"]
    lines = [("If-None-Match", '"other"'), ("If-None-Match", tag)]
    assert api.get(path, headers=lines).status_code == 304
