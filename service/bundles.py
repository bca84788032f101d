"""A bundle: one sweep as a zip that needs nothing else, and that another service takes in again.

spec.yaml                 as it was submitted
arms.json                 every configuration with its defaults written out
trials.csv  reports.csv   everything that was recorded
table.*  comparisons.json figures/   with captions.md
environment.json          what each attempt ran on
rows/*.jsonl              the database's rows: what `lrd import` reads
SHA256SUMS                of all of the above
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from lrd_core.spec import SweepSpec
from service import exports
from service.analysis import captions, render
from service.analysis.comparisons import Comparison
from service.analysis.curves import Curve
from service.analysis.looks import lines_over_keep_prob
from service.analysis.metrics import Metric
from service.errors import Conflict, Unprocessable
from service.results import Results, json_safe
from service.store import history
from service.store import sweeps as store
from service.store.models import Arm, Attempt, Base, Event, Report, Sweep, Trial
from service.store.session import db_now

VERSION = 2
MAX_UNPACKED = 2 << 30
"""A bundle that unpacks to more bytes is refused."""
_TABLES: dict[str, type[Base]] = {
    "sweep": Sweep, "arms": Arm, "trials": Trial, "attempts": Attempt, "reports": Report,
    "events": Event,
}  # fmt: skip


def pack(session: Session, sweep: Sweep) -> bytes:
    """The sweep as a zip.

    Raises:
        Conflict: it still runs: a bundle holds what will not change.
    """
    if sweep.queued or sweep.running:
        raise Conflict(f"sweep {sweep.id} still runs; a bundle is made of one that has ended")
    out, sums = io.BytesIO(), []
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in _files(session, sweep):
            data = content.encode() if isinstance(content, str) else content
            bundle.writestr(name, data)
            sums.append(f"{hashlib.sha256(data).hexdigest()}  {name}\n")
        bundle.writestr("SHA256SUMS", "".join(sums))
    return out.getvalue()


def unpack(session: Session, content: bytes) -> Sweep:
    """Store the sweep that a bundle holds, with its id, trials, reports and events.

    Raises:
        Unprocessable: it is no bundle, or was changed since it was made.
        Conflict: a sweep with its id is here already.
    """
    rows = _verified_rows(content)
    (head,) = rows["sweep"]
    if session.get(Sweep, head["id"]) is not None:
        raise Conflict(f"sweep {head['id']} is here already")
    now = session.execute(select(db_now())).scalar_one()
    head["gpu_share"] = None  # as it was measured on the GPUs of the service that it comes from
    session.execute(insert(Sweep), [head])
    for row in rows["trials"]:
        row["reused_from"] = None  # an id of the service that it comes from
    arm_ids = _insert(session, Arm, rows["arms"], {})
    trial_ids = _insert(session, Trial, rows["trials"], {"arm_id": arm_ids})
    for name in ("attempts", "reports", "events"):
        for row in rows[name]:
            if row.get("trial_id") is not None:
                row["trial_id"] = trial_ids[row["trial_id"]]
            row.pop("id", None)
        if rows[name]:
            session.execute(insert(_TABLES[name]), rows[name])
    session.add(Event(sweep_id=head["id"], at=now, kind="imported"))
    session.flush()
    return store.get(session, head["id"])


# --- inside ---------------------------------------------------------------------------------------


def _files(session: Session, sweep: Sweep) -> Iterator[tuple[str, str | bytes]]:
    from service.analysis import figures

    found = Results(session, sweep)
    spec = SweepSpec.model_validate(sweep.spec)
    yield "spec.yaml", yaml.safe_dump(sweep.spec, sort_keys=False, allow_unicode=True)
    arms = [
        {"label": arm.label, "is_baseline": arm.is_baseline, "config": arm.config}
        for arm in found.arms
    ]
    yield "arms.json", _json(arms)
    for kind in exports.KINDS:
        yield f"{kind}.csv", "".join(exports.csv_lines(session, sweep.id, kind))
    table = found.table()
    yield "table.md", render.markdown(table)
    yield "table.csv", render.csv(table)
    yield "table.tex", render.latex(table, found.provenance, name=sweep.id)
    yield "table.json", _json(json_safe(render.to_json(table)))
    metric = spec.table.metric or found.headline
    comparisons = found.comparisons(metric, found.summaries(metric))
    yield "comparisons.json", _json(json_safe([each.to_json() for each in comparisons]))
    panels = {name: found.curves(name) for name in found.learning_metrics}
    drawn = {
        "learning-curves": figures.learning_curves(found.arms, panels),
        "keep-prob": figures.against_keep_prob(found.summaries(metric), metric),
        "forest": figures.forest(comparisons),
    }
    yield "figures/captions.md", _captions(found, metric, panels, comparisons)
    for name, figure in drawn.items():
        for form in ("svg", "pdf"):
            yield f"figures/{name}.{form}", figures.to_bytes(figure, form)
    environments = {
        str(trial.id): [
            {"attempt": each.attempt, "environment": each.environment}
            for each in history.attempts(session, trial.id)
        ]
        for trial in found.trials
    }
    yield "environment.json", _json({"code": sweep.code_version, "trials": environments})
    yield "rows/version.json", _json({"version": VERSION})
    for name, model in _TABLES.items():
        yield f"rows/{name}.jsonl", "".join(_lines(session, sweep.id, model))


def _captions(
    found: Results,
    metric: str,
    panels: Mapping[str, Sequence[Curve]],
    comparisons: Sequence[Comparison],
) -> str:
    """A caption for each figure."""
    kind, at = Metric(metric), found.at
    said = {
        "learning-curves": (
            f"{', '.join(Metric(name).title for name in panels)} at each epoch",
            captions.learning_curves(panels),
        ),
        "keep-prob": (
            f"{kind.title} against the keep probability, read at: {at}",
            captions.against_keep_prob(lines_over_keep_prob(found.summaries(metric))),
        ),
        "forest": (f"{kind.difference_title}, read at: {at}", captions.forest(comparisons)),
    }
    return "".join(f"- {name}: {what}. {how}\n" for name, (what, how) in said.items())


def _lines(session: Session, sweep_id: str, model: type[Base]) -> Iterator[str]:
    names = [column.key for column in model.__table__.columns]
    columns = model.__table__.c
    query: Any = select(model)
    if model is Sweep:
        query = query.where(Sweep.id == sweep_id)
    elif "sweep_id" in columns:
        query = query.where(columns.sweep_id == sweep_id)
    else:
        query = query.join(Trial, Trial.id == columns.trial_id).where(Trial.sweep_id == sweep_id)
    for row in session.scalars(query.order_by(*model.__table__.primary_key)):
        yield json.dumps({name: getattr(row, name) for name in names}) + "\n"


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _verified_rows(content: bytes) -> dict[str, list[dict[str, Any]]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as bundle:
            if sum(entry.file_size for entry in bundle.infolist()) > MAX_UNPACKED:
                raise Unprocessable(f"the bundle unpacks to more than {MAX_UNPACKED} bytes")
            sums = bundle.read("SHA256SUMS").decode().splitlines()
            listed = {name: sha256 for sha256, _, name in (line.partition("  ") for line in sums)}
            texts = {}
            for name in ["version.json", *(f"{table}.jsonl" for table in _TABLES)]:
                data = bundle.read(f"rows/{name}")
                if hashlib.sha256(data).hexdigest() != listed.get(f"rows/{name}"):
                    raise Unprocessable(f"rows/{name} is not what the bundle was made with")
                texts[name] = data.decode()
        version = json.loads(texts["version.json"])["version"]
        if version != VERSION:
            raise Unprocessable(f"this service reads bundles of version {VERSION}")
        rows = {
            table: [json.loads(line) for line in texts[f"{table}.jsonl"].splitlines()]
            for table in _TABLES
        }
        for table, model in _TABLES.items():
            known = {column.key for column in model.__table__.columns}
            if any(row.keys() != known for row in rows[table]):
                raise Unprocessable(f"rows/{table}.jsonl has other columns than this service")
        (head,) = rows["sweep"]
        SweepSpec.parse(head["spec"])
        if head["queued"] or head["running"]:
            raise Unprocessable("the bundle holds a sweep that has not ended")
        return rows
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise Unprocessable(f"this is no bundle: {error}") from None


def _insert(
    session: Session, model: type[Base], rows: list[dict[str, Any]], new: dict[str, dict[int, int]]
) -> dict[int, int]:
    """Insert rows under ids of this database; old id -> new id."""
    old = [row.pop("id") for row in rows]
    for row in rows:
        for name, ids in new.items():
            row[name] = ids[row[name]]
    if not rows:
        return {}
    key = model.__table__.c.id
    made = session.scalars(insert(model).returning(key, sort_by_parameter_order=True), rows)
    return dict(zip(old, made, strict=True))
