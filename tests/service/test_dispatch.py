"""The dispatcher's process: Ray lets in only who has its token; what it logs."""

import contextlib
import logging
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import migrations
from lrd_core.errors import LRDError
from service import dispatch, logs
from service.dispatch import authenticate, keep_to_itself
from service.dispatcher import Dispatcher
from service.settings import Settings
from service.store.session import Database
from tests.inline import InlineExecutor


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    os.environ.pop("RAY_AUTH_MODE", None)


def test_a_local_ray_has_a_token_that_only_this_user_reads(tmp_path: Path) -> None:
    settings = Settings(storage_dir=tmp_path / "storage")
    authenticate(settings)
    path = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
    token = path.read_text()
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(token) == 64
    authenticate(settings)
    assert path.read_text() == token  # a restart stays in the same cluster


def test_a_token_that_was_not_written_is_made_again(tmp_path: Path) -> None:
    """Catches: a service that never starts again, once the disk was full at its first start."""
    (tmp_path / "ray-token").touch()
    authenticate(Settings(storage_dir=tmp_path))
    assert len((tmp_path / "ray-token").read_text()) == 64


def test_ray_inherits_no_way_into_the_database() -> None:
    """Catches: the database's password and a token in the environment of whatever a plugin runs."""
    ours = {"LRD_DATABASE_URL": "x", "LRD_DATABASE_PASSWORD_FILE": "x", "LRD_TOKEN": "x"}
    os.environ |= ours | {"LRD_DATA_DIR": "/data"}
    keep_to_itself()
    assert not ours.keys() & os.environ.keys()
    assert os.environ["LRD_DATA_DIR"] == "/data"


def test_of_a_cluster_it_must_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(ray_address="10.0.0.1:6379")
    with pytest.raises(LRDError, match="RAY_AUTH_MODE=token"):
        authenticate(settings)
    os.environ["RAY_AUTH_MODE"] = "disabled"
    authenticate(settings)


def test_a_ray_client_is_refused() -> None:
    with pytest.raises(LRDError, match="do not pass through a Ray client"):
        authenticate(Settings(ray_address="ray://10.0.0.1:10001"))


def test_the_log_is_not_drowned_by_fonts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Catches: a line a table of each font, for each PDF."""
    caplog.set_level(logging.INFO)  # as `basicConfig` has it where nobody else listens
    monkeypatch.setattr(logging.getLogger("fontTools"), "level", logging.NOTSET)
    logging.getLogger("fontTools.subset").manager._clear_cache()  # type: ignore[attr-defined]
    assert logging.getLogger("fontTools.subset").isEnabledFor(logging.INFO)
    logs.to_stderr()
    assert not logging.getLogger("fontTools.subset").isEnabledFor(logging.INFO)
    assert not logging.getLogger("fontTools.subset.timer").isEnabledFor(logging.INFO)


def test_the_log_tells_the_time_as_everything_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a log in local time, an hour of it twice a year, beside an API in UTC."""
    root = logging.RootLogger(logging.WARNING)
    monkeypatch.setattr(logging, "root", root)
    logs.to_stderr()
    record = logging.makeLogRecord({"created": 0.25, "msecs": 250, "levelname": "INFO"})
    assert root.handlers[0].format(record).startswith("1970-01-01T00:00:00.250Z INFO")


def test_who_stands_by_says_once_behind_whom(
    settings: Settings, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Catches: a second `lrd dispatch` that starts nothing, and does not say why."""
    caplog.set_level(logging.INFO, "service.dispatcher")
    first, second = (
        Dispatcher(database, InlineExecutor(settings.trials), lease_seconds=60) for _ in range(2)
    )
    for dispatcher in (first, second, second):
        dispatcher._renew_at = 0.0
        dispatcher.step(0)
    said = [each.getMessage() for each in caplog.records if "standing by" in each.getMessage()]
    host = socket.gethostname()
    assert said == [f"standing by: the dispatcher {first.id} on {host} (pid {os.getpid()}) leads"]
    first.drain()
    second._renew_at = 0.0
    second.step(0)
    assert f"dispatcher {second.id} leads" in caplog.text


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LRD_DATABASE_URL", "sqlite:///{}/noise.db", "answers: file is not a database. Check LRD"),
        ("LRD_DATABASE_PASSWORD_FILE", "{}/none", "LRD_DATABASE_PASSWORD_FILE cannot be read: "),
        ("LRD_STORAGE_DIR", "{}/noise.db/storage", "{}/noise.db/storage: Not a directory"),
    ],
)
def test_a_dispatcher_that_cannot_start_says_why_in_a_sentence(
    name: str, value: str, said: str, tmp_path: Path
) -> None:
    """Catches: a traceback, once a second under a supervisor."""
    (tmp_path / "noise.db").write_bytes(b"noise" * 1000)
    os.environ["LRD_STORAGE_DIR"] = str(tmp_path / "storage")
    os.environ["LRD_DATABASE_URL"] = "postgresql://lrd@127.0.0.1:1/lrd"
    os.environ[name] = value.format(tmp_path)
    with pytest.raises(SystemExit, match=re.escape(said.format(tmp_path))):
        dispatch.main()


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: storage in whatever folder a process was started in, for `LRD_STORAGE_DIR=`."""
    unset = Settings()
    for name in Settings.model_fields:
        monkeypatch.setenv(f"LRD_{name.upper()}", "")
    assert Settings() == unset


def test_a_path_of_the_trials_means_one_folder_wherever_a_process_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings(trials_url="trials").trials == str(tmp_path / "trials")
    assert Settings(trials_url="~/trials").trials == str(Path.home() / "trials")
    assert Settings(trials_url="memory://trials").trials == "memory://trials"


@pytest.mark.ray
def test_whose_parent_went_while_it_started_ends(tmp_path: Path) -> None:
    """Catches: a dispatcher that leads for ever after an `lrd serve` that was killed at once."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    settings = Settings(storage_dir=tmp_path)
    with contextlib.closing(Database(settings.database)) as database:
        migrations.upgrade(database.engine)
    environment = {**os.environ, **settings.environment(), "LRD_WITH_PARENT": str(gone.pid)}
    done = subprocess.run(
        [sys.executable, "-m", "service.dispatch"],
        env=environment, capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    assert "drained" in done.stderr


START = """
import ray, sys
ray.init("local", include_dashboard=False, num_cpus=1, log_to_driver=False,
         _node_ip_address="127.0.0.1")
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""
JOIN = """
import ray, sys
ray.init(sys.argv[1], log_to_driver=False, _node_ip_address="127.0.0.1")
print(ray.get(ray.remote(lambda: 42).remote()))
"""


@pytest.mark.ray
@pytest.mark.slow
def test_who_has_no_token_does_not_get_in(tmp_path: Path) -> None:
    authenticate(Settings(storage_dir=tmp_path))
    known = dict(os.environ)
    unknown = {name: value for name, value in known.items() if not name.startswith("RAY_AUTH")}
    command = [sys.executable, "-W", "ignore", "-c", START]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=known, text=True, **pipes) as ray:
        assert ray.stdout is not None
        address = ray.stdout.readline().strip()

        def join(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-W", "ignore", "-c", JOIN, address], env=environment,
                capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip

        inside, outside = join(known), join(unknown)
        ray.communicate("")
    assert inside.stdout.strip() == "42", inside.stderr[-2000:]
    assert outside.returncode != 0
    assert "token" in outside.stderr.lower()
