"""Check that a bundle is what the service would have written: row by row, and as a whole.

All of this happens outside of any transaction. Trials, attempts, reports and events may be large,
so they go into temporary files as they are checked; only what must be known of each trial stays in
memory.
"""

import contextlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

from lrd_core.agreement import has_all, is_primary
from lrd_core.configuration import Config, Spec
from lrd_core.errors import InvalidSpec
from lrd_core.faults import fault_of
from lrd_core.spec import SweepSpec, config_hash
from service.bundles.reading import Files, Place
from service.bundles.rows import (
    ArmRow,
    AttemptRow,
    EpochRow,
    EventRow,
    ReportRow,
    SweepRow,
    TrialRow,
)
from service.errors import Unprocessable, refuse_large_sweep
from service.lifecycle import TERMINAL, Reason, TrialState

Row = dict[str, Any]
DAY = 86_400
"""Allowed difference between two services' clocks."""


@dataclass(slots=True)
class _Trial:
    """The facts about a trial with which the later files must agree."""

    place: Place
    state: TrialState
    attempt: int
    epochs_done: int
    attempts: int = 0
    recorded: int = 0
    succeeded: int = 0
    seconds: float = 0.0
    last_report: str | None = None


@dataclass
class Bundle:
    """A checked bundle: rows as the database takes them, JSON as text, with the bundle's ids."""

    sweep: Row
    arms: list[Row]
    retryable: int
    """Trials that a retry would queue."""
    _trials: dict[int, _Trial]
    _spools: dict[str, IO[str]] = field(repr=False)

    def rows(self, name: str) -> Iterator[Row]:
        """The `trials`, `attempts`, `reports` or `events`, in order."""
        spool = self._spools[name]
        spool.seek(0)
        for line in spool:
            row = json.loads(line)
            if name == "trials":
                trial = self._trials[row["id"]]
                row |= {"last_report": trial.last_report, "seconds": trial.seconds}
            yield row


@contextlib.contextmanager
def checked(content: bytes, max_trials: int) -> Iterator[Bundle]:
    """The bundle in a zip.

    Raises:
        Unprocessable: it is not a bundle, was changed since it was made, has content that no
            service would have written, or more trials than `max_trials`.
    """
    files = Files(content)
    with contextlib.ExitStack() as spools:
        check = _Check(files, spools, max_trials)
        spec = check.sweep()
        check.arms(spec)
        check.trials(spec)
        check.attempts()
        check.reports()
        check.events()
        yield check.bundle()


# --- inside ---------------------------------------------------------------------------------------


class _Check:
    def __init__(self, files: Files, spools: contextlib.ExitStack, max_trials: int) -> None:
        self._files, self._max_trials = files, max_trials
        folder = Path(spools.enter_context(tempfile.TemporaryDirectory(prefix="lrd-bundle-")))
        self._spools: dict[str, IO[str]] = {
            name: spools.enter_context((folder / name).open("w+", encoding="utf-8"))
            for name in ("trials", "attempts", "reports", "events")
        }
        self._sweep: Row = {}
        self._arms: dict[int, Row] = {}
        self._epochs: dict[int, int] = {}
        self._trials: dict[int, _Trial] = {}
        self._retryable = 0

    def bundle(self) -> Bundle:
        counts = Counter(trial.state for trial in self._trials.values())
        self._sweep |= {str(state): counts[state] for state in TrialState}
        self._sweep["trials_total"] = counts.total()
        return Bundle(
            self._sweep, list(self._arms.values()), self._retryable, self._trials, self._spools
        )

    def sweep(self) -> SweepSpec:
        found = list(islice(self._files.rows("sweep", SweepRow), 2))  # no need to read a third
        if len(found) != 1:
            many = "more than one row" if found else "no row"
            raise Unprocessable(f"rows/sweep.jsonl has {many}; a bundle is of one sweep")
        ((place, row),) = found
        if row.queued or row.running:
            raise place.wrong("the bundle holds a sweep that has not ended")
        if row.created_at > time.time() + DAY:
            raise place.wrong("/created_at: lies in the future")
        try:
            spec = SweepSpec.parse(row.spec)
        except InvalidSpec as error:
            fault = error.faults[0]
            raise place.wrong(f"/spec{fault.pointer}: {fault.detail}") from None
        self._limit(max(row.trials_total, spec.trials_total()))
        self._sweep = row.model_dump() | {
            "name": spec.name,
            "tags": json.dumps(spec.tags),
            "spec": json.dumps(spec.model_dump(mode="json", exclude_unset=True)),
            "waiting_for": None,
            "version": 1,
            "gpu_share": None,  # it was measured on the other service's GPUs
        }
        return spec

    def _limit(self, total: int) -> None:
        refuse_large_sweep(total, self._max_trials)

    def arms(self, spec: SweepSpec) -> None:
        # A sweep that was extended by its first explicit arms has more.
        expected = spec.trials_total() // len(spec.seeds)
        seen: set[Any] = set()
        marked = False
        for place, row in self._files.rows("arms", ArmRow):
            self._of_the_sweep(place, row.sweep_id)
            valid = _config(place, row)
            config = valid.model_dump(mode="json")
            sha256 = config_hash(config)
            for what in (("id", row.id), ("position", row.position), ("config", sha256)):
                if what in seen:
                    raise place.wrong(f"/{what[0]}: stands twice")
                seen.add(what)
            self._limit(len(self._arms) + 1)  # an arm has at least one trial
            self._arms[row.id] = row.model_dump() | {
                "config": json.dumps(config), "config_sha256": sha256,
            }  # fmt: skip
            self._epochs[row.id] = config["epochs"]
            if row.is_baseline != has_all(valid, spec.baseline):
                raise place.wrong("/is_baseline: is not what the spec's baseline says")
            marked = marked or row.is_baseline
            if row.is_primary != is_primary(valid, spec.primary):
                raise place.wrong("/is_primary: is not what the spec's primary comparisons say")
        if (found := len(self._arms)) < expected:
            raise Unprocessable(f"rows/arms.jsonl has {found} of the spec's {expected} arms")
        if spec.baseline and not marked:
            raise Unprocessable("rows/arms.jsonl: no arm is the spec's baseline")

    def trials(self, spec: SweepSpec) -> None:
        seeds, pairs = set(spec.seeds), set()
        for place, row in self._files.rows("trials", TrialRow):
            self._of_the_sweep(place, row.sweep_id)
            if row.arm_id not in self._arms:
                raise place.wrong(f"/arm_id: there is no arm {row.arm_id}")
            if row.seed not in seeds:
                raise place.wrong(f"/seed: the spec has no seed {row.seed}")
            if row.id in self._trials or (row.arm_id, row.seed) in pairs:
                raise place.wrong(
                    f"trial {row.id} of arm {row.arm_id}, seed {row.seed}, is a second"
                )
            pairs.add((row.arm_id, row.seed))
            self._limit(len(pairs))
            self._ended(place, row)
            self._trials[row.id] = _Trial(place, row.state, row.attempt, row.epochs_done)
            again = row.state is not TrialState.succeeded and row.reason is not Reason.diverged
            self._retryable += again
            # An id of the other service would refer to a different trial here.
            self._keep("trials", row, reused_from=None, not_before=None)
        if len(pairs) < (total := spec.trials_total()):
            raise Unprocessable(f"rows/trials.jsonl has {len(pairs)} of the spec's {total} trials")

    def _ended(self, place: Place, row: TrialRow) -> None:
        if row.state not in TERMINAL:
            raise place.wrong(f"/state: trial {row.id} is {row.state}; it has not ended")
        if row.dispatcher_id is not None:
            raise place.wrong(f"/dispatcher_id: nobody holds a trial that has {row.state}")
        fitting = {
            TrialState.succeeded: {None},
            TrialState.failed: {*Reason} - {Reason.user},
            TrialState.cancelled: {Reason.user},
        }[row.state]
        if row.reason not in fitting:
            raise place.wrong(f"/reason: no trial has {row.state} by {row.reason}")
        if row.epochs != self._epochs[row.arm_id]:
            raise place.wrong("/epochs: its arm has another number of them")
        done = row.epochs_done
        if done > row.epochs or (row.state is TrialState.succeeded and done < row.epochs):
            raise place.wrong(f"/epochs_done: {done} of {row.epochs}, and it has {row.state}")

    def attempts(self) -> None:
        for place, row in self._files.rows("attempts", AttemptRow):
            trial = self._trial(place, row.trial_id)
            if row.attempt != trial.attempts + 1 or row.attempt > trial.attempt:
                raise place.wrong(
                    f"/attempt: {row.attempt}; trial {row.trial_id} had {trial.attempt}, and "
                    f"{trial.attempts} stand before this one"
                )
            trial.attempts += 1
            trial.succeeded += row.outcome is TrialState.succeeded
            self._keep("attempts", row)
        for trial_id, trial in self._trials.items():
            if trial.attempts < trial.attempt:
                raise trial.place.wrong(
                    f"/attempt: {trial.attempt}; rows/attempts.jsonl has {trial.attempts}"
                )
            # A trial that reuses another copies the attempt that succeeded.
            if trial.succeeded != (trial.state is TrialState.succeeded):
                raise trial.place.wrong(
                    f"/state: trial {trial_id} has {trial.state}, and {trial.succeeded} of its "
                    "attempts succeeded"
                )

    def reports(self) -> None:
        for place, row in self._files.rows("reports", ReportRow):
            trial = self._trial(place, row.trial_id)
            if not 1 <= row.attempt <= trial.attempts:
                raise place.wrong(f"/attempt: trial {row.trial_id} had no attempt {row.attempt}")
            if row.report.epoch != row.epoch or row.epoch != trial.recorded + 1:
                raise place.wrong(
                    f"/epoch: {row.epoch}, of a report of {row.report.epoch}, where epoch "
                    f"{trial.recorded + 1} of trial {row.trial_id} belongs"
                )
            trial.recorded += 1
            trial.seconds += row.report.seconds
            trial.last_report = _written(row.report)
            # Checkpoints stay where they were made: their names would refer to no file here.
            self._keep(
                "reports", row, report=trial.last_report, checkpoint=None, checkpoint_sha256=None
            )
        for trial in self._trials.values():
            if trial.recorded != trial.epochs_done:
                raise trial.place.wrong(
                    f"/epochs_done: {trial.epochs_done}; rows/reports.jsonl has {trial.recorded}"
                )

    def events(self) -> None:
        for place, row in self._files.rows("events", EventRow):
            self._of_the_sweep(place, row.sweep_id)
            if row.trial_id is not None:
                self._trial(place, row.trial_id)
            self._keep("events", row)

    def _of_the_sweep(self, place: Place, sweep_id: str) -> None:
        if sweep_id != self._sweep["id"]:
            raise place.wrong(f"/sweep_id: {sweep_id}; the bundle is of {self._sweep['id']}")

    def _trial(self, place: Place, trial_id: int) -> _Trial:
        try:
            return self._trials[trial_id]
        except KeyError:
            raise place.wrong(f"/trial_id: there is no trial {trial_id}") from None

    def _keep(self, name: str, row: Spec, **instead: Any) -> None:
        values = row.model_dump(mode="json") | instead
        if values.get("environment") is not None:
            values["environment"] = json.dumps(values["environment"])
        self._spools[name].write(json.dumps(values) + "\n")


def _config(place: Place, row: ArmRow) -> Config:
    if config_hash(row.config) != row.config_sha256:
        raise place.wrong("/config_sha256: is not that of the configuration")
    try:
        return Config.model_validate(row.config)
    except ValidationError as error:
        fault = fault_of(error.errors(include_url=False)[0], row.config, Config)
        raise place.wrong(f"/config{fault.pointer}: {fault.detail}") from None


def _written(report: EpochRow) -> str:
    """The report as `EpochReport.to_json` writes it."""
    head = {"epoch": report.epoch}
    tail = {"lr": report.lr, "seconds": report.seconds}
    return json.dumps({**head, **(report.__pydantic_extra__ or {}), **tail})
