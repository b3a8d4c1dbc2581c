"""The tasks screen: stat panels, machine, live cards, details, command line and filter."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable
from typing import ClassVar

import msgspec
from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, Static

from engines.commandline import has_secret, parse_line
from engines.errors import TaskdeckError
from engines.model import Json, TaskDetail, TaskState, TaskView
from engines.names import display
from engines.operations import OPERATIONS, fields, output_of
from engines.paths import to_uri
from engines.query import Query, Sort, parse_filter
from engines.tasks.api import Watch
from engines.text import plural
from tui_app.actions import ACTIONS, bindings, first_key
from tui_app.commands import COMMANDS, CommandSuggester, action_words, pasted_paths, quote, suggest_filter, unquote
from tui_app.link import LinkState
from tui_app.mirror import Changes
from tui_app.remembered import Remembered
from tui_app.screens.base import DeckScreen
from tui_app.screens.confirm import Confirm
from tui_app.screens.new_task import ChooseOperation, NewTask
from tui_app.screens.password import PasswordDialog
from widgets.detail_pane import DetailPane
from widgets.footer import Hint, KeyBar
from widgets.glyphs import ASCII
from widgets.half_blocks import half_blocks
from widgets.header import Header
from widgets.line_view import LineView
from widgets.prompt import Prompt
from widgets.stat_tiles import StatTiles
from widgets.system_panel import SystemPanel
from widgets.task_list import TaskList
from widgets.work import restart

_DETAIL_PERIOD = 1.0
_PICTURE = (40, 24)
"""Pixels of a preview at most: cells across, half cells down."""
_GROUPS = ("none", "state", "kind")
_GROUP_WORDS: dict[str, Callable[[TaskView], str]] = {
    "state": lambda view: view.state.value,
    "kind": lambda view: view.kind.value,
}


class TasksScreen(DeckScreen):
    """The main screen."""

    BINDINGS: ClassVar[list[BindingType]] = list(bindings())

    def __init__(self) -> None:
        super().__init__()
        self._detail_of: tuple[str, int] | None = None
        self._group = "none"
        self._filter_before = ""
        # Held, not looked up: updates come twice a second, and until the very end of the application.
        self.header = Header(id="header")
        self.tiles = StatTiles(id="tiles")
        self.system = (SystemPanel(id="system"), SystemPanel(id="side-system", tall=True))
        self.list = TaskList(id="list")
        self.detail = DetailPane(id="detail")
        self.prompt = Prompt(id="prompt")
        self.keys = KeyBar(id="footer")

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield self.header
        yield self.tiles
        yield self.system[0]
        with Horizontal(id="body"):
            yield self.list
            with Vertical(id="side"):
                yield self.system[1]
                yield self.detail
        yield self.prompt
        yield self.keys
        yield Static("Taskdeck needs 40x10 cells.\nMake the window larger.", id="small", markup=False)

    def on_mount(self) -> None:
        """Wire the parts together."""
        for view in self.query(LineView):
            view.glyphs = self.deck.glyphs
        self.prompt.suggest = {"command": CommandSuggester(self.deck.places), "filter": suggest_filter}
        tasks = self.list
        tasks.window = self.deck.mirror.window
        tasks.hints = self._card_hints
        tasks.empty = ("Connecting ...",)
        self._recall()
        self.set_focus(tasks)
        self.tell_header()
        self.tell_footer()
        self.set_interval(_DETAIL_PERIOD, self.refresh_detail)

    # -- from visit to visit ----------------------------------------------------------------
    def _recall(self) -> None:
        """Go on as the last visit ended."""
        last = self.deck.memory.load()
        wanted = last.filter
        try:
            parse_filter(wanted, now=self.deck.clock())
        except TaskdeckError:
            wanted = ""
        query = Query(filter=wanted, sort=last.sort, reverse=last.reverse)
        self.deck.link.watch = Watch(query=query, hz=self.deck.settings.tui.hz)
        self.list.dense = last.dense
        self._group = last.group if last.group in _GROUPS else "none"
        self.list.group_of = _GROUP_WORDS.get(self._group)
        for mode, lines in (("command", last.commands), ("filter", last.filters)):
            self.prompt.history[mode].lines = list(lines)

    def on_unmount(self) -> None:
        """However it ends."""
        self.deck.memory.save(self.visit())

    def visit(self) -> Remembered:
        """What the next visit should know."""
        query, history = self.watch_now.query, self.prompt.history
        return Remembered(
            filter=query.filter,
            sort=query.sort,
            reverse=query.reverse,
            group=self._group,
            dense=self.list.dense,
            commands=history["command"].lines,
            filters=history["filter"].lines,
        )

    # -- parts ---------------------------------------------------------------------------
    @property
    def watch_now(self) -> Watch:
        """The window asked for."""
        return self.deck.link.watch

    @property
    def filter(self) -> str:
        """The filter in force."""
        return self.watch_now.query.filter

    # -- data in -----------------------------------------------------------------------
    def updated(self, changes: Changes) -> None:
        """An update was laid over the picture."""
        mirror, tasks = self.deck.mirror, self.list
        if changes.order:
            self._tell_empty()
            tasks.replaced()
            self.tell_header()
        elif changes.ids:
            tasks.changed(changes.ids)
        if changes.stats and mirror.stats is not None:
            self.tiles.tell(mirror.stats)
            for panel in self.system:
                panel.tell(mirror.stats.host)
        current = tasks.current
        if current is not None and current.id in changes.ids:
            self.tell_footer()
            self.detail.follow(current)
            if self._detail_of != (current.id, current.rev) and (current.terminal or self._detail_of is None):
                self.refresh_detail()

    def link_changed(self, state: LinkState) -> None:
        """The connection came up or was lost."""
        for view in (*self.system, *self.tiles.tiles, self.list, self.detail):
            view.set_stale(not state.up)
        self._tell_empty()
        self.list.refresh()
        self.tell_header()

    def _tell_empty(self) -> None:
        state = self.deck.link.state
        if not state.up:
            lines: tuple[str, ...] = ("Connecting ...", state.reason) if state.reason else ("Connecting ...",)
        elif self.filter:
            lines = ("Nothing matches the filter.", "esc clears it")
        else:
            key = first_key("view.command", self.deck.settings.tui.keymap)
            lines = (
                "No tasks yet.",
                "",
                f"{key}zip PATH packs a folder, {key}unzip PATH unpacks an archive",
                "? helps",
            )
        self.list.empty = lines

    def tell_header(self) -> None:
        """Filter, order and marks."""
        state, query = self.deck.link.state, self.watch_now.query
        alert = ""
        if not state.up and state.tried:
            key = first_key("app.start", self.deck.settings.tui.keymap)
            alert = f"connection lost: {state.reason}; trying again"
            if self.deck.start_engine is not None and key:
                alert = f"connection lost, {key} starts the daemon: {state.reason}"
        notes: list[str] = []
        if self.list.marks:
            notes.append(f"{len(self.list.marks)} marked")
        if query.filter:
            notes.append(f"/{query.filter}")
        if query.sort is not Sort.STATE or query.reverse:
            notes.append(f"by {query.sort.value}{' reversed' if query.reverse else ''}")
        if self.deck.mirror.stats is not None:
            notes.append(plural(self.deck.mirror.window.total, "task"))
        self.header.tell(self.deck.where, alert=alert, notes=tuple(notes))

    def on_resize(self) -> None:
        """The header is cut to the width."""
        self.call_after_refresh(self.tell_header)

    def pending_changed(self) -> None:
        """Cancels that can be undone changed."""
        key = first_key("task.undo", self.deck.settings.tui.keymap)
        self.list.pending = dict.fromkeys(self.deck.performer.pending, f"{key} undoes")
        self.list.restyle()
        self.tell_footer()

    # -- footer and hints ----------------------------------------------------------------
    def tell_footer(self) -> None:
        """What the keys do for the task under the cursor."""
        keymap, current = self.deck.settings.tui.keymap, self.list.current
        shown = sorted((spec for spec in ACTIONS.values() if spec.footer), key=lambda spec: spec.footer)
        hints = []
        if self.deck.performer.pending:
            hints.append(Hint(first_key("task.undo", keymap), "undo", "task.undo"))
        for spec in shown:
            off = spec.verb is not None and (current is None or spec.enabled(current) is not None)
            if not off:
                hints.append(Hint(first_key(spec.id, keymap), spec.label, spec.id))
        self.keys.tell(tuple(hints))

    def _card_hints(self, view: TaskView) -> tuple[tuple[str, str, str], ...]:
        keymap = self.deck.settings.tui.keymap
        return tuple(
            (first_key(spec.id, keymap), spec.label, spec.id)
            for spec in ACTIONS.values()
            if spec.verb is not None and spec.enabled(view) is None
        )

    @on(KeyBar.Clicked)
    def _footer_clicked(self, event: KeyBar.Clicked) -> None:
        self.act(event.action)

    @on(TaskList.HintClicked)
    def _hint_clicked(self, event: TaskList.HintClicked) -> None:
        self.act(event.action)

    @on(TaskList.Opened)
    def _opened(self) -> None:
        self.act("view.details")

    @on(TaskList.Moved)
    def _moved(self) -> None:
        self.tell_footer()
        self.refresh_detail()

    # -- the window ------------------------------------------------------------------------
    @on(TaskList.WindowWanted)
    def _window_wanted(self, event: TaskList.WindowWanted) -> None:
        self.change_query(offset=event.offset, limit=event.limit)

    def change_query(self, **changes: object) -> None:
        """Watch another window, filter or order."""
        query = msgspec.structs.replace(self.watch_now.query, **changes)
        watch = msgspec.structs.replace(self.watch_now, query=query)
        if watch != self.watch_now:
            self.deck.performer.start(self.deck.link.change(watch))
            self.tell_header()

    # -- details ---------------------------------------------------------------------------
    def refresh_detail(self) -> None:
        """Fetch the details of the task under the cursor when they are in sight and may have changed."""
        pane = self.detail
        if not pane.is_on_screen or not pane.size.height:
            return
        current = self.list.current
        if current is None:
            self._detail_of = None
            pane.tell(None)
            return
        if self._detail_of == (current.id, current.rev) or not self.deck.link.state.up:
            return
        restart(self, "detail", self._fetch_detail, current.id)

    async def _fetch_detail(self, task_id: str) -> None:
        try:
            detail = await self.deck.tasks.detail(task_id)
        except TaskdeckError:
            return
        current = self.list.current
        if current is not None and current.id == task_id:
            self._detail_of = (task_id, max(detail.view.rev, current.rev))
            self.detail.tell(detail)
            if detail.view.op == "thumbnail" and detail.view.state is TaskState.COMPLETED:
                await self._preview(detail)

    async def _preview(self, detail: TaskDetail) -> None:
        """The picture a task has made, in half blocks, decoded by the engine: where colours are many enough."""
        path = output_of(detail.view.op, detail.result or {})
        width = min(_PICTURE[0], self.detail.size.width - 1)
        if path is None or width < 8 or self.deck.glyphs is ASCII or self.deck.current_theme.ansi:
            return
        with contextlib.suppress(TaskdeckError):  # a picture more is no matter for a message
            question: Json = {"op": "picture", "path": to_uri(path), "width": width, "height": _PICTURE[1]}
            found = await self.deck.tasks.look(question)
            self.detail.show_picture(detail.view.id, half_blocks(base64.b64decode(found["rgb"]), int(found["width"])))

    # -- prompt ------------------------------------------------------------------------------
    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Priority keys must not take characters from an input that has the keyboard."""
        if action == "act" and isinstance(self.focused, Input):
            return False
        return super().check_action(action, parameters)

    def open_prompt(self, mode: str, value: str = "") -> None:
        """Open the command line or the filter."""
        if mode == "filter":
            self._filter_before = self.filter
            value = value or self.filter
        self.prompt.open(mode, value)

    def on_paste(self, event: events.Paste) -> None:
        """Paths dropped or pasted on the list become the start of a command."""
        if isinstance(self.focused, Input):
            return
        event.stop()
        event.prevent_default()
        paths = pasted_paths(event.text)
        if paths and all(display(path) == path for path in paths):
            first, *others = [quote(path) for path in paths]
            self.open_prompt("command", " ".join([f"zip {first}", *(f"--add {path}" for path in others)]))
        else:
            self.deck.say("What was pasted is no list of paths.", severity="warning")

    def _shut_prompt(self) -> None:
        self.prompt.shut()
        self.set_focus(self.list)

    @on(Prompt.Edited)
    def _edited(self, event: Prompt.Edited) -> None:
        if event.mode == "filter":
            self._apply_filter(event.line, final=False)

    @on(Prompt.Left)
    def _left(self, event: Prompt.Left) -> None:
        self._shut_prompt()
        if event.mode == "filter":
            self._apply_filter(self._filter_before, final=True)

    @on(Prompt.Entered)
    def _entered(self, event: Prompt.Entered) -> None:
        if event.mode == "filter":
            if self._apply_filter(event.line, final=True):
                self.prompt.history["filter"].add(event.line)
                self._shut_prompt()
            return
        if not event.line.strip():
            self._shut_prompt()
        else:
            self.run_line(event.line)

    def _apply_filter(self, text: str, *, final: bool) -> bool:
        try:
            parse_filter(text, now=self.deck.clock())
        except TaskdeckError as error:
            if final:
                self.deck.say(error.coded, severity="warning")
            return False
        self.change_query(filter=text.strip(), offset=0)
        return True

    def run_line(self, line: str) -> None:
        """Run a command line; on a mistake the line stays open with what was typed."""
        words = line.strip().split(None, 1)
        word, rest = words[0], words[1].strip() if len(words) > 1 else ""
        action = action_words().get(line.strip())
        if word not in OPERATIONS and (action is not None or word in COMMANDS):
            self._shut_prompt()
            if action is not None:
                self.act(action)
            else:
                self._screen_command(word, rest)
            self.prompt.history["command"].add(line)
            return
        try:
            data = parse_line(line)
        except TaskdeckError as error:
            self.deck.say(error.coded, severity="error", seconds=8)
            return
        if not has_secret(line):
            self.prompt.history["command"].add(line)
        self._shut_prompt()
        self._submit(data)

    def _screen_command(self, word: str, value: str) -> None:
        choices = COMMANDS[word][1]
        if choices and value not in choices:
            self.deck.say(f"{word} takes one of: {', '.join(choices)}.", severity="warning")
        elif word == "sort":
            self.change_query(sort=Sort(value), reverse=False)
        elif word == "group":
            self._set_group(value)
        elif word == "filter":
            self._apply_filter(value, final=True)
        elif word == "browse":
            self.browse(unquote(value))
        elif word == "theme":
            self.deck.set_theme(value)

    # -- actions -------------------------------------------------------------------------------
    def action_act(self, action_id: str) -> None:
        """Keys come here."""
        self.act(action_id)

    def act(self, action_id: str) -> None:
        """Run an action of the table."""
        spec = ACTIONS[action_id]
        if spec.verb is not None:
            self.deck.performer.ask(action_id, self.list.chosen())
            if self.list.marks:
                self._unmark()
            return
        handler: Callable[[], None] = getattr(self, f"_do_{action_id.replace('.', '_')}")
        handler()

    def _do_task_undo(self) -> None:
        self.deck.performer.undo()

    def _do_task_unlock(self) -> None:
        current = self.list.current
        if current is None:
            return
        reason = ACTIONS["task.unlock"].enabled(current)
        if reason:
            self.deck.say(f"{reason.capitalize()}.", severity="warning")
            return
        task_id = current.id
        self.app.push_screen(
            PasswordDialog(current.title),
            lambda password: self.deck.performer.start(self._unlock(task_id, password)) if password else None,
        )

    async def _unlock(self, task_id: str, password: str) -> None:
        # The operation's own secret fields: one password opens them all.
        view = await self.deck.tasks.view(task_id)
        names = [field.name for field in fields(OPERATIONS[view.op].struct) if field.secret] or ["password"]
        await self.deck.tasks.unlock(task_id, dict.fromkeys(names, password), actor=self.deck.performer.actor)

    def _do_task_raise(self) -> None:
        self._reorder("task.raise", priority=1)

    def _do_task_lower(self) -> None:
        self._reorder("task.lower", priority=-1)

    def _do_task_earlier(self) -> None:
        self._reorder("task.earlier", move=-1)

    def _do_task_later(self) -> None:
        self._reorder("task.later", move=1)

    def _reorder(self, action_id: str, *, priority: int = 0, move: int = 0) -> None:
        views = self.list.chosen()
        fitting = [view for view in views if ACTIONS[action_id].enabled(view) is None]
        if fitting:
            self.deck.performer.start(self.deck.performer.reorder(fitting, priority=priority, move=move))
        elif views:
            self.deck.say(f"{ACTIONS[action_id].enabled(views[0])}.".capitalize(), severity="warning")

    def _do_task_again(self) -> None:
        views = self.list.chosen()
        if views:
            self.deck.performer.start(self.deck.performer.again(views))
            self._unmark()

    def _do_task_copy_command(self) -> None:
        current = self.list.current
        if current is not None:
            self.deck.performer.start(self._copy_command(current.id))

    async def _copy_command(self, task_id: str) -> None:
        detail = await self.deck.tasks.detail(task_id, log_lines=0)
        self.deck.copy(detail.command, "command")

    def _do_task_copy_output(self) -> None:
        current = self.list.current
        if current is None:
            return
        reason = ACTIONS["task.copy_output"].enabled(current)
        if reason:
            self.deck.say(f"{reason.capitalize()}.", severity="warning")
        else:
            self.deck.copy(current.output, "path")

    def _do_all_pause(self) -> None:
        self.deck.performer.start(self.deck.performer.control_all())

    # The arrows and pages serve whichever pane has the keyboard.
    def _do_list_down(self) -> None:
        self._move(1)

    def _do_list_up(self) -> None:
        self._move(-1)

    def _do_list_page_down(self) -> None:
        self._move(self.list.page)

    def _do_list_page_up(self) -> None:
        self._move(-self.list.page)

    def _move(self, places: int) -> None:
        pane = self.detail
        if pane.has_focus:
            rows = places if abs(places) == 1 else (pane.size.height - 1) * (1 if places > 0 else -1)
            pane.scroll_relative(y=rows, animate=False)
        else:
            self.list.move(places)

    def _do_list_top(self) -> None:
        pane = self.detail
        if pane.has_focus:
            pane.scroll_home(animate=False)
        else:
            self.list.move_to(0)

    def _do_list_bottom(self) -> None:
        pane = self.detail
        if pane.has_focus:
            pane.scroll_end(animate=False)
        else:
            self.list.move_to(-1)

    def _do_list_mark(self) -> None:
        current, marks = self.list.current, self.list.marks
        if current is None:
            return
        if current.id in marks:
            del marks[current.id]
        else:
            marks[current.id] = current
        self.list.restyle()
        self.list.move(1)
        self.tell_header()

    def _do_list_mark_all(self) -> None:
        self.deck.performer.start(self._mark_all())

    async def _mark_all(self) -> None:
        query = msgspec.structs.replace(self.watch_now.query, offset=0, limit=10_000)
        page = await self.deck.tasks.query(query)
        self.list.marks = {view.id: view for view in page.items}
        self.list.restyle()
        self.tell_header()

    def _unmark(self) -> None:
        self.list.marks = {}
        self.list.restyle()
        self.tell_header()

    def _do_list_unmark(self) -> None:
        """Escape backs out one step at a time."""
        if self.prompt.display:
            self._shut_prompt()
        elif self.has_class("-details"):
            self._do_view_details()
        elif self.list.marks:
            self._unmark()
        elif self.filter:
            self._apply_filter("", final=True)
        else:
            self.set_focus(self.list)

    def _do_list_sort(self) -> None:
        orders = list(Sort)
        following = orders[(orders.index(self.watch_now.query.sort) + 1) % len(orders)]
        self.change_query(sort=following, reverse=False)

    def _do_list_reverse(self) -> None:
        self.change_query(reverse=not self.watch_now.query.reverse)

    def _do_list_group(self) -> None:
        self._set_group(_GROUPS[(_GROUPS.index(self._group) + 1) % len(_GROUPS)])

    def _set_group(self, group: str) -> None:
        self._group = group
        self.list.group_of = _GROUP_WORDS.get(group)
        if group != "none":
            self.change_query(sort=Sort.STATE if group == "state" else Sort.KIND, reverse=False)
        self.list.restyle()
        self.deck.say("Not grouped." if group == "none" else f"Grouped by {group}.", seconds=2)

    def _do_list_dense(self) -> None:
        self.list.dense = not self.list.dense
        self.list.restyle()

    def _do_view_filter(self) -> None:
        self.open_prompt("filter")

    def _do_view_command(self) -> None:
        self.open_prompt("command")

    def _do_view_new(self) -> None:
        self.app.push_screen(ChooseOperation(), lambda name: self.open_form(name) if name else None)

    def open_form(self, name: str, given: Json | None = None) -> None:
        """Open the form of an operation."""
        self.app.push_screen(NewTask(OPERATIONS[name], given), lambda data: self._submit(data) if data else None)

    def _submit(self, data: Json) -> None:
        self.deck.performer.start(self.deck.performer.submit(data, base=self.deck.places.base()))

    def browse(self, path: str) -> None:
        """Look into an archive or a folder of media; "" asks which."""
        from tui_app.screens.browse import browse, choose

        self.deck.performer.start(browse(self, path) if path else choose(self))

    def _do_view_browse(self) -> None:
        self.browse("")

    def _do_view_details(self) -> None:
        if self.has_class("-wide"):
            self.toggle_class("-no-side")
            showing = not self.has_class("-no-side")
        else:
            showing = not self.has_class("-details")
            self.set_class(showing, "-details")
            self.set_focus(self.detail if showing else self.list)
        if showing:
            self._detail_of = None
            self.call_after_refresh(self.refresh_detail)
        elif self.detail.has_focus:
            self.set_focus(self.list)

    def _do_view_next_pane(self) -> None:
        pane = self.detail
        if pane.has_focus or not pane.is_on_screen:
            self.set_focus(self.list)
        else:
            self.set_focus(pane)

    def _do_view_history(self) -> None:
        from tui_app.screens.history import HistoryScreen

        self.app.push_screen(HistoryScreen())

    def _do_view_settings(self) -> None:
        path = self.deck.settings_file
        if path is None:
            self.deck.say("The settings are on another machine; change them there.", severity="warning")
            return
        from tui_app.screens.settings import SettingsScreen

        self.app.push_screen(SettingsScreen(path))

    def _do_view_faces(self) -> None:
        if self.deck.faces is None:
            self.deck.say("This window has no daemon with a dashboard.", severity="warning")
            return
        from tui_app.screens.faces import FacesDialog

        self.app.push_screen(FacesDialog(self.deck.faces))

    def _do_view_keys(self) -> None:
        path = self.deck.settings_file
        if path is None:
            self.deck.say("The settings are on another machine; change them there.", severity="warning")
            return
        from tui_app.screens.keys import KeysDialog

        self.app.push_screen(KeysDialog(path))

    def _do_view_theme(self) -> None:
        from tui_app.screens.theme import ThemeDialog

        self.app.push_screen(ThemeDialog())

    def _do_view_mouse(self) -> None:
        self.deck.toggle_mouse()

    def _do_app_help(self) -> None:
        self.action_explain()

    def _do_app_palette(self) -> None:
        self.app.action_command_palette()

    def _do_app_quit(self) -> None:
        stats = self.deck.mirror.stats
        if self.deck.detachable or stats is None or not stats.active_tasks:
            self.deck.leave()
            return
        self.app.push_screen(
            Confirm(
                f"Quit and stop {plural(stats.active_tasks, 'running task')}?",
                "The engine runs inside this window. Tasks go on from their checkpoints when it is opened again.",
                yes="Quit",
            ),
            lambda yes: self.deck.leave() if yes else None,
        )

    def _do_app_start(self) -> None:
        if self.deck.link.state.up:
            self.deck.say("The daemon answers already.")
        elif self.deck.start_engine is None:
            self.deck.link.hurry()
        else:
            self.deck.performer.start(self.deck.start_again())

    def _do_app_stop(self) -> None:
        if self.deck.stop_engine is None:
            self.deck.say("The daemon cannot be stopped from here.", severity="warning")
            return
        stats = self.deck.mirror.stats
        running = f"{plural(stats.active_tasks, 'running task')} stop now and " if stats and stats.active_tasks else ""
        self.app.push_screen(
            Confirm("Stop the daemon?", f"{running}go on from their checkpoints when it is started again.".capitalize(),
                    yes="Stop"),
            lambda yes: self.deck.performer.start(self.deck.stop_and_leave()) if yes else None,
        )  # fmt: skip
