"""Reading requests: bodies within a time, parameters within their ranges."""

from __future__ import annotations

import asyncio
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from engines.errors import TaskdeckError
from engines.names import display
from engines.query import MAX_LIMIT, Query, Sort

T = TypeVar("T")
BODY_SECONDS: Final = 10.0
"""A body that drips is cut: aiohttp itself would wait for ever."""
_CURSOR_LIMIT: Final = 8192
"""A cursor may hold a title."""


async def read_body(request: web.Request, kind: type[T]) -> T:
    """The JSON body as this Struct.

    Raises:
        TaskdeckError: `usage` for malformed JSON, `value` for a bad field.
        web.HTTPUnsupportedMediaType: It is not application/json.
    """
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType
    async with asyncio.timeout(BODY_SECONDS):
        raw = await request.read()
    try:
        return _decoded(raw, kind)
    except msgspec.ValidationError as error:
        raise TaskdeckError("value", "cannot use the request", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TaskdeckError("usage", "cannot read the request", str(error)) from None
    except RecursionError:
        raise _too_deep() from None


def _decoded(raw: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        if "got `float`" not in str(error):
            raise
    # To JSON Schema 5.0 is an integer; some languages write all their numbers so.
    return msgspec.convert(_whole(msgspec.json.decode(raw)), kind)


def whole(value: Any) -> Any:
    """JSON with the numbers that are whole as integers.

    Raises:
        TaskdeckError: `usage` when it is nested too deeply.
    """
    try:
        return _whole(value)
    except RecursionError:
        raise _too_deep() from None


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def _too_deep() -> TaskdeckError:
    return TaskdeckError("usage", "cannot read the request", "it is nested too deeply")


def integer(request: web.Request, name: str, default: int, *, low: int = 0, high: int = 2**53) -> int:
    """A whole number among the URL's parameters."""
    text = request.query.get(name)
    if text is None:
        return default
    try:
        if not text.lstrip("-").isdigit() or not text.isascii() or len(text) > 20:
            raise ValueError
        value = int(text)
    except ValueError:
        raise _bad(name, text, "it is not a whole number") from None
    if not low <= value <= high:
        raise _bad(name, text, f"it must be {low} to {high}")
    return value


def text(request: web.Request, name: str, default: str = "", *, limit: int = 1000) -> str:
    """A text among the URL's parameters."""
    value = request.query.get(name, default)
    if len(value) > limit:
        raise _bad(name, value, f"it is longer than {limit} characters")
    return value


def flag(request: web.Request, name: str) -> bool:
    """A truth value among the URL's parameters."""
    value = request.query.get(name, "0")
    if value not in ("0", "1", "true", "false"):
        raise _bad(name, value, "write 0 or 1")
    return value in ("1", "true")


def query_of(request: web.Request, *, limit: int = 50) -> Query:
    """The window on the list that the URL's parameters describe."""
    sort = request.query.get("sort", Sort.STATE.value)
    try:
        order = Sort(sort)
    except ValueError:
        raise _bad("sort", sort, "known are " + ", ".join(item.value for item in Sort)) from None
    return Query(
        filter=text(request, "filter"),
        sort=order,
        reverse=flag(request, "reverse"),
        offset=integer(request, "offset", 0),
        limit=integer(request, "limit", limit, high=MAX_LIMIT),
        cursor=text(request, "cursor", limit=_CURSOR_LIMIT),
    )


def _bad(name: str, value: Any, why: str) -> TaskdeckError:
    return TaskdeckError("value", f"cannot use parameter {name}='{display(str(value), limit=80)}'", why)
