"""`lrd data, db, token, webhook`: what acts on this machine, its data sets and its database."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from lrd_core.errors import DataNotFound, LRDError
from service.cli import app
from service.settings import Settings
from service.store.session import Database
from tests.lrd_core.voc_tree import voc_tree
from tests.service.test_cli import lrd


def test_ls_says_what_is_here_and_how_to_get_the_rest(tmp_path: Path) -> None:
    voc = voc_tree(tmp_path)
    said = CliRunner().invoke(app, ["data", "ls", "--data-dir", str(tmp_path)]).output.splitlines()
    places = dict(zip(said[::2], said[1::2], strict=True))
    (line,) = (line for line in places if line.startswith("voc_segmentation"))
    assert line.endswith("5 masks, no extra ones")
    assert places[line].strip() == str(voc)
    assert any(line.startswith("mnist") and "lrd data fetch mnist" in line for line in places)
    assert said[0].split(maxsplit=1) == ["digits", "complete; part of scikit-learn"]
    assert (Path(said[1].strip()) / "digits.csv.gz").is_file()


def test_fetch_takes_what_is_missing_and_says_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "MNIST" / "raw"

    def download(root: Path, download: bool) -> None:
        folder.mkdir(parents=True)
        for part in ("train", "t10k"):
            for kind in ("images-idx3", "labels-idx1"):
                (folder / f"{part}-{kind}-ubyte").touch()

    monkeypatch.setattr("torchvision.datasets.MNIST", download)
    asked = ["data", "fetch", "mnist", "--data-dir", str(tmp_path)]
    assert CliRunner().invoke(app, asked).output == f"mnist: {folder} (complete)\n"
    monkeypatch.setattr("torchvision.datasets.MNIST", None)  # now it is here: nothing to download
    assert CliRunner().invoke(app, asked).exit_code == 0


def test_a_name_that_is_none_is_an_error(tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["data", "fetch", "nothing", "--data-dir", str(tmp_path)])
    assert isinstance(answer.exception, DataNotFound)
    assert "one of mnist, cifar10" in str(answer.exception)


def test_a_database_is_upgraded_and_then_at_the_newest_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRD_DATABASE_URL", f"sqlite:///{tmp_path / 'new.db'}")
    (tmp_path / "new.db").touch()
    old = CliRunner().invoke(app, ["db", "check"])
    assert old.exit_code == 1
    assert "`lrd db upgrade`" in old.output
    lrd("db", "upgrade")
    assert lrd("db", "check") == "the database is at the newest schema\n"


def test_a_source_that_is_no_database_is_refused() -> None:
    """Catches: `Can't load plugin: sqlalchemy.dialects:mysql`."""
    with pytest.raises(LRDError, match=r"^'mysql:…' is no URL of a database of this service"):
        lrd("db", "copy", "mysql://x/y")


def test_a_database_without_its_tables_is_said_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new.db").touch()
    monkeypatch.setenv("LRD_DATABASE_URL", f"sqlite:///{tmp_path / 'new.db'}")
    answer = CliRunner().invoke(app, ["token", "create", "me"])
    assert isinstance(answer.exception, LRDError)
    assert str(answer.exception).startswith("the database answers: no such table: tokens. ")
    assert "`lrd db upgrade`" in str(answer.exception)


@pytest.mark.parametrize(
    "command", [["db", "check"], ["db", "upgrade"], ["api", "--port", "0"], ["token", "ls"]]
)
@pytest.mark.parametrize("kind", ["no database", "away"])
def test_what_is_no_database_is_said_in_a_sentence(
    command: list[str], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: `lrd api` that answers a typing error, or a server not yet up, with a traceback."""
    (tmp_path / "noise.db").write_bytes(b"noise" * 1000)
    url = f"sqlite:///{tmp_path / 'noise.db'}"
    if kind == "away":
        url = "postgresql://lrd:a-password@127.0.0.1:1/lrd"
    monkeypatch.setenv("LRD_DATABASE_URL", url)
    answer = CliRunner().invoke(app, command)
    assert isinstance(answer.exception, LRDError)
    assert str(answer.exception).startswith("the database answers: ")
    assert "a-password" not in str(answer.exception)


@pytest.mark.parametrize("command", [["db", "check"], ["token", "ls"], ["audit"]])
def test_a_database_that_is_not_there_is_said_and_not_made(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a mistyped path that becomes an empty file, which `lrd api` then takes for new."""
    monkeypatch.setenv("LRD_DATABASE_URL", f"sqlite:///{tmp_path / 'mistyped.db'}")
    answer = CliRunner().invoke(app, command)
    assert isinstance(answer.exception, LRDError)
    said = f"there is no database at {tmp_path / 'mistyped.db'}: name the service's own with --sto"
    assert str(answer.exception).startswith(said)
    assert list(tmp_path.iterdir()) == []


def test_the_database_of_a_service_that_has_a_directory_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: `lrd serve --storage-dir x`, for which no command makes a token."""
    monkeypatch.setenv("LRD_STORAGE_DIR", str(tmp_path / "elsewhere"))
    (tmp_path / "own").mkdir()

    def own(*words: str) -> str:
        return lrd(*words, "--storage-dir", str(tmp_path / "own"))

    own("db", "upgrade")
    own("db", "check")
    own("token", "create", "ann")
    own("token", "create", "bob")
    own("token", "revoke", "1")
    monkeypatch.setenv("LRD_WEBHOOK_PRIVATE", "true")
    own("webhook", "add", "http://127.0.0.1:9/hook")
    assert "http://127.0.0.1:9/hook" in own("webhook", "ls")
    own("webhook", "rm", "1")
    assert [line.split()[2] for line in own("token", "ls").splitlines()] == ["ann", "bob"]
    assert len(own("audit").splitlines()) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["own"]
    with pytest.raises(LRDError, match=r"elsewhere/lrd\.db: name the service's own with --storage"):
        lrd("token", "ls")
    (tmp_path / "copy").mkdir()
    source = str(tmp_path / "own" / "lrd.db")
    said = lrd("db", "copy", source, "--storage-dir", str(tmp_path / "copy"))
    assert f"expected in {tmp_path / 'copy' / 'trials'}" in said
    assert (tmp_path / "copy" / "lrd.db").is_file()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("", "is empty"),
        (" ", "is blank"),
        ("a" * 101, "should have at most 100 characters, got 101"),
        ("ann\n   2  admin", "has a line break"),
        ("ann\x1b[2K", "contains a control character"),
    ],
)
def test_a_token_has_a_name_that_fits_in_a_line(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, name: str, wrong: str
) -> None:
    """Catches: a line of `lrd token ls` that is forged, and a name that PostgreSQL cannot take."""
    monkeypatch.setenv("LRD_DATABASE_URL", settings.database)
    with pytest.raises(LRDError, match=f"^the token's name {wrong}"):
        lrd("token", "create", name)
    assert lrd("token", "ls").startswith("no tokens yet")
    lrd("token", "create", "ä" * 100)
    assert len(lrd("token", "ls").splitlines()) == 1


@pytest.mark.parametrize("what", ["token", "webhook"])
def test_an_empty_list_says_so_beside_it(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Catches: nothing at all, as if the command had not run; and words in a pipe of ids."""
    monkeypatch.setenv("LRD_DATABASE_URL", settings.database)
    answer = CliRunner().invoke(app, [what, "ls"])
    assert answer.stdout == ""
    assert answer.stderr.startswith(f"no {what}s yet")


@pytest.mark.parametrize(("private", "code"), [("false", 1), ("true", 0)])
def test_a_webhook_to_a_private_address_is_refused_here_too(
    settings: Settings,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    private: str,
    code: int,
) -> None:
    """Catches: a webhook that is made, and to which nothing is ever sent."""
    monkeypatch.setenv("LRD_DATABASE_URL", settings.database)
    monkeypatch.setenv("LRD_WEBHOOK_PRIVATE", private)
    answer = CliRunner().invoke(app, ["webhook", "add", "http://127.0.0.1:9/hook"])
    assert answer.exit_code == code
    assert bool(code) == ("no public address" in str(answer.exception))
