"""The settings: every one with its value, where it came from and what it does; changed here, checked, written."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input, Static

from engines.errors import TaskdeckError
from engines.names import display
from tui_app.config import Config, Option, Origin, load, options, set_option, shown
from tui_app.keys import bindings
from tui_app.screens.base import DeckScreen
from widgets.footer import KeyBar
from widgets.header import Header
from widgets.prompt import LineHistory, Prompt
from widgets.row_list import RowList
from widgets.spans import Row, Span, cell_len, cut

_HINTS: Final = (("rows.choose", "change", "change"), ("settings.back", "back", "back"))
_NAME: Final = 30
_VALUE: Final = 26
_ORIGIN: Final = 13
_HELPED: Final = 100
"""Cells from which a row has room for its help."""


class SettingsScreen(DeckScreen):
    """Settings work at once: those of the interface here, the others in the engine, for tasks that start from now on.

    Args:
        path: The settings file, which need not exist.
    """

    BINDINGS: ClassVar = bindings("settings")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._options: list[Option] = []
        self._config: Config | None = None
        self._changing: Option | None = None
        """What is typed is for this one, wherever a click puts the cursor meanwhile."""
        self.header = Header(id="header")
        self.rows = RowList(id="settings-rows")
        self.prompt = Prompt(id="prompt")
        self.keys = KeyBar(id="footer")

    def compose(self) -> ComposeResult:
        """Header, rows, what the row means, prompt, keys."""
        yield self.header
        yield self.rows
        yield Static("", id="settings-help", markup=False)
        yield self.prompt
        yield self.keys

    async def on_mount(self) -> None:
        """Read the file."""
        self.dress()
        self.prompt.history["value"] = LineHistory()
        self.keys.tell(self.hints(_HINTS))
        self.set_focus(self.rows)
        self._options = list(options().values())
        try:
            self._config = await asyncio.to_thread(load, self._path)
        except TaskdeckError as error:
            self.deck.say(error.coded, severity="error", seconds=10)
            return
        self.rows.fill(len(self._options), self._draw)
        self._explain(0)
        self.call_after_refresh(lambda: self.header.tell("Settings", notes=(display(self._path),)))

    def value(self, option: Option) -> str:
        """A value as it is typed; secrets are masked."""
        assert self._config is not None
        found = shown(self._config, option)
        if isinstance(found, bool):
            return "yes" if found else "no"
        if isinstance(found, list):
            return (":" if option.key == "roots" else ",").join(map(str, found))
        if isinstance(found, dict):
            return ",".join(f"{key}={value}" for key, value in found.items())
        return str(found)

    def _draw(self, index: int, width: int) -> Row:
        assert self._config is not None
        option = self._options[index]
        source = self._config.sources.get(option.key)
        origin = source.origin.value if source is not None else "default"
        helped = width >= _HELPED  # else the help of the row under the cursor has to do
        room = _VALUE if helped else max(10, width - _NAME - _ORIGIN)
        value = cut(display(self.value(option)) or "-", room - 2, self.deck.glyphs.ellipsis)
        tail = f"{origin:<{_ORIGIN}}{option.help}" if helped else origin
        return [
            Span(f"{option.key:<{_NAME}}"),
            Span(value + " " * (room - cell_len(value)), "muted" if origin == "default" else "value"),
            Span(cut(tail, max(0, width - _NAME - room), self.deck.glyphs.ellipsis), "muted"),
        ]

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        self._explain(event.index)

    def _explain(self, index: int) -> None:
        option = self._options[index]
        self.query_one("#settings-help", Static).update(f"{option.help}  ({option.variable})")

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        self.action_change()

    def action_change(self) -> None:
        """Type another value."""
        if self._config is None:
            return
        option = self._options[self.rows.cursor]
        if option.key == "tui.keymap":
            self.deck.act("view.keys")
        elif option.key == "telegram.users":
            self.deck.say(f"This is a table of tables; write it in {display(self._path)}.", severity="warning")
        else:
            self._changing = option
            self.prompt.open("value", "" if option.secret else self.value(option))
            self.prompt.line.password = option.secret

    @on(KeyBar.Clicked)
    async def _clicked(self, event: KeyBar.Clicked) -> None:
        await self.run_action(event.action)

    @on(Prompt.Entered)
    async def _entered(self, event: Prompt.Entered) -> None:
        option = self._changing
        assert option is not None
        try:
            self._config = await asyncio.to_thread(set_option, self._path, option.key, event.line)
        except TaskdeckError as error:
            self.deck.say(error.coded, severity="error", seconds=8)
            return
        self._left()
        self.rows.refresh()
        self.deck.settings_changed(self._config.settings)
        source = self._config.sources[option.key]
        if source.origin is not Origin.FILE:
            self.deck.say(f"{option.key} is written, but {source} stands above the file.", severity="warning")
        elif option.key.startswith("tui.") or await self._reloaded():
            self.deck.say(f"{option.key} is changed.")
        else:
            self.deck.say(f"{option.key} is written; the daemon reads it when it starts again.")

    async def _reloaded(self) -> bool:
        """Whether the engine reads the settings anew; what it finds wrong is said."""
        if self.deck.reload_engine is None:
            return False
        try:
            await self.deck.reload_engine()
        except TaskdeckError as error:
            if error.code != "daemon.absent":
                self.deck.say(error.coded, severity="error", seconds=8)
            return False
        return True

    @on(Prompt.Left)
    def _left(self) -> None:
        self.prompt.line.password = False
        self.prompt.shut()
        self.set_focus(self.rows)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys belong to the prompt while it is open."""
        if isinstance(self.focused, Input) and action == "back":
            return False
        return super().check_action(action, parameters)

    def action_back(self) -> None:
        """To the tasks."""
        self.app.pop_screen()
