"""The wheel: it has all that the packages read, and works in an empty environment."""

import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("lrd_core", "workers", "service", "migrations")


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


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An environment with the wheel, its extras at the lock's versions, and nothing else."""
    folder = tmp_path_factory.mktemp("empty") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    uv = Path(sys.executable).with_name("uv")
    command = [
        uv, "pip", "install", "--quiet", "--python", folder / "bin" / "python",
        "--constraint", ROOT / "requirements.lock", f"{wheel}[service,compute]",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    yield folder
    shutil.rmtree(folder)  # six gigabytes


@pytest.mark.slow
@pytest.mark.ray
def test_it_works_in_an_empty_environment(environment: Path, wheel: Path, tmp_path: Path) -> None:
    """`lrd --version`, and `lrd serve` with its migrations, its page and its Ray."""
    lrd = environment / "bin" / "lrd"

    def run(*words: str, url: str = "") -> str:
        done = subprocess.run(
            [lrd, *words], cwd=tmp_path, env=outside | {"LRD_URL": url},
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    outside = {"HOME": str(tmp_path), "PATH": f"{lrd.parent}:/usr/bin:/bin"}
    assert run("--version").strip() in wheel.name
    with (tmp_path / "serve.log").open("w") as log:
        service = subprocess.Popen(
            [lrd, "serve", "--port", "0"], cwd=tmp_path, env=outside,
            stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    assert service.stdout is not None
    try:
        url = service.stdout.readline().strip()
        for path in ("/", "/web/page.js", "/docs", "/openapi.json", "/healthz"):
            assert httpx2.get(url + path).status_code == 200, path
        asked = ["--preset", "digits", "--set", "base.epochs=1", "--seeds", "1", "--watch"]
        assert " (1)" in run("submit", *asked, url=url)
        assert "newest schema" in run("db", "check")
    finally:
        service.send_signal(signal.SIGTERM)
        assert service.wait(60) == 0
        service.stdout.close()


@pytest.mark.parametrize(("missing", "extra"), [("typer", "service"), ("ray", "compute")])
def test_without_an_extra_the_command_says_which(missing: str, extra: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None; sys.argv = ['lrd', 'serve']\n"
        "from service.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert missing in done.stderr
    assert f"`{extra}`" in done.stderr
    assert "Traceback" not in done.stderr
