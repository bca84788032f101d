"""The Python client of the REST API; the CLI is written on it."""

import os
import time
import uuid
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import httpx2

from lrd_core.errors import Fault, InvalidSpec, LRDError

_YAML = {"Content-Type": "application/yaml"}
DONE = {"succeeded", "failed", "cancelled"}


class ServiceAnswered(LRDError):
    """The service refused or failed; the message is its own."""


class Client:
    """Speaks to one service, e.g. `Client("http://127.0.0.1:8000")`.

    Args:
        url: of the service.
        token: where it asks for one; by default what LRD_TOKEN holds.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        token = token or os.environ.get("LRD_TOKEN")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx2.Client(base_url=url, timeout=60, headers=headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def submit(self, text: str) -> dict[str, Any]:
        """Submit a sweep written in YAML or JSON; sent again, it is still one sweep.

        Raises:
            InvalidSpec: with each fault.
        """
        key = {"Idempotency-Key": str(uuid.uuid4())}
        return self._json("POST", "/sweeps", content=text.encode(), headers=_YAML | key)

    def submit_preset(
        self, name: str, changes: dict[str, Any] | None = None, seeds: Any = None
    ) -> dict[str, Any]:
        """Submit a preset, some of it changed: dotted path -> value, e.g. `base.epochs`."""
        return self._json(
            "POST",
            "/sweeps",
            json=_preset(name, changes, seeds),
            headers={"Idempotency-Key": str(uuid.uuid4())},
        )

    def plan(self, text: str) -> dict[str, Any]:
        """What a sweep would be; nothing is stored."""
        params = {"validate_only": "true"}
        return self._json("POST", "/sweeps", params=params, content=text.encode(), headers=_YAML)

    def plan_preset(
        self, name: str, changes: dict[str, Any] | None = None, seeds: Any = None
    ) -> dict[str, Any]:
        """What a preset would be."""
        params = {"validate_only": "true"}
        return self._json("POST", "/sweeps", params=params, json=_preset(name, changes, seeds))

    def presets(self) -> list[dict[str, Any]]:
        """The paper's tables and figures, ready to be submitted."""
        return list(self._items("/presets"))

    def preset_text(self, name: str) -> str:
        """A preset's sweep file."""
        return self._ask("GET", f"/presets/{name}/text").text

    def sweep(self, sweep_id: str) -> dict[str, Any]:
        """One sweep."""
        return self._json("GET", f"/sweeps/{sweep_id}")

    def sweeps(self) -> list[dict[str, Any]]:
        """All sweeps, newest first."""
        return list(self._items("/sweeps"))

    def trials(self, sweep_id: str) -> list[dict[str, Any]]:
        """The trials of a sweep."""
        return list(self._items(f"/sweeps/{sweep_id}/trials"))

    def arms(self, sweep_id: str) -> list[dict[str, Any]]:
        """The arms of a sweep."""
        return list(self._items(f"/sweeps/{sweep_id}/arms"))

    def reports(self, trial_id: int) -> list[dict[str, Any]]:
        """The epochs of a trial."""
        return list(self._items(f"/trials/{trial_id}/reports"))

    def comparisons(self, sweep_id: str, **question: Any) -> list[dict[str, Any]]:
        """Each arm against its baseline; `question`: metric, at, baseline."""
        params = _given(question)
        return list(self._json("GET", f"/sweeps/{sweep_id}/comparisons", params=params)["items"])

    def curves(self, sweep_id: str, metric: str, by: str = "epoch") -> list[dict[str, Any]]:
        """The mean of a metric at each epoch (or second) of each arm."""
        params = {"metric": metric, "by": by}
        return list(self._json("GET", f"/sweeps/{sweep_id}/curves", params=params)["items"])

    def figure(self, sweep_id: str, name: str, kind: str = "svg", **question: Any) -> bytes:
        """`learning-curves`, `keep-prob` or `forest` as svg, pdf or png."""
        path = f"/sweeps/{sweep_id}/figures/{name}.{kind}"
        return self._ask("GET", path, params=_given(question)).content

    def ask(self, sweep_id: str, verb: str, body: Any = None, **params: Any) -> dict[str, Any]:
        """`pause`, `resume`, `cancel`, `retry`, `extend` or `clone` a sweep."""
        request: dict[str, Any] = {"params": _given(params)}
        if body is not None:
            request["json"] = body
        return self._json("POST", f"/sweeps/{sweep_id}/{verb}", **request)

    def change(self, sweep_id: str, **changes: Any) -> dict[str, Any]:
        """Another `priority` or `max_concurrent`."""
        return self._json("PATCH", f"/sweeps/{sweep_id}", json=changes)

    def export(self, sweep_id: str, form: str = "csv", of: str = "reports") -> bytes:
        """Everything of a sweep: `csv` or `parquet` of its `trials` or `reports`, or a `bundle`."""
        params = {"format": form, "of": of}
        return self._ask("GET", f"/sweeps/{sweep_id}/export", params=params).content

    def import_bundle(self, content: bytes) -> dict[str, Any]:
        """Take in a bundle that another service made."""
        headers = {"Content-Type": "application/zip"}
        return self._json("POST", "/import", content=content, headers=headers)

    def table(self, sweep_id: str, form: str = "markdown", **question: Any) -> str:
        """The table as `markdown`, `csv`, `latex` or `json`; `question`: metric, at, baseline."""
        params = {"format": form, **_given(question)}
        return self._ask("GET", f"/sweeps/{sweep_id}/table", params=params).text

    def watch(self, sweep_id: str, seconds: float = 0.5) -> Iterator[dict[str, Any]]:
        """The sweep again and again, until it has ended."""
        while True:
            sweep = self.sweep(sweep_id)
            yield sweep
            if sweep["state"] in DONE:
                return
            time.sleep(seconds)

    def _items(self, path: str) -> Iterator[dict[str, Any]]:
        token: str | None = None
        while True:
            page = self._json("GET", path, params={"page_token": token} if token else None)
            yield from page["items"]
            token = page["next_page_token"]
            if token is None:
                return

    def _json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        return self._ask(method, path, **request).json()  # type: ignore[no-any-return]

    def _ask(self, method: str, path: str, **request: Any) -> httpx2.Response:
        try:
            answer = self._http.request(method, "/api/v1" + path, **request)
        except httpx2.TransportError as error:
            raise ServiceAnswered(
                f"no service answers at {self._http.base_url} ({error}); start one with `lrd serve`"
            ) from None
        if answer.is_success:
            return answer
        problem = answer.json()
        if problem["errors"]:
            raise InvalidSpec(
                [Fault(each["pointer"], each["detail"]) for each in problem["errors"]]
            )
        raise ServiceAnswered(problem["detail"])


def _preset(name: str, changes: dict[str, Any] | None, seeds: Any) -> dict[str, Any]:
    return {"preset": name, "set": changes or {}} | ({} if seeds is None else {"seeds": seeds})


def _given(question: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in question.items() if value is not None}
