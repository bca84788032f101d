"""`lrd serve` as a user has it: one command, real Ray, the CLI against it, and a clean end."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from lrd_core.errors import LRDError
from service import serve
from service.client import Client
from service.pages import PLOTLY
from service.serve import FINISH_SECONDS, GIVE_UP_AFTER, listen, url_of
from service.settings import Settings
from tests.conftest import small_sweep
from tests.waiting import until

LRD = [sys.executable, "-m", "service.cli"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serve")


@contextlib.contextmanager
def serving(folder: Path, *command: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    environment = {**os.environ, "LRD_STORAGE_DIR": str(folder / "storage"), "LRD_PORT": "0"}
    with (folder / "serve.log").open("a") as log:
        process = subprocess.Popen(
            [*LRD, *command], env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with serving(folder, "serve") as (_, url):
        yield url


def lrd(*arguments: str, url: str = "", code: int = 0) -> str:
    done = subprocess.run(
        [*LRD, *arguments],
        env={**os.environ, "LRD_URL": url, "COLUMNS": "200"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def write(folder: Path, document: object, name: str = "sweep.yaml") -> str:
    path = folder / name
    path.write_text(yaml.safe_dump(document))
    return str(path)


@pytest.mark.ray
def test_submit_watch_table(folder: Path, url: str) -> None:
    out = lrd("submit", write(folder, small_sweep()), "--watch", url=url)
    assert "4 trials" in out
    assert " ± " in out
    sweep_id = lrd("ls", url=url).split()[0]
    assert "succeeded" in lrd("status", sweep_id, url=url)
    assert " ± " in lrd("watch", sweep_id, url=url)
    assert lrd("table", sweep_id, "--format", "latex", url=url).count(r"\toprule") == 1
    assert "nothing to cancel" in lrd("cancel", sweep_id, url=url, code=1)


@pytest.mark.ray
def test_a_preset_is_planned_paused_extended_compared_and_exported(folder: Path, url: str) -> None:
    assert "table-2" in lrd("presets")
    assert "expected" in lrd("presets", "table-2")
    asked = [
        "--preset", "digits", "--set", "base.epochs=20", "--set", "grid.optimizer.name=[adam]",
        "--seeds", "2",
    ]  # fmt: skip
    plan = lrd("submit", *asked, "--plan", url=url)
    assert "4 trials: 2 arms" in plan
    assert "2 pairs cannot reach p < 0.05" in plan
    sweep_id = lrd("submit", *asked, url=url).split()[1].rstrip(":")
    lrd("pause", sweep_id, url=url)
    assert "/6" in lrd("extend", sweep_id, "--seeds", "3", url=url)
    lrd("resume", sweep_id, url=url)
    assert "(3)" in lrd("watch", sweep_id, url=url)
    assert "0 | 3 |" in lrd("compare", sweep_id, "--metric", "test_loss", url=url)
    assert "has no failed trial to retry" in lrd("retry", sweep_id, url=url, code=1)
    for name in ("all.zip", "reports.parquet", "reports.csv"):
        lrd("export", sweep_id, str(folder / name), url=url)
        assert (folder / name).stat().st_size > 0
    assert "already" in lrd("import", str(folder / "all.zip"), url=url, code=1)


@pytest.mark.ray
def test_the_cli_tells_each_fault_on_a_line(folder: Path, url: str) -> None:
    document = small_sweep(seeds=[], colour=1)
    out = lrd("submit", write(folder, document, "bad.yaml"), url=url, code=1)
    assert {line.split(":")[0].strip() for line in out.strip().splitlines()} == {
        "/colour",
        "/seeds",
    }


def test_without_a_service_the_cli_says_how_to_start_one() -> None:
    out = lrd("ls", url="http://127.0.0.1:1", code=1)
    assert "lrd serve" in out
    assert "Traceback" not in out


def test_one_trial_runs_without_a_service(folder: Path) -> None:
    trial = write(folder, small_sweep()["base"] | {"seed": 3}, "trial.yaml")
    lines = [json.loads(line) for line in lrd("run", trial, "--json").splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    module = subprocess.run(
        [sys.executable, "-m", "lrd_core", trial], capture_output=True, text=True, check=True
    )
    again = [json.loads(line) for line in module.stdout.splitlines()]
    assert [line["test_loss"] for line in again] == [line["test_loss"] for line in lines]


def children(pid: int) -> set[int]:
    """All processes below `pid`, and those of its dispatcher's Ray."""
    found: set[int] = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) in found | {pid}:
                found.add(int(stat.parent.name))
    return found


@pytest.mark.ray
@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_it_stops_with_no_process_left(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path, "serve") as (process, url):
        lrd("submit", write(tmp_path, small_sweep()), url=url)
        before: set[int] = set()
        log = tmp_path / "serve.log"
        until(lambda: "leads" in log.read_text(), "no dispatcher leads")
        for _ in range(3):  # a child may be listed before its parent
            before |= {child for pid in before | {process.pid} for child in children(pid)}
        assert len(before) > 3
        process.send_signal(number)
        assert process.wait(60) == 0
    gone = lambda: not any(Path(f"/proc/{pid}").exists() for pid in before)  # noqa: E731
    until(gone, "some of its processes are left", 30)
    assert "drained" in log.read_text()
    assert "Traceback" not in log.read_text()


def name_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


@pytest.mark.ray
@pytest.mark.slow
def test_a_ray_that_dies_is_replaced_and_the_sweep_ends(tmp_path: Path) -> None:
    """Catches: a sweep that waits for ever, for a node that nobody starts."""
    with serving(tmp_path, "serve") as (process, url):
        sweep = small_sweep()
        sweep["base"] |= {"epochs": 20, "batch_size": 64}
        with Client(url) as client:
            submitted = client.submit(sweep)
            until(lambda: submitted.status()["trials"]["running"], "nothing runs")
        before: set[int] = set()
        for _ in range(3):
            before |= {child for pid in before | {process.pid} for child in children(pid)}
        raylet, *_ = sorted(pid for pid in before if name_of(pid) == "raylet")  # and what it forks
        os.kill(raylet, signal.SIGKILL)
        assert "(2)" in lrd("watch", submitted.id, url=url)
        said = (tmp_path / "serve.log").read_text()
        assert "the Ray node next to this dispatcher is gone" in said
        assert "the dispatcher ended with code 1; starting it again" in said


@pytest.mark.parametrize("failures", [1, GIVE_UP_AFTER - 1])
def test_a_dispatcher_that_cannot_be_forked_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    """Catches: a service that goes on for ever without a dispatcher, because there was no memory
    for one when the last had ended."""
    forks = iter([None] + [OSError("cannot allocate memory")] * failures)
    popen = subprocess.Popen

    def fork(*_: object, **options: Any) -> subprocess.Popen[bytes]:
        if error := next(forks, None):
            raise error
        return popen(["true"], **options)

    monkeypatch.setattr(serve.subprocess, "Popen", fork)
    monkeypatch.setattr(serve, "AGAIN_SECONDS", 0)
    server = SimpleNamespace(should_exit=False)
    supervisor = serve._Supervisor(Settings(storage_dir=tmp_path), server)  # type: ignore[arg-type]
    until(lambda: supervisor.gave_up, "it goes on")  # each dispatcher ends at once
    assert server.should_exit
    assert next(forks, "all tried") == "all tried"
    supervisor.stop()


def test_an_answer_does_not_wait_for_acknowledgements() -> None:
    """Catches: Nagle's algorithm, which asyncio leaves on for a socket that it did not make."""
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_in_use_is_told_with_a_way_out() -> None:
    """Catches: `[Errno 98] Address already in use`."""
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(LRDError, match=rf"port {port} of 127.0.0.1 is in use.*`--port`"):
            listen("127.0.0.1", port)


def test_it_listens_on_ipv6_and_says_an_address_that_leads_there(tmp_path: Path) -> None:
    """Catches: `::1 cannot be listened on`, and `http://::1:8000`, which no client understands."""
    try:
        listen("::1", 0).close()
    except LRDError:
        pytest.skip("this machine has no IPv6")
    with serving(tmp_path, "api", "--host", "::1") as (_, url):
        assert re.fullmatch(r"http://\[::1\]:\d+", url)
        with Client(url) as client:
            assert client.sweeps() == []
            assert client.cluster()


def test_a_name_and_an_address_of_ipv4_stay_as_they_are_in_the_url() -> None:
    assert url_of("localhost", 8000) == "http://localhost:8000"
    assert url_of("127.0.0.1", 80) == "http://127.0.0.1:80"
    assert url_of("[::1]", 8000) == url_of("::1", 8000) == "http://[::1]:8000"


def test_a_setting_out_of_its_range_is_named() -> None:
    """Catches: a traceback through the settings' library."""
    out = lrd("serve", "--port", "99999", code=1)
    assert out.strip() == "LRD_PORT should be less than or equal to 65535, got 99999"


@pytest.mark.slow
def test_a_reader_that_has_stopped_reading_does_not_keep_it(tmp_path: Path) -> None:
    """Catches: a service that ignores SIGTERM for as long as anybody holds an answer up."""
    with serving(tmp_path, "api") as (process, url), socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        reader.sendall(f"GET {PLOTLY} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert reader.recv(15) == b"HTTP/1.1 200 OK"
        process.send_signal(signal.SIGTERM)
        assert process.wait(FINISH_SECONDS + 20) == 0


def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    with pytest.raises(LRDError, match=r"192.0.2.1 port 0 cannot be listened on .*`--host`"):
        listen("192.0.2.1", 0)


@pytest.mark.slow
def test_a_dispatcher_that_cannot_start_ends_the_service_with_its_reason(folder: Path) -> None:
    # Catches: a service that answers for ever, and starts a dispatcher each second that cannot be.
    done = subprocess.run(
        [*LRD, "serve", "--port", "0"],
        env={**os.environ, "LRD_STORAGE_DIR": str(folder / "no-ray"), "LRD_RAY_ADDRESS": "ray://x"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert "streams do not pass through a Ray client" in done.stderr
    assert "the dispatcher ended 5 times within 30 s of its start" in done.stderr + done.stdout
