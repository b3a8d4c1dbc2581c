"""Attaching, losing the engine, coming back; windows and what is painted of an update."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from textual.geometry import Region

from engines.errors import TaskdeckError
from engines.model import TaskDetail, TaskState
from engines.query import Sort
from engines.settings import Settings, TuiSettings
from engines.tasks.api import Watch
from tests.support.fake_tasks import FakeTasks, FakeWatcher, make_view, seeded
from tests.tui.conftest import deck
from tui_app.app import DeckApp


async def test_the_first_picture_does_not_wait_for_the_engine() -> None:
    tasks = FakeTasks()
    tasks.refuse = TaskdeckError("daemon.absent", "no daemon answers")
    app = DeckApp(tasks.connect, reconnect_delay=0.01)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        text = "\n".join("".join(s.text for s in line) for line in app.screen._compositor.render_strips())
        assert "Connecting" in text


async def test_a_lost_engine_is_named_and_the_last_picture_stays_dimmed() -> None:
    async with deck() as d:
        d.tasks.lose("the daemon was stopped")
        await d.until(lambda: not d.app.link.state.up)
        await d.settle()
        text = d.text()
        assert "connection lost: the daemon was stopped" in text
        assert "movies" in text and d.screen.list.stale


async def test_it_comes_back_by_itself_with_what_happened_meanwhile() -> None:
    async with deck() as d:
        d.tasks.lose()
        await d.until(lambda: not d.app.link.state.up)
        del d.tasks.views["run2"]
        d.tasks.put(make_view("new1", title="made meanwhile"))
        d.tasks.restore()
        await d.until(lambda: d.app.link.state.up)
        await d.until(lambda: "made meanwhile" in d.text())
        assert "pictures" not in d.text()
        assert not d.screen.list.stale and "connection lost" not in d.text()


async def test_only_the_user_starts_the_daemon_again() -> None:
    started = []

    async def start() -> None:
        started.append(True)
        d.tasks.restore()

    async with deck(start=start, size=(120, 30)) as d:
        await d.press("R")
        assert not started and any("answers already" in text for text in d.toasts())
        d.tasks.lose("the daemon was stopped")
        await d.until(lambda: d.app.link.state.tried > 2)
        await d.settle()
        assert not started and "R starts the daemon" in d.text()
        await d.press("R")
        await d.until(lambda: d.app.link.state.up)
        assert started == [True]


async def test_an_action_without_engine_is_refused_with_a_reason() -> None:
    async with deck() as d:
        d.tasks.lose("the daemon was stopped")
        await d.until(lambda: not d.app.link.state.up)
        await d.press("p")
        assert any("cannot reach the task engine" in text for text in d.toasts())


async def test_only_the_window_in_sight_is_subscribed() -> None:
    async with deck(seeded(1000), size=(80, 24)) as d:
        window = d.app.mirror.window
        assert window.total == 1000 and len(window.ids) <= 60
        await d.press("G")
        await d.until(lambda: window.covers(995, 1000))
        current = d.screen.list.current
        assert current is not None and d.screen.list.cursor == 999
        assert len(window.ids) <= 60 and len(window.views) <= 61


async def test_marks_survive_scrolling_out_of_the_window() -> None:
    async with deck(seeded(500), size=(80, 24)) as d:
        await d.press("space", "G")
        await d.until(lambda: d.app.mirror.window.covers(495, 500))
        assert list(d.screen.list.marks) == ["t000"]
        await d.press("p")
        assert d.asked("control")[-1][1] == ("t000",)


async def test_progress_repaints_only_the_cells_that_changed() -> None:
    async with deck() as d:
        seen: list[Region] = []
        tasks = d.screen.list
        original = tasks.refresh

        def spy(*regions: Region, **options: bool) -> object:
            seen.extend(regions)
            return original(*regions, **options)

        tasks.refresh = spy  # type: ignore[method-assign,assignment]
        d.tasks.change("run2", done=2_000_000_000)
        await d.until(lambda: bool(seen))
        assert all(region.height == 1 and 3 <= region.y <= 5 for region in seen), seen
        seen.clear()
        d.tasks.change("run2", done=2_000_000_001)
        await d.settle()
        assert seen == [], "a change nobody can see paints nothing"


async def test_finished_and_failed_tasks_are_told_in_toasts() -> None:
    async with deck() as d:
        d.tasks.change("run1", state=TaskState.COMPLETED)
        await d.until(lambda: any("movies: done" in text for text in d.toasts()))
        d.tasks.change("run2", state=TaskState.FAILED)
        await d.until(lambda: any("pictures failed" in text for text in d.toasts()))


async def test_an_end_can_ring_and_ask_for_a_desktop_notification(monkeypatch: pytest.MonkeyPatch) -> None:
    async with deck(settings=Settings(tui=TuiSettings(bell=True, notify=True))) as d:
        sent: list[str] = []
        monkeypatch.setattr(d.app, "control", sent.append)
        monkeypatch.setattr(d.app, "bell", lambda: sent.append("bell"))
        d.tasks.change("run1", state=TaskState.COMPLETED)
        await d.until(lambda: "bell" in sent and "\x1b]9;Taskdeck: zip movies completed\x07" in sent)


async def test_many_ends_at_once_are_one_toast_more() -> None:
    async with deck(seeded(60)) as d:
        for view in list(d.tasks.views.values()):
            if view.state is TaskState.RUNNING:
                d.tasks.put(make_view(view.id, title=view.title, state=TaskState.COMPLETED))
        d.tasks.wake()
        await d.until(lambda: any("more tasks ended" in text for text in d.toasts()))
        assert len(d.toasts()) <= 3


async def test_toasts_do_not_pile_up_over_the_list() -> None:
    async with deck() as d:
        for number in range(6):
            d.app.say(f"word {number}")
        await d.until(lambda: "word 5" in d.toasts())
        assert d.toasts() == ["word 3", "word 4", "word 5"]


async def test_in_a_small_terminal_a_fresh_error_stays_until_another_error() -> None:
    async with deck(size=(60, 14)) as d:
        d.app.say("it failed", severity="error")
        d.app.say("done")
        await d.settle()
        assert d.toasts() == ["it failed"]
        d.app.say("that failed too", severity="error")
        await d.until(lambda: d.toasts() == ["that failed too"])


async def test_names_are_text_never_markup() -> None:
    async with deck([make_view("t1", title="[@click=app.quit]evil[/] [b]")]) as d:
        assert "[@click=app.quit]evil[/] [b]" in d.text()
        d.tasks.change("t1", state=TaskState.COMPLETED)
        await d.until(lambda: any("[@click=app.quit]evil" in text for text in d.toasts()))
        await d.press("d")
        assert "[@click=app.quit]evil" in d.text()


async def test_the_header_tells_the_filter_that_was_entered_last() -> None:
    async with deck() as d:
        await d.pilot.press("slash", *"zip")
        await d.press("enter")
        await d.press("S")
        assert "/zip" in d.text().splitlines()[0] and "reversed" in d.text().splitlines()[0]
        query = d.tasks.watchers[-1].watch.query
        assert (query.filter, query.reverse) == ("zip", True)


async def test_a_change_of_the_window_while_attaching_is_not_lost() -> None:
    async with deck() as d:
        d.tasks.lose()
        await d.until(lambda: not d.app.link.state.up)
        begin, gate = d.tasks.watch, asyncio.Event()

        async def slow(watch: Watch) -> FakeWatcher:
            watcher = await begin(watch)
            await gate.wait()
            return watcher

        d.tasks.watch = slow  # type: ignore[method-assign]
        d.tasks.restore()
        await d.until(lambda: bool(d.tasks.watchers))
        await d.press("s")
        gate.set()
        await d.until(lambda: d.tasks.watchers[-1].watch.query.sort is Sort.CREATED)


async def test_details_come_over_a_slow_line_too() -> None:
    async with deck(size=(130, 40)) as d:
        detail, asked = d.tasks.detail, []

        async def slow(task_id: str, *, log_lines: int = 100) -> TaskDetail:
            asked.append(task_id)
            await asyncio.sleep(0.3)
            return await detail(task_id, log_lines=log_lines)

        d.tasks.detail = slow  # type: ignore[method-assign]
        await d.pilot.press("j")
        await d.until(lambda: asked == ["run2"])
        shown = d.screen.detail

        def told() -> bool:
            d.screen.feed.refresh()  # as every second does, before the answer of the last one is there
            return shown.detail is not None and shown.detail.view.id == "run2"

        await d.until(told)
        assert asked == ["run2"]


async def test_details_fetched_while_the_task_ends_are_fetched_again() -> None:
    async with deck(size=(130, 40)) as d:
        detail, gate = d.tasks.detail, asyncio.Event()

        async def late(task_id: str, *, log_lines: int = 100) -> TaskDetail:
            answer = await detail(task_id, log_lines=log_lines)
            await gate.wait()
            return answer

        d.tasks.detail = late  # type: ignore[method-assign]
        await d.pilot.press("j")
        await d.until(lambda: d.screen.feed._fetching == "run2")
        d.tasks.details["run2"] = msgspec.structs.replace(await detail("run2"), reply="It is done")
        d.tasks.change("run2", state=TaskState.COMPLETED)
        await d.until(lambda: (found := d.screen.list.current) is not None and found.state is TaskState.COMPLETED)
        gate.set()
        await d.until(lambda: "It is done" in d.text())


async def test_details_that_are_on_their_way_are_not_called_missing() -> None:
    async with deck(size=(80, 24)) as d:
        gate = asyncio.Event()
        detail = d.tasks.detail

        async def late(task_id: str, *, log_lines: int = 100) -> TaskDetail:
            await gate.wait()
            return await detail(task_id, log_lines=log_lines)

        d.tasks.detail = late  # type: ignore[method-assign]
        await d.pilot.press("enter")
        await d.until(lambda: "Reading ..." in d.text())
        assert "No task is chosen" not in d.text()
        gate.set()
        await d.until(lambda: "Parameters" in d.text())


async def test_the_heading_of_a_group_moves_on_when_the_card_above_leaves_it() -> None:
    views = [make_view(f"r{number}", title=f"task {number}", position=number) for number in range(2)]
    async with deck(views) as d:
        await d.press("b")
        await d.press("colon", *"sort created", "enter")
        assert d.text().count(" running ━") + d.text().count(" running ─") == 1
        d.tasks.change("r0" if d.screen.list.window.ids[0] == "r0" else "r1", state=TaskState.PAUSED)
        await d.until(lambda: " paused ─" in d.text())
        assert " running ─" in d.text()
