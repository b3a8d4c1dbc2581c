"""Responses: JSON by msgspec, and every error as application/problem+json (RFC 9457) with a stable code."""

from __future__ import annotations

import http
import logging
from typing import Any, Final

import msgspec
from aiohttp import web

from engines.errors import CODES, ErrorInfo, TaskdeckError
from tui_app import wire
from tui_app.web.limits import RateLimitError

_LOG = logging.getLogger(__name__)
_ENCODER: Final = msgspec.json.Encoder()
_JSON: Final = {"Content-Type": "application/json; charset=utf-8"}
_BY_STATUS: Final[dict[int, tuple[str, str, str]]] = {
    400: ("usage", "cannot read the request", "it is malformed"),
    404: ("http.route", "cannot find this address", "there is nothing here"),
    405: ("http.method", "cannot do this", "the address does not take this method"),
    413: ("http.too_large", "cannot take the request", "its body is larger than allowed"),
    415: ("http.media_type", "cannot read the request", "its body must be application/json"),
    426: ("http.upgrade", "cannot answer", "this address speaks WebSocket only"),
}


class RangeError(TaskdeckError):
    """`http.range`, with the size of the file."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__("http.range", "cannot send this part of the file", f"it has {size:,} bytes")


def json_response(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A value as JSON."""
    # Given as a header: aiohttp's own parameters for it cost as much as the whole encoding.
    return web.Response(body=_ENCODER.encode(value), status=status, headers={**_JSON, **(headers or {})})


def problem(error: ErrorInfo, request: web.Request, headers: dict[str, str] | None = None) -> web.Response:
    """The response for an error."""
    info = CODES.get(error.code, CODES["internal"])
    body = wire.Problem(
        type=f"urn:taskdeck:error:{error.code}",
        title=info.meaning.removesuffix("."),
        status=info.http,
        detail=error.message,
        code=error.code,
        instance=request.path[:200],
        technical=error.detail,
    )
    return web.Response(
        body=_ENCODER.encode(body), status=info.http, content_type="application/problem+json", headers=headers
    )


def from_exception(error: BaseException, request: web.Request) -> web.Response:
    """The response for whatever a handler raised; faults of ours are logged, never shown."""
    if isinstance(error, TaskdeckError):
        return problem(error.info, request, _headers_of(error))
    if isinstance(error, web.HTTPException):
        code, what, why = _BY_STATUS.get(error.status, ("usage", "cannot answer", _phrase(error.status)))
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return problem(TaskdeckError(code, what, why).info, request, headers)
    if isinstance(error, web.RequestPayloadError):
        broken = TaskdeckError("usage", "cannot read the request", "its body is not as its headers say")
        return problem(broken.info, request, {"Connection": "close"})
    if isinstance(error, TimeoutError):
        late = TaskdeckError("http.timeout", "cannot read the request", "its body did not arrive in time")
        return problem(late.info, request, {"Connection": "close"})
    _LOG.error("request %s %s failed", request.method, request.path, exc_info=error)
    return problem(TaskdeckError("internal", "cannot answer", "Taskdeck met a fault", "see its log").info, request)


def _headers_of(error: TaskdeckError) -> dict[str, str] | None:
    if isinstance(error, RateLimitError):
        return {"Retry-After": str(error.retry_after)}
    if isinstance(error, RangeError):
        return {"Content-Range": f"bytes */{error.size}"}
    return {"WWW-Authenticate": 'Bearer realm="taskdeck"'} if error.code == "access.login" else None


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase.lower()
    except ValueError:
        return f"status {status}"
