"""Several processes write to one SQLite file at once: each waits for its turn, none is refused."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import func, select

from service.store.models import Sweep, Trial
from service.store.session import Database

PROCESSES, SWEEPS = 4, 40

WRITER = """
import sys
from lrd_core.spec import SweepSpec, expand_arms
from service.store import requests, submission, sweeps
from service.store.session import Database
from tests.conftest import small_sweep

database = Database(sys.argv[1])
for number in range(int(sys.argv[2])):
    spec = SweepSpec.parse(small_sweep())
    with database.write() as session:  # reads first, then writes
        sweep = submission.create(session, spec, expand_arms(spec), code_version="1")
    with database.read() as session:
        assert sweeps.get(session, sweep.id).queued == 4
    with database.write() as session:
        requests.cancel_sweep(session, sweep.id)
"""


def test_no_writer_is_told_that_the_database_is_locked(
    sqlite: Callable[[Path], str], tmp_path: Path
) -> None:
    url = sqlite(tmp_path)
    command = [sys.executable, "-c", WRITER, url, str(SWEEPS)]
    writers = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(PROCESSES)
    ]
    said = [writer.communicate(timeout=240)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * PROCESSES, said
    database = Database(url)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Sweep)) == PROCESSES * SWEEPS
        cancelled = select(func.count()).where(Trial.state == "cancelled")
        assert session.scalar(cancelled) == PROCESSES * SWEEPS * 4
    database.close()
