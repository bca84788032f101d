"""/docs: the REST API to read and try out, with Swagger UI served from this machine."""

from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # Swagger UI sets styles on what it draws
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Learning Rate Dropout: REST API</title>
<link rel="icon" href="web/icon.svg">
<link rel="stylesheet" href="docs/files/swagger-ui.css">
<script src="web/theme.js"></script>
<div id="swagger-ui"></div>
<script src="docs/files/swagger-ui-bundle.js"></script>
<script src="web/reference.js" type="module"></script>
</html>
"""


def mount(app: FastAPI) -> None:
    """Serve the page and Swagger UI's files, which come with the package fastapi-offline."""

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(_PAGE, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})

    package = find_spec("fastapi_offline")
    assert package is not None
    assert package.origin is not None
    files = StaticFiles(directory=Path(package.origin).parent / "static")
    app.mount("/docs/files", files, name="docs")
