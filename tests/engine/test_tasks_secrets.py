"""Secrets: in memory only; asked for again after a restart; never in the store, a log, an argument or a picture."""

from __future__ import annotations

from pathlib import Path

from engines.model import Action, TaskState, WaitReason
from tests.support.workbench import ME, running

SECRET = "correct-horse-7391"


async def test_secret_is_nowhere_but_in_memory(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        (deck.root / "tell on").touch()
        task = await deck.act("tell", password=SECRET, text=str(deck.root / "tell on"))
        await deck.when(task.id, lambda view: view.item == "told")
        record = deck.service.board.records[task.id]
        assert SECRET not in repr(record)
        assert record.run is not None
        for file in ("cmdline", "environ"):
            with open(f"/proc/{record.run.pid}/{file}", "rb") as shown:
                assert SECRET.encode() not in shown.read()
        await deck.when(task.id, lambda _: not record.log_pending, "a flush of the log")
        (deck.root / "tell on").unlink()
        view = await deck.ended(task.id)
        assert view.error is not None and SECRET not in view.error.message + view.error.detail
        _, log = await deck.service.log(task.id)
        assert "the secret is ***" in log and "printed ***" in log
        detail = await deck.service.detail(task.id)
        assert SECRET not in repr(detail)
        await deck.service.store.backup()
    for path in (tmp_path / "state").iterdir():
        assert SECRET.encode() not in path.read_bytes(), path


async def test_task_with_a_secret_waits_for_it_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        task = await deck.steps(count=40, password=SECRET)
        paused = await deck.steps("paused", count=40, password=SECRET)
        await deck.when(task.id, lambda view: view.done > 0)
        await deck.ask(paused.id, Action.PAUSE)
    async with running(tmp_path) as deck:
        view = await deck.service.view(task.id)
        assert (view.state, view.reason) == (TaskState.WAITING, WaitReason.PASSWORD)
        assert "password" in view.note
        assert (await deck.ask(paused.id, Action.RESUME)).view.reason is WaitReason.PASSWORD  # type: ignore[union-attr]
        for each in (task, paused):
            await deck.service.unlock(each.id, {"password": SECRET}, actor=ME)
            assert (await deck.ended(each.id)).state is TaskState.COMPLETED


async def test_task_that_finds_out_it_needs_a_password_waits_for_one(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        task = await deck.act("need")
        assert (await deck.until(task.id, TaskState.WAITING)).reason is WaitReason.PASSWORD
        await deck.service.unlock(task.id, {"password": "open sesame"}, actor=ME)
        assert (await deck.ended(task.id)).state is TaskState.COMPLETED


async def test_a_repeated_task_asks_for_the_secrets_of_the_first(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        first = await deck.steps(count=1, password=SECRET)
        assert (await deck.ended(first.id)).state is TaskState.COMPLETED
        again = await deck.service.repeat(first.id, actor=ME)
        assert again.id != first.id
        assert (again.state, again.reason) == (TaskState.WAITING, WaitReason.PASSWORD)
        await deck.service.unlock(again.id, {"password": SECRET}, actor=ME)
        assert (await deck.ended(again.id)).state is TaskState.COMPLETED


async def test_wrong_password_fails_and_a_retry_asks_again(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        task = await deck.act("need", password="swordfish")
        view = await deck.ended(task.id)
        assert view.error is not None and view.error.code == "password.wrong"
        assert "swordfish" not in view.error.message
        outcome = await deck.ask(task.id, Action.RETRY)
        assert outcome.view is not None and outcome.view.reason is WaitReason.PASSWORD
        await deck.service.unlock(task.id, {"password": "open sesame"}, actor=ME)
        assert (await deck.ended(task.id)).state is TaskState.COMPLETED


async def test_a_wrong_password_is_told_in_words_even_if_it_is_one_of_them(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        (deck.root / "a.txt").write_text("x")
        packed = {"op": "zip", "path": str(deck.root / "a.txt"), "password": "right"}
        assert (await deck.ended((await deck.service.submit(packed, actor=ME)).id)).state is TaskState.COMPLETED
        test = {"op": "ziptest", "path": str(deck.root / "a.txt.zip"), "password": "wrong"}
        view = await deck.ended((await deck.service.submit(test, actor=ME)).id)
        assert view.error is not None
        assert view.error.message == "cannot test 'a.txt.zip': the password is wrong; try another password."
