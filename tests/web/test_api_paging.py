"""The list page by page: a cursor names a place between tasks, so what comes and goes neither hides nor repeats any."""

from __future__ import annotations

import base64
from typing import Any

import aiohttp
import msgspec
import pytest
from yarl import URL

from engines.model import Action, Actor, SubmitOptions
from engines.query import Sort
from engines.tasks.cursor import Cursor
from tests.support.station import Station
from tui_app.daemon import Daemon

ME = Actor("tester", "api")


async def add(daemon: Daemon, title: str, *, paused: bool = False) -> str:
    options = SubmitOptions(paused=paused)
    op = {"op": "steps", "path": f"{daemon.settings.roots[0]}/{title}", "count": 1, "pause": 0}
    return (await daemon.tasks.submit(op, actor=ME, options=options)).id


async def some(daemon: Daemon, *, ended: int = 7, live: int = 6) -> list[str]:
    """Tasks of which some have ended and some wait, with names out of order."""
    found = [await add(daemon, f"f{number * 5 % 11}.bin") for number in range(ended)]
    for task_id in found:
        await daemon.tasks.wait(task_id)
    return found + [await add(daemon, f"f{number * 7 % 13}.bin", paused=True) for number in range(live)]


async def walk(http: aiohttp.ClientSession, **asked: Any) -> list[str]:
    """Ids of all pages, following `next_cursor`."""
    found: list[str] = []
    cursor = ""
    while True:
        given = {**asked, "cursor": cursor} if cursor else asked
        page = await (await http.get("/api/v1/tasks", params=given)).json()
        assert page["items"] or not cursor, "an empty page at the end"
        found += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


async def test_a_walk_by_cursor_gives_every_order_as_one_page_does(station: Station, daemon: Daemon) -> None:
    tasks = await some(daemon)
    async with station.http() as http:
        for sort in Sort:
            for reverse in ("0", "1"):
                asked = {"sort": sort.value, "reverse": reverse}
                whole = await walk(http, limit="500", **asked)
                assert sorted(whole) == sorted(tasks), asked
                assert await walk(http, limit="4", **asked) == whole, asked
        assert len(await walk(http, limit="2", filter="status:ended")) == 7
        assert len(await walk(http, limit="2", filter="status:open f1")) == len(
            await walk(http, limit="500", filter="status:open f1")
        )


@pytest.mark.parametrize("sort", ["state", "created", "name", "kind", "size", "finished"])
async def test_tasks_that_come_and_go_neither_repeat_nor_hide_others(
    station: Station, daemon: Daemon, sort: str
) -> None:
    before = await some(daemon)
    async with station.http() as http:
        first = await (await http.get("/api/v1/tasks", params={"sort": sort, "limit": "4"})).json()
        shown = [item["id"] for item in first["items"]]
        gone = shown[1]
        await daemon.tasks.control([gone], Action.CANCEL, actor=ME)
        await daemon.tasks.wait(gone)
        await daemon.tasks.control([gone], Action.REMOVE, actor=ME)
        new = {await add(daemon, "f0.bin", paused=True), await add(daemon, "z.bin", paused=True)}
        rest: list[str] = []
        cursor = first["next_cursor"]
        while cursor is not None:
            page = await (await http.get("/api/v1/tasks", params={"sort": sort, "limit": "3", "cursor": cursor})).json()
            rest += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
    assert not set(rest) & set(shown)
    assert sorted(set(shown + rest) - new) == sorted(before)


async def test_the_link_header_leads_through_the_list_by_cursor_and_by_offset(station: Station, daemon: Daemon) -> None:
    tasks = await some(daemon, ended=3, live=4)
    async with station.http() as http:
        for start in ({"limit": "3"}, {"limit": "3", "offset": "0"}):
            answer = await http.get("/api/v1/tasks", params=start)
            found = [item["id"] for item in (await answer.json())["items"]]
            while "next" in answer.links:
                target = URL(str(answer.links["next"]["url"]))
                assert ("offset" in target.query) is ("offset" in start)
                assert ("cursor" in target.query) is ("offset" not in start)
                answer = await http.get(str(target))
                found += [item["id"] for item in (await answer.json())["items"]]
            assert sorted(found) == sorted(tasks)


async def test_an_age_in_the_filter_counts_from_the_beginning_of_the_walk(station: Station, daemon: Daemon) -> None:
    await some(daemon, ended=0, live=5)
    async with station.http() as http:
        first = await (await http.get("/api/v1/tasks", params={"filter": "since:1d", "limit": "2"})).json()
        cursor = msgspec.msgpack.decode(_raw(first["next_cursor"]), type=Cursor)
        late = _text(msgspec.structs.replace(cursor, at=cursor.at + 2 * 86400))
        page = await (
            await http.get("/api/v1/tasks", params={"filter": "since:1d", "limit": "2", "cursor": late})
        ).json()
    assert page["items"] == []


@pytest.mark.parametrize("sort", ["state", "created", "finished"])
async def test_what_is_no_cursor_of_this_list_is_refused(station: Station, daemon: Daemon, sort: str) -> None:
    await some(daemon, ended=3, live=3)
    async with station.http() as http:
        asked = {"sort": sort, "limit": "2"}
        good = (await (await http.get("/api/v1/tasks", params=asked)).json())["next_cursor"]
        cursor = msgspec.msgpack.decode(_raw(good), type=Cursor)
        bad = [
            asked | {"cursor": "nonsense"},
            asked | {"cursor": "ä"},
            asked | {"cursor": good[:-4]},
            asked | {"cursor": good, "filter": "f1"},
            asked | {"cursor": good, "sort": "name"},
            asked | {"cursor": good, "reverse": "1"},
            asked | {"cursor": good, "offset": "2"},
            asked | {"cursor": _text(msgspec.structs.replace(cursor, key=()))},
            asked | {"cursor": _text(msgspec.structs.replace(cursor, live=True, key=("x", None, 1, 2, 3, 4)))},
        ]
        for given in bad:
            answer = await http.get("/api/v1/tasks", params=given)
            told = await answer.json()
            assert (answer.status, told["code"]) == (404, "query.cursor"), given
            assert answer.content_type == "application/problem+json"


def _raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text(cursor: Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(cursor)).rstrip(b"=").decode()
