"""make chaos: real processes are killed and hung while sweeps run; then everything is audited.

    python -m tests.chaos [--seconds 60] [--seed 1] [--heads] [--report FILE]

Exits 1 if any promise was broken.
"""

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx2

from service.store.session import Database
from tests.chaos.audit import Verdict, audit
from tests.chaos.faults import Schedule
from tests.chaos.world import World, wait_for
from tests.conftest import small_sweep
from tests.waiting import until

RECOVERY_SECONDS = 240
"""How long after the last fault everything may take to end."""


BACKLOG = 40
"""Trials that may wait before the user submits another sweep."""


class User:
    """Submits sweep after sweep, each until it is accepted, and polls, whatever happens."""

    def __init__(self, url: str) -> None:
        self._url, self._stop = url, threading.Event()
        self.accepted: dict[str, str] = {}
        self.polls = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            self._submit(f"sweep-{number}")
            number += 1
            waiting, polled = BACKLOG, 0
            while polled < 20 or waiting >= BACKLOG:
                with contextlib.suppress(httpx2.HTTPError):
                    answer = httpx2.get(f"{self._url}/api/v1/sweeps", timeout=2)
                    self.polls += 1
                    if answer.is_success:
                        waiting = sum(each["trials"]["queued"] for each in answer.json()["items"])
                polled += 1
                if self._stop.wait(0.5):
                    return

    def _submit(self, key: str) -> None:
        base = small_sweep()["base"] | {"epochs": 6, "batch_size": 64}
        while True:
            with contextlib.suppress(httpx2.HTTPError):
                answer = httpx2.post(
                    f"{self._url}/api/v1/sweeps",
                    json=small_sweep(name=key, base=base, seeds=2),
                    headers={"Idempotency-Key": key},
                    timeout=5,
                )
                if answer.status_code == 201:
                    self.accepted[key] = answer.json()["id"]
                    return
            if self._stop.wait(0.5):
                return

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)


def run(seconds: float, seed: int, *, heads: bool = False) -> Verdict:
    """One chaos run."""
    folder = Path(tempfile.mkdtemp(prefix="lrd-chaos-"))
    started = time.monotonic()
    world = World(folder)
    try:
        wait_for(world.url)
        user = User(world.url)
        schedule = Schedule(world, seed, heads=heads)
        schedule.run(seconds)
        user.stop()
        _settle(world.url)
        database = Database(world.database_url)
        verdict = audit(
            database, folder / "storage", user.accepted, schedule.done, seed,
            time.monotonic() - started,
        )  # fmt: skip
        database.close()
    finally:
        world.end()
    if verdict.wrong:
        print(f"logs are in {folder}", file=sys.stderr)  # noqa: T201
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return verdict


def _settle(url: str) -> None:
    """Until every sweep has ended, or as long as that may take: the audit tells them apart."""

    def ended() -> bool:
        with contextlib.suppress(httpx2.HTTPError):
            answer = httpx2.get(f"{url}/api/v1/sweeps?page_size=1000", timeout=5)
            return answer.is_success and all(each["finished_at"] for each in answer.json()["items"])
        return False

    with contextlib.suppress(AssertionError):
        until(ended, "some sweep goes on", RECOVERY_SECONDS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of faults")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--heads", action="store_true", help="kill Ray's head as well")
    parser.add_argument("--report", type=Path)
    asked = parser.parse_args()
    verdict = run(asked.seconds, asked.seed, heads=asked.heads)
    text = json.dumps(verdict.to_json(), indent=2)
    print(text)  # noqa: T201
    if asked.report:
        asked.report.write_text(text + "\n")
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
