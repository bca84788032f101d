"""/sweeps/{id}/…: the results of a sweep, from its arms to its figures.

All are read at one epoch of each trial (`at`), against one baseline, from one snapshot of the
database. An answer's `ETag` says which version of the sweep it shows.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Depends, Query, Request, Response

from service.analysis import metrics
from service.api.conditional import matches_if_none_match, unchanged
from service.api.context import DatabaseDep, SettingsDep, SweepId
from service.api.openapi import gives, gives_bytes
from service.api.schemas.results import (
    ArmPage,
    Comparisons,
    Curves,
    Effects,
    Methods,
    Plot,
    Power,
    SpeedAnswer,
    Table,
)
from service.choices import Axis, Figure, ProseFormat, TableFormat
from service.drawing import plots
from service.drawing.named import drawn, refuse_empty
from service.errors import Unprocessable
from service.results import Results, json_safe
from service.results_cache import MEDIA_TYPES as TEXT_TYPES
from service.results_cache import Asked, ResultsCache
from service.rows import Part, read
from service.store import sweeps as store
from service.store.reported import refuse_unknown
from service.store.session import Database
from service.versions import tag_of_results

router = APIRouter(prefix="/sweeps/{sweep_id}", tags=["results"])


At = Annotated[
    str | None,
    Query(
        pattern=r"^(last|best|epoch:[1-9][0-9]{0,5})$",
        description="epoch to read: last, best or epoch:N",
    ),
]
Metric = Annotated[
    str | None, Query(max_length=100, description="a metric that the trials report, e.g. test_loss")
]
Baseline = Annotated[
    int | None, Query(ge=1, le=2**63 - 1, description="id of the arm to compare all others with")
]
By = Annotated[Axis, Query(description="horizontal axis of the curves")]

Points = Annotated[int, Query(ge=2, le=100_000, description="points per curve, at most")]

MEDIA_TYPES = TEXT_TYPES | {
    "svg": "image/svg+xml",
    "pdf": "application/pdf",
    "png": "image/png",
}


class Reading(NamedTuple):
    """Which metric of a sweep is read, at which epoch, and against which baseline."""

    sweep_id: str
    metric: str | None = None
    at: str | None = None
    baseline: int | None = None


async def _reading(
    sweep_id: SweepId, metric: Metric = None, at: At = None, baseline: Baseline = None
) -> Reading:
    return Reading(sweep_id, metric, at, baseline)


ReadingDep = Annotated[Reading, Depends(_reading)]


@dataclass(frozen=True)
class Reader:
    """A request for results; the answer is 304 if its `If-None-Match` names the present ones."""

    request: Request
    database: Database

    def kept(self, what: str, reading: Reading, format: str = "json") -> Response:
        """`arms`, `comparisons`, `effects`, `methods` or `table`, from the cache if nothing has
        changed."""
        sweep_id, metric, at, baseline = reading
        asked = Asked(sweep_id, what, metric, at, baseline, format)
        cache: ResultsCache = self.request.app.state.results
        with self.database.read() as session:
            sweep = store.get(session, sweep_id)
            if matches_if_none_match(self.request, tag_of_results(sweep.version)):
                return unchanged(tag_of_results(sweep.version))
            refuse_unknown(session, sweep, metric)
            made = cache.of(session, sweep, asked)
        answer = made()
        headers = {"ETag": answer.etag}
        if answer.version < sweep.version:
            headers["Age"] = str(answer.age)
        if matches_if_none_match(self.request, answer.etag):
            return Response(status_code=304, headers=headers)
        return Response(answer.content, media_type=MEDIA_TYPES[format], headers=headers)

    def computed(
        self, answer: Callable[[Results], Response], reading: Reading, parts: Part
    ) -> Response:
        """`answer` from the sweep's results, for which these parts of its rows are read."""
        with self.database.read() as session:
            sweep = store.get(session, reading.sweep_id)
            tag = tag_of_results(sweep.version)
            if matches_if_none_match(self.request, tag):
                return unchanged(tag)
            refuse_unknown(session, sweep, reading.metric)
            rows = read(session, sweep, parts, at=reading.at, baseline=reading.baseline)
        made = answer(Results(rows))
        made.headers["ETag"] = tag
        return made


async def _reader(request: Request, database: DatabaseDep) -> Reader:
    return Reader(request, database)


ReaderDep = Annotated[Reader, Depends(_reader)]


@router.get("/arms", **gives(ArmPage))
def arms(sweep_id: SweepId, reader: ReaderDep, at: At = None) -> Response:
    """Each arm with n, failed and diverged, and every metric's statistics over its seeds.

    A running sweep of more than 2,000 trials is shown as it was some seconds ago: `Age`.
    """
    return reader.kept("arms", Reading(sweep_id, at=at))


@router.get(
    "/comparisons",
    **gives(Comparisons, also=("text/markdown", "text/csv", "application/x-latex")),
)
def comparisons(reader: ReaderDep, reading: ReadingDep, format: TableFormat = "json") -> Response:
    """Each arm against its baseline, paired by seed: differences, intervals, tests, effect.

    A running sweep of more than 2,000 trials is shown as it was some seconds ago: `Age`.
    """
    return reader.kept("comparisons", reading, format)


@router.get("/effects", **gives(Effects, also=("text/markdown", "text/csv", "application/x-latex")))
def effects(reader: ReaderDep, reading: ReadingDep, format: TableFormat = "json") -> Response:
    """The effect of each factor of a grid over the settings of the others: main effects, and
    interactions of two. Their reference is the sweep's baseline, or the arm asked for.

    A running sweep of more than 2,000 trials is shown as it was some seconds ago: `Age`.
    """
    return reader.kept("effects", reading, format)


@router.get("/table", **gives(Table, also=("text/markdown", "text/csv", "application/x-latex")))
def table(reader: ReaderDep, reading: ReadingDep, format: TableFormat = "json") -> Response:
    """The table of one metric, laid out as the spec asks.

    A running sweep of more than 2,000 trials is shown as it was some seconds ago: `Age`.
    """
    return reader.kept("table", reading, format)


@router.get("/methods", **gives(Methods, also=("text/markdown", "application/x-latex")))
def methods(reader: ReaderDep, reading: ReadingDep, format: ProseFormat = "json") -> Response:
    """How the numbers were made, for a paper's methods section: what was trained, on which seeds,
    how it was tested, what failed, what it cost, with which code.

    A running sweep of more than 2,000 trials is shown as it was some seconds ago: `Age`.
    """
    return reader.kept("methods", reading, format)


@router.get("/curves", **gives(Curves))
def curves(
    sweep_id: SweepId,
    reader: ReaderDep,
    metric: Metric = None,
    by: By = "epoch",
    points: Points = 1000,
) -> Response:
    """The mean of a metric at each epoch of each arm, with its standard deviation and n."""

    def answer(found: Results) -> Response:
        name = metric or found.headline
        items = [curve.to_json() for curve in found.curves(name, by=by, points=points)]
        return _json({"metric": name, "by": by, "items": items, "next_page_token": None})

    return reader.computed(answer, Reading(sweep_id, metric), Part.EPOCHS)


@router.get("/speed", **gives(SpeedAnswer))
def speed(
    sweep_id: SweepId,
    reader: ReaderDep,
    threshold: Annotated[float, Query(description="in the metric's own unit, e.g. 0.9")],
    metric: Metric = None,
    baseline: Baseline = None,
) -> Response:
    """Epochs and seconds until a metric first reaches a value, in each arm and against its
    baseline."""

    def answer(found: Results) -> Response:
        name = metric or found.headline
        if metrics.Metric(name).is_share and not 0 <= threshold <= 1:
            raise Unprocessable(
                f"{name} is a share, and shares are 0 to 1: 0.88, not 88; got {threshold:g}"
            )
        reached, against = found.speed(name, threshold)
        return _json({
            "metric": name,
            "threshold": threshold,
            "items": [each.to_json() for each in reached],
            "comparisons": [each.to_json() for each in against],
            "next_page_token": None,
        })  # fmt: skip

    return reader.computed(answer, Reading(sweep_id, metric, baseline=baseline), Part.EPOCHS)


@router.get("/power", **gives(Power))
def power(
    reader: ReaderDep,
    reading: ReadingDep,
    difference: Annotated[
        float | None,
        Query(gt=0, allow_inf_nan=False, description="in the metric's own unit, e.g. 0.002"),
    ] = None,
) -> Response:
    """Which differences from the baseline the seeds so far can find with 80 % power, in the
    metric's own unit, and how many seeds the one asked about takes."""

    def answer(found: Results) -> Response:
        name = reading.metric or found.headline
        if metrics.Metric(name).is_share and difference is not None and difference > 1:
            raise Unprocessable(
                f"{name} is a share, 0 to 1: 0.002 is 0.2 percentage points; got {difference:g}"
            )
        return _json(found.power(name, difference).to_json() | {"next_page_token": None})

    return reader.computed(answer, reading, Part.NONE)


@router.get(
    "/figures/{name}.{kind}",
    **gives_bytes("image/svg+xml", "application/pdf", "image/png"),
)
def figure(
    sweep_id: SweepId,
    reader: ReaderDep,
    name: Figure,
    kind: Literal["svg", "pdf", "png"],
    settings: SettingsDep,
    metric: Metric = None,
    at: At = None,
    by: By = "epoch",
    baseline: Baseline = None,
    caption: Annotated[
        bool, Query(description="false leaves it out; `layout.meta.caption` of the plot has it")
    ] = True,
) -> Response:
    """A figure for a paper: learning curves, a metric against keep_prob, forests of comparisons and
    of effects, paths."""
    from service.drawing import figures  # matplotlib takes half a second, only spent here

    def answer(found: Results) -> Response:
        refuse_empty(found, name, metric)
        made = drawn(figures, found, settings, name, metric=metric, by=by, points=None)
        content = figures.to_bytes(made, kind, caption=caption)
        return Response(content, media_type=MEDIA_TYPES[kind])

    return reader.computed(answer, Reading(sweep_id, metric, at, baseline), _parts(name))


@router.get("/plots/{name}", **gives(Plot))
def plot(
    sweep_id: SweepId,
    reader: ReaderDep,
    name: Figure,
    settings: SettingsDep,
    metric: Metric = None,
    at: At = None,
    by: By = "epoch",
    baseline: Baseline = None,
    points: Points = 1000,
) -> Response:
    """The same figures as Plotly JSON, `{"data": […], "layout": {…}}`, for a page to draw."""

    def answer(found: Results) -> Response:
        return _json(drawn(plots, found, settings, name, metric=metric, by=by, points=points))

    return reader.computed(answer, Reading(sweep_id, metric, at, baseline), _parts(name))


# --- inside ---------------------------------------------------------------------------------------


def _parts(figure: str) -> Part:
    return Part.EPOCHS if figure == "learning-curves" else Part.NONE


def _json(content: Any) -> Response:
    # Encoded here: FastAPI's encoder walks every number twice, and breaks on NaN.
    text = json.dumps(json_safe(content), ensure_ascii=False, separators=(",", ":"))
    return Response(text, media_type="application/json")
