"""A sweep of the service: followed, read as frames and files, and steered, from Python."""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import httpx2

from lrd_core.errors import LRDError
from lrd_core.spelling import did_you_mean
from service.client.connection import given
from service.client.frames import frame
from service.lifecycle import ENDED

if TYPE_CHECKING:
    from pandas import DataFrame

    from service.client import Client


@dataclass(frozen=True)
class SubmittedSweep:
    """A sweep of the service."""

    id: str
    trials_total: int
    """The sweep as it was when it was submitted or looked up."""
    client: "Client"

    def status(self) -> dict[str, Any]:
        """The sweep as the service shows it: `state`, `trials` by state, `spec`, times."""
        return self._json("GET")

    def watch(self, seconds: float = 0.5) -> Iterator[dict[str, Any]]:
        """Yield `status` at once and after every change, until the sweep has ended."""
        return (view for view in self._polled(seconds) if view is not None)

    def wait(self, timeout: float | None = None, seconds: float = 0.5) -> dict[str, Any]:
        """Wait until all trials have ended, even if some fail, and return `status`.

        Args:
            timeout: seconds to wait; None waits for ever.
            seconds: seconds between two polls.

        Raises:
            StillRunning: the sweep has not ended within `timeout`; it keeps running.
        """
        deadline = time.monotonic() + (math.inf if timeout is None else timeout)
        latest: dict[str, Any] = {}
        for view in self._polled(seconds):
            latest = view or latest
            if latest["state"] not in ENDED and time.monotonic() + seconds > deadline:
                raise StillRunning(f"sweep {self.id} has not ended after {timeout:g} s")
        return latest

    # --- results, as frames -----------------------------------------------------------------------

    def table(self, **question: Any) -> "DataFrame":
        """One row per arm: its configuration, statistics and comparison with the baseline.

        `question`: `metric`, `at` (last, best, epoch:N), `baseline` (an arm, by id or label).
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
        return self._items("comparisons", **question)

    def arms(self, **question: Any) -> list[dict[str, Any]]:
        """Each arm with every metric's statistics; `question`: at."""
        return self._items("arms", **question)

    def speed(
        self, threshold: float, metric: str | None = None, baseline: int | str | None = None
    ) -> dict[str, Any]:
        """How soon each arm reaches a value of a metric (`items`), and how that compares with its
        baseline (`comparisons`). The value is in the metric's own unit: 0.9, not 90 %."""
        answer = self._get("speed", threshold=threshold, metric=metric, baseline=baseline)
        return self.client.connection.parsed(answer)

    def power(self, difference: float | None = None, **question: Any) -> dict[str, Any]:
        """Which differences from its baseline each arm's seeds so far can find (`items`), and how
        many seeds a given `difference` takes, in the metric's own unit: 0.002, not 0.2 points."""
        answer = self._get("power", difference=difference, **question)
        return self.client.connection.parsed(answer)

    def curves(self, metric: str, by: str = "epoch") -> list[dict[str, Any]]:
        """The mean of a metric for each arm at each epoch, or against seconds."""
        return self._items("curves", metric=metric, by=by)

    def failures(self) -> list[dict[str, Any]]:
        """Why trials have failed: the most frequent causes, each with its number of `trials` and
        the id of one of them; `list_trials("failed")` gives the trials."""
        return self._items("failures")

    def tried_again(self) -> list[dict[str, Any]]:
        """The trials that were lost, stalled or ran out of memory and are tried again.

        Only the first hundred queued and the first hundred running trials are examined. A trial
        that waits for another attempt precedes all that have not run yet.
        """
        looked_at = (islice(self.list_trials(state, 100), 100) for state in ("queued", "running"))
        return [trial for trial in chain(*looked_at) if trial["losses"] or trial["alone"]]

    def list_trials(
        self, state: str | None = None, page_size: int = 1000, *, arm: int | str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Trials as the service shows them, in order: all, or those in a `state`, or of an `arm`,
        by its id or label."""
        asked = {"state": state, "arm_id": self._arm_id(arm), "page_size": page_size}
        return self.client.connection.items(self._path("trials"), **asked)

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
        self.client.connection.request("DELETE", self._path())

    def change(self, **changes: Any) -> dict[str, Any]:
        """Change what no result depends on: `name`, `tags`, `notes`, `priority`, `max_concurrent`,
        `max_failures`, parts of `table`, `expected`; None restores a default."""
        return self._json("PATCH", json=changes)

    # --- inside -----------------------------------------------------------------------------------

    def _path(self, below: str = "") -> str:
        return f"/sweeps/{self.id}" + (f"/{below}" if below else "")

    def _get(self, below: str, **question: Any) -> httpx2.Response:
        if "baseline" in question:
            question["baseline"] = self._arm_id(question["baseline"])
        return self.client.connection.request("GET", self._path(below), params=given(question))

    def _items(self, below: str, **question: Any) -> list[dict[str, Any]]:
        return list(self.client.connection.parsed(self._get(below, **question))["items"])

    def _arm_id(self, called: int | str | None) -> int | None:
        """The id of an arm; a text of digits is an id, any other a label.

        Raises:
            LRDError: no arm has this label.
        """
        if called is None:
            return None
        if str(called).isdecimal():
            return int(called)
        labels = {arm["label"]: int(arm["id"]) for arm in self.arms()}
        if called not in labels:
            raise LRDError(
                f"no arm of sweep {self.id} is called {called!r}"
                f"{did_you_mean(str(called), list(labels))}; they are {'; '.join(labels)}"
            )
        return labels[str(called)]

    def _polled(self, seconds: float) -> Iterator[dict[str, Any] | None]:
        """`status` at once and then every `seconds`, None where it has not changed, until the sweep
        has ended."""
        tag, service = "", self.client.connection
        while True:
            answer = service.request("GET", self._path(), headers={"If-None-Match": tag})
            if answer.status_code == 304:
                yield None
            else:
                view, tag = service.parsed(answer), answer.headers.get("ETag", "")
                yield view
                if view["state"] in ENDED:
                    return
            time.sleep(seconds)

    def _json(self, method: Any, below: str = "", **request: Any) -> dict[str, Any]:
        return self.client.connection.json(method, self._path(below), **request)


class StillRunning(LRDError, TimeoutError):
    """The sweep has not ended in time; it keeps running."""
