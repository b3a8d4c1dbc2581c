"""The archive browser and the media table, on results of the real operations."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import msgspec
from textual.widgets import Input

from engines.archive.extract.run import Selector
from engines.media.facts import Kind, MediaFacts, VideoFacts
from engines.media.info import FileInfo, MediaInfoResult
from engines.media.quality import rate
from engines.model import TaskState
from tests.support.fake_tasks import make_view
from tests.tui.conftest import Deck, deck
from tui_app.screens.archive import ArchiveBrowser, glob_of
from tui_app.screens.media import MediaTable
from tui_app.screens.new_task import NewTask
from tui_app.screens.pick import FilePicker

MEMBERS: list[dict[str, Any]] = [
    {"name": "site/index.html", "size": 10},
    {"name": "site/img/", "kind": "folder"},
    {"name": "site/img/a.png", "size": 1000},
    {"name": "site/img/b, c[1].png", "size": 2000},
    {"name": "site/img/odd\ufffdname", "size": 5},
    {"name": "readme.txt", "size": 7},
]
INFO: dict[str, Any] = {
    "archive": "a.zip",
    "format": "ZIP",
    "files": 5,
    "size": 3022,
    "members": MEMBERS,
    "total_members": 6,
}


def archive(d: Deck) -> ArchiveBrowser:
    assert isinstance(d.top, ArchiveBrowser)
    return d.top


async def open_archive(d: Deck, root: Path) -> None:
    (root / "a.zip").write_bytes(b"")
    d.tasks.results["zipinfo"] = INFO
    await d.press("colon", *"browse a.zip", "enter")
    await d.until(lambda: isinstance(d.top, ArchiveBrowser) and d.top.rows.count > 0)


async def test_the_tree_opens_and_shuts_and_folders_tell_sums(tmp_path: Path) -> None:
    async with deck(root=tmp_path) as d:
        await open_archive(d, tmp_path)
        await d.settle()
        assert "+ site/" in d.text() and "4 files" in d.text() and "readme.txt" in d.text()
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
        await d.until(lambda: any("cannot show" in text for text in d.toasts()))
        assert d.asked("submit")[-1][1] == {"op": "zipinfo", "path": str(made)}
        assert d.top is d.screen


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
        assert isinstance(d.top, NewTask)
        assert any("left out" in text for text in d.toasts())
        d.top.query_one("#field-crf", Input).value = "30"
        await d.press("ctrl+s")
        made = [call[1] for call in d.asked("submit")][1:]
        folder = tmp_path / "films"
        assert made == [
            {"op": "transcode", "path": str(folder / "b.mp4"), "crf": 30},
            {"op": "transcode", "path": str(folder / "sub/a.mp4"), "crf": 30},
        ]
        assert isinstance(d.top, MediaTable), "it stays open"
