"""/sweeps/{id}/…: the results of a sweep, from its arms to its figures.

All are read at one epoch of each trial (`at`), against one baseline, from one snapshot of the
database. An answer's `ETag` says which version of the sweep it shows.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

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
from service.pictures import MEDIA_TYPES as TEXT_TYPES
from service.pictures import Asked, Pictures
from service.results import Results, json_safe
from service.store import sweeps as store
from service.store.reported import refuse_unknown
from service.store.session import Database
from service.versions import tag_of_results

router = APIRouter(prefix="/sweeps/{sweep_id}", tags=["results"])


async def _pictures(request: Request) -> Pictures:
    return request.app.state.pictures  # type: ignore[no-any-return]


PicturesDep = Annotated[Pictures, Depends(_pictures)]

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


@dataclass(frozen=True)
class Reading:
    """Which metric is read, at which epoch, and against which baseline."""

    metric: Metric = None
    at: At = None
    baseline: Baseline = None


ReadingDep = Annotated[Reading, Depends()]


@router.get("/arms", **gives(ArmPage))
def arms(
    sweep_id: SweepId,
    request: Request,
    database: DatabaseDep,
    pictures: PicturesDep,
    at: At = None,
) -> Response:
    """Each arm with n, failed and diverged, and every metric's statistics over its seeds.

    A running sweep of more than 2,000 trials is shown as it was some seconds ago: `Age`.
    """
    return _pictured(database, pictures, request, Asked(sweep_id, "arms", at=at))


@router.get(
    "/comparisons",
    **gives(Comparisons, also=("text/markdown", "text/csv", "application/x-latex")),
)
def comparisons(
    sweep_id: SweepId,
    request: Request,
    database: DatabaseDep,
    pictures: PicturesDep,
    reading: ReadingDep,
    format: TableFormat = "json",
) -> Response:
    """Each arm against its baseline, paired by seed: differences, intervals, tests, effect.

    A running sweep of more than 2,000 trials is shown as it was some seconds ago: `Age`.
    """
    asked = Asked(sweep_id, "comparisons", reading.metric, reading.at, reading.baseline, format)
    return _pictured(database, pictures, request, asked)


@router.get("/effects", **gives(Effects, also=("text/markdown", "text/csv", "application/x-latex")))
def effects(
    sweep_id: SweepId,
    request: Request,
    database: DatabaseDep,
    pictures: PicturesDep,
    reading: ReadingDep,
    format: TableFormat = "json",
) -> Response:
    """The effect of each factor of a grid over the settings of the others: main effects, and
    interactions of two. Their reference is the sweep's baseline, or the arm asked for.

    A running sweep of more than 2,000 trials is shown as it was some seconds ago: `Age`.
    """
    asked = Asked(sweep_id, "effects", reading.metric, reading.at, reading.baseline, format)
    return _pictured(database, pictures, request, asked)


@router.get("/table", **gives(Table, also=("text/markdown", "text/csv", "application/x-latex")))
def table(
    sweep_id: SweepId,
    request: Request,
    database: DatabaseDep,
    pictures: PicturesDep,
    reading: ReadingDep,
    format: TableFormat = "json",
) -> Response:
    """The table of one metric, laid out as the spec asks.

    A running sweep of more than 2,000 trials is shown as it was some seconds ago: `Age`.
    """
    asked = Asked(sweep_id, "table", reading.metric, reading.at, reading.baseline, format)
    return _pictured(database, pictures, request, asked)


@router.get("/methods", **gives(Methods, also=("text/markdown", "application/x-latex")))
def methods(
    sweep_id: SweepId,
    request: Request,
    database: DatabaseDep,
    pictures: PicturesDep,
    reading: ReadingDep,
    format: ProseFormat = "json",
) -> Response:
    """How the numbers were made, for a paper's methods section: what was trained, on which seeds,
    how it was tested, what failed, what it cost, with which code.

    A running sweep of more than 2,000 trials is shown as it was some seconds ago: `Age`.
    """
    asked = Asked(sweep_id, "methods", reading.metric, reading.at, reading.baseline, format)
    return _pictured(database, pictures, request, asked)


@router.get("/curves", **gives(Curves))
def curves(
    sweep_id: SweepId,
    request: Request,
    database: DatabaseDep,
    metric: Metric = None,
    by: By = "epoch",
    points: Points = 1000,
) -> Response:
    """The mean of a metric at each epoch of each arm, with its standard deviation and n."""

    def answer(found: Results) -> Response:
        name = metric or found.headline
        items = [curve.to_json() for curve in found.curves(name, by=by, points=points)]
        return _json({"metric": name, "by": by, "items": items, "next_page_token": None})

    return _computed(database, sweep_id, request, Reading(metric), answer, epochs=True)


@router.get("/speed", **gives(SpeedAnswer))
def speed(
    sweep_id: SweepId,
    request: Request,
    database: DatabaseDep,
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

    reading = Reading(metric, baseline=baseline)
    return _computed(database, sweep_id, request, reading, answer, epochs=True)


@router.get("/power", **gives(Power))
def power(
    sweep_id: SweepId,
    request: Request,
    database: DatabaseDep,
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

    return _computed(database, sweep_id, request, reading, answer, epochs=False)


@router.get(
    "/figures/{name}.{kind}",
    **gives_bytes("image/svg+xml", "application/pdf", "image/png"),
)
def figure(
    sweep_id: SweepId,
    name: Figure,
    kind: Literal["svg", "pdf", "png"],
    request: Request,
    database: DatabaseDep,
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

    reading, epochs = Reading(metric, at, baseline), name == "learning-curves"
    return _computed(database, sweep_id, request, reading, answer, epochs=epochs)


@router.get("/plots/{name}", **gives(Plot))
def plot(
    sweep_id: SweepId,
    name: Figure,
    request: Request,
    database: DatabaseDep,
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

    reading, epochs = Reading(metric, at, baseline), name == "learning-curves"
    return _computed(database, sweep_id, request, reading, answer, epochs=epochs)


# --- inside ---------------------------------------------------------------------------------------


def _pictured(database: Database, pictures: Pictures, request: Request, asked: Asked) -> Response:
    """The answer, from the cache if nothing has changed."""
    with database.read() as session:
        sweep = store.get(session, asked.sweep_id)
        if matches_if_none_match(request, tag_of_results(sweep.version)):
            return unchanged(tag_of_results(sweep.version))
        refuse_unknown(session, sweep, asked.metric)
        picture = pictures.of(session, sweep, asked)
    if picture is None:
        picture = pictures.wait(asked, sweep.version)
    headers = {"ETag": picture.etag}
    if picture.version < sweep.version:
        headers["Age"] = str(picture.age)
    if matches_if_none_match(request, picture.etag):
        return Response(status_code=304, headers=headers)
    return Response(picture.content, media_type=MEDIA_TYPES[asked.format], headers=headers)


def _computed(
    database: Database,
    sweep_id: str,
    request: Request,
    reading: Reading,
    answer: Callable[[Results], Response],
    *,
    epochs: bool,
) -> Response:
    """`answer` from the sweep's results, with every epoch if `epochs`; 304 if the reader has it."""
    with database.read() as session:
        sweep = store.get(session, sweep_id)
        tag = tag_of_results(sweep.version)
        if matches_if_none_match(request, tag):
            return unchanged(tag)
        refuse_unknown(session, sweep, reading.metric)
        found = Results(session, sweep, at=reading.at, baseline=reading.baseline)
        found.read(epochs=epochs)
    made = answer(found)
    made.headers["ETag"] = tag
    return made


def _json(content: Any) -> Response:
    # Encoded here: FastAPI's encoder walks every number twice, and breaks on NaN.
    text = json.dumps(json_safe(content), ensure_ascii=False, separators=(",", ":"))
    return Response(text, media_type="application/json")
