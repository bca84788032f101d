"""A sweep as it stands after training, without the training: made-up numbers to test readers with.

Trials are made as the service makes them; what a dispatcher would have recorded is put in in bulk.
"""

import math
import random
import time
from typing import Any

from sqlalchemy import insert, update

from lrd_core import sources
from lrd_core.spec import SweepSpec, expand_arms
from service.store import submission, sweeps
from service.store.models import Arm, Attempt, Report, Sweep, Trial
from service.store.session import Database

AT = time.time() - 600
"""When all of it began, in seconds since 1970."""
_ENVIRONMENT = {
    "node": "node-1",
    "pid": 4711,
    "lrd": sources.IMPORTED,
    "torch": "2.15.0",
    "device": "x86_64",
}


def seed(
    database: Database,
    document: dict[str, Any],
    *,
    states: tuple[str, ...] = ("succeeded",),
    stored: dict[str, Any] | None = None,
) -> str:
    """Store a sweep whose trials are in `states`, in turn; its id.

    `stored`: parts of its spec that an earlier version took, and that are refused today.
    """
    spec = SweepSpec.parse(document)
    with database.write() as session:
        sweep = submission.create(session, spec, expand_arms(spec), code_version="0.1.0")
        trials = sweeps.trials(session, sweep.id)
        counts = dict.fromkeys(("queued", "running", "succeeded", "failed", "cancelled"), 0)
        attempts, reports, changes = [], [], []
        for number, (trial, arm) in enumerate(trials):
            state = states[number % len(states)]
            counts[state] += 1
            if state == "queued":
                continue
            done = trial.epochs if state == "succeeded" else trial.epochs // 2
            curve = [_report(arm, trial.seed, epoch) for epoch in range(1, done + 1)]
            attempts.append({
                "trial_id": trial.id, "attempt": 1, "dispatcher_id": "seeded", "started_at": AT,
                "ended_at": None if state == "running" else AT + 60,
                "outcome": None if state == "running" else state, "environment": _ENVIRONMENT,
            })  # fmt: skip
            reports += [
                {"trial_id": trial.id, "epoch": report["epoch"], "attempt": 1, "report": report,
                 "sha256": "0" * 64, "recorded_at": AT + report["epoch"]}
                for report in curve
            ]  # fmt: skip
            changes.append({
                "id": trial.id, "state": state, "attempt": 1, "epochs_done": done, "cpus": 1.0,
                "dispatcher_id": "seeded" if state == "running" else None, "seconds": 0.5 * done,
                "reason": {"failed": "error", "cancelled": "user"}.get(state),
                "message": "RuntimeError: made up (seeded.py:1)" if state == "failed" else None,
                "last_report": curve[-1] if curve else None, "started_at": AT,
                "finished_at": None if state == "running" else AT + 60,
            })  # fmt: skip
        for model, rows in ((Attempt, attempts), (Report, reports)):
            if rows:
                session.execute(insert(model), rows)
        if changes:
            session.execute(update(Trial), changes)
        session.execute(
            update(Sweep).where(Sweep.id == sweep.id)
            .values(**counts, started_at=AT, paced_from=AT, finished_at=AT + 60,
                    version=Sweep.version + 1, spec=sweep.spec | (stored or {}))
        )  # fmt: skip
        return sweep.id


def _report(arm: Arm, seed: int, epoch: int) -> dict[str, Any]:
    """Curves that rise and settle; with LRD a little higher, each seed with its own noise."""
    keep_prob = arm.config["optimizer"]["keep_prob"]
    noise = random.Random(f"{arm.config_sha256} {seed} {epoch}").gauss(0, 0.002)
    gain = 0.004 * (1 - keep_prob) + 0.0005 * (arm.position % 7)
    accuracy = 0.93 + gain - 0.5 * math.exp(-epoch / 6) + noise
    loss = 2.3 * math.exp(-epoch / 8) + 0.05 + abs(noise)
    return {
        "epoch": epoch, "train_loss": loss, "train_accuracy": min(1.0, accuracy + 0.02),
        "test_loss": loss + 0.1, "test_accuracy": accuracy, "lr": 0.001, "seconds": 0.5,
    }  # fmt: skip
