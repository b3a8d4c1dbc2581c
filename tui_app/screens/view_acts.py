"""What keys do to the view and the application: panes, dialogs, other screens, leaving, the daemon."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from engines.errors import TaskdeckError
from engines.model import Json
from engines.operations import OPERATIONS
from engines.text import plural
from tui_app.screens.board import Board
from tui_app.screens.browse import browse, choose
from tui_app.screens.line import LineDesk
from tui_app.screens.new_task import ChooseOperation, NewTask


class ViewActs:
    """Opens what can be opened. Screens are imported when they are wanted: the first frame needs none of them."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def handlers(self, line: LineDesk) -> dict[str, Callable[[], None]]:
        """What runs for which action."""
        deck = self._board.deck
        return {
            "view.filter": partial(line.open, "filter"),
            "view.command": partial(line.open, "command"),
            "view.new": self._new,
            "view.browse": partial(self.browse, ""),
            "view.details": self.details,
            "view.next_pane": self._next_pane,
            "view.history": self._history,
            "view.planned": self._planned,
            "view.settings": self._settings,
            "view.faces": self._faces,
            "view.keys": self._keys,
            "view.theme": self._theme,
            "view.mouse": deck.toggle_mouse,
            "app.help": partial(deck.explain, self._board),
            "app.palette": deck.action_command_palette,
            "app.quit": self._quit,
            "app.start": self._start,
            "app.stop": self._stop,
        }

    # -- new tasks -----------------------------------------------------------------------
    def _new(self) -> None:
        self._board.app.push_screen(ChooseOperation(), lambda name: self.form(name) if name else None)

    def form(self, name: str, given: Json | None = None) -> None:
        """Open the form of an operation."""
        form = NewTask(OPERATIONS[name], given)
        self._board.app.push_screen(
            form, lambda data: self.submit(data, partial(self.form, name, data)) if data else None
        )

    def submit(self, data: Json, again: Callable[[], None]) -> None:
        """Queue an operation; `again` brings back what was typed when it is refused."""
        self._board.deck.performer.start(self._submit(data, again))

    async def _submit(self, data: Json, again: Callable[[], None]) -> None:
        board, deck = self._board, self._board.deck
        try:
            view = await deck.performer.submit(data, base=deck.places.base())
        except TaskdeckError:
            if deck.screen is board and not board.prompt.display:  # else something newer would be covered
                again()
            raise
        board.list.seek(view.id)  # the keys that follow are about the new task

    def browse(self, path: str) -> None:
        """Look into an archive or a folder of media; "" takes the task's under the cursor, or asks which."""
        deck, unpack = self._board.deck, partial(self.form, "unzip")
        if path:
            deck.performer.start(browse(deck, path, unpack))
        else:
            deck.performer.start(choose(deck, self._board.list.current, unpack))

    # -- panes ---------------------------------------------------------------------------
    def details(self) -> None:
        """Show or hide the details."""
        board = self._board
        if board.has_class("-wide"):
            board.toggle_class("-no-side")
            showing = not board.has_class("-no-side")
        else:
            showing = not board.has_class("-details")
            board.set_class(showing, "-details")
            board.set_focus(board.detail if showing else board.list)
        if showing:
            board.feed.renew()
        elif board.detail.has_focus:
            board.set_focus(board.list)

    def _next_pane(self) -> None:
        pane = self._board.detail
        if pane.has_focus or not pane.is_on_screen:
            self._board.set_focus(self._board.list)
        else:
            self._board.set_focus(pane)

    # -- other screens -------------------------------------------------------------------
    def _history(self) -> None:
        from tui_app.screens.history import HistoryScreen

        self._board.app.push_screen(HistoryScreen())

    def _planned(self) -> None:
        from tui_app.screens.planned import PlannedScreen

        self._board.app.push_screen(PlannedScreen())

    def _settings_file(self) -> Path | None:
        path = self._board.deck.settings_file
        if path is None:
            self._board.deck.say("The settings are on another machine; change them there.", severity="warning")
        return path

    def _settings(self) -> None:
        path = self._settings_file()
        if path is not None:
            from tui_app.screens.settings import SettingsScreen

            self._board.app.push_screen(SettingsScreen(path))

    def _keys(self) -> None:
        path = self._settings_file()
        if path is not None:
            from tui_app.screens.keys import KeysDialog

            self._board.app.push_screen(KeysDialog(path))

    def _faces(self) -> None:
        faces = self._board.deck.faces
        if faces is None:
            self._board.deck.say("This window has no daemon with a dashboard.", severity="warning")
            return
        from tui_app.screens.faces import FacesDialog

        self._board.app.push_screen(FacesDialog(faces))

    def _theme(self) -> None:
        if self._board.deck.few_colours:
            self._board.deck.say("This terminal has 16 colours or none: there is one theme for it.", severity="warning")
            return
        from tui_app.screens.theme import ThemeDialog

        self._board.app.push_screen(ThemeDialog())

    # -- leaving, and the daemon -----------------------------------------------------------
    def _quit(self) -> None:
        deck = self._board.deck
        stats = deck.mirror.stats
        if deck.detachable or stats is None or not stats.active_tasks:
            deck.leave()
            return
        deck.confirm(
            f"Quit and stop {plural(stats.active_tasks, 'running task')}?",
            "The engine runs inside this window. Tasks go on from their checkpoints when it is opened again.",
            yes="Quit",
            then=deck.leave,
        )

    def _start(self) -> None:
        deck = self._board.deck
        if deck.link.state.up:
            deck.say("The daemon answers already.")
        elif deck.start_engine is None:
            deck.link.hurry()
        else:
            deck.performer.start(deck.start_again())

    def _stop(self) -> None:
        deck = self._board.deck
        if deck.stop_engine is None:
            deck.say("The daemon cannot be stopped from here.", severity="warning")
            return
        stats = deck.mirror.stats
        active = stats.active_tasks if stats is not None else 0
        running = f"{plural(active, 'running task')} stop now and " if active else ""
        deck.confirm(
            "Stop the daemon?",
            f"{running}go on from their checkpoints when it is started again.".capitalize(),
            yes="Stop",
            then=lambda: deck.performer.start(deck.stop_and_leave()),
        )
