"""Files between a browser and the roots: whole or not at all, inside the roots, resumable, nothing replaced."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio

from engines import files
from engines.model import Kind, TaskDetail, TaskState
from engines.settings import WebSettings
from tests.support.fake_tasks import FakeTasks, make_view
from tests.support.station import SECONDS
from tests.support.web_server import Site, site
from tui_app.web.access import Scope


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(FakeTasks(), tmp_path) as found:
        yield found


def made(served: Site, path: str, *, state: TaskState = TaskState.COMPLETED) -> None:
    """A task whose result names this path."""
    tasks = served.deck.tasks
    assert isinstance(tasks, FakeTasks)
    view = tasks.put(make_view("done", state=state))
    tasks.details["done"] = TaskDetail(view, {}, "", result={"path": path})


async def test_a_result_is_saved_whole_and_in_parts(served: Site, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    target = tmp_path / 'ä "b".zip'
    target.write_bytes(content)
    made(served, str(target))
    async with served.client(Scope.READ) as http:
        whole = await http.get("/api/v1/tasks/done/output")
        assert await whole.read() == content
        assert whole.headers["Content-Type"] == "application/octet-stream"
        named = f"attachment; filename=\"_ _b_.zip\"; filename*=UTF-8''{quote(target.name)}"
        assert whole.headers["Content-Disposition"] == named
        part = await http.get("/api/v1/tasks/done/output", headers={"Range": "bytes=1000-1999"})
        assert part.status == 206
        assert await part.read() == content[1000:2000]
        beyond = await http.get("/api/v1/tasks/done/output", headers={"Range": "bytes=900000-"})
        assert (beyond.status, beyond.headers["Content-Range"]) == (416, "bytes */300000")
        assert (await beyond.json(content_type="application/problem+json"))["code"] == "http.range"


async def test_a_result_that_changed_is_not_continued_with_other_bytes(served: Site, tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"first" * 1000)
    made(served, str(target))
    async with served.client(Scope.READ) as http:
        old = (await http.get("/api/v1/tasks/done/output")).headers["ETag"]
        same = await http.get("/api/v1/tasks/done/output", headers={"Range": "bytes=4000-", "If-Range": old})
        assert (same.status, len(await same.read())) == (206, 1000)
        target.write_bytes(b"other" * 1000)
        for tag in (old, f"W/{old}"):
            changed = await http.get("/api/v1/tasks/done/output", headers={"Range": "bytes=4000-", "If-Range": tag})
            assert (changed.status, await changed.read()) == (200, b"other" * 1000)


@pytest.mark.parametrize("asked", ["bytes=0-1,3-4", "lines=1-2", "junk"])
async def test_a_range_of_another_kind_gets_the_whole(served: Site, tmp_path: Path, asked: str) -> None:
    (tmp_path / "a.bin").write_bytes(b"content")
    made(served, str(tmp_path / "a.bin"))
    async with served.client(Scope.READ) as http:
        answer = await http.get("/api/v1/tasks/done/output", headers={"range": asked})
        assert (answer.status, await answer.read()) == (200, b"content")


async def test_a_result_is_told_of_without_being_sent(served: Site, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"content")
    made(served, str(tmp_path / "a.bin"))
    async with served.client(Scope.READ) as http:
        answer = await http.head("/api/v1/tasks/done/output")
        assert (answer.status, answer.headers["Content-Length"], await answer.read()) == (200, "7", b"")
        assert answer.headers["Accept-Ranges"] == "bytes"


async def test_a_picture_is_shown_and_a_web_page_never(served: Site, tmp_path: Path) -> None:
    async with served.client() as http:
        for name, kind, way in (("a.jpg", "image/jpeg", "inline"), ("a.html", "application/octet-stream", "attachment"),
                                ("a.svg", "application/octet-stream", "attachment")):  # fmt: skip
            (tmp_path / name).write_bytes(b"<script>alert(1)</script>")
            made(served, str(tmp_path / name))
            answer = await http.get("/api/v1/tasks/done/output")
            assert answer.headers["Content-Type"] == kind
            assert answer.headers["Content-Disposition"].startswith(way)
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_result_outside_the_roots_is_not_given(served: Site, tmp_path: Path) -> None:
    (tmp_path / "link.zip").symlink_to("/etc/hostname")
    async with served.client() as http:
        for path in ("/etc/hostname", str(tmp_path / "link.zip")):
            made(served, path)
            answer = await http.get("/api/v1/tasks/done/output")
            assert answer.status == 403, path
            assert (await answer.json())["code"] == "path.outside_roots"


async def test_no_file_and_no_end_are_told_apart(served: Site, tmp_path: Path) -> None:
    async with served.client() as http:
        made(served, str(tmp_path / "gone.zip"))
        assert (await (await http.get("/api/v1/tasks/done/output")).json())["code"] == "path.missing"
        made(served, str(tmp_path))
        assert (await (await http.get("/api/v1/tasks/done/output")).json())["code"] == "path.kind"
        made(served, str(tmp_path), state=TaskState.RUNNING)
        assert (await (await http.get("/api/v1/tasks/done/output")).json())["code"] == "task.state"


async def test_a_sent_file_lies_below_the_root_and_replaces_nothing(served: Site, tmp_path: Path) -> None:
    async with served.client(Scope.CONTROL) as http:
        first = await http.post("/api/v1/uploads", params={"name": "a.tar.gz"}, data=b"one")
        second = await http.post("/api/v1/uploads", params={"name": "a.tar.gz"}, data=b"two")
        assert (first.status, second.status) == (201, 201)
        assert (await first.json()) == {"path": str(tmp_path / "uploads/a.tar.gz"), "name": "a.tar.gz", "size": 3}
        assert (await second.json())["name"] == "a (2).tar.gz"
    assert (tmp_path / "uploads/a.tar.gz").read_bytes() == b"one"
    assert (tmp_path / "uploads/a (2).tar.gz").read_bytes() == b"two"
    assert (tmp_path / "uploads/a.tar.gz").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..", ".bashrc", "a\0b", "a\nb", "x" * 900])
async def test_a_name_cannot_leave_the_folder(served: Site, tmp_path: Path, name: str) -> None:
    async with served.client() as http:
        answer = await http.post("/api/v1/uploads", params={"name": name}, data=b"x")
        assert answer.status == 201
        assert Path((await answer.json())["path"]).parent == tmp_path / "uploads"
    assert all(not found.name.startswith(".") for found in (tmp_path / "uploads").iterdir())


async def test_a_file_over_the_limit_leaves_nothing(tmp_path: Path) -> None:
    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"x" * 1000

    async with site(FakeTasks(), tmp_path, web=WebSettings(port=0, max_upload=2000)) as served, served.client() as http:
        told = await http.post("/api/v1/uploads", params={"name": "a"}, data=b"x" * 4000)
        untold = await http.post("/api/v1/uploads", params={"name": "a"}, data=blocks())
        assert (told.status, untold.status) == (413, 413)
        assert "web.max_upload" in (await told.json())["detail"]
    assert not [*tmp_path.glob("uploads/*"), *tmp_path.glob("uploads/.*")]


async def test_a_file_of_unknown_length_does_not_fill_the_disk(
    served: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"x" * (1 << 20)

    floor = served.deck.settings.tasks.disk_floor
    free = itertools.count(floor + files.RESERVE + (2 << 20), -(1 << 20))
    monkeypatch.setattr(files, "free_space", lambda _: next(free))
    async with served.client(Scope.CONTROL) as http:
        answer = await http.post("/api/v1/uploads", params={"name": "a"}, data=blocks())
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (507, "disk.full")
    assert not list((tmp_path / "uploads").iterdir())


def ours(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """The errors Taskdeck wrote into its log; aiohttp's own logger is switched off in the daemon."""
    return [found for found in caplog.records if found.levelno >= logging.ERROR and found.name.startswith("tui_app")]


async def test_a_broken_upload_leaves_nothing(served: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    token = served.tokens[Scope.CONTROL]
    writer.write(
        f"POST /api/v1/uploads?name=half HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        "Content-Length: 1000\r\n\r\nhalf".encode()
    )
    folder = tmp_path / "uploads"
    async with asyncio.timeout(SECONDS):
        while not (folder.is_dir() and list(folder.iterdir())):  # noqa: ASYNC110 - made by the server
            await asyncio.sleep(0.02)
        writer.transport.abort()
        while list(folder.iterdir()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert not ours(caplog)


async def test_a_body_that_is_not_packed_as_it_says_is_refused(
    served: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served.client(Scope.CONTROL) as http:
        for path in ("/api/v1/uploads?name=a", "/api/v1/tasks"):
            headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
            answer = await http.post(path, data=b"this is no gzip", headers=headers)
            assert (answer.status, (await answer.json(content_type=None))["code"]) == (400, "usage")
    assert not list((tmp_path / "uploads").iterdir())
    assert not ours(caplog)


async def test_transfers_are_counted(served: Site, tmp_path: Path) -> None:
    counted: list[Kind] = []

    async def count(kind: Kind) -> None:
        counted.append(kind)

    served.deck.count = count
    (tmp_path / "a.bin").write_bytes(b"x")
    made(served, str(tmp_path / "a.bin"))
    async with served.client() as http:
        await (await http.get("/api/v1/tasks/done/output")).read()
        await http.post("/api/v1/uploads", params={"name": "b"}, data=json.dumps({}))
    assert counted == [Kind.DOWNLOAD, Kind.UPLOAD]
