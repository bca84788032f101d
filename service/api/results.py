"""/sweeps/{id}/…: what comes out of a sweep, from its arms to its figures.

All are read at one place of each trial (`at`), against one baseline, from one picture of the
database; an answer's `ETag` says which version of the sweep it shows.
"""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from service import storage
from service.analysis import metrics, plots
from service.analysis.effect_table import NONE
from service.api.context import DatabaseDep, SettingsDep, SweepId, unchanged
from service.api.known import knows
from service.api.openapi import gives, gives_bytes
from service.api.schemas.results import (
    ArmPage,
    Comparisons,
    Curves,
    Effects,
    Methods,
    Plot,
    SpeedAnswer,
    Table,
)
from service.descents import descents_of, grids_of
from service.errors import NotFound, Unprocessable
from service.pictures import MEDIA_TYPES as TEXT_TYPES
from service.pictures import Asked, Pictures
from service.results import Results, json_safe
from service.settings import Settings
from service.store import sweeps as store
from service.store.models import Sweep
from service.store.reported import refuse_unknown
from service.store.session import Database
from service.versions import tag_of_results

router = APIRouter(prefix="/sweeps/{sweep_id}", tags=["results"])


async def _pictures(request: Request) -> Pictures:
    return request.app.state.pictures  # type: ignore[no-any-return]


PicturesDep = Annotated[Pictures, Depends(_pictures)]

At = Annotated[
    str | None,
    Query(pattern=r"^(last|best|epoch:[1-9][0-9]{0,5})$", description="last, best or epoch:N"),
]
Metric = Annotated[
    str | None, Query(max_length=100, description="one that the trials report, e.g. test_loss")
]
Baseline = Annotated[
    int | None, Query(ge=1, le=2**63 - 1, description="id of the arm to compare all others with")
]
By = Annotated[Literal["epoch", "seconds"], Query(description="what the curves run over")]

Format = Literal["json", "markdown", "csv", "latex"]
FigureName = Literal["learning-curves", "keep-prob", "forest", "effects", "descent"]
Points = Annotated[int, Query(ge=2, le=100_000, description="at most so many a curve")]

MEDIA_TYPES = TEXT_TYPES | {
    "svg": "image/svg+xml",
    "pdf": "application/pdf",
    "png": "image/png",
}


@router.get("/arms", **gives(ArmPage))
def arms(
    sweep_id: SweepId,
    request: Request,
    database: DatabaseDep,
    pictures: PicturesDep,
    at: At = None,
) -> Response:
    """Each arm with n, failed and diverged, and every metric's statistics over its seeds.

    Of a sweep of more than 2,000 trials that runs, as it was some seconds ago: `Age`.
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
    format: Format = "json",
    metric: Metric = None,
    at: At = None,
    baseline: Baseline = None,
) -> Response:
    """Each arm against its baseline, paired by seed: differences, intervals, tests, effect.

    Of a sweep of more than 2,000 trials that runs, as it was some seconds ago: `Age`.
    """
    return _pictured(
        database, pictures, request, Asked(sweep_id, "comparisons", metric, at, baseline, format)
    )


@router.get("/effects", **gives(Effects, also=("text/markdown", "text/csv", "application/x-latex")))
def effects(
    sweep_id: SweepId,
    request: Request,
    database: DatabaseDep,
    pictures: PicturesDep,
    format: Format = "json",
    metric: Metric = None,
    at: At = None,
    baseline: Baseline = None,
) -> Response:
    """What each factor of a grid does, over the settings of the others: main effects, and
    interactions of two. The sweep's baseline, or the arm asked for, is their reference.

    Of a sweep of more than 2,000 trials that runs, as it was some seconds ago: `Age`.
    """
    return _pictured(
        database, pictures, request, Asked(sweep_id, "effects", metric, at, baseline, format)
    )


@router.get("/table", **gives(Table, also=("text/markdown", "text/csv", "application/x-latex")))
def table(
    sweep_id: SweepId,
    request: Request,
    database: DatabaseDep,
    pictures: PicturesDep,
    format: Format = "json",
    metric: Metric = None,
    at: At = None,
    baseline: Baseline = None,
) -> Response:
    """The table of one metric, laid out as the spec asks.

    Of a sweep of more than 2,000 trials that runs, as it was some seconds ago: `Age`.
    """
    return _pictured(
        database, pictures, request, Asked(sweep_id, "table", metric, at, baseline, format)
    )


@router.get("/methods", **gives(Methods, also=("text/markdown", "application/x-latex")))
def methods(
    sweep_id: SweepId,
    request: Request,
    database: DatabaseDep,
    pictures: PicturesDep,
    format: Literal["json", "markdown", "latex"] = "json",
    metric: Metric = None,
    at: At = None,
    baseline: Baseline = None,
) -> Response:
    """How the numbers were made, for a paper's section on methods: what was trained, on which
    seeds, how it was tested, what failed, what it cost, by what code.

    Of a sweep of more than 2,000 trials that runs, as it was some seconds ago: `Age`.
    """
    return _pictured(
        database, pictures, request, Asked(sweep_id, "methods", metric, at, baseline, format)
    )


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
    sweep, found = _results(database, sweep_id, request, metric=metric, epochs=True)
    if found is None:
        return unchanged(tag_of_results(sweep.version))
    name = metric or found.headline
    items = [curve.to_json() for curve in found.curves(name, by=by, points=points)]
    return _json(sweep, {"metric": name, "by": by, "items": items, "next_page_token": None})


@router.get("/speed", **gives(SpeedAnswer))
def speed(
    sweep_id: SweepId,
    request: Request,
    database: DatabaseDep,
    threshold: Annotated[float, Query(description="in the metric's own unit, e.g. 0.9")],
    metric: Metric = None,
) -> Response:
    """Epochs and seconds until a metric first reaches a value, with and without LRD."""
    sweep, found = _results(database, sweep_id, request, metric=metric, epochs=True)
    if found is None:
        return unchanged(tag_of_results(sweep.version))
    name = metric or found.headline
    if metrics.Metric(name).is_share and not 0 <= threshold <= 1:
        raise Unprocessable(
            f"{name} is a share, and shares are 0 to 1: 0.88, not 88; got {threshold:g}"
        )
    reached, against = found.speed(name, threshold)
    answer = {
        "metric": name,
        "threshold": threshold,
        "items": [each.to_json() for each in reached],
        "comparisons": [each.to_json() for each in against],
        "next_page_token": None,
    }
    return _json(sweep, answer)


@router.get(
    "/figures/{name}.{kind}",
    **gives_bytes("image/svg+xml", "application/pdf", "image/png"),
)
def figure(
    sweep_id: SweepId,
    name: FigureName,
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
    from service.analysis import figures  # matplotlib: half a second that other answers do without

    epochs = name == "learning-curves"
    sweep, found = _results(database, sweep_id, request, at, baseline, metric=metric, epochs=epochs)
    if found is None:
        return unchanged(tag_of_results(sweep.version))
    _refuse_empty(found, name, metric)
    made = _drawn(figures, found, settings, name, metric=metric, by=by, points=None)
    content = figures.to_bytes(made, kind, caption=caption)
    return Response(
        content, media_type=MEDIA_TYPES[kind], headers={"ETag": tag_of_results(sweep.version)}
    )


@router.get("/plots/{name}", **gives(Plot))
def plot(
    sweep_id: SweepId,
    name: FigureName,
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
    epochs = name == "learning-curves"
    sweep, found = _results(database, sweep_id, request, at, baseline, metric=metric, epochs=epochs)
    if found is None:
        return unchanged(tag_of_results(sweep.version))
    made = _drawn(plots, found, settings, name, metric=metric, by=by, points=points)
    return _json(sweep, made)


def _drawn(
    by_what: Any,
    found: Results,
    settings: Settings,
    name: str,
    *,
    metric: str | None,
    by: By,
    points: int | None,
) -> Any:
    """A figure, by `service.analysis.figures` or by `service.analysis.plots`: they have the same
    functions."""
    chosen = metric or found.headline
    match name:
        case "learning-curves":
            shown = [metric] if metric else found.learning_metrics
            panels = {each: found.curves(each, by=by, points=points) for each in shown}
            return by_what.learning_curves(found.arms, panels, by=by)
        case "keep-prob":
            return by_what.against_keep_prob(found.summaries(chosen), chosen, at=found.at)
        case "forest":
            against = found.comparisons(chosen, found.summaries(chosen))
            return by_what.forest(against, found.arms, at=found.at)
        case "effects":
            return by_what.effects(found.effects(chosen), at=found.at)
        case _:
            with storage.answering():
                ways = descents_of(found, settings.trials)
            return by_what.descent_paths(grids_of(found), found.arms, ways)


def _refuse_empty(found: Results, name: str, metric: str | None) -> None:
    """A file with nothing in it is of no use to a paper; the page says so in a sentence.

    Raises:
        NotFound: no arm has a baseline, or arms differ in one factor alone.
    """
    chosen = metric or found.headline
    if name == "forest" and not found.comparisons(chosen, found.summaries(chosen)):
        raise NotFound("no arm has a baseline to be compared with: name one with `baseline`")
    if name == "effects" and not found.effects(chosen):
        raise NotFound(NONE)


def _pictured(database: Database, pictures: Pictures, request: Request, asked: Asked) -> Response:
    """The answer, from the kept ones where nothing has changed."""
    with database.read() as session:
        sweep = store.get(session, asked.sweep_id)
        if knows(request, tag_of_results(sweep.version)):
            return unchanged(tag_of_results(sweep.version))
        refuse_unknown(session, sweep, asked.metric)
        picture = pictures.of(session, sweep, asked)
    if picture is None:
        picture = pictures.wait(asked, sweep.version)
    headers = {"ETag": picture.etag}
    if picture.version < sweep.version:
        headers["Age"] = str(picture.age)
    if knows(request, picture.etag):
        return Response(status_code=304, headers=headers)
    return Response(picture.content, media_type=MEDIA_TYPES[asked.format], headers=headers)


def _results(
    database: Database,
    sweep_id: str,
    request: Request,
    at: str | None = None,
    baseline: int | None = None,
    *,
    metric: str | None,
    epochs: bool,
) -> tuple[Sweep, Results | None]:
    """The sweep and its results, read, with every epoch if `epochs`; None where the reader has them
    already. `metric` is one that is to be read of them."""
    with database.read() as session:
        sweep = store.get(session, sweep_id)
        if knows(request, tag_of_results(sweep.version)):
            return sweep, None
        refuse_unknown(session, sweep, metric)
        found = Results(session, sweep, at=at, baseline=baseline)
        found.read(epochs=epochs)
    return sweep, found


def _json(sweep: Sweep, content: Any) -> Response:
    # Encoded here: FastAPI's encoder walks every number twice, and breaks on NaN.
    text = json.dumps(json_safe(content), ensure_ascii=False, separators=(",", ":"))
    return Response(
        text, media_type="application/json", headers={"ETag": tag_of_results(sweep.version)}
    )
