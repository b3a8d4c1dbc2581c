"""The archive browser and the media table, on results of the real operations."""

from __future__ import annotations

import asyncio
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.widgets import Input

from engines.archive.extract.selection import Selector
from engines.archive.member import Member, MemberKind
from engines.archive.pages import Page, page
from engines.errors import TaskdeckError
from engines.media.facts import Kind, MediaFacts, VideoFacts
from engines.media.info import FileInfo, MediaInfoResult
from engines.media.quality import rate
from engines.model import Json, TaskState, TaskView
from tests.support.fake_tasks import make_view
from tests.tui.conftest import Deck, deck
from tui_app.screens.archive import ArchiveBrowser, glob_of
from tui_app.screens.media import MediaTable
from tui_app.screens.new_task import NewTask
from tui_app.screens.password import PasswordDialog
from tui_app.screens.pick import FilePicker

MEMBERS: list[dict[str, Any]] = [
    {"name": "site/index.html", "size": 10},
    {"name": "site/img/", "kind": "folder"},
    {"name": "site/img/a.png", "size": 1000},
    {"name": "site/img/b, c[1].png", "size": 2000},
    {"name": "site/img/odd\ufffdname", "size": 5},
    {"name": "readme.txt", "size": 7},
]


def members(question: Json) -> Json:
    """What the engine answers: pages of the archive of `MEMBERS`."""
    if question["path"].endswith("locked.7z") and question.get("password") != "open sesame":
        code = "password.wrong" if "password" in question else "password.needed"
        raise TaskdeckError(code, "cannot list the archive")
    listed = [Member(str(m["name"]), MemberKind(m.get("kind", "file")), int(m.get("size", 0))) for m in MEMBERS]
    if question["path"].endswith("large.zip"):
        listed = [Member(f"dir/{number:04d}", size=1) for number in range(1203)] + [Member("x", size=1)]
    rows, total = page(listed, question.get("folder", ""), offset=question["offset"])
    found = Page(format="ZIP", files=5, size=3022, encrypted=False, folder="", total=total, rows=rows)
    answer: Json = msgspec.to_builtins(found)
    return answer


def archive(d: Deck) -> ArchiveBrowser:
    assert isinstance(d.top, ArchiveBrowser)
    return d.top


async def open_archive(d: Deck, root: Path, name: str = "a.zip") -> None:
    (root / name).write_bytes(b"")
    d.tasks.looks["members"] = members
    await d.press("colon", *f"browse {name}", "enter")
    await d.until(lambda: not isinstance(d.top, ArchiveBrowser) or d.top.rows.count > 0)
    await d.settle()


async def test_the_tree_opens_and_shuts_and_folders_tell_sums(tmp_path: Path) -> None:
    async with deck(root=tmp_path) as d:
        await open_archive(d, tmp_path)
        assert "+ site/" in d.text() and "5 files, 3.02 KB unpacked" in d.text() and "readme.txt" in d.text()
        assert "index.html" not in d.text()
        await d.press("enter", "j", "l")
        assert "- img/" in d.text() and "a.png" in d.text() and "index.html" in d.text()
        await d.press("j", "h")
        assert archive(d).current is not None and archive(d).current.path == "site/img"  # type: ignore[union-attr]
        await d.press("h", "h", "h")
        assert archive(d).rows.count == 2


async def test_marked_members_go_to_the_form_of_unzip(tmp_path: Path) -> None:
    async with deck(root=tmp_path) as d:
        await open_archive(d, tmp_path)
        await d.press("j", "space")
        assert "1 marked" in d.text()
        await d.press("g", "l", "j", "l", "j", "j", "space", "x")
        assert isinstance(d.top, NewTask)
        await d.press("ctrl+s")
        asked = d.asked("submit")[-1][1]
        path = str(tmp_path / "a.zip")
        assert asked == {"op": "unzip", "path": path, "files": ["/readme.txt", "/site/img/b? c[[]1].png"]}


def test_globs_of_members_match_them_and_no_other(tmp_path: Path) -> None:
    for member in MEMBERS:
        parts = tuple(str(member["name"]).strip("/").split("/"))
        chosen = Selector((glob_of("/".join(parts)),))
        assert chosen.wants(parts)
        assert not chosen.wants(("other", *parts))
        assert [m["name"] for m in MEMBERS if chosen.wants(tuple(str(m["name"]).strip("/").split("/")))] == (
            [m["name"] for m in MEMBERS if str(m["name"]).startswith(str(member["name"]))]
        )


async def test_a_made_archive_is_browsed_from_its_task_and_an_error_is_told(tmp_path: Path) -> None:
    made = tmp_path / "made.zip"
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("one", "1")
    task = make_view("z1", state=TaskState.COMPLETED, output=str(made))
    async with deck([task], root=tmp_path) as d:
        await d.press("o")
        await d.until(lambda: any("cannot look" in text for text in d.toasts()))
        assert d.asked("look")[-1][1] == {"op": "members", "path": str(made), "folder": "", "offset": 0}
        assert d.top is d.screen


async def test_large_folders_come_page_by_page_as_they_are_seen(tmp_path: Path) -> None:
    async with deck(root=tmp_path) as d:
        await open_archive(d, tmp_path, "large.zip")
        await d.press("l")
        await d.until(lambda: archive(d).rows.count == 503)
        assert len(d.asked("look")) == 2, "the top, and the first page of the folder"
        await d.press("G")
        await d.until(lambda: archive(d).rows.count == 1003)
        await d.press("g", "G")
        await d.until(lambda: archive(d).rows.count == 1205)
        await d.press("G", "k", "space", "x")
        assert isinstance(d.top, NewTask) and d.top.data()["files"] == ["/dir/1202"]


async def test_archive_with_hidden_names_asks_for_its_password(tmp_path: Path) -> None:
    async with deck(root=tmp_path) as d:
        (tmp_path / "locked.7z").write_bytes(b"")
        d.tasks.looks["members"] = members
        await d.press("colon", *"browse locked.7z", "enter")
        await d.until(lambda: isinstance(d.top, PasswordDialog))
        await d.press(*"wrong", "enter")
        await d.until(lambda: isinstance(d.top, PasswordDialog) and bool(d.toasts()))
        await d.press(*"open sesame", "enter")
        await d.until(lambda: isinstance(d.top, ArchiveBrowser) and d.top.rows.count == 2)
        await d.press("x")
        assert isinstance(d.top, NewTask) and d.top.data()["password"] == "open sesame"


async def test_without_a_subject_it_asks_for_a_path(tmp_path: Path) -> None:
    async with deck(root=tmp_path) as d:
        await d.press("o")
        assert isinstance(d.top, FilePicker)
        await d.press("escape", "colon", *"browse nothing.zip", "enter")
        assert any("does not exist" in text for text in d.toasts())


def film(name: str, height: int, size: int, duration: float) -> FileInfo:
    video = VideoFacts(index=0, codec="h264", width=height * 16 // 9, height=height)
    facts = MediaFacts(name=name, kind=Kind.VIDEO, container="mp4", size=size, duration=duration, video=[video])
    return FileInfo(path=name, facts=facts, quality=rate(facts))


async def open_media(d: Deck, root: Path) -> MediaTable:
    (root / "films").mkdir()
    rows = [film("b.mp4", 1080, 9_000, 60), film("sub/a.mp4", 360, 70_000, 3600), film("c\ufffd.mp4", 720, 1, 1),
            FileInfo(path="broken.mkv", error="it is cut off")]  # fmt: skip
    d.tasks.results["mediainfo"] = msgspec.to_builtins(MediaInfoResult(folder="films", files=rows))
    await d.press("colon", *"browse films", "enter")
    await d.until(lambda: isinstance(d.top, MediaTable) and d.top.rows.count == 4)
    assert isinstance(d.top, MediaTable)
    await d.settle()
    return d.top


async def test_the_media_table_tells_how_far_the_reading_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "films").mkdir()
    ended = asyncio.Event()
    async with deck(root=tmp_path) as d:
        d.tasks.results["mediainfo"] = msgspec.to_builtins(
            MediaInfoResult(folder="films", files=[film("a", 360, 1, 1)])
        )
        wait = d.tasks.wait

        async def held(task_id: str) -> TaskView:
            await ended.wait()
            return await wait(task_id)

        monkeypatch.setattr(d.tasks, "wait", held)
        await d.pilot.press("colon", *"browse films", "enter")
        await d.until(lambda: "Reading queued" in d.text())
        (reading,) = (view for view in d.tasks.views.values() if view.op == "mediainfo")
        d.tasks.change(reading.id, state=TaskState.RUNNING, done=3, total=12, unit="files", item="b.mp4")
        await d.until(lambda: "Reading 3 files of 12 files, 25.0%  b.mp4" in d.text())
        ended.set()
        await d.until(lambda: isinstance(d.top, MediaTable) and d.top.rows.count == 1)


async def test_the_media_table_sorts_by_every_column(tmp_path: Path) -> None:
    async with deck(root=tmp_path) as d:
        table = await open_media(d, tmp_path)
        assert "1920x1080" in d.text() and "broken.mkv: it is cut off" in d.text()
        seen = []
        for _ in range(6):
            seen.append(table._files[-1].path)
            await d.press("s")
        assert seen == ["sub/a.mp4", "b.mp4", "b.mp4", "sub/a.mp4", "sub/a.mp4", "b.mp4"]
        await d.press("S")
        assert table._files[0].path == "sub/a.mp4"


async def test_marked_media_are_transcoded_with_one_form(tmp_path: Path) -> None:
    async with deck(root=tmp_path) as d:
        await open_media(d, tmp_path)
        await d.press("asterisk", "t")
        # `press` takes a process that gets no processor for an idle one: only what is promised can be awaited.
        await d.until(lambda: isinstance(d.top, NewTask) and d.top.is_running)
        assert any("left out" in text for text in d.toasts())
        d.top.query_one("#field-crf", Input).value = "30"
        await d.press("ctrl+s")
        await d.until(lambda: len(d.asked("submit")) == 3)
        made = [call[1] for call in d.asked("submit")][1:]
        folder = tmp_path / "films"
        assert made == [
            {"op": "transcode", "path": str(folder / "b.mp4"), "crf": 30},
            {"op": "transcode", "path": str(folder / "sub/a.mp4"), "crf": 30},
        ]
        assert isinstance(d.top, MediaTable), "it stays open"
