"""POST /api/v1/look and GET /api/v1/totals: what forms, browsers and histories ask beside the tasks."""

from __future__ import annotations

import asyncio
import os
from typing import Final

from aiohttp import web

from engines.errors import TaskdeckError
from engines.paths import from_uri
from tui_app import wire
from tui_app.web.bodies import read_body, text, whole
from tui_app.web.context import DECK
from tui_app.web.problem import json_response

_STILL_THERE: Final = 0.25


async def look(request: web.Request) -> web.Response:
    """Answer; whoever hangs up ends the work (a form asks anew with every change)."""
    body = await read_body(request, wire.LookRequest)
    base = None if body.base is None else from_uri(body.base)
    if base is not None and not os.path.isabs(base):
        raise TaskdeckError("path.missing", "cannot use the base folder", "it is not an absolute path")
    work = asyncio.create_task(request.app[DECK].tasks.look(whole(body.look), base=base))
    try:
        while not work.done():
            await asyncio.wait({work}, timeout=_STILL_THERE)
            if request.transport is None or request.transport.is_closing():
                break
        if work.done():
            return json_response(wire.LookAnswer(work.result()))
        raise web.HTTPRequestTimeout
    finally:
        work.cancel()


async def totals(request: web.Request) -> web.Response:
    """What the ended tasks that match a filter come to."""
    return json_response(await request.app[DECK].tasks.totals(text(request, "filter")))
