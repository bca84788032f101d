"""The figures of a sweep, for paper or for Plotly."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from service import storage
from service.analysis.arms import ArmSummary
from service.analysis.comparison_table import ALONE
from service.analysis.comparisons import Comparison
from service.analysis.curves import Curve
from service.analysis.data import ArmId, ArmInfo
from service.analysis.effect_table import why_none
from service.analysis.effects import Effect
from service.choices import Axis
from service.descents import descents_of, grids_of
from service.drawing.descents import Grid, Polyline
from service.errors import NotFound
from service.results import Results
from service.settings import Settings

T = TypeVar("T", covariant=True)


class Drawing(Protocol[T]):
    """The functions that `service.drawing.figures` and `service.drawing.plots` have in common."""

    def learning_curves(
        self,
        arms: Sequence[ArmInfo],
        metrics: Mapping[str, Sequence[Curve]],
        *,
        by: Axis = ...,
    ) -> T: ...

    def against_keep_prob(
        self, summaries: Sequence[ArmSummary], metric: str, *, at: str = ...
    ) -> T: ...

    def forest(
        self, comparisons: Sequence[Comparison], arms: Sequence[ArmInfo] = ..., *, at: str = ...
    ) -> T: ...

    def effects(self, found: Sequence[Effect], *, at: str = ...) -> T: ...

    def descent_paths(
        self,
        grids: Mapping[str, Grid],
        arms: Sequence[ArmInfo],
        paths: Mapping[ArmId, Sequence[Polyline]],
    ) -> T: ...


def drawn(
    drawing: Drawing[T],
    found: Results,
    settings: Settings,
    name: str,
    *,
    metric: str | None,
    by: Axis,
    points: int | None,
) -> T:
    """The figure called `name`, for paper or for Plotly."""
    chosen = metric or found.headline
    match name:
        case "learning-curves":
            shown = [metric] if metric else found.learning_metrics
            panels = {each: found.curves(each, by=by, points=points) for each in shown}
            return drawing.learning_curves(found.arms, panels, by=by)
        case "keep-prob":
            return drawing.against_keep_prob(found.summaries(chosen), chosen, at=found.at)
        case "forest":
            against = found.comparisons(chosen, found.summaries(chosen))
            return drawing.forest(against, found.arms, at=found.at)
        case "effects":
            return drawing.effects(found.effects(chosen), at=found.at)
        case _:
            with storage.answering():
                ways = descents_of(found, settings.trials)
            return drawing.descent_paths(grids_of(found), found.arms, ways)


def refuse_empty(found: Results, name: str, metric: str | None) -> None:
    """Refuse to make a file with nothing in it; the page says the same in a sentence.

    Raises:
        NotFound: no arm has a baseline, or no factor an effect.
    """
    chosen = metric or found.headline
    if name == "forest" and not found.comparisons(chosen, found.summaries(chosen)):
        if len(found.arms) == 1:
            raise NotFound(ALONE)
        raise NotFound("no arm has a baseline to be compared with: name one with `baseline`")
    if name == "effects" and not found.effects(chosen):
        raise NotFound(why_none(found.designs))
