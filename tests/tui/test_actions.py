"""Every action of the table, by its key, on a fake engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets._toast import Toast

from engines.errors import TaskdeckError
from engines.model import Action, TaskState, WaitReason
from engines.settings import Settings, TuiSettings
from tests.support.fake_tasks import make_view, seeded
from tests.tui.conftest import deck
from tui_app.actions import ACTIONS
from tui_app.screens.help import HelpText
from widgets.detail_pane import DetailPane


async def test_p_pauses_and_r_resumes_the_task_under_the_cursor() -> None:
    async with deck() as d:
        await d.press("p")
        assert d.state("run1") is TaskState.PAUSED
        current = d.screen.list.current
        assert current is not None and current.id == "run1", "the cursor follows its task"
        await d.press("r")
        assert d.state("run1") is TaskState.RUNNING


async def test_the_cursor_goes_to_the_task_that_was_typed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    async with deck(root=tmp_path) as d:
        await d.press("j", "colon", *"zip folder", "enter")
        await d.until(lambda: len(d.tasks.views) == 8)
        new = list(d.tasks.views)[-1]
        await d.until(lambda: (current := d.screen.list.current) is not None and current.id == new)
        await d.press("p")
        assert d.asked("control") == [("control", (new,), Action.PAUSE)]


async def test_a_user_who_moves_is_not_taken_to_a_new_task(tmp_path: Path) -> None:
    async with deck(root=tmp_path) as d:
        d.screen.list.seek("late")
        await d.press("j")
        d.tasks.put(make_view("late", title="late", state=TaskState.QUEUED))
        d.tasks.wake()
        await d.until(lambda: "late" in d.app.mirror.window.ids)
        current = d.screen.list.current
        assert current is not None and current.id == "run2"


async def test_cancel_asks_and_no_has_the_focus() -> None:
    async with deck() as d:
        await d.press("x")
        assert d.asking
        focused = d.app.focused
        assert focused is not None and focused.id == "no"
        await d.press("enter")
        assert d.top is d.screen
        assert d.asked("control") == []


@pytest.mark.parametrize("key", ["n", "escape", "q"])
async def test_dialog_keys_that_mean_no(key: str) -> None:
    async with deck(undo_seconds=0) as d:
        await d.press("x", key)
        assert d.top is d.screen
        assert d.state("run1") is TaskState.RUNNING


async def test_confirmed_cancel_is_sent_only_after_the_undo_time() -> None:
    async with deck() as d:
        timers: list[tuple[float, Callable[[], None]]] = []
        d.app.performer.later = lambda seconds, call: timers.append((seconds, call))
        await d.press("x", "y")
        assert d.asked("control") == []
        assert "u undoes" in d.text()
        assert timers[0][0] == 5.0
        timers[0][1]()
        await d.settle()
        assert d.state("run1") is TaskState.CANCELLED
        assert "u undoes" not in d.text()


async def test_the_question_before_a_cancel_speaks_of_as_many_tasks_as_are_meant() -> None:
    async with deck(undo_seconds=7) as d:
        await d.press("x")
        assert "The job stops and its half output is removed." in d.text()
        assert "You have 7" in d.text()
        await d.press("n", "space", "space", "x")
        assert "The jobs stop and their half outputs are removed." in d.text()


async def test_u_takes_a_cancel_back_for_good() -> None:
    async with deck() as d:
        timers: list[Callable[[], None]] = []
        d.app.performer.later = lambda _seconds, call: timers.append(call)
        await d.press("x", "y", "u")
        assert "u undoes" not in d.text()
        timers[0]()
        await d.settle()
        assert d.asked("control") == []


async def test_quitting_sends_a_confirmed_cancel_first() -> None:
    async with deck(undo_seconds=60) as d:
        await d.press("x", "y")
        await d.app.action_leave()
        assert d.asked("control") == [("control", ("run1",), Action.CANCEL)]


async def test_retry_runs_a_failed_task_again() -> None:
    async with deck() as d:
        await d.press(*"jjjjj", "t")
        assert d.state("fai1") is TaskState.QUEUED


async def test_remove_asks_then_takes_an_ended_task_off() -> None:
    async with deck() as d:
        await d.press("G", "d", "y")
        assert len(d.tasks.views) == 6


async def test_an_action_that_does_not_fit_says_why() -> None:
    async with deck() as d:
        await d.press("r")
        assert d.asked("control") == []
        assert any("running" in text and "resume" in text for text in d.toasts())


async def test_refusal_of_the_engine_becomes_a_toast() -> None:
    async with deck() as d:
        d.tasks.refuse = TaskdeckError("internal", "cannot pause", "the engine is tired")
        await d.press("p")
        assert any("the engine is tired" in text for text in d.toasts())


async def test_what_the_server_has_to_say_is_said_once() -> None:
    async with deck() as d:
        d.tasks.notices = ("The task database was damaged; a new one was begun.",)
        for done in (1, 2):
            d.tasks.change("run1", done=done)
            await d.until(lambda: d.app.mirror.stats is not None and bool(d.app.mirror.stats.notices))
            await d.settle()
        assert d.toasts().count("The task database was damaged; a new one was begun.") == 1


async def test_marks_make_a_bulk_action() -> None:
    async with deck() as d:
        await d.press("space", "space", "p")
        assert d.asked("control") == [("control", ("run1", "run2"), Action.PAUSE)]
        assert d.screen.list.marks == {}


async def test_star_marks_all_the_filter_shows() -> None:
    async with deck(seeded(200)) as d:
        await d.press("slash", *"status:failed", "enter", "asterisk")
        assert len(d.screen.list.marks) == 25
        await d.press("escape")
        assert d.screen.list.marks == {}


async def test_star_marks_more_than_a_page_holds() -> None:
    async with deck(seeded(1_200)) as d:
        await d.press("asterisk")
        assert len(d.screen.list.marks) == 1_200


async def test_priority_and_place_of_a_queued_task() -> None:
    async with deck() as d:
        await d.press(*"jjj")
        await d.press("plus")
        assert d.asked("reorder")[-1] == ("reorder", "que1", 1, 0)
        await d.press("minus")
        await d.press("J")
        assert d.asked("reorder")[-1] == ("reorder", "que1", None, 1)
        await d.press("K")
        assert d.asked("reorder")[-1] == ("reorder", "que1", None, -1)


async def test_priority_of_a_running_task_is_refused_with_a_reason() -> None:
    async with deck() as d:
        await d.press("plus")
        assert d.asked("reorder") == []
        assert any("no place in the queue" in text for text in d.toasts())


async def test_pause_all_and_back() -> None:
    async with deck() as d:
        await d.press("P")
        assert d.tasks.paused_all
        await d.until(lambda: d.app.mirror.stats is not None and d.app.mirror.stats.paused_all)
        await d.press("P")
        assert not d.tasks.paused_all


async def test_run_again_leaves_the_exact_operation_to_the_engine() -> None:
    async with deck() as d:
        await d.press("a")
        assert d.asked("repeat") == [("repeat", "run1")] and not d.asked("submit")
        current = d.screen.list.current
        assert current is not None and current.state is TaskState.QUEUED, "the cursor goes to the new task"
        await d.press("g", "space", "space", "a")
        assert d.asked("repeat")[1:] == [("repeat", "run1"), ("repeat", "run2")]
        assert not d.screen.list.marks


async def test_copy_command_and_path_use_the_terminals_clipboard() -> None:
    async with deck() as d:
        await d.press("y")
        assert d.app.clipboard == "taskdeck zip '/home/ada/movies'"
        await d.press("Y")
        assert d.app.clipboard == "/out/movies.zip"


async def test_ascii_icons_leave_nothing_else_on_the_screen() -> None:
    views = [make_view(f"t{number}", title=f"task {number}", output="/out/" + "x" * 200) for number in range(60)]
    async with deck(views, settings=Settings(tui=TuiSettings(icons="ascii")), size=(120, 30)) as d:
        await d.press("j", "j", "j", "j", "j", "j", "j", "j", "j")
        d.app.say("a toast", severity="error")
        await d.press("x")
        assert d.asking and d.text().isascii(), {char for char in d.text() if not char.isascii()}
        await d.press("n", "question_mark")
        assert d.text().isascii(), {char for char in d.text() if not char.isascii()}


async def test_a_terminal_without_clipboard_gets_the_text_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "linux")
    async with deck() as d:
        await d.press("Y")
        assert d.app.clipboard == "" and any("/out/movies.zip" in text for text in d.toasts())


async def test_ctrl_c_names_keys_that_work_where_text_is_typed() -> None:
    async with deck() as d:
        await d.press("colon", "ctrl+c")
        assert d.toasts() == ["esc closes the line, ^q leaves (tasks go on)."]


async def test_text_too_long_for_osc52_is_not_sent() -> None:
    async with deck() as d:
        d.app.copy("x" * 80_000, "log")
        await d.settle()
        assert d.app.clipboard == ""
        assert any("too long" in text for text in d.toasts())


async def test_cursor_keys_and_their_bounds() -> None:
    async with deck(seeded(40)) as d:
        tasks = d.screen.list
        await d.press("j", "down", "k")
        assert tasks.cursor == 1
        await d.press("G")
        assert tasks.cursor == 39
        await d.press("j")
        assert tasks.cursor == 39
        await d.press("g")
        assert tasks.cursor == 0
        await d.press("pagedown")
        assert tasks.cursor == tasks.page
        await d.press("pageup", "up")
        assert tasks.cursor == 0


async def test_sort_and_reverse_change_the_watch() -> None:
    async with deck() as d:
        await d.press("s")
        assert d.screen.watch_now.query.sort.value == "created"
        first = d.tasks.page(d.screen.watch_now.query).items[0].id
        await d.until(lambda: d.app.mirror.window.ids[:1] == [first])
        await d.press("S")
        assert d.screen.watch_now.query.reverse
        assert "by created reversed" in d.text()


async def test_grouping_draws_a_caption_where_a_group_starts() -> None:
    async with deck(size=(100, 40)) as d:
        await d.press("b")
        text = d.text()
        assert text.count("── running ──") == 1 and text.count("── paused ──") == 1
        await d.press("b", "b")
        assert "── running" not in d.text()


async def test_dense_cards_take_one_row() -> None:
    async with deck() as d:
        await d.press("z")
        assert d.screen.list.step == 1
        await d.press("z")
        assert d.screen.list.step == 3


async def test_enter_opens_details_over_the_list_and_escape_closes_them() -> None:
    async with deck(size=(80, 46)) as d:
        await d.press("enter")
        assert "taskdeck zip '/home/ada/movies'" in d.text()
        assert isinstance(d.app.focused, DetailPane)
        await d.press("escape")
        assert "taskdeck zip" not in d.text()
        assert d.screen.list.has_focus


async def test_details_stand_beside_the_list_when_wide() -> None:
    async with deck(size=(130, 40)) as d:
        await d.until(lambda: "/home/ada/movies" in d.text())
        await d.press("tab")
        assert isinstance(d.app.focused, DetailPane)
        await d.press("tab", "j")
        await d.until(lambda: "/home/ada/pictures" in d.text())
        await d.press("enter")
        assert "/home/ada/pictures" not in d.text()


async def test_help_lists_every_action_of_the_table() -> None:
    async with deck() as d:
        await d.press("question_mark")
        assert d.top.query(HelpText)
        from tui_app.screens.help import help_rows
        from widgets.spans import row_text

        text = " ".join(" ".join(row_text(row).split()) for row in help_rows(200, {}))
        assert all(spec.tooltip in text for spec in ACTIONS.values())
        await d.press("escape")
        assert d.top is d.screen


async def test_palette_runs_an_action() -> None:
    async with deck(undo_seconds=0) as d:
        await d.press("ctrl+p")
        await d.press(*"pause the task")
        await d.until(lambda: len(d.app.screen.query("CommandList")) > 0 and "pause (p)" in d.text())
        await d.press("enter")
        await d.until(lambda: d.state("run1") is TaskState.PAUSED)


async def test_a_theme_is_seen_before_it_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "taskdeck.toml"
    async with deck(settings_file=path) as d:
        await d.press("T", "j")
        assert d.app.theme == "taskdeck-light"
        await d.press("escape")
        assert d.app.theme == "taskdeck-dark" and not path.exists()
        await d.press("T", "j", "j", "enter")
        assert d.app.theme == "taskdeck-contrast"
        assert 'theme = "taskdeck-contrast"' in path.read_text()


async def test_help_begins_with_what_has_the_keyboard() -> None:
    async with deck() as d:
        await d.press("H", "question_mark")
        text = d.text()
        assert (
            text.index("Rows of any list")
            < text.index("One page down")
            < text.index("History")
            < text.index("Write what")
        )
        assert "Pause the task" not in text.split("History")[0]
        await d.press("escape", "e")
        await d.press("question_mark")
        assert not d.app.screen.query(HelpText), "a question mark is typed where text is typed"


async def test_the_next_visit_goes_on_as_the_last_one_ended(tmp_path: Path) -> None:
    path = tmp_path / "tui.json"
    async with deck(memory=path) as d:
        await d.press("slash", *"kind:zip", "enter", "S", "z", "b")
        await d.press("colon", *"sort size", "enter", "colon", *"unzip x.zip -- password", "escape")
        await d.press("colon", *"zip a --password hunter2", "enter")
    assert "hunter2" not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    async with deck(memory=path) as d:
        query = d.screen.watch_now.query
        assert (query.filter, query.sort.value) == ("kind:zip", "size")
        assert d.screen.list.dense and d.screen.list.group_of is not None
        await d.press("colon", "up")
        assert d.screen.prompt.line.value == "sort size"


@pytest.mark.parametrize("content", ["", "{", '{"sort": "nonsense"}', '{"filter": "status:nonsense"}', "\x00\xff"])
async def test_a_memory_of_no_use_is_forgotten(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tui.json"
    path.write_text(content, encoding="latin-1")
    async with deck(memory=path) as d:
        assert d.screen.watch_now.query.filter == "" and "movies" in d.text()


async def test_keys_can_be_changed_by_id() -> None:
    settings = Settings(tui=TuiSettings(keymap={"task.pause": "f5", "list.down": "n"}))
    async with deck(settings=settings) as d:
        await d.press("n")
        assert d.screen.list.cursor == 1
        await d.press("j")
        assert d.screen.list.cursor == 1
        assert "f5 pause" in d.text(), "footer and hints show the user's key"
        await d.press("f5")
        assert d.state("run2") is TaskState.PAUSED


async def test_q_leaves_and_says_what_goes_on() -> None:
    async with deck() as d:
        await d.press("q")
        assert d.app.return_value == 0
        assert "2 running, 2 queued, 1 paused" in d.app.farewell()


async def test_q_asks_when_the_engine_would_stop() -> None:
    async with deck(detachable=False) as d:
        await d.press("q")
        assert d.asking


async def test_stopping_the_daemon_is_a_separate_question() -> None:
    stopped = []

    async def stop() -> None:
        stopped.append(True)

    async with deck(stop=stop) as d:
        await d.press("Q")
        assert d.asking and not stopped
        await d.press("y")
        assert stopped
        assert d.app.return_value == 0, "attaching again would start it again"
        assert "stopped" in d.app.farewell()


async def test_click_moves_the_cursor_and_hints_can_be_clicked() -> None:
    async with deck() as d:
        await d.pilot.click("#list", offset=(10, 4))
        assert d.screen.list.cursor == 1
        row = d.text().splitlines()
        y = next(index for index, line in enumerate(row) if "p pause" in line)
        x = row[y].index("p pause") + 3
        await d.pilot.click(offset=(x, y))
        await d.settle()
        assert d.state("run2") is TaskState.PAUSED


def test_every_action_has_a_unique_id_a_key_and_a_sentence() -> None:
    keys: dict[str, str] = {}
    for spec in ACTIONS.values():
        assert spec.tooltip.endswith(".") and spec.keys
        for key in spec.keys.split(","):
            assert key not in keys, f"{key} is used by {keys.get(key)} and {spec.id}"
            keys[key] = spec.id


async def test_a_task_that_waits_for_a_password_gets_it_and_the_password_is_not_shown() -> None:
    locked = make_view("s1", op="unzip", title="secret.7z", state=TaskState.WAITING, reason=WaitReason.PASSWORD,
                       note="waits for a password")  # fmt: skip
    async with deck([locked]) as d:
        assert d.text().count("U password") == 2, "on its card and in the footer"
        await d.press("U", *"hunter2")
        assert "hunter2" not in d.text()
        await d.press("enter")
        assert d.asked("unlock") == [("unlock", "s1", {"password": "hunter2"})]


async def test_a_task_that_needs_no_password_says_so() -> None:
    async with deck() as d:
        await d.press("U")
        assert any("waits for no password" in text for text in d.toasts())


async def test_where_rows_are_few_one_toast_alone_covers_little_of_the_list() -> None:
    async with deck(size=(40, 10)) as d:
        for text in ("First.", "movies.zip failed: the disk is full, there are 3 MB free and 900 MB are needed."):
            d.app.say(text)
        await d.settle()
        assert len(d.toasts()) == 1
        assert all(toast.size.height <= 2 for toast in d.top.query(Toast))


async def test_a_question_shows_both_answers_whole_at_40_columns() -> None:
    async with deck(size=(40, 20)) as d:
        await d.press("x")
        assert "No (n)" in d.text() and "Cancel (y)" in d.text()


async def test_marks_stay_when_nothing_is_done_with_them() -> None:
    async with deck() as d:
        await d.press("space", "space", "x", "n")
        assert list(d.screen.list.marks) == ["run1", "run2"]
        await d.press("r")  # neither can be resumed
        assert list(d.screen.list.marks) == ["run1", "run2"]
        await d.press("x", "y")
        assert d.screen.list.marks == {}


async def test_marks_beyond_what_one_request_may_name_are_asked_in_several() -> None:
    async with deck(seeded(2500)) as d:
        await d.press("asterisk")
        await d.until(lambda: len(d.screen.list.marks) == 2500)
        await d.press("p")
        await d.until(lambda: not d.screen.list.marks)
        asked = [len(ids) for _, ids, _ in d.asked("control") if isinstance(ids, tuple)]
        assert max(asked) <= 1000 and sum(asked) == sum(Action.PAUSE in view.actions for view in seeded(2500))
