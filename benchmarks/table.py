"""How long the table of a 10,000-trial sweep takes, from the database to JSON: medians in ms.

    python -m benchmarks.table

SQLite in a temporary folder; the trials' numbers are made up, their rows are as the service writes
them.
"""

import functools
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import insert, select, update

import migrations
from benchmarks.timing import machine
from lrd_core.spec import SweepSpec, expand_arms
from service.analysis import render
from service.results import Results
from service.rows import Part, read
from service.store import submission
from service.store import sweeps as store
from service.store.models import Attempt, Trial
from service.store.session import Database

REPEATS = 15
ENVIRONMENT = {
    "node": "node-1", "pid": 4711, "lrd": "0.1.0", "commit": "0" * 40, "dirty": False,
    "plugins": None, "torch": "2.15.0", "python": "3.11.7", "device": "x86_64 AVX512", "cuda": None,
    "driver": None, "threads": 1, "data_sha256": "0" * 64, "optimizer_form": "fused",
}  # fmt: skip
"""Of each trial, as its worker tells it."""


def finished_sweep(database: Database, batches: int, seeds: int) -> str:
    """A succeeded sweep of `batches` batch sizes, each without and with LRD, over `seeds` seeds."""
    document = {
        "name": "many trials",
        "base": {"dataset": "digits", "model": "fcnet", "optimizer": {"name": "adam"}, "epochs": 1},
        "grid": {
            "batch_size": list(range(1, batches + 1)),
            "optimizer.keep_prob": [1.0, 0.5],
        },
        "seeds": seeds,
        "baseline": {"optimizer.keep_prob": 1.0},
    }
    spec = SweepSpec.parse(document)
    draws = random.Random(0)
    with database.write() as session:
        sweep = submission.create(session, spec, expand_arms(spec), code_version="1")
        rows = []
        for trial_id in session.scalars(select(Trial.id)):
            value = draws.gauss(0.93, 0.01)
            report = {"epoch": 1, "lr": 0.001, "seconds": 1.0}
            report |= {"train_loss": 1 - value, "train_accuracy": value}
            report |= {"test_loss": 1 - value, "test_accuracy": value}
            rows.append(
                {"id": trial_id, "state": "succeeded", "epochs_done": 1, "last_report": report}
            )
        session.execute(update(Trial), [row | {"attempt": 1} for row in rows])
        ran = {"attempt": 1, "dispatcher_id": "d", "started_at": 0.0, "environment": ENVIRONMENT}
        session.execute(insert(Attempt), [{"trial_id": row["id"], **ran} for row in rows])
        return sweep.id


def table(database: Database, sweep_id: str) -> Any:
    """What `GET /sweeps/{id}/table` computes."""
    with database.read() as session:
        rows = read(session, store.get(session, sweep_id), Part.MADE)
    return render.to_json(Results(rows).table())


def milliseconds(work: Callable[[], Any]) -> tuple[float, float, float]:
    """Quartiles of some runs, after one that warms up."""
    work()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
    times.sort()
    return times[REPEATS // 4], median(times), times[-1 - REPEATS // 4]


def main() -> None:
    """Print a line for each shape of sweep."""
    print(machine())
    print("| arms × seeds | table, ms (quartiles) |\n| --- | --: |")
    for batches, seeds in ((50, 100), (1000, 5)):
        with tempfile.TemporaryDirectory() as folder:
            database = Database(f"sqlite:///{Path(folder) / 'lrd.db'}")
            migrations.upgrade(database.engine)
            sweep_id = finished_sweep(database, batches, seeds)

            low, middle, high = milliseconds(functools.partial(table, database, sweep_id))
            database.close()
        print(f"| {2 * batches} × {seeds} | {middle:.0f} ({low:.0f}–{high:.0f}) |")


if __name__ == "__main__":
    main()
