"""The Python client of the REST API, on which the CLI is built.

    with Client("http://127.0.0.1:8000") as client:
        sweep = client.submit(Path("sweep.yaml"))
        sweep.wait()
        print(sweep.table())

If a connection breaks or the service is away for a moment, the request is sent again under its
Idempotency-Key, so that it is carried out once (`service.connection`).
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import httpx2

from lrd_core.documents import read
from lrd_core.errors import LRDError
from lrd_core.spec import SweepSpec
from service.connection import Connection, NoAnswer, ServiceAnswered, given
from service.frames import frame
from service.verifying import Verified, verified

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Client", "NoAnswer", "ServiceAnswered", "SubmittedSweep", "Verified"]

_YAML, _JSON = {"Content-Type": "application/yaml"}, {"Content-Type": "application/json"}
DONE = {"succeeded", "failed", "cancelled"}

Written = str | Path | Mapping[str, Any] | SweepSpec
"""A sweep as YAML or JSON text, as a file, as plain data, or parsed."""


class Client:
    """Talks to one service.

    Args:
        url: the service's URL.
        token: a token, if the service requires one; by default the value of LRD_TOKEN.
        patience: seconds for which requests are retried while the service is away.
        transport: a way to reach the service other than the network.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        token: str | None = None,
        *,
        patience: float = 60,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        token = token or os.environ.get("LRD_TOKEN")
        self._service = Connection(url, token, patience, transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._service.close()

    # --- sweeps -----------------------------------------------------------------------------------

    def submit(self, spec: Written) -> "SubmittedSweep":
        """Store a sweep and queue its trials.

        Raises:
            InvalidSpec: the sweep has faults, which it lists; nothing was stored.
            LRDError: the file is not UTF-8, or the text is the name of a file.
        """
        view = self._service.json("POST", "/sweeps", **_body(spec))
        return SubmittedSweep(view["id"], view["trials_total"], self)

    def submit_preset(
        self, name: str, changes: Mapping[str, Any] | None = None, seeds: Any = None
    ) -> "SubmittedSweep":
        """Submit a preset with `changes`: dotted path -> value, e.g. `base.epochs`."""
        return self.submit(_preset(name, changes, seeds))

    def plan(self, spec: Written) -> dict[str, Any]:
        """The plan of a sweep; nothing is stored."""
        params = {"validate_only": "true"}
        return self._service.json("POST", "/sweeps", params=params, **_body(spec))

    def plan_preset(
        self, name: str, changes: Mapping[str, Any] | None = None, seeds: Any = None
    ) -> dict[str, Any]:
        """The plan of a preset; nothing is stored."""
        return self.plan(_preset(name, changes, seeds))

    def sweep(self, sweep_id: str) -> "SubmittedSweep":
        """Look up a sweep that was submitted earlier.

        Raises:
            ServiceAnswered: there is none with this id.
        """
        view = self._service.json("GET", f"/sweeps/{quote(sweep_id, safe='')}")
        return SubmittedSweep(view["id"], view["trials_total"], self)

    def sweeps(self, **filters: Any) -> list[dict[str, Any]]:
        """All sweeps, newest first; or those in a `state`, with `search` in their names, or with a
        `tag`."""
        return list(self._service.items("/sweeps", **filters))

    def import_bundle(self, content: bytes) -> "SubmittedSweep":
        """Import a bundle that another service exported."""
        headers = {"Content-Type": "application/zip"}
        view = self._service.json("POST", "/import", content=content, headers=headers)
        return SubmittedSweep(view["id"], view["trials_total"], self)

    # --- the rest ---------------------------------------------------------------------------------

    def presets(self) -> list[dict[str, Any]]:
        """The paper's tables and figures as sweeps that are ready to submit."""
        return list(self._service.items("/presets"))

    def trial(self, trial_id: int) -> dict[str, Any]:
        """One trial, with the provenance of its numbers."""
        return self._service.json("GET", f"/trials/{trial_id}")

    def cancel_trial(self, trial_id: int) -> dict[str, Any]:
        """Cancel one trial."""
        return self._service.json("POST", f"/trials/{trial_id}/cancel")

    def retry_trial(self, trial_id: int) -> dict[str, Any]:
        """Run one trial again that failed or was cancelled."""
        return self._service.json("POST", f"/trials/{trial_id}/retry")

    def attempts(self, trial_id: int) -> list[dict[str, Any]]:
        """The attempts at a trial: when, where, on what, and how each ended."""
        return list(self._service.items(f"/trials/{trial_id}/attempts"))

    def log(self, trial_id: int, *, attempt: int | None = None, tail: int | None = None) -> str:
        """The last `tail` lines (default: 1000) of the log of an attempt at a trial (default: the
        newest); empty if there is no log."""
        asked = given({"attempt": attempt, "tail": tail})
        return self._service.request("GET", f"/trials/{trial_id}/logs", params=asked).text

    def weights(self, trial_id: int) -> bytes:
        """The final weights of a trial whose sweep keeps them (`execution.keep_weights`), as a file
        for `torch.load(…, weights_only=True)`: the `state_dict` of its model."""
        return self._service.request("GET", f"/trials/{trial_id}/weights").content

    def verify(self, file: Path) -> list[Verified]:
        """Check each table in a LaTeX file that `table_text("latex")`, `comparisons_text("latex")`
        or `effects_text("latex")` wrote.

        Each result holds the table's `differences` from what the service says now, one sentence per
        cell or line, or the reason why it is `unverified`, e.g. because its sweep is gone.

        Raises:
            LRDError: the file contains no such table, or one that can no longer be read.
        """
        return verified(self, file)

    def cluster(self) -> dict[str, Any]:
        """The dispatcher, the cluster's resources, and what is running and waiting."""
        return self._service.json("GET", "/cluster")


@dataclass(frozen=True)
class SubmittedSweep:
    """A sweep of the service."""

    id: str
    trials_total: int
    """The sweep as it was when it was submitted or looked up."""
    client: Client

    def status(self) -> dict[str, Any]:
        """The sweep as the service shows it: `state`, `trials` by state, `spec`, times."""
        return self._json("GET")

    def watch(self, seconds: float = 0.5) -> Iterator[dict[str, Any]]:
        """Yield `status` at once and after every change, until the sweep has ended."""
        tag, service = "", self.client._service
        while True:
            answer = service.request("GET", self._path(), headers={"If-None-Match": tag})
            if answer.status_code != 304:
                view, tag = service.parsed(answer), answer.headers.get("ETag", "")
                yield view
                if view["state"] in DONE:
                    return
            time.sleep(seconds)

    def wait(self, timeout: float | None = None, seconds: float = 0.5) -> dict[str, Any]:
        """Wait until all trials have ended, even if some fail, and return `status`.

        Args:
            timeout: seconds to wait; None waits for ever.
            seconds: seconds between two polls.

        Raises:
            StillRunning: the sweep has not ended within `timeout`; it keeps running.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            view = self.status()
            if view["state"] in DONE:
                return view
            if deadline is not None and time.monotonic() + seconds > deadline:
                raise StillRunning(f"sweep {self.id} has not ended after {timeout:g} s")
            time.sleep(seconds)

    # --- results, as frames -----------------------------------------------------------------------

    def table(self, **question: Any) -> "DataFrame":
        """One row per arm: its configuration, statistics and comparison with the baseline.

        `question`: `metric`, `at` (last, best, epoch:N), `baseline` (id of an arm).
        """
        return frame(self.table_text("csv", **question).encode())

    def reports(self) -> "DataFrame":
        """One row per epoch of every trial, without sampling, with the arm's id and label."""
        return frame(self.export("csv", "reports"))

    def trials(self) -> "DataFrame":
        """One row per trial, with its configuration and the metrics of its last epoch."""
        return frame(self.export("csv", "trials"))

    def comparisons(self, **question: Any) -> "DataFrame":
        """One row per arm that has a baseline: difference, intervals, tests, effect size."""
        from pandas import DataFrame

        return DataFrame(self.compare(**question))

    def effects(self, **question: Any) -> "DataFrame":
        """One row per factor of a grid, then one per pair of factors: their effects over the
        settings of the others. `question` as for the table."""
        return frame(self.effects_text("csv", **question).encode())

    # --- results, as the service writes them ------------------------------------------------------

    def table_text(self, form: str = "markdown", **question: Any) -> str:
        """The table as `markdown`, `csv`, `latex` or `json`."""
        return self._get("table", format=form, **question).text

    def comparisons_text(self, form: str = "markdown", **question: Any) -> str:
        """The comparison of each arm with its baseline, as `markdown`, `csv`, `latex` or `json`."""
        return self._get("comparisons", format=form, **question).text

    def effects_text(self, form: str = "markdown", **question: Any) -> str:
        """The effects of the factors, as `markdown`, `csv`, `latex` or `json`."""
        return self._get("effects", format=form, **question).text

    def methods_text(self, form: str = "markdown", **question: Any) -> str:
        """How the numbers were obtained, for a paper, as `markdown`, `latex` or `json`."""
        return self._get("methods", format=form, **question).text

    def compare(self, **question: Any) -> list[dict[str, Any]]:
        """The comparison of each arm with its baseline; `question`: metric, at, baseline."""
        return list(self._json("GET", "comparisons", params=given(question))["items"])

    def arms(self, **question: Any) -> list[dict[str, Any]]:
        """Each arm with every metric's statistics; `question`: at."""
        return list(self._json("GET", "arms", params=given(question))["items"])

    def speed(self, threshold: float, metric: str | None = None) -> dict[str, Any]:
        """How soon each arm reaches a value of a metric (`items`), and how that compares with its
        baseline (`comparisons`). The value is in the metric's own unit: 0.9, not 90 %."""
        return self._json("GET", "speed", params=given({"threshold": threshold, "metric": metric}))

    def curves(self, metric: str, by: str = "epoch") -> list[dict[str, Any]]:
        """The mean of a metric for each arm at each epoch, or against seconds."""
        return list(self._json("GET", "curves", params={"metric": metric, "by": by})["items"])

    def failures(self) -> list[dict[str, Any]]:
        """The trials that have failed, each with its reason and message."""
        return list(self.list_trials("failed"))

    def tried_again(self) -> list[dict[str, Any]]:
        """The trials that were lost, stalled or ran out of memory and are tried again.

        Only the first hundred queued and the first hundred running trials are examined. A trial
        that waits for another attempt precedes all that have not run yet.
        """
        looked_at = (islice(self.list_trials(state, 100), 100) for state in ("queued", "running"))
        return [trial for trial in chain(*looked_at) if trial["losses"] or trial["alone"]]

    def list_trials(
        self, state: str | None = None, page_size: int = 1000, *, arm_id: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Trials as the service shows them, in order: all, or those in a `state` or of an arm."""
        asked = {"state": state, "arm_id": arm_id, "page_size": page_size}
        return self.client._service.items(self._path("trials"), **asked)

    def figure(self, name: str, kind: str = "svg", **question: Any) -> bytes:
        """`learning-curves`, `keep-prob`, `forest`, `effects` or `descent` as svg, pdf or png."""
        return self._get(f"figures/{name}.{kind}", **question).content

    def caption(self, name: str, **question: Any) -> str:
        """The caption of a figure, for one requested with `caption="false"`."""
        found = json.loads(self._get(f"plots/{name}", **question).text)
        return str(found["layout"]["meta"]["caption"])

    def export(self, form: str = "csv", of: str = "reports") -> bytes:
        """All data: `csv` or `parquet` of the `trials` or `reports`, or a `bundle`."""
        return self._get("export", format=form, of=of).content

    # --- requests ---------------------------------------------------------------------------------

    def pause(self) -> dict[str, Any]:
        """Start no more trials; running ones save their state after the current epoch and wait."""
        return self._json("POST", "pause")

    def resume(self) -> dict[str, Any]:
        """Continue after a pause."""
        return self._json("POST", "resume")

    def cancel(self) -> dict[str, Any]:
        """Cancel the sweep: queued trials now, running ones as soon as they have stopped."""
        return self._json("POST", "cancel")

    def retry(self, *, cancelled: bool = False) -> dict[str, Any]:
        """Run failed trials again, with `cancelled` also the cancelled ones; diverged ones stay."""
        return self._json("POST", "retry", params={"cancelled": str(cancelled).lower()})

    def extend(self, **more: Any) -> dict[str, Any]:
        """Add `seeds`, values of a `grid`'s axes, or `arms`; only the missing trials run."""
        return self._json("POST", "extend", json=more)

    def plan_extension(self, **more: Any) -> dict[str, Any]:
        """What `extend` would add, and the sweep that would result; nothing is changed."""
        return self._json("POST", "extend", params={"validate_only": "true"}, json=more)

    def clone(self, **changes: Any) -> "SubmittedSweep":
        """Submit a copy of this sweep with parts of its spec replaced."""
        view = self._json("POST", "clone", json=changes)
        return SubmittedSweep(view["id"], view["trials_total"], self.client)

    def delete(self) -> None:
        """Permanently delete the sweep, which must have ended, with results, checkpoints, logs."""
        self.client._service.request("DELETE", self._path())

    def change(self, **changes: Any) -> dict[str, Any]:
        """Change what no result depends on: `name`, `tags`, `notes`, `priority`, `max_concurrent`,
        `max_failures`, parts of `table`, `expected`; None restores a default."""
        return self._json("PATCH", json=changes)

    # --- inside -----------------------------------------------------------------------------------

    def _path(self, below: str = "") -> str:
        return f"/sweeps/{self.id}" + (f"/{below}" if below else "")

    def _get(self, below: str, **question: Any) -> httpx2.Response:
        return self.client._service.request("GET", self._path(below), params=given(question))

    def _json(self, method: Any, below: str = "", **request: Any) -> dict[str, Any]:
        return self.client._service.json(method, self._path(below), **request)


class StillRunning(LRDError, TimeoutError):
    """The sweep has not ended in time; it keeps running."""


def _body(spec: Written) -> dict[str, Any]:
    """The request body, exactly as written, so that faults refer to the places in the source."""
    if isinstance(spec, Path):
        spec = read(spec)
    if isinstance(spec, str):
        if Path(spec).suffix in {".yaml", ".yml", ".json"} and len(spec.split()) == 1:
            raise LRDError(f"{spec!r} is text, not a file: give Path({spec!r})")
        return {"content": spec.encode(), "headers": _YAML}  # JSON is YAML, too
    if isinstance(spec, SweepSpec):
        spec = spec.model_dump(mode="json", exclude_unset=True)
    return {"content": json.dumps(spec).encode(), "headers": _JSON}


def _preset(name: str, changes: Mapping[str, Any] | None, seeds: Any) -> dict[str, Any]:
    return {"preset": name, "set": dict(changes or {})} | given({"seeds": seeds})
