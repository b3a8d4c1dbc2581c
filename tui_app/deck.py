"""The application as screens know it: attached to a task engine that runs elsewhere, with words for people."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import signal
import time
from collections.abc import Awaitable, Callable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, runtime_checkable

from textual import events
from textual.app import App
from textual.notifications import Notification, Notify, SeverityLevel
from textual.screen import Screen
from textual.scrollbar import ScrollBar, ScrollBarRender
from textual.widgets import Input

from engines.errors import TaskdeckError
from engines.model import Actor, Stats, TaskState, TaskView
from engines.names import display
from engines.paths import PathPolicy
from engines.settings import Settings
from engines.text import plural
from tui_app import themes
from tui_app.driver import PatientDriver
from tui_app.keymap import faults, first_key, usable
from tui_app.keys import bindings
from tui_app.link import Connect, Link, LinkState
from tui_app.mirror import Changes, Mirror
from tui_app.perform import Performer
from tui_app.places import LocalPlaces, Places
from tui_app.remembered import Memory
from tui_app.type_ahead import TypeAhead
from widgets.glyphs import ASCII, UNICODE, Glyphs
from widgets.line_view import LineView

if TYPE_CHECKING:
    from textual.driver import Driver

    from engines.tasks.api import Tasks, Update
    from tui_app.faces import Faces

PLAIN_TERMINALS: Final = frozenset({"linux", "vt100", "vt220", "dumb", "unknown", ""})
"""Terminals whose fonts cannot be trusted with block glyphs."""
_ROOM_FOR_TOASTS: Final = 20
"""Rows from which more than one toast is shown."""
_TOASTS: Final = 3
_TO_READ: Final = 4.0
"""Seconds an error stands at least."""
_SIZE_PERIOD: Final = 1.0
_CLOSE_PATIENCE: Final = 10.0
_LEAVE_PATIENCE: Final = 3.0
CLIPBOARD_LIMIT: Final = 74_994
"""Bytes: the longest OSC 52 text that terminals in use take (100,000 in base64)."""


@runtime_checkable
class Main(Protocol):
    """What the application asks of its main screen."""

    def updated(self, changes: Changes) -> None:
        """An update was laid over the picture."""

    def link_changed(self, state: LinkState) -> None:
        """The connection came up or was lost."""

    def pending_changed(self) -> None:
        """Cancels that can be undone changed."""

    def settings_changed(self) -> None:
        """Keys, glyphs or the pace changed."""

    def act(self, action_id: str) -> None:
        """Run an action of the table."""

    def open_prompt(self, mode: str, value: str = "") -> None:
        """Open the command line or the filter."""


class Deck(App[int]):
    """The application without its screens, which are written against this class.

    Args:
        connect: Gives the task engine; called after the first frame and after every loss.
        settings: The settings of this client.
        where: Name of the place attached to, for the header.
        places: Disks of the engine's machine; this machine's when None.
        closing: Closes what `connect` opened, awaited when the user leaves.
        stop: Stops the daemon, None when that cannot be asked from here.
        start: Starts the daemon when the user asks for it after a loss; None when that cannot be done from here.
        reload: Has the engine read its settings anew; None when that cannot be asked from here.
        detachable: Whether tasks go on when the application ends.
        settings_file: Where settings are changed; None hides that screen.
        faces: Dashboard and bot of the daemon; None hides that panel.
        memory: File that keeps filter, order and typed lines for the next visit; None forgets them.
        clock: Seconds since the epoch.
    """

    TITLE = "Taskdeck"
    BINDINGS: ClassVar = bindings("app.interrupt", "app.force_quit")

    def __init__(
        self,
        connect: Connect,
        settings: Settings | None = None,
        *,
        where: str = "this machine",
        places: Places | None = None,
        stop: Callable[[], Awaitable[None]] | None = None,
        start: Callable[[], Awaitable[None]] | None = None,
        reload: Callable[[], Awaitable[None]] | None = None,
        closing: Callable[[], Awaitable[None]] | None = None,
        detachable: bool = True,
        settings_file: Path | None = None,
        faces: Faces | None = None,
        memory: Path | None = None,
        clock: Callable[[], float] = time.time,
        driver_class: type[Driver] | None = None,
        undo_seconds: float = 5.0,
        reconnect_delay: float = 0.25,
    ) -> None:
        colourless = bool(os.environ.get("NO_COLOR"))
        super().__init__(driver_class=driver_class, ansi_color=True if colourless else None)
        self.settings = settings or Settings()
        self.where = where
        self.places = places or LocalPlaces(PathPolicy.of(self.settings.roots))
        self.stop_engine = stop
        self.start_engine = start
        self.reload_engine = reload
        self._closing_link = closing
        self.detachable = detachable
        self.settings_file = settings_file
        self.faces = faces
        self.memory = Memory(memory)
        self.clock = clock
        self.mirror = Mirror()
        self._noticed: tuple[str, ...] = ()
        self.link = Link(connect, self._updated, self._link_changed, first_delay=reconnect_delay)
        self.performer = Performer(self, Actor(_user(), "tui"), undo_seconds=undo_seconds)
        self.glyphs: Glyphs
        self._dress()
        for theme in themes.THEMES:
            self.register_theme(theme)
        wanted = self.settings.tui.theme
        self.few_colours = colourless or self.console.color_system in (None, "standard")
        """Whether the terminal shows 16 colours or none: then only the theme made of those is legible."""
        self.theme = themes.ANSI if self.few_colours else wanted if wanted in self.available_themes else themes.DEFAULT
        self.user_keys = usable(self.settings.tui.keymap)
        """The user's keys by row, as far as they can be used."""
        self.set_keymap(self.user_keys)
        self._title = ""
        self._stopped = False
        self._typed = TypeAhead(self, super().on_event)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our own colour variables, for themes that do not set them."""
        return dict(themes.VARIABLES)

    # -- life ----------------------------------------------------------------------------
    async def on_event(self, event: events.Event) -> None:
        """Keys and pasted texts come in here, and go on in their order."""
        if isinstance(event, (events.Key, events.Paste)) and not event.is_forwarded:
            await self._typed.take(event)
        else:
            await super().on_event(event)

    def on_mount(self) -> None:
        """Signals that end a session must leave a clean terminal; then attach, after the first frame."""
        loop = asyncio.get_running_loop()
        if not self.is_headless:
            for number in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, self.exit, 128 + number)
        if isinstance(self._driver, PatientDriver):
            self.set_interval(_SIZE_PERIOD, self._driver.check_size)
        self.call_after_refresh(self.attach)
        self._tell_settings()

    def _tell_settings(self) -> None:
        """Say once what of the settings is not followed: nobody should wonder why a key does nothing."""
        tui = self.settings.tui
        if tui.theme not in self.available_themes:
            self.say(f"There is no theme {display(tui.theme, limit=40)}; {self.key('view.theme')} shows them.",
                     severity="warning", seconds=10)  # fmt: skip
        wrong = faults(tui.keymap)
        if wrong:
            more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            told = "; ".join(wrong[:3])
            self.say(f"tui.keymap: {told}{more}. {self.key('view.keys')} changes keys.", severity="warning", seconds=15)

    def attach(self) -> None:
        """Start to watch."""
        self.run_worker(self.link.run(), group="link", exclusive=True)

    async def action_leave(self) -> None:
        """Detach: send what was confirmed, then go."""
        await self._sent()
        if self.performer.pending:
            try:
                await self.performer.flush()
            except TaskdeckError as error:
                self.say(error.coded, severity="error")
                return
        self.exit(0)

    async def _sent(self) -> None:
        """Wait a little for what was asked of the engine just before, and is still on its way."""
        asked = [worker for worker in self.workers if worker.group == "perform" and not worker.is_finished]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_PATIENCE):
                await asyncio.gather(*(worker.wait() for worker in asked), return_exceptions=True)

    async def on_unmount(self) -> None:
        """However it ends (key, signal, lost terminal): close what was opened, without waiting for ever."""
        if self._title:
            self.control("\x1b]9;4;0;\x07\x1b]2;\x07")
        with contextlib.suppress(TaskdeckError, TimeoutError, OSError):
            async with asyncio.timeout(_CLOSE_PATIENCE):
                await self.performer.flush()
                await self.link.close()
                if self._closing_link is not None:
                    await self._closing_link()

    async def stop_and_leave(self) -> None:
        """Stop the daemon and go: attaching again would start it again."""
        assert self.stop_engine is not None
        await self.stop_engine()
        self._stopped = True
        self.exit(0)

    async def start_again(self) -> None:
        """Start the daemon and attach; nobody but the user may undo a stop."""
        assert self.start_engine is not None
        self.say("Starting the daemon ...", seconds=2)
        await self.start_engine()
        self.link.hurry()

    def leave(self) -> None:
        """Detach, from code that cannot wait."""
        self.run_worker(self.action_leave(), group="leave")

    def toggle_mouse(self) -> None:
        """Give the mouse back to the terminal (to select text), or take it again."""
        driver = self._driver
        if not isinstance(driver, PatientDriver):
            self.say("The mouse cannot be switched here.", severity="warning")
            return
        taken = driver.switch_mouse()
        self.say("The mouse works here." if taken else "The mouse belongs to the terminal.", seconds=2)

    def action_interrupted(self) -> None:
        """Ctrl-C is no way to end tasks: say what is."""
        if isinstance(self.focused, Input):  # there the other keys are letters
            closes, leaves = self.key("prompt.leave"), self.key("app.force_quit")
            self.say(f"{closes} closes the line, {leaves} leaves (tasks go on).")
            return
        self.say(f"{self.key('app.quit')} leaves (tasks go on), {self.key('task.cancel')} cancels a task.")

    @property
    def tasks(self) -> Tasks:
        """The task engine; raises TaskdeckError while the connection is down."""
        return self.link.tasks

    @property
    def main(self) -> Main | None:
        """The tasks screen, wherever it is in the stack."""
        return next((screen for screen in self.screen_stack if isinstance(screen, Main)), None)

    def confirm(self, question: str, detail: str, *, yes: str, then: Callable[[], None]) -> None:
        """Ask before something that cannot be taken back; `then` runs when the answer is yes."""
        raise NotImplementedError

    def explain(self, screen: Screen[Any]) -> None:
        """Open the help, beginning with the keys of the focused widget and of the screen it stands on."""
        raise NotImplementedError

    # -- the link -----------------------------------------------------------------------
    def _updated(self, update: Update, fresh: bool) -> None:
        if fresh:
            self.mirror.restart()
        changes = self.mirror.apply(update)
        if self.main is not None:
            self.main.updated(changes)
        self._tell_ended(changes.ended)
        self._tell_title()
        self._tell_notices()

    def _link_changed(self, state: LinkState) -> None:
        if self.main is not None:
            self.main.link_changed(state)

    def _tell_ended(self, ended: list[TaskView]) -> None:
        views = [view for view in ended if view.state is not TaskState.CANCELLED]
        shown = views if len(views) <= _TOASTS else views[: _TOASTS - 1]
        for view in shown:
            if view.state is TaskState.FAILED:
                cause = view.error.coded if view.error is not None else "no reason was given"
                self.say(f"{view.title} failed: {cause}", severity="error", seconds=10)
            else:
                self.say(f"{view.op} {view.title}: done.")
        if len(views) > len(shown):
            self.say(f"and {plural(len(views) - len(shown), 'more task')} ended.")
        if views and self.settings.tui.bell:
            self.bell()
        if views and self.settings.tui.notify:
            self.control(f"\x1b]9;{_ended_text(views)}\x07")

    def _tell_notices(self) -> None:
        """What whoever runs the server should see; each once."""
        current = self.mirror.stats.notices if self.mirror.stats is not None else ()
        for notice in current:
            if notice not in self._noticed:
                self.say(notice, severity="warning", seconds=30)
        self._noticed = current

    def _tell_title(self) -> None:
        """The terminal's title: how many run and how far the ones in sight are."""
        stats = self.mirror.stats
        if stats is None:
            return
        running = [view for view in self.mirror.window.views.values() if view.state is TaskState.RUNNING and view.total]
        total = sum(view.total or 0 for view in running)
        share = int(100 * sum(view.done for view in running) / total) if total else 0
        title = f"Taskdeck: {stats.active_tasks} running, {share}%" if stats.active_tasks else "Taskdeck"
        if title != self._title:
            self._title = title
            progress = f"\x1b]9;4;1;{share}\x07" if stats.active_tasks else "\x1b]9;4;0;\x07"
            self.control(f"\x1b]2;{title}\x07{progress}")

    def control(self, sequence: str) -> None:
        """Send a control sequence to a real terminal."""
        if self._driver is not None and not self.is_headless and os.environ.get("TERM") not in PLAIN_TERMINALS:
            self._driver.write(sequence)

    def later(self, seconds: float, then: Callable[[], None]) -> None:
        """Run something after a while."""
        self.set_timer(seconds, then)

    def work(self, work: Awaitable[None]) -> None:
        """Run something in the background."""
        self.run_worker(work, group="perform")

    # -- words for people ----------------------------------------------------------------
    def say(self, text: str, *, severity: SeverityLevel = "information", seconds: float | None = None) -> None:
        """A toast."""
        self.notify(text, severity=severity, timeout=seconds or 5, markup=False)

    def on_notify(self, event: Notify) -> None:
        """Few toasts at a time, so that the list is not covered; only an error takes the place of a fresh error."""
        room = _TOASTS if self.size.height >= _ROOM_FOR_TOASTS else 1
        standing = list(self._notifications)
        for toast in standing:
            if len(standing) < room:
                return
            if event.notification.severity == "error" or not _fresh_error(toast):
                standing = [other for other in standing if other is not toast]
                self._unnotify(toast, refresh=False)
        if len(standing) >= room:
            event.prevent_default()

    def key(self, name: str) -> str:
        """The first key of a row of the key table, as the user has it."""
        return first_key(name, self.user_keys)

    def hint(self, *pairs: tuple[str, str]) -> str:
        """Keys and what they do in a line: `("rows.choose", "opens")` gives "enter opens"."""
        return "  ".join(f"{self.key(name)} {word}" for name, word in pairs)

    def copy(self, text: str, what: str) -> None:
        """Copy to the clipboard of the terminal; where it has none the text is shown instead."""
        if len(text.encode()) > CLIPBOARD_LIMIT:
            self.say(f"The {what} is too long for the terminal's clipboard.", severity="warning")
            return
        if os.environ.get("TERM") in PLAIN_TERMINALS:  # OSC 52 would stand on the screen as letters
            self.say(f"This terminal has no clipboard: {text}", seconds=15)
            return
        self.copy_to_clipboard(text)
        self.say(f"Copied: {text}" if len(text) < 200 else f"Copied the {what}.")

    # -- actions ---------------------------------------------------------------------------
    def act(self, action_id: str) -> None:
        """Run an action of the table."""
        if self.main is not None:
            self.main.act(action_id)

    def type_command(self, line: str) -> None:
        """Open the command line with a text."""
        if self.main is not None:
            self.main.open_prompt("command", line)

    def set_theme(self, name: str) -> None:
        """Choose a theme."""
        if name not in self.available_themes:
            self.say(f"There is no theme {name}.", severity="warning")
            return
        if self.few_colours and not self.available_themes[name].ansi:
            self.say(f"{name} needs a terminal of 256 colours; this one has 16 or none.", severity="warning")
            return
        self.theme = name

    def _dress(self) -> None:
        """Glyphs, borders and scroll bars that the terminal's font has."""
        self.glyphs = _glyphs(self.settings.tui.icons)
        self.set_class(self.glyphs is ASCII, "-ascii")
        ScrollBar.renderer = _PlainBar if self.glyphs is ASCII else ScrollBarRender

    def settings_changed(self, settings: Settings) -> None:
        """Other settings of this interface, which all work at once."""
        before, self.settings = self.settings, settings
        if settings.tui.theme != before.tui.theme:
            self.set_theme(settings.tui.theme)
        if settings.tui.keymap != before.tui.keymap:
            self.user_keys = usable(settings.tui.keymap)
            self.set_keymap(self.user_keys)
        if settings.tui.icons != before.tui.icons:
            self._dress()
            for view in chain.from_iterable(screen.query(LineView) for screen in self.screen_stack):
                view.dress(self.glyphs)
        if settings.tui.mouse != before.tui.mouse and isinstance(self._driver, PatientDriver):
            self._driver.take_mouse(settings.tui.mouse)
        if self.main is not None:
            self.main.settings_changed()

    def pending_changed(self) -> None:
        """Cancels that can be undone changed."""
        if self.main is not None:
            self.main.pending_changed()

    def farewell(self) -> str:
        """What goes on when we have left."""
        stats = self.mirror.stats
        if self._stopped:
            return "The daemon is stopped; its tasks go on when `taskdeck` is started again."
        if stats is None or not self.detachable:
            return ""
        return goodbye(stats)


class _PlainBar(ScrollBarRender):
    """A scroll bar of whole cells."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "] * 8
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "] * 8


def _fresh_error(toast: Notification) -> bool:
    return toast.severity == "error" and toast.timeout - toast.time_left < _TO_READ


def goodbye(stats: Stats) -> str:
    """What goes on in the background, a sentence or two; "" for nothing."""
    waiting = stats.counts.get("queued", 0) + stats.counts.get("waiting", 0)
    paused = stats.counts.get("paused", 0)
    if not stats.active_tasks and not waiting:
        return f"{plural(paused, 'paused task')} kept. Come back with `taskdeck`." if paused else ""
    going = ", ".join(
        text
        for text, count in (
            (f"{stats.active_tasks} running", stats.active_tasks),
            (f"{waiting} queued", waiting),
            (f"{paused} paused", paused),
        )
        if count
    )
    return f"Tasks go on in the background: {going}. Come back with `taskdeck`; `taskdeck stop` stops the daemon."


def _glyphs(icons: str) -> Glyphs:
    if icons == "ascii" or (icons == "auto" and os.environ.get("TERM", "") in PLAIN_TERMINALS):
        return ASCII
    return UNICODE


def _ended_text(views: list[TaskView]) -> str:
    """One line about tasks that ended; titles are display-safe already."""
    if len(views) > 1:
        return f"Taskdeck: {plural(len(views), 'task')} ended"
    return f"Taskdeck: {views[0].op} {views[0].title} {views[0].state.value}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "local"
