"""The wheel: it has all that the packages read, and works where the repository is not."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("lrd_core", "workers", "service", "migrations")

CODE = """
import sys
from fastapi.testclient import TestClient
import migrations, service
from service.app import create_app
from service.settings import Settings
from service.store.session import Database

assert service.__file__.startswith(sys.argv[1]), service.__file__
database = Database(f"sqlite:///{sys.argv[1]}/lrd.db")
migrations.upgrade(database.engine)
migrations.check(database.engine)
with TestClient(create_app(Settings(), database), base_url="http://127.0.0.1") as api:
    for path in ("/", "/web/page.js", "/docs", "/api/v1/presets/digits", "/openapi.json"):
        assert api.get(path).status_code == 200, path
    body = {"preset": "digits"}
    assert api.post("/api/v1/sweeps", json=body).json()["trials_total"] == 30
database.close()
print("works")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_it_has_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert inside == set(listed)


@pytest.mark.slow
def test_it_works_away_from_the_repository(wheel: Path, tmp_path: Path) -> None:
    """With the libraries of this environment; that these are all it needs, the lock says."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "LRD_STORAGE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)], cwd=tmp_path, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split()[-1:] == ["works"], done.stderr[-2000:]
    said = subprocess.run(
        [sys.executable, "-m", "service.cli", "--version"], cwd=tmp_path, env=environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.strip() in wheel.name
