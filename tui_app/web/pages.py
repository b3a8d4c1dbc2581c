"""The dashboard page and its files, read once from the package. Pages hold no data: scripts fetch it."""

from __future__ import annotations

import functools
import hashlib
from importlib.resources import files as resources
from typing import Final

from aiohttp import web

_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


async def dashboard(request: web.Request) -> web.Response:
    """GET /dashboard."""
    return _asset(request, "dashboard.html")


async def static(request: web.Request) -> web.Response:
    """GET /static/{path}."""
    return _asset(request, request.match_info["path"])


def _asset(request: web.Request, name: str) -> web.Response:
    found = _assets().get(name)
    if found is None:
        raise web.HTTPNotFound
    body, tag, kind = found
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)


@functools.cache
def _assets() -> dict[str, tuple[bytes, str, str]]:
    """Every file of the page by name. A table, not a path lookup: nothing else can be asked for."""
    found = {}
    for item in resources("tui_app.web").joinpath("static").iterdir():
        suffix = item.name[item.name.rfind(".") :]
        if item.is_file() and suffix in _TYPES:
            body = item.read_bytes()
            found[item.name] = (body, f'"{hashlib.sha256(body).hexdigest()[:16]}"', _TYPES[suffix])
    return found
