"""A task stays in its folders: checked when it is submitted, again when it starts, and for every output it stages."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from engines.errors import TaskdeckError
from engines.model import Action, Actor, Json, SubmitOptions, TaskState, TaskView
from engines.settings import Settings
from tests.support.workbench import ME, Deck, running

ADMIN = Actor("admin", "web")


class Folders:
    """Two people's folders below one root; Ben's tasks must stay in his."""

    def __init__(self, deck: Deck) -> None:
        self.deck = deck
        self.ben, self.anna = deck.root / "ben", deck.root / "anna"
        for folder in (self.ben, self.anna):
            (folder / "docs").mkdir(parents=True)
            (folder / "docs" / f"{folder.name}.txt").write_text(f"of {folder.name}")
            with zipfile.ZipFile(folder / "a.zip", "w") as archive:
                archive.writestr(f"{folder.name}-member.txt", f"of {folder.name}")

    async def submit(self, op: str, path: str, **more: object) -> TaskView:
        """Submit an operation on a path of Ben's for Ben."""
        options = SubmitOptions(roots=(str(self.ben),), paused=bool(more.pop("paused", False)))
        request: Json = {"op": op, "path": path, **more}
        return await self.deck.service.submit(request, actor=ME, options=options)

    def turn(self, name: str) -> None:
        """Replace something of Ben's by a link to the same thing of Anna's."""
        own = self.ben / name
        if own.is_dir():
            shutil.rmtree(own)
        else:
            own.unlink()
        own.symlink_to(self.anna / name)


@pytest.mark.parametrize("op", ["zipinfo", "ziptest", "unzip", "convert", "mediainfo", "thumbnail", "transcode"])
async def test_a_link_that_leads_out_of_the_roots_is_not_opened(tmp_path: Path, op: str) -> None:
    async with running(tmp_path) as deck:
        outside = tmp_path / "outside.zip"
        with zipfile.ZipFile(outside, "w") as archive:
            archive.writestr("secret", "secret")
        (deck.root / "link.zip").symlink_to(outside)
        with pytest.raises(TaskdeckError) as caught:
            await deck.service.submit({"op": op, "path": str(deck.root / "link.zip")}, actor=ME)
        assert caught.value.code == "path.outside_roots"
        assert "a link that leads out" in caught.value.message


async def test_a_link_is_still_packed_as_a_link(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        (deck.root / "link").symlink_to("/etc/passwd")
        task = await deck.service.submit({"op": "zip", "path": str(deck.root / "link"), "format": "tar"}, actor=ME)
        ended = await deck.ended(task.id)
        assert ended.state is TaskState.COMPLETED
        assert b"root:" not in (deck.root / "link.tar").read_bytes()


async def test_a_task_with_roots_of_its_own_is_refused_elsewhere(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        folders = Folders(deck)
        (folders.ben / "to-anna").symlink_to(folders.anna)
        for path in (str(folders.anna / "a.zip"), "../anna/a.zip", "to-anna/a.zip"):
            with pytest.raises(TaskdeckError) as caught:
                await folders.submit("zipinfo", path)
            assert caught.value.code == "path.outside_roots"
        for out in ("../anna/new", "to-anna"):
            with pytest.raises(TaskdeckError) as caught:
                await folders.submit("unzip", "a.zip", destination=out)
            assert caught.value.code == "path.outside_roots"
        with pytest.raises(TaskdeckError) as caught:  # the archive would lie beside Ben's folder
            await folders.submit("zip", str(folders.ben))
        assert caught.value.code == "path.outside_roots"
        task = await folders.submit("zipinfo", "a.zip")  # relative to the task's first root
        assert (await deck.ended(task.id)).state is TaskState.COMPLETED


async def test_roots_outside_those_of_the_daemon_open_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        with pytest.raises(TaskdeckError) as caught:
            await deck.service.submit(
                {"op": "zipinfo", "path": "/etc/hostname"}, actor=ME, options=SubmitOptions(roots=("/etc",))
            )
        assert caught.value.code == "path.outside_roots"


@pytest.mark.parametrize(
    ("op", "path", "turned", "more"),
    [
        ("zip", "docs/ben.txt", "docs", {}),
        ("zip", "docs", "docs", {"links": "follow"}),
        ("unzip", "a.zip", "a.zip", {}),
        ("unzip", "a.zip", "docs", {"destination": "docs"}),
        ("zipinfo", "a.zip", "a.zip", {"files": True}),
        ("convert", "a.zip", "a.zip", {"format": "tar"}),
    ],
)
async def test_links_turned_after_the_submission_lead_nowhere(
    tmp_path: Path, op: str, path: str, turned: str, more: Json
) -> None:
    async with running(tmp_path) as deck:
        folders = Folders(deck)
        task = await folders.submit(op, path, paused=True, **more)
        folders.turn(turned)
        before = sorted(folders.anna.rglob("*"))
        await deck.ask(task.id, Action.RESUME)
        ended = await deck.ended(task.id)
        assert ended.state is TaskState.FAILED, ended
        assert ended.error is not None
        assert ended.error.code in ("path.outside_roots", "path.unreadable")
        assert sorted(folders.anna.rglob("*")) == before
        found = b"".join(
            file.read_bytes() for file in folders.ben.rglob("*") if file.is_file() and not file.is_symlink()
        )
        assert b"of anna" not in found


async def test_followed_links_below_a_source_stay_in_the_tasks_roots(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        folders = Folders(deck)
        (folders.ben / "docs" / "inner").symlink_to(folders.anna / "docs")
        (folders.ben / "docs" / "file").symlink_to(folders.anna / "docs" / "anna.txt")
        task = await folders.submit("zip", "docs", links="follow", format="tar")
        await deck.ended(task.id)
        for made in folders.ben.glob("*.tar"):
            assert b"of anna" not in made.read_bytes()


async def test_a_volume_that_is_a_link_out_of_the_roots_is_not_read(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        folders = Folders(deck)
        whole = (folders.anna / "a.zip").read_bytes()
        (folders.ben / "b.zip.001").write_bytes(whole[:20])
        (folders.anna / "rest").write_bytes(whole[20:])
        (folders.ben / "b.zip.002").symlink_to(folders.anna / "rest")
        task = await folders.submit("unzip", "b.zip.001")
        ended = await deck.ended(task.id)
        assert ended.error is not None and ended.error.code == "path.outside_roots"


async def test_retries_repeats_and_restarts_keep_a_tasks_roots(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        folders = Folders(deck)
        task = await folders.submit("unzip", "a.zip", paused=True)
        folders.turn("a.zip")
        await deck.ask(task.id, Action.RESUME)
        assert (await deck.ended(task.id)).state is TaskState.FAILED
        await deck.service.control([task.id], Action.RETRY, actor=ADMIN)
        assert (await deck.ended(task.id)).state is TaskState.FAILED
        with pytest.raises(TaskdeckError) as caught:
            await deck.service.repeat(task.id, actor=ADMIN)
        assert caught.value.code == "path.outside_roots"
        (folders.ben / "a.zip").unlink()
        shutil.copy(folders.anna / "docs" / "anna.txt", folders.ben / "a.zip")
        again = await deck.service.repeat(task.id, actor=ADMIN)
        await deck.ended(again.id)
        waiting = await folders.submit("zipinfo", "a.zip", paused=True)
        folders.turn("a.zip")
    async with running(tmp_path) as deck:
        for task_id in (waiting.id, again.id):
            action = Action.RESUME if task_id == waiting.id else Action.RETRY
            await deck.service.control([task_id], action, actor=ADMIN)
            ended = await deck.ended(task_id)
            assert ended.error is not None and ended.error.code == "path.outside_roots", ended


async def test_a_daemon_whose_roots_shrank_holds_its_tasks_to_them(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        folders = Folders(deck)
        task = await folders.submit("zipinfo", "a.zip", paused=True)
        shrunk = Settings(roots=(str(folders.anna),), tasks=deck.service.settings.tasks)
        deck.service.reload(shrunk)
        await deck.ask(task.id, Action.RESUME)
        ended = await deck.ended(task.id)
        assert ended.error is not None and ended.error.code == "path.outside_roots"
