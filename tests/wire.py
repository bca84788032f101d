"""The way from a client to the application, on which answers are lost or replaced as told."""

import httpx2
from fastapi.testclient import TestClient


class Wire:
    """The way to the application, which loses or replaces answers as it is told."""

    def __init__(self, api: TestClient) -> None:
        self._api = api
        self.faults: list[str] = []
        self.asked: list[httpx2.Request] = []
        self.given: list[int] = []
        self.waited: list[float] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "refused":
            raise httpx2.ConnectError("connection refused")
        if fault == "silent":
            raise httpx2.ReadTimeout("timed out")
        if fault == "proxy":
            return httpx2.Response(502, html="<h1>Bad gateway</h1>", request=request)
        if fault.startswith("busy"):
            headers = {"Retry-After": fault.partition(" ")[2]}
            return httpx2.Response(503, headers=headers, request=request)
        answer = self._api.request(
            request.method, str(request.url), content=request.read(), headers=request.headers
        )
        if fault == "lost":
            raise httpx2.ReadError("connection reset by peer")
        self.given.append(answer.status_code)
        kept = {name: value for name, value in answer.headers.items() if name != "content-length"}
        return httpx2.Response(
            answer.status_code, content=answer.content, headers=kept, request=request
        )
