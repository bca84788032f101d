"""/metrics for Prometheus: counts of this process's answers, and figures from the database.

The dispatcher is not a web server, so its counts travel with its lease. They start at 0 with each
dispatcher, as Prometheus expects of counters.
"""

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector
from starlette.types import Scope

from service.lifecycle import TrialState
from service.store import leases, queue
from service.store.away import AWAY
from service.store.session import Database

SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics:
    """The metrics of one application."""

    def __init__(self, database: Database) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            "lrd_http_requests", "Requests answered.", ["method", "route", "status"],
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "lrd_http_request_seconds", "Time to answer.", ["method", "route"], buckets=SECONDS,
            registry=self._registry,
        )  # fmt: skip
        self._registry.register(_Stored(database))

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request by its route: there is no limit to the number of addresses."""
        route = getattr(scope.get("route"), "path", "other")
        if scope["path"].startswith("/api/v1/"):
            route = "/api/v1" + route if route != "other" else route
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(method, route).observe(seconds)

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._registry)


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class _Stored(Collector):
    """Metrics from the database; only `lrd_database_up 0` if it does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        try:
            with self._database.read() as session:
                counts = queue.counts(session)
                age = queue.age(session)
                held = queue.in_use(session)
                lease = leases.current(session)
        except AWAY:
            yield GaugeMetricFamily("lrd_database_up", "Whether the database answers.", 0)
            return
        yield GaugeMetricFamily("lrd_database_up", "Whether the database answers.", 1)
        trials = GaugeMetricFamily("lrd_trials", "Trials by state.", labels=["state"])
        for state in TrialState:
            trials.add_metric([state], counts[state])
        yield trials
        yield GaugeMetricFamily(
            "lrd_queue_age_seconds", "How long the oldest sweep with queued trials is there.", age
        )
        yield GaugeMetricFamily(
            "lrd_dispatcher_up", "Whether a dispatcher leads.", int(lease is not None)
        )
        seen: dict[str, Any] = (lease.cluster or {}) if lease else {}
        yield from _resources(seen.get("nodes", []), {"cpus": held.cpus, "gpus": held.gpus})
        yield from _dispatched(seen.get("totals"))


def _resources(nodes: list[dict[str, float]], held: dict[str, float]) -> Iterator[Metric]:
    yield GaugeMetricFamily("lrd_nodes", "Nodes of the Ray cluster.", len(nodes))
    for kind, words in (("cpus", "CPUs"), ("gpus", "GPUs")):
        total = sum(node[kind] for node in nodes)
        metric = GaugeMetricFamily(
            f"lrd_{kind}", f"{words} that trials hold, and that are free.", labels=["use"]
        )
        metric.add_metric(["used"], held[kind])
        metric.add_metric(["free"], max(0.0, total - held[kind]))
        yield metric


def _dispatched(totals: dict[str, float] | None) -> Iterator[Metric]:
    if totals is None:
        return
    yield SummaryMetricFamily(
        "lrd_dispatch_latency_seconds",
        "From the claim of a trial to the first word of its process.",
        count_value=int(totals["starts"]),
        sum_value=totals["start_seconds"],
    )
    yield SummaryMetricFamily(
        "lrd_report_lag_seconds",
        "From the arrival of an epoch report at the dispatcher to its commit.",
        count_value=int(totals["reports"]),
        sum_value=totals["report_seconds"],
    )
    for kind in ("cpu", "gpu"):
        yield CounterMetricFamily(
            f"lrd_{kind}_seconds", f"{kind.upper()}-seconds of recorded epochs.",
            totals[f"{kind}_seconds"],
        )  # fmt: skip
