"""The Python client of the REST API, on which the CLI is built.

    with Client("http://127.0.0.1:8000") as client:
        sweep = client.submit(Path("sweep.yaml"))
        sweep.wait()
        print(sweep.table())

If a connection breaks or the service is away for a moment, the request is sent again under its
Idempotency-Key, so that it is carried out once (`service.client.connection`).
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx2

from lrd_core.documents import read
from lrd_core.errors import LRDError
from lrd_core.spec import SweepSpec
from service.client.connection import LOCAL, Connection, Method, NoAnswer, ServiceAnswered, given
from service.client.submitted import StillRunning, SubmittedSweep
from service.client.verifying import Verified, verified

__all__ = [
    "Client",
    "NoAnswer",
    "ServiceAnswered",
    "StillRunning",
    "SubmittedSweep",
    "Verified",
]

_YAML, _JSON = {"Content-Type": "application/yaml"}, {"Content-Type": "application/json"}

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
        url: str = LOCAL,
        token: str | None = None,
        *,
        patience: float = 60,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        token = token or os.environ.get("LRD_TOKEN")
        self.connection = Connection(url, token, patience, transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.connection.close()

    # --- sweeps -----------------------------------------------------------------------------------

    def submit(self, spec: Written) -> SubmittedSweep:
        """Store a sweep and queue its trials.

        Raises:
            InvalidSpec: the sweep has faults, which it lists; nothing was stored.
            LRDError: the file is not UTF-8, or the text is the name of a file.
        """
        return self._submitted("POST", "/sweeps", **_body(spec))

    def submit_preset(
        self, name: str, changes: Mapping[str, Any] | None = None, seeds: Any = None
    ) -> SubmittedSweep:
        """Submit a preset with `changes`: dotted path -> value, e.g. `base.epochs`."""
        return self.submit(_preset(name, changes, seeds))

    def plan(self, spec: Written) -> dict[str, Any]:
        """The plan of a sweep; nothing is stored."""
        params = {"validate_only": "true"}
        return self.connection.json("POST", "/sweeps", params=params, **_body(spec))

    def plan_preset(
        self, name: str, changes: Mapping[str, Any] | None = None, seeds: Any = None
    ) -> dict[str, Any]:
        """The plan of a preset; nothing is stored."""
        return self.plan(_preset(name, changes, seeds))

    def sweep(self, called: str, *, exactly: bool = False) -> SubmittedSweep:
        """Look up a sweep by its id, the beginning of its id, or its name; `exactly`: by its id
        alone.

        Raises:
            ServiceAnswered: there is none.
            LRDError: there are several, or `called` is empty.
        """
        if not called:
            raise LRDError(
                "the sweep's name is empty (a variable that is not set?): give its name or id; "
                "`lrd ls` lists them"
            )
        try:
            return self._submitted("GET", f"/sweeps/{quote(called, safe='')}")
        except ServiceAnswered as error:
            if error.type != "not-found":
                raise
            missing = error
        found = [
            sweep
            for sweep in ([] if exactly else self.sweeps(search=called))
            if sweep["id"].startswith(called) or sweep["name"] == called
        ]
        if len(found) == 1:
            return self._submitted("GET", f"/sweeps/{found[0]['id']}")
        if found:
            some = ", ".join(sweep["id"] for sweep in found[:5]) + ", …" * (len(found) > 5)
            raise LRDError(f"{called!r} matches {len(found)} sweeps: {some}; name one by its id")
        with_id = "with the complete id " * exactly
        sentence = f"there is no sweep {with_id}{called!r}; `lrd ls` lists them"
        raise ServiceAnswered(sentence, missing.status, missing.type) from None

    def sweeps(self, **filters: Any) -> list[dict[str, Any]]:
        """All sweeps, newest first; or those in a `state`, with `search` in their names, or with a
        `tag`."""
        return list(self.connection.items("/sweeps", **filters))

    def import_bundle(self, content: bytes) -> SubmittedSweep:
        """Import a bundle that another service exported."""
        headers = {"Content-Type": "application/zip"}
        return self._submitted("POST", "/import", content=content, headers=headers)

    # --- the rest ---------------------------------------------------------------------------------

    def presets(self) -> list[dict[str, Any]]:
        """The paper's tables and figures as sweeps that are ready to submit."""
        return list(self.connection.items("/presets"))

    def trial(self, trial_id: int) -> dict[str, Any]:
        """One trial, with the provenance of its numbers."""
        return self.connection.json("GET", f"/trials/{trial_id}")

    def cancel_trial(self, trial_id: int) -> dict[str, Any]:
        """Cancel one trial."""
        return self.connection.json("POST", f"/trials/{trial_id}/cancel")

    def retry_trial(self, trial_id: int) -> dict[str, Any]:
        """Run one trial again that failed or was cancelled."""
        return self.connection.json("POST", f"/trials/{trial_id}/retry")

    def attempts(self, trial_id: int) -> list[dict[str, Any]]:
        """The attempts at a trial: when, where, on what, and how each ended."""
        return list(self.connection.items(f"/trials/{trial_id}/attempts"))

    def log(self, trial_id: int, *, attempt: int | None = None, tail: int | None = None) -> str:
        """The last `tail` lines (default: 1000) of the log of an attempt at a trial (default: the
        newest); empty if there is no log."""
        asked = given({"attempt": attempt, "tail": tail})
        return self.connection.request("GET", f"/trials/{trial_id}/logs", params=asked).text

    def weights(self, trial_id: int) -> bytes:
        """The final weights of a trial whose sweep keeps them (`execution.keep_weights`), as a file
        for `torch.load(…, weights_only=True)`: the `state_dict` of its model."""
        return self.connection.request("GET", f"/trials/{trial_id}/weights").content

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
        return self.connection.json("GET", "/cluster")

    # --- inside -----------------------------------------------------------------------------------

    def _submitted(self, method: Method, path: str, **request: Any) -> SubmittedSweep:
        """The sweep in the answer."""
        view = self.connection.json(method, path, **request)
        return SubmittedSweep(view["id"], view["trials_total"], self)


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
