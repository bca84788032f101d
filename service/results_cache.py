"""A cache of answers: a sweep's table, arms, comparisons and the like.

An answer depends only on the sweep at one version, so it is kept under that version and not
computed again until something has changed. In a large sweep that is still running, something always
has. In that case the last answer is shown while a separate process (python -m
service.results_cache) makes the next one. A sweep that has ended is always shown as it is.

Each API process has its own cache, which is empty when it starts.
"""

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from service.analysis import listings, methods, render
from service.errors import NotFound, ServiceError, Unprocessable
from service.results import Results, json_safe
from service.rows import Part, Rows, read
from service.store import sweeps as store
from service.store.models import Sweep
from service.store.session import Database
from service.versions import tag_of_results

log = logging.getLogger(__name__)

SMALL = 2_000
"""Trials up to which an answer takes about 50 ms and is computed on the spot."""
LARGE = 20_000
"""Trials from which an answer takes a second, and a process of its own."""
KEPT_BYTES = 128 << 20
"""Total size of the cache; the least recently requested answers are dropped first."""
REST = 3
"""Pause before the next answer about a running sweep, as a multiple of what the last one took."""
PENDING = 1_000
"""Requests for newer answers that are queued, at most; others must be asked again."""
MAKE_SECONDS = 600
"""Time limit of the process that makes an answer."""

MEDIA_TYPES = {
    "json": "application/json",
    "markdown": "text/markdown; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "latex": "application/x-latex; charset=utf-8",
}


class Asked(NamedTuple):
    """A question about a sweep."""

    sweep_id: str
    what: str
    """`arms`, `comparisons`, `effects`, `methods` or `table`."""
    metric: str | None = None
    at: str | None = None
    baseline: int | None = None
    format: str = "json"

    @property
    def needs(self) -> Part:
        """The parts of the rows that its answer is made from."""
        needs = {"arms": Part.NONE, "methods": Part.MADE | Part.HISTORY}.get(self.what, Part.MADE)
        return needs | Part.ENVIRONMENTS if self.format == "latex" else needs

    def read(self, session: Session, sweep: Sweep) -> Rows:
        """Read the rows that its answer is made from.

        Raises:
            NotFound: no arm of the sweep has the id `baseline`.
            Unprocessable: no arm has the epoch `at`.
        """
        return read(session, sweep, self.needs, at=self.at, baseline=self.baseline)


@dataclass(frozen=True)
class CachedAnswer:
    """An answer, and the version of the sweep that it shows."""

    version: int
    content: bytes
    made_at: float = field(default_factory=time.monotonic)

    @property
    def etag(self) -> str:
        """The ETag of the sweep's results at that version."""
        return tag_of_results(self.version)

    @property
    def age(self) -> int:
        """Seconds since it was made."""
        return int(time.monotonic() - self.made_at)


def make(rows: Rows, version: int, asked: Asked) -> CachedAnswer:
    """Make an answer from the rows of a sweep at this version."""
    return CachedAnswer(version, _content(Results(rows), asked).encode())


class ResultsCache:
    """The kept answers of one API."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[Asked, CachedAnswer] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._making: dict[Asked, threading.Lock] = {}
        self._turn = threading.Lock()
        """Held while an answer is made in a separate process: one at a time."""
        self._rest_until = 0.0
        self._pending: OrderedDict[Asked, None] = OrderedDict()
        """Requests for newer answers that are not yet made, oldest first."""

    def of(self, session: Session, sweep: Sweep, asked: Asked) -> Callable[[], CachedAnswer]:
        """Whatever gives the answer as of now; for a large sweep that is running, the last one.

        Call it outside of any transaction: all that it needs has been read.

        Raises:
            NotFound: no arm of the sweep has the id `baseline`.
            Unprocessable: no arm has the epoch `at`.
        """
        kept, version = self._known(asked), sweep.version
        if kept is not None and kept.version == version:
            return lambda: kept
        waits = kept is None or sweep.has_ended
        if sweep.trials_total < (LARGE if waits else SMALL):
            rows = asked.read(session, sweep)
            return lambda: self._keep(asked, make(rows, version, asked))
        if kept is None or waits:
            return lambda: self.wait(asked, version)
        self._refresh(asked)
        return lambda: kept

    def wait(self, asked: Asked, version: int) -> CachedAnswer:
        """An answer of this version or a newer one; concurrent callers share it.

        Raises:
            NotFound: no arm of the sweep has the id `baseline`.
        """
        with self._alone(asked):
            kept = self._known(asked)
            if kept is not None and kept.version >= version:
                return kept
            with self._turn:
                return self._keep(asked, self._apart(asked))

    def _refresh(self, asked: Asked) -> None:
        """Queue a request for a newer answer; if none is being made, make the oldest one queued.

        Making the caller's own instead would always favour the answer requested most often.
        """
        with self._lock:
            if len(self._pending) < PENDING:
                self._pending.setdefault(asked)
            if time.monotonic() < self._rest_until or not self._turn.acquire(blocking=False):
                return
            asked, _ = self._pending.popitem(last=False)

        def work() -> None:
            began = time.monotonic()
            try:
                self._keep(asked, self._apart(asked))
            except (OSError, subprocess.SubprocessError, ServiceError) as error:
                log.warning("no newer answer about sweep %s: %s", asked.sweep_id, error)
            finally:
                now = time.monotonic()
                self._rest_until = now + REST * (now - began)
                self._turn.release()

        threading.Thread(target=work, name="results", daemon=True).start()

    def _apart(self, asked: Asked) -> CachedAnswer:
        url = self._database.engine.url.render_as_string(hide_password=False)
        done = subprocess.run(
            [sys.executable, "-m", "service.results_cache"],
            input=json.dumps(asked).encode(),
            env=os.environ | {"LRD_DATABASE_URL": url, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            timeout=MAKE_SECONDS,
            check=False,
        )
        for refusal, status in REFUSED.items():
            if done.returncode == status:
                raise refusal(done.stderr.decode())
        if done.returncode:
            raise subprocess.SubprocessError(done.stderr.decode(errors="replace")[-2000:])
        version, _, content = done.stdout.partition(b"\n")
        return CachedAnswer(int(version), content)

    def _known(self, asked: Asked) -> CachedAnswer | None:
        with self._lock:
            if asked in self._kept:
                self._kept.move_to_end(asked)
            return self._kept.get(asked)

    def _keep(self, asked: Asked, answer: CachedAnswer) -> CachedAnswer:
        with self._lock:
            self._pending.pop(asked, None)
            before = self._kept.get(asked)
            if before is not None and before.version > answer.version:
                return answer
            self._bytes += len(answer.content) - (len(before.content) if before else 0)
            self._kept[asked] = answer
            self._kept.move_to_end(asked)
            while self._bytes > KEPT_BYTES and self._kept:
                self._bytes -= len(self._kept.popitem(last=False)[1].content)
        return answer

    @contextlib.contextmanager
    def _alone(self, asked: Asked) -> Iterator[None]:
        with self._lock:
            mine = self._making.setdefault(asked, threading.Lock())
        try:
            with mine:
                yield
        finally:
            with self._lock:
                self._making.pop(asked, None)


# --- inside ---------------------------------------------------------------------------------------

REFUSED: dict[type[ServiceError], int] = {NotFound: 3, Unprocessable: 4}
"""The process's exit status if the sweep has no such arm or epoch."""


def _content(found: Results, asked: Asked) -> str:
    match asked.what:
        case "arms":
            return _json({"items": found.arm_views(), "next_page_token": None})
        case "comparisons":
            return _listed(found.comparison_table(asked.metric), found, asked)
        case "effects":
            return _listed(found.effect_table(asked.metric), found, asked)
        case "methods":
            said = found.methods(asked.metric)
            match asked.format:
                case "json":
                    return _json(methods.to_json(said) | {"next_page_token": None})
                case "latex":
                    return methods.latex(said, found.provenance)
            return methods.markdown(said)
    made = found.table(asked.metric)
    match asked.format:
        case "json":
            return _json(render.to_json(made) | {"metrics": found.metrics})
        case "latex":
            number = _number(found, asked)
            return render.latex(made, found.provenance, name=asked.sweep_id, baseline=number)
        case "csv":
            return render.csv(made)
    return render.markdown(made)


def _listed(listing: listings.Listing, found: Results, asked: Asked) -> str:
    match asked.format:
        case "json":
            return _json(listings.to_json(listing) | {"next_page_token": None})
        case "latex":
            number = _number(found, asked)
            return listings.latex(listing, found.provenance, name=asked.sweep_id, baseline=number)
        case "csv":
            return listings.csv(listing)
    return listings.markdown(listing)


def _number(found: Results, asked: Asked) -> int | None:
    """The number of the arm that was asked for as the baseline."""
    return next((arm.number for arm in found.arms if arm.id == asked.baseline), None)


def _json(content: Any) -> str:
    try:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:  # NaN must be spelled out, which costs a walk through all of it
        return json.dumps(json_safe(content), ensure_ascii=False, separators=(",", ":"))


def main() -> None:
    """Make the answer that stdin asks for; print its version in a line, then its content."""
    asked = Asked(*json.load(sys.stdin))
    database = Database(os.environ["LRD_DATABASE_URL"])
    with database.read() as session:
        if not database.is_sqlite:  # decoding takes a while between queries, but locks nothing
            session.execute(text("set idle_in_transaction_session_timeout = 0"))
        try:
            sweep = store.get(session, asked.sweep_id)
            rows = asked.read(session, sweep)
        except (NotFound, Unprocessable) as error:
            sys.stderr.write(str(error))
            sys.exit(REFUSED[type(error)])
    answer = make(rows, sweep.version, asked)
    sys.stdout.buffer.write(b"%d\n%b" % (answer.version, answer.content))


if __name__ == "__main__":
    main()
