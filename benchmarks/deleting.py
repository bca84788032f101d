"""What it costs to delete a large sweep: the request, the purge, and the waits of others who write.

python -m benchmarks.deleting [--database URL] [--trials 10000] [--epochs 10]

On SQLite in an empty folder and on PostgreSQL from a wheel; or on what `--database` names. The API,
which purges, is a process of its own (`lrd api`); this one writes meanwhile, a small transaction
after the other, and times each. Every trial has a folder with a log and a checkpoint of 16 kB.
"""

import argparse
import http.client
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import func, select

from benchmarks.rest import api
from benchmarks.scale import _database
from benchmarks.timing import machine, table
from service.store import recording
from service.store.models import Report, Sweep, Trial
from service.store.session import Database
from tests.conftest import small_sweep
from tests.seeded import seed

ALONE_SECONDS = 10.0
"""For so long the other writer is timed before anything is deleted."""
PAUSE_SECONDS = 0.005
"""Between two of its transactions."""
ARMS = 10


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", default="", help="an empty database; made anew by default")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    print(machine())
    rows = []
    for kind in [options.database] if options.database else ["sqlite", "postgresql"]:
        with _database(kind) as (url, folder):
            rows.append([kind, *_measure(url, folder, options.trials, options.epochs)])
    writer = "another writer {}: transactions, median, p99, longest, ms"
    head = ["", "rows", "request, ms", "purge, s", writer.format("alone"), writer.format("then")]
    print(table(head, rows))


def _measure(url: str, folder: str, trials: int, epochs: int) -> list[str]:
    database = Database(url)
    grid = {"optimizer.keep_prob": [1.0 - at / (2 * ARMS) for at in range(ARMS)]}
    document = small_sweep(grid=grid, baseline={}, seeds=trials // ARMS)
    document["base"]["epochs"] = epochs
    other, sweep_id = seed(database, small_sweep()), seed(database, document)
    with database.read() as session:
        ids = session.scalars(select(Trial.id).where(Trial.sweep_id == sweep_id)).all()
        reports = session.scalar(select(func.count()).select_from(Report))
    for trial_id in ids:
        place = Path(folder) / "trials" / str(trial_id)
        place.mkdir(parents=True)
        (place / "attempt-1.log").write_bytes(b"a line of a log\n" * 100)
        (place / "epoch-000010-attempt-1-0.pt").write_bytes(b"\0" * 16_384)
    with api(url, folder) as (address, _):
        began = time.perf_counter()
        alone = _write(database, other, lambda: time.perf_counter() - began > ALONE_SECONDS)
        connection = http.client.HTTPConnection(address)
        asked = time.perf_counter()
        connection.request("DELETE", f"/api/v1/sweeps/{sweep_id}")
        answer = connection.getresponse()
        assert answer.status == 204, answer.read()
        request = time.perf_counter() - asked
        then = _write(database, other, lambda: _is_gone(database, sweep_id))
        purge = time.perf_counter() - asked
    assert not list((Path(folder) / "trials").iterdir())
    database.close()
    size = f"{len(ids):,} trials, {reports:,} epochs"
    return [size, f"{request * 1e3:.0f}", f"{purge:.1f}", _spread(alone), _spread(then)]


def _write(database: Database, sweep_id: str, done: Callable[[], bool]) -> list[float]:
    """The seconds of each of many small transactions."""
    found = []
    while not done():
        for _ in range(20):
            began = time.perf_counter()
            with database.write() as session:
                recording.touch(session, [sweep_id])
            found.append(time.perf_counter() - began)
            time.sleep(PAUSE_SECONDS)
    return found


def _is_gone(database: Database, sweep_id: str) -> bool:
    with database.read() as session:
        return session.get(Sweep, sweep_id) is None


def _spread(seconds: list[float]) -> str:
    cuts = statistics.quantiles([each * 1e3 for each in seconds], n=100)
    return f"{len(seconds):,}; {cuts[49]:.1f}, {cuts[98]:.1f}, {max(seconds) * 1e3:.0f}"


if __name__ == "__main__":
    main()
