"""/presets: the paper's tables and figures as sweeps that are ready to submit."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from lrd_core import presets
from lrd_core.spec import SweepSpec
from lrd_core.spelling import did_you_mean
from service.api.openapi import gives, gives_yaml
from service.api.schemas.service import PresetDetail, PresetPage
from service.errors import NotFound

router = APIRouter(prefix="/presets", tags=["presets"])


@router.get("", **gives(PresetPage))
def index() -> dict[str, Any]:
    """All presets, each with a description and its number of trials."""
    return {"items": [_view(name) for name in presets.names()], "next_page_token": None}


@router.get("/{name}", **gives(PresetDetail))
def read(name: str) -> dict[str, Any]:
    """One preset: its spec, and the file as written."""
    _must_exist(name)
    return _view(name) | {"spec": presets.load(name), "text": presets.text(name)}


@router.get("/{name}/text", **gives_yaml(SweepSpec))
def text(name: str) -> PlainTextResponse:
    """The preset's sweep file, comments and all."""
    _must_exist(name)
    return PlainTextResponse(presets.text(name), media_type="application/yaml")


def _must_exist(name: str) -> None:
    if name not in presets.names():
        meant = did_you_mean(name, presets.names())
        raise NotFound(f"there is no preset {name!r}{meant}; GET /api/v1/presets lists them")


def _view(name: str) -> dict[str, Any]:
    spec = SweepSpec.parse(presets.load(name))
    return {
        "name": name,
        "description": presets.description(name),
        "title": spec.name,
        "trials_total": spec.trials_total(),
    }
