"""The Python client of the REST API; the CLI is written on it."""

import time
import uuid
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import httpx2

from lrd_core.errors import Fault, InvalidSpec, LRDError

DONE = {"succeeded", "failed", "cancelled"}


class ServiceAnswered(LRDError):
    """The service refused or failed; the message is its own."""


class Client:
    """Speaks to one service, e.g. `Client("http://127.0.0.1:8000")`."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, timeout=60)

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
        headers = {"Content-Type": "application/yaml", "Idempotency-Key": str(uuid.uuid4())}
        return self._json("POST", "/sweeps", content=text.encode(), headers=headers)

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

    def cancel(self, sweep_id: str) -> dict[str, Any]:
        """Ask for the end of a sweep."""
        return self._json("POST", f"/sweeps/{sweep_id}/cancel")

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


def _given(question: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in question.items() if value is not None}
