"""The page: its routes, its files, and the headers that keep users' strings from being run.

Plain ES modules and one stylesheet, served from `web/` as they are; plotly.js comes from the
installed plotly package, so that neither a build nor another host is needed.
"""

import functools
import gzip
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

WEB = Path(__file__).parent / "web"
PLOTLY = f"/web/plotly-{version('plotly')}.min.js"

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        # plotly.js adds an empty <style> and fills it by script: this is the hash of no content.
        "style-src 'self' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""No inline script, no eval, nothing from another host. Tested in a browser, figures included."""

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
@router.get("/sweeps")
@router.get("/new")
@router.get("/cluster")
@router.get("/sweeps/{sweep_id}")
@router.get("/trials/{trial_id}")
def page(request: Request) -> HTMLResponse:
    """One document for every address; its script draws what the address names.

    Links are relative, so that it works below any path at which a proxy shows it.
    """
    return _document(request)


@router.get(PLOTLY)
def plotly(request: Request) -> Response:
    """plotly.js, under a name that contains its version, so that a browser fetches it once."""
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    content = _plotly()
    if "gzip" in request.headers.get("accept-encoding", ""):
        content, headers["Content-Encoding"] = _zipped(), "gzip"
    return Response(content, media_type="text/javascript", headers=headers)


def missing(request: Request) -> Response | None:
    """The page for an address that does not exist; None unless the client asks for a page."""
    path, asked = request.url.path, request.headers.get("accept", "")
    if request.method != "GET" or "text/html" not in asked or path.startswith(("/api/", "/web/")):
        return None
    return _document(request, status=404)


def mount(app: FastAPI) -> None:
    """Serve the page and its files."""
    app.include_router(router)
    app.mount("/web", _Files(directory=WEB), name="web")


# --- inside ---------------------------------------------------------------------------------------


def _document(request: Request, status: int = 200) -> HTMLResponse:
    up = "/".join([".."] * (request.url.path.count("/") - 1)) or "."
    text = (WEB / "index.html").read_text().replace("{{plotly}}", PLOTLY).replace("{{root}}", up)
    return HTMLResponse(text, status, HEADERS)


class _Files(StaticFiles):
    """Files that are revalidated at each visit, because modules' names contain no version."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers.update({"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"})
        return answer


@functools.cache
def _plotly() -> bytes:
    package = find_spec("plotly")  # found, not imported: that would take a tenth of a second
    assert package is not None
    assert package.origin is not None
    return (Path(package.origin).parent / "package_data" / "plotly.min.js").read_bytes()


@functools.cache
def _zipped() -> bytes:
    return gzip.compress(_plotly(), compresslevel=6, mtime=0)
