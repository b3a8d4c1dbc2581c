"""Files between a browser and the roots: results down (resumable by Range), files to work on up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec
from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter

from engines import files
from engines.errors import TaskdeckError
from engines.filecopy import write_all
from engines.model import Kind, TaskState
from engines.names import display, safe_component
from engines.operations import output_of
from engines.paths import to_uri, unreadable
from tui_app.web.bodies import text
from tui_app.web.context import DECK, Deck
from tui_app.web.problem import RangeError, json_response

STALL_SECONDS: Final = 30.0
"""An upload that sends nothing for so long has ended."""
_SHOWN: Final = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
"""What a browser may show; everything else is only saved (a web page made by a job would run in our name)."""


_RANGE: Final = re.compile(r"bytes=(?:(\d+)-\d*|-\d+)")
"""One part of a file. What asks for several, or in other units, gets the whole (RFC 9110, 14.2)."""


class Uploaded(msgspec.Struct, frozen=True):
    """Where a sent file lies now."""

    path: str
    name: str
    size: int


async def output(request: web.Request) -> web.StreamResponse:
    """GET /api/v1/tasks/{id}/output: the file a task made."""
    deck = request.app[DECK]
    detail = await deck.tasks.detail(request.match_info["id"], log_lines=0)
    if detail.view.state is not TaskState.COMPLETED or detail.result is None:
        raise TaskdeckError("task.state", f"cannot give the output of {detail.view.id}", f"it is {detail.view.state}")
    made = output_of(detail.view.op, detail.result)
    if made is None or not os.path.isabs(made):
        raise TaskdeckError("path.missing", f"cannot give the output of {detail.view.id}", "it made no file")
    path = deck.policy.source(made)
    descriptor = await asyncio.to_thread(_open, deck, path)
    try:
        whole = _wants_whole(request, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    shown = _SHOWN.get(path.suffix.casefold())
    response = _Opened(deck, descriptor, whole=whole)
    response.content_type = shown or "application/octet-stream"
    way = "inline" if shown else "attachment"
    response.headers["Content-Disposition"] = f"{way}; {_named(safe_component(path.name))}"
    return response


def _named(name: str) -> str:
    """The name for browsers, and before it one in ASCII for programs that know no other (RFC 6266, appendix D)."""
    plain = re.sub(r"[^ !#-\[\]-~]|%(?=[0-9A-Fa-f]{2})", "_", name)
    return f"filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"


def _wants_whole(request: web.Request, info: os.stat_result) -> bool:
    """Whether a Range is to be ignored: it is none we know, or the file is another one than the client has a part of.

    Raises:
        RangeError: The part begins behind the end.
    """
    given = request.headers.get(hdrs.RANGE)
    if given is None:
        return False
    part = _RANGE.fullmatch(given)
    had = request.headers.get(hdrs.IF_RANGE, "")
    # aiohttp compares dates only; a tag is compared here with the one it makes (RFC 9110, 13.1.5).
    if part is None or (had.endswith('"') and had != f'"{info.st_mtime_ns:x}-{info.st_size:x}"'):
        return True
    if part[1] is not None and int(part[1]) >= info.st_size and not had:
        raise RangeError(info.st_size)
    return False


class _Opened(web.FileResponse):
    """Sends an open file: what was checked is what is sent, whatever happens to its name meanwhile."""

    def __init__(self, deck: Deck, descriptor: int, *, whole: bool) -> None:
        super().__init__(f"/proc/self/fd/{descriptor}")
        self._deck = deck
        self._descriptor = descriptor
        self._whole = whole

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send it all, or the part that was asked for."""
        if self._whole and isinstance(request, web.Request):
            request = request.clone(headers=[item for item in request.headers.items() if item[0].casefold() != "range"])
        try:
            writer = await super().prepare(request)
        finally:
            os.close(self._descriptor)
        if self.status == 200 and request.method == "GET":
            await self._deck.count(Kind.DOWNLOAD)
        return writer


def _open(deck: Deck, path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise unreadable(path, error) from None
    real = os.readlink(f"/proc/self/fd/{descriptor}")
    if not deck.policy.allows(real) or not os.path.isfile(real):
        os.close(descriptor)
        if os.path.isdir(real):
            raise TaskdeckError("path.kind", f"cannot send '{display(path)}'", "it is a folder", "pack it first")
        raise TaskdeckError("path.outside_roots", f"cannot send '{display(path)}'", "it lies outside the roots")
    return descriptor


async def upload(request: web.Request) -> web.Response:
    """POST /api/v1/uploads?name=: the body is the file; it appears whole or not at all, and replaces nothing."""
    deck = request.app[DECK]
    given = text(request, "name", "file", limit=1000)
    if not given:
        raise TaskdeckError("value", "cannot take the file", "its name is empty")
    name = safe_component(given)
    expected = request.content_length or 0
    limit = deck.settings.web.max_upload
    if limit and expected > limit:
        raise _too_large(limit)
    folder = await asyncio.to_thread(_folder, deck, expected)
    staged = folder / files.fit_name(name, before=".", after=f".{secrets.token_hex(4)}.part")
    with _removed(staged):
        written = await _receive(request, staged, deck)
        target = await asyncio.to_thread(_publish, staged, folder / name)
    await deck.count(Kind.UPLOAD)
    return json_response(Uploaded(to_uri(str(target)), display(target.name), written), status=201)


def _folder(deck: Deck, expected: int) -> Path:
    given = deck.settings.web.upload_folder or os.path.join(deck.policy.roots[0], "uploads")
    folder = deck.policy.target(given, base=deck.policy.roots[0])
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise unreadable(folder, error) from None
    files.require_space(folder, expected + deck.settings.tasks.disk_floor, what="receive the file")
    return folder


@contextlib.contextmanager
def _removed(staged: Path) -> Iterator[None]:
    try:
        yield
    finally:
        staged.unlink(missing_ok=True)


async def _receive(request: web.Request, staged: Path, deck: Deck) -> int:
    limit, floor = deck.settings.web.max_upload, deck.settings.tasks.disk_floor
    written = 0
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        while True:
            async with asyncio.timeout(STALL_SECONDS):
                block = await request.content.read(1 << 20)
            if not block:
                break
            written += len(block)
            if limit and written > limit:
                raise _too_large(limit)
            await asyncio.to_thread(_append, descriptor, block, staged.parent, floor)
        await asyncio.to_thread(os.fsync, descriptor)
    except OSError as error:
        if isinstance(error, (TimeoutError, ConnectionError)):
            raise
        raise unreadable(staged, error) from None
    finally:
        os.close(descriptor)
    return written


def _append(descriptor: int, block: bytes, folder: Path, floor: int) -> None:
    # Not every body says beforehand how long it is, and several may come at once.
    files.require_space(folder, floor, what="receive the file")
    write_all(descriptor, block)


def _publish(staged: Path, target: Path) -> Path:
    for number in range(1, 10_000):
        candidate = target.with_name(files.numbered(target.name, number))
        try:
            files.rename_exclusive(staged, candidate)
        except FileExistsError:
            continue
        except OSError as error:
            raise unreadable(target, error) from None
        files.sync_folder(target.parent)
        return candidate
    raise TaskdeckError("path.exists", f"cannot name '{display(target)}'", "too many alternatives exist already")


def _too_large(limit: int) -> TaskdeckError:
    return TaskdeckError(
        "http.too_large", "cannot take the file", f"it is larger than {limit:,} bytes", "raise web.max_upload"
    )
