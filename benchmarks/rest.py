"""What the REST API bears: polls of a running sweep, and submissions, for a minute each.

python -m benchmarks.rest [--seconds 60] [--database URL]     # SQLite in an empty folder by default

The API is a process of its own (`lrd api`); this one is the generator: threads with a kept-alive
connection each (http.client), which ask again as soon as they are answered.
"""

import argparse
import contextlib
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import migrations
from benchmarks.timing import machine, table
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed

POLLERS, SUBMITTERS = 16, 4
STATES = ("succeeded", "running", "queued")


@dataclass
class Load:
    """What one kind of request met."""

    seconds: list[float]
    errors: int
    megabytes: tuple[float, float]
    """Of the API's memory: after a sixth of the time, and at the end."""

    def row(self, name: str, threads: int, duration: float) -> list[str]:
        cuts = statistics.quantiles(self.seconds, n=100)
        before, after = self.megabytes
        return [
            name, str(threads), f"{len(self.seconds) / duration:,.0f}", f"{cuts[49] * 1e3:.1f}",
            f"{cuts[98] * 1e3:.1f}", str(self.errors), f"{before:.0f} → {after:.0f}",
        ]  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--database", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = options.database or f"sqlite:///{Path(folder) / 'lrd.db'}"
        database = Database(url)
        migrations.upgrade(database.engine)
        sweep_id = seed(database, small_sweep(name="polled", seeds=20), states=STATES)
        kind = database.engine.dialect.name
        database.close()
        with api(url, folder) as (address, process):
            poll = f"/api/v1/sweeps/{sweep_id}"
            tag = _ask(http.client.HTTPConnection(address), "GET", poll)[1]
            body = json.dumps(small_sweep(seeds=3))
            rows = [
                _load(address, process, threads, options.seconds, ask).row(
                    name, threads, options.seconds
                )
                for name, threads, ask in (
                    ("poll, 200", POLLERS, _asker("GET", poll)),
                    ("poll with If-None-Match, 304", POLLERS,
                     _asker("GET", poll, {"If-None-Match": tag})),
                    ("submit, 6 trials", SUBMITTERS, _asker("POST", "/api/v1/sweeps", body=body)),
                )
            ]  # fmt: skip
    head = ["request", "connections", "a second", "median, ms", "p99, ms", "errors", "API, MB"]
    print(f"{kind}; {options.seconds:g} s each; {machine()}\n\n{table(head, rows)}")


Ask = Callable[[http.client.HTTPConnection], int]


def _asker(
    method: str, path: str, headers: dict[str, str] | None = None, body: str | None = None
) -> Ask:
    return lambda connection: _ask(connection, method, path, headers, body)[0]


def _ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    body: str | None = None,
) -> tuple[int, str]:
    kind = {"Content-Type": "application/json"} if body else {}
    connection.request(method, path, body, kind | (headers or {}))
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.headers.get("ETag", "")


def _load(
    address: str, process: subprocess.Popen[str], threads: int, seconds: float, ask: Ask
) -> Load:
    found: list[float] = []
    errors: list[int] = []
    end = time.monotonic() + seconds

    def work() -> None:
        connection = http.client.HTTPConnection(address)
        while time.monotonic() < end:
            asked = time.perf_counter()
            try:
                status = ask(connection)
            except OSError:
                connection.close()
                status = 599
            found.append(time.perf_counter() - asked)
            if status >= 400:
                errors.append(status)
        connection.close()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for each in workers:
        each.start()
    time.sleep(seconds / 6)
    before = megabytes(process.pid)
    for each in workers:
        each.join()
    return Load(found, len(errors), (before, megabytes(process.pid)))


def megabytes(pid: int) -> float:
    """Of a process's memory, resident."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


@contextlib.contextmanager
def api(url: str, folder: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`lrd api` over a migrated database: its host and port, and its process."""
    environment = os.environ | {"LRD_DATABASE_URL": url, "LRD_STORAGE_DIR": folder}
    command = [sys.executable, "-m", "service.cli", "api", "--port", "0"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield urlsplit(process.stdout.readline().strip()).netloc, process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


if __name__ == "__main__":
    main()
