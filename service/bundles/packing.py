"""Export: a sweep's rows, tables and figures in a zip."""

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

import yaml
from sqlalchemy import select
from sqlalchemy.orm import Session

from service import exports, storage
from service.analysis import listings, methods, render
from service.analysis.comparisons import Comparison
from service.analysis.curves import Curve
from service.analysis.data import ArmId
from service.analysis.effects import Effect
from service.analysis.escaping import escape_markdown
from service.analysis.metrics import Metric
from service.bundles.snapshot import taken
from service.bundles.tables import BATCH, TABLES, VERSION, json_names, rows_of
from service.descents import descents_of, grids_of, surface_of
from service.drawing import captions
from service.drawing.descents import Polyline
from service.drawing.panels import over_keep_prob
from service.results import Results, json_safe
from service.rows import Part, read
from service.store import sweeps as store
from service.store.models import Attempt, Sweep
from service.store.session import Database

IN_MEMORY = 8 << 20
"""Bytes of a zip that may be kept in memory; a larger one is a temporary file."""


def pack(database: Database, sweep_id: str, trials: str) -> IO[bytes]:
    """The sweep as a zip, positioned at its start; closing it deletes it.

    `trials`: path or fsspec URL of the trials' folders, where descents have left their paths.

    Raises:
        NotFound: there is no such sweep.
        Conflict: it is still running, and a bundle holds only what will not change.
        Unavailable: the storage of the trials' folders does not answer.
    """
    out = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - its reader closes it
    try:
        with (
            taken(database, sweep_id) as session,
            zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle,
        ):
            sums = [
                f"{_add(bundle, name, parts)}  {name}\n"
                for name, parts in _files(session, store.get(session, sweep_id), trials)
            ]
            bundle.writestr("SHA256SUMS", "".join(sums))
        out.seek(0)
    except BaseException:
        out.close()
        raise
    return out


# --- inside ---------------------------------------------------------------------------------------


def _add(bundle: zipfile.ZipFile, name: str, parts: Iterable[str | bytes]) -> str:
    """Write a file part by part, and return its checksum."""
    sha256 = hashlib.sha256()
    with bundle.open(name, "w", force_zip64=True) as file:
        for part in parts:
            data = part.encode() if isinstance(part, str) else part
            sha256.update(data)
            file.write(data)
    return sha256.hexdigest()


def _files(
    session: Session, sweep: Sweep, trials: str
) -> Iterator[tuple[str, Iterable[str | bytes]]]:
    from service.drawing import figures

    found = Results(read(session, sweep, ~Part.NONE))
    yield "spec.yaml", [yaml.safe_dump(sweep.spec, sort_keys=False, allow_unicode=True)]
    arms = [
        {"label": arm.label, "is_baseline": arm.is_baseline, "config": arm.config}
        for arm in found.arms
    ]
    yield "arms.json", [_json(arms)]
    for kind in exports.KINDS:
        yield f"{kind}.csv", exports.csv_lines(session, sweep.id, kind)
    table = found.table()
    yield "table.md", [render.markdown(table)]
    yield "table.csv", [render.csv(table)]
    yield "table.tex", [render.latex(table, found.provenance, name=sweep.id)]
    yield "table.json", [_json(json_safe(render.to_json(table)))]
    how = found.methods()
    yield "methods.md", [methods.markdown(how)]
    yield "methods.tex", [methods.latex(how, found.provenance)]
    metric = found.headline
    compared, factors = found.comparison_table(metric), found.effect_table(metric)
    comparisons, effects = compared.comparisons, factors.effects
    yield "comparisons.json", [_json(json_safe(compared.items))]
    for listing in (compared, factors):
        if listing.lines:
            yield f"{listing.of}.md", [listings.markdown(listing)]
            yield f"{listing.of}.csv", [listings.csv(listing)]
            text = listings.latex(listing, found.provenance, name=sweep.id)
            yield f"{listing.of}.tex", [text]
    panels = {name: found.curves(name) for name in found.learning_metrics}
    drawn = {
        "learning-curves": figures.learning_curves(found.arms, panels),
        "keep-prob": figures.against_keep_prob(found.summaries(metric), metric, at=found.at),
    }
    if comparisons:
        drawn["forest"] = figures.forest(comparisons, found.arms, at=found.at)
    if effects:
        drawn["effects"] = figures.effects(effects, at=found.at)
    if ways := _descents(found, trials):
        yield "descents.json", [_json({str(arm): paths for arm, paths in ways.items()})]
        drawn["descent"] = figures.descent_paths(grids_of(found), found.arms, ways)
    said = _captions(found, metric, panels, comparisons, effects, ways)
    yield "figures/captions.md", [said]
    for name, figure in drawn.items():
        for form in ("svg", "pdf"):
            yield f"figures/{name}.{form}", [figures.to_bytes(figure, form)]
    environments: dict[str, list[Any]] = {str(trial.id): [] for trial in found.trials}
    # Without a filter: the snapshot holds this sweep alone.
    for attempt in session.scalars(select(Attempt).order_by(Attempt.trial_id, Attempt.attempt)):
        told = {"attempt": attempt.attempt, "environment": attempt.environment}
        environments[str(attempt.trial_id)].append(told)
    code = {"code": sweep.code_version, "trials": environments}
    yield "environment.json", [_json(code)]
    yield "rows/version.json", [_json({"version": VERSION})]
    for name in TABLES:
        yield f"rows/{name}.jsonl", _lines(session, sweep.id, name)


def _descents(found: Results, trials: str) -> dict[ArmId, list[Polyline]]:
    if not any(surface_of(arm) for arm in found.arms):
        return {}
    with storage.answering():
        return descents_of(found, trials)


def _captions(
    found: Results,
    metric: str,
    panels: Mapping[str, Sequence[Curve]],
    comparisons: Sequence[Comparison],
    effects: Sequence[Effect],
    ways: Mapping[ArmId, Sequence[Polyline]],
) -> str:
    """A caption for each figure."""
    kind, at = Metric(metric), found.at
    said = {
        "learning-curves": (
            f"{', '.join(Metric(name).title for name in panels)} at each epoch",
            captions.learning_curves(panels, found.arms),
        ),
        "keep-prob": (
            f"{kind.title} against the keep probability",
            captions.against_keep_prob(over_keep_prob(found.summaries(metric)), at),
        ),
    }
    if comparisons:
        said["forest"] = (kind.difference_title, captions.forest(comparisons, at))
    if effects:
        said["effects"] = (kind.effect_title, captions.effects(effects, at))
    if ways:
        said["descent"] = ("The paths of the descents", captions.descent_paths([*grids_of(found)]))
    # A caption may contain names of arms, which users chose.
    return "".join(
        f"- {name}: {what}. {escape_markdown(how)}\n" for name, (what, how) in said.items()
    )


def _lines(session: Session, sweep_id: str, name: str) -> Iterator[str]:
    written = json_names(name)
    query = rows_of(name, sweep_id).execution_options(yield_per=BATCH)
    for row in session.execute(query).mappings():
        # Values that are already JSON are written as they are.
        parts = (
            f"{json.dumps(key)}: {(value or 'null') if key in written else json.dumps(value)}"
            for key, value in row.items()
        )
        yield f"{{{', '.join(parts)}}}\n"


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
