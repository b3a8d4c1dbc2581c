"""The page's files: read once, hashed, compressed once, served from memory.

Their addresses hold a version made from their content, so browsers keep them for ever and an update of Taskdeck
is seen at once. All addresses inside are relative: the page works below any sub-path of a reverse proxy.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from aiohttp import hdrs, web

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json; charset=utf-8",
}
_PACKED: Final = frozenset({".html", ".js", ".css", ".svg", ".webmanifest"})
_STAMPED: Final = frozenset({".html", ".webmanifest"}) | {"sw.js"}
"""Files in which "{version}" is replaced."""
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_CHECKED: Final = "no-cache"
THEME_COOKIE: Final = "taskdeck_theme"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent: plain, and compressed when that is smaller."""

    body: bytes
    packed: bytes | None
    etag: str
    kind: str


@dataclass(frozen=True, slots=True)
class Assets:
    """All files of the page by name, and their common version."""

    version: str
    files: dict[str, Asset]


@functools.cache
def assets() -> Assets:
    """The page's files; read at the first call."""
    raw = dict(sorted(_read(resources.files(__package__) / "static")))
    digest = hashlib.sha256()
    for name, body in raw.items():
        digest.update(name.encode() + b"\0" + len(body).to_bytes(8, "big") + body)
    version = digest.hexdigest()[:12]
    files = {}
    for name, body in raw.items():
        suffix = name[name.rfind(".") :]
        if suffix in _STAMPED or name in _STAMPED:
            body = body.replace(b"{version}", version.encode())
        files[name] = _asset(body, suffix)
        if name == "index.html":
            for theme in ("light", "dark"):
                stamped = body.replace(b'<html lang="en">', f'<html lang="en" data-theme="{theme}">'.encode(), 1)
                files[f"index.{theme}.html"] = _asset(stamped, suffix)
    return Assets(version, files)


def _read(folder: Traversable, prefix: str = "") -> list[tuple[str, bytes]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _read(entry, f"{prefix}{entry.name}/")
        elif entry.name[entry.name.rfind(".") :] in _TYPES:
            found.append((prefix + entry.name, entry.read_bytes()))
    return found


def _asset(body: bytes, suffix: str) -> Asset:
    packed = gzip.compress(body, 9, mtime=0) if suffix in _PACKED else None
    if packed is not None and len(packed) >= len(body):
        packed = None
    return Asset(body, packed, f'"{hashlib.sha256(body).hexdigest()[:16]}"', _TYPES[suffix])


def _send(request: web.Request, name: str, cache: str) -> web.Response:
    asset = assets().files.get(name)
    if asset is None:
        raise web.HTTPNotFound
    headers = {hdrs.ETAG: asset.etag, hdrs.CACHE_CONTROL: cache, hdrs.CONTENT_TYPE: asset.kind}
    if asset.packed is not None:
        headers[hdrs.VARY] = "Accept-Encoding"
    if asset.etag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
        return web.Response(status=304, headers=headers)
    body = asset.body
    if asset.packed is not None and "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        headers[hdrs.CONTENT_ENCODING] = "gzip"
        body = asset.packed
    return web.Response(body=body, headers=headers)


async def root(request: web.Request) -> web.StreamResponse:
    """GET /: to the dashboard."""
    raise web.HTTPSeeOther("dashboard")


async def dashboard(request: web.Request) -> web.StreamResponse:
    """GET /dashboard: the page, already in the colours its reader chose."""
    theme = request.cookies.get(THEME_COOKIE, "")
    response = _send(request, f"index.{theme}.html" if theme in ("light", "dark") else "index.html", _CHECKED)
    response.headers[hdrs.VARY] = "Accept-Encoding, Cookie"
    return response


async def login(request: web.Request) -> web.StreamResponse:
    """GET /login: the page to sign in on."""
    return _send(request, "login.html", _CHECKED)


async def offline(request: web.Request) -> web.StreamResponse:
    """GET /offline: what the service worker keeps for bad times."""
    return _send(request, "offline.html", _CHECKED)


async def service_worker(request: web.Request) -> web.StreamResponse:
    """GET /sw.js: at the root, because a worker governs only addresses below its own."""
    return _send(request, "sw.js", _CHECKED)


async def manifest(request: web.Request) -> web.StreamResponse:
    """GET /app.webmanifest: what makes the page installable."""
    return _send(request, "app.webmanifest", _CHECKED)


async def static(request: web.Request) -> web.StreamResponse:
    """GET /static/{version}/{name}: immutable under the present version, checked each time under an older one."""
    current = request.match_info["version"] == assets().version
    return _send(request, request.match_info["name"], _FOR_EVER if current else _CHECKED)
