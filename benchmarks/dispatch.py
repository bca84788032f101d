"""What a trial costs beside its training: trivial trials of 5 epochs, through REST, SQL and Ray.

python -m benchmarks.dispatch [--peers PYTHON] [--database URL] [--rounds 3]

`--peers`: a Python that has ray[tune] and optuna; their rounds are interleaved with ours.
"""

import argparse
import contextlib
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import select

from benchmarks.peers import EPOCHS
from benchmarks.timing import Times, machine, table
from service.client import Client
from service.store.models import Report, Trial
from service.store.session import Database

TRIALS, FEW = 200, 20
"""Of each side; and of Tune as it is by default, which takes a second for each."""
PEERS = {
    "Ray Tune, reuse_actors, no loggers": ("tune", TRIALS),
    "Ray Tune by default": ("tune-default", FEW),
    "Optuna, SQLite": ("optuna", TRIALS),
}
IN_FLIGHT = (2, 16)


def sweep(in_flight: int) -> dict[str, Any]:
    """Trials of `Trivial`, so many at a time on a machine's CPUs."""
    return {
        "name": "trivial",
        "base": {
            "dataset": "digits",  # not read
            "model": "fcnet",
            "task": "trivial",
            "optimizer": {"name": "sgdm", "lr": 0.01},
            "epochs": EPOCHS,
        },
        "seeds": TRIALS,
        "resources": {"num_cpus": (os.cpu_count() or 1) / in_flight, "num_gpus": 0},
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default="")
    parser.add_argument("--database", default="")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = options.database or f"sqlite:///{Path(folder) / 'lrd.db'}"
        with service(url, folder) as client:
            candidates: dict[str, Callable[[], float]] = {
                f"this service, {count} in flight": lambda count=count: ours(client, count)
                for count in IN_FLIGHT
            }
            if options.peers:
                candidates |= {
                    name: lambda kind=kind, count=count: theirs(options.peers, kind, count)
                    for name, (kind, count) in PEERS.items()
                }
            times = interleaved(candidates, options.rounds)
        delays = {count: waits(url, count) for count in IN_FLIGHT}
    base = times[f"this service, {IN_FLIGHT[-1]} in flight"]
    rows = [
        [name, f"{1 / each.median:,.1f}", f"{each.median * 1e3:.1f}", each.ratio(base)]
        for name, each in times.items()
    ]
    kind = url.split(":")[0].split("+")[0]
    print(f"{kind}, {options.rounds} rounds of {TRIALS} trials of {EPOCHS} epochs; {machine()}\n")
    print(table(["side", "trials a second", "ms per trial", "times ours"], rows))
    print("\nFrom an epoch's end to its record:")
    for count, each in delays.items():
        cuts = statistics.quantiles(each, n=100)
        print(f"{count} in flight: median {cuts[49] * 1e3:.1f} ms, ", end="")
        print(f"p99 {cuts[98] * 1e3:.1f} ms (n = {len(each):,})")


def interleaved(candidates: dict[str, Callable[[], float]], rounds: int) -> dict[str, Times]:
    """Seconds a trial of each, once a round, in random order; a first round of ours is not counted:
    Ray starts its workers in it."""
    for name, run in candidates.items():
        if name.startswith("this"):
            run()
    order, draws = list(candidates), random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        draws.shuffle(order)
        for name in order:
            seconds[name].append(candidates[name]())
    return {name: Times(each) for name, each in seconds.items()}


def ours(client: Client, in_flight: int) -> float:
    """Seconds a trial, from before the POST until the status says that all have succeeded."""
    started = time.perf_counter()
    submitted = client.submit(sweep(in_flight))
    while (state := submitted.status()["state"]) != "succeeded":
        assert state in ("queued", "running"), submitted.status()
        time.sleep(0.05)
    return (time.perf_counter() - started) / TRIALS


def theirs(python: str, kind: str, count: int) -> float:
    """Seconds a trial, in a process of its own."""
    command = [python, str(Path(__file__).with_name("peers.py")), kind, str(count)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(said.stdout.split()[-1]) / count


def waits(url: str, in_flight: int) -> list[float]:
    """Of each epoch, from its end in the worker to its row in the database, in seconds; of the
    sweeps with so many trials in flight, but the first."""
    query = (
        select(Trial.sweep_id, Report.recorded_at, Report.report)
        .join(Trial, Trial.id == Report.trial_id)
        .where(Trial.cpus == (os.cpu_count() or 1) / in_flight)
        .order_by(Trial.id)
    )
    by_sweep: dict[str, list[float]] = {}
    with contextlib.closing(Database(url)) as database, database.read() as session:
        for sweep_id, at, report in session.execute(query):
            by_sweep.setdefault(sweep_id, []).append(at - report["ended_at"])
    return [wait for waited in list(by_sweep.values())[1:] for wait in waited]


@contextlib.contextmanager
def service(url: str, folder: str) -> Iterator[Client]:
    """`lrd serve`, to which a package offers the task `trivial`."""
    info = Path(folder) / "packages" / "trivial-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trivial\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lrd.tasks]\ntrivial = benchmarks.trivial:Trivial\n")
    here = Path(__file__).parents[1]
    environment = os.environ | {
        "LRD_DATABASE_URL": url,
        "LRD_STORAGE_DIR": folder,
        "PYTHONPATH": f"{info.parent}:{here}",
    }
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0"]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    sys.path.append(str(info.parent))  # the client checks the spec as well
    try:
        assert process.stdout is not None
        with Client(process.stdout.readline().strip()) as client:
            yield client
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


if __name__ == "__main__":
    main()
