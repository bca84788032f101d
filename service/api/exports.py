"""Files of a sweep: CSV, Parquet, export and import of bundles, and the weights of a trial."""

import contextlib
from typing import IO, Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.orm import Session

from lrd_core.trial_folder import weights_name
from service import exports, parquet, storage
from service.access import caller_of
from service.api.context import DatabaseDep, SettingsDep, SweepId, TrialId, media_type, read_body
from service.api.download import Download, made
from service.api.limits import refuse_over_quota
from service.api.once import IdempotencyKey, Once
from service.api.openapi import gives, gives_bytes, takes_bytes
from service.api.schemas.sweeps import Sweep
from service.bundles.checking import checked
from service.bundles.packing import pack
from service.bundles.storing import store_bundle
from service.choices import Rows
from service.errors import NotFound, UnsupportedMedia
from service.lifecycle import TrialState
from service.store import models
from service.store import sweeps as store
from service.weights import folder_of_weights

router = APIRouter(tags=["exports"])


@router.get(
    "/sweeps/{sweep_id}/export",
    **gives_bytes("text/csv", "application/vnd.apache.parquet", "application/zip"),
)
def export(
    sweep_id: SweepId,
    database: DatabaseDep,
    settings: SettingsDep,
    format: Literal["csv", "parquet", "bundle"] = "csv",
    of: Annotated[Rows, Query(description="csv and parquet")] = "reports",
) -> Response:
    """All trials or all epoch reports, without sampling; or a zip of everything (`bundle`)."""
    if format == "bundle":
        bundle = pack(database, sweep_id, settings.trials)
        return Download(bundle, f"{sweep_id}.zip", "application/zip")
    with database.read() as session:
        store.get(session, sweep_id)
        # Written within the transaction but sent after it, because a reader may be slow.
        file = made(lambda out: _WRITERS[format](session, sweep_id, of, out))
    return Download(file, f"{sweep_id}-{of}.{format}", _MEDIA_TYPES[format])


@router.get("/trials/{trial_id}/weights", **gives_bytes("application/octet-stream"))
def weights(trial_id: TrialId, database: DatabaseDep, settings: SettingsDep) -> Response:
    """The final weights of a trial, if its sweep has `execution.keep_weights`: the `state_dict` of
    its model, for `torch.load(…, weights_only=True)`."""
    with database.read() as session:
        trial = store.get_trial(session, trial_id)
    if trial.state != TrialState.succeeded or trial.weights_sha256 is None:
        raise NotFound(
            f"trial {trial_id} is {trial.state}: only one that has succeeded has weights"
        )
    name = weights_name(trial.weights_sha256)
    with storage.answering():
        if folder := folder_of_weights(settings.trials, trial):
            with contextlib.suppress(FileNotFoundError):  # removed in the meantime
                file = folder.open(name)
                return Download(file, f"trial-{trial_id}-{name}", "application/octet-stream")
    raise NotFound(
        f"the weights of trial {trial_id} are not here: its sweep did not ask for them "
        "(`execution: {keep_weights: true}`), or came as a bundle, which has none"
    )


@router.post("/import", **gives(Sweep, 201), **takes_bytes("application/zip"))
async def import_bundle(
    request: Request,
    database: DatabaseDep,
    settings: SettingsDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Import a bundle that another service exported; the body is the zip.

    The sweep keeps its id and belongs to the sender. Content that no service would have written is
    refused with its file and row, and so is a sweep with more trials than the token may submit.
    """
    if media_type(request) != "application/zip":
        raise UnsupportedMedia("send the bundle as application/zip")
    content = await read_body(request, settings.max_bundle_bytes, settings.body_seconds)
    once, caller = Once(request, database, content, idempotency_key), caller_of(request)

    def take() -> Response:
        # Everything slow happens before the transaction.
        with checked(content, caller.max_sweep_trials) as bundle:

            def keep(session: Session) -> models.Sweep:
                refuse_over_quota(session, caller, bundle.retryable)  # a retry would queue them
                return store_bundle(session, bundle, caller.owner)

            return once.new_sweep(keep)

    return await run_in_threadpool(take)


def _write_csv(session: Session, sweep_id: str, of: str, out: IO[bytes]) -> None:
    for lines in exports.csv_lines(session, sweep_id, of):
        out.write(lines.encode())


_WRITERS = {"csv": _write_csv, "parquet": parquet.write}
_MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
