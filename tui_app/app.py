"""The terminal application: one picture of a task engine that runs elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.command import CommandPalette
from textual.screen import Screen

from engines.errors import TaskdeckError
from engines.settings import Settings
from tui_app.commands import DeckCommands
from tui_app.deck import Deck
from tui_app.driver import PatientDriver
from tui_app.link import Connect
from tui_app.places import Places
from tui_app.screens.confirm import Confirm
from tui_app.screens.tasks import TasksScreen

if TYPE_CHECKING:
    from tui_app.faces import Faces


class DeckApp(Deck):
    """The application with its screens, styles and palette."""

    CSS_PATH = "app.tcss"
    MODES: ClassVar = {"tasks": TasksScreen}
    DEFAULT_MODE = "tasks"
    COMMANDS: ClassVar = {DeckCommands}
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "f2"  # our own action opens it, so that its key can be changed

    @property
    def main(self) -> TasksScreen | None:
        """The tasks screen, wherever it is in the stack."""
        return next((screen for screen in self.screen_stack if isinstance(screen, TasksScreen)), None)

    def confirm(self, question: str, detail: str, *, yes: str, then: Callable[[], None]) -> None:
        """Ask before something that cannot be taken back; `then` runs when the answer is yes."""
        self.push_screen(Confirm(question, detail, yes=yes), lambda answer: then() if answer else None)

    def action_command_palette(self) -> None:
        """Open the palette; Textual's own words for it are no ASCII."""
        if not isinstance(self.screen, CommandPalette):
            self.push_screen(CommandPalette(placeholder="Search for commands", id="--command-palette"))

    def explain(self, screen: Screen[Any]) -> None:
        """Open the help, beginning with the keys of the focused widget and of the screen it stands on."""
        from tui_app.screens.help import HelpScreen

        self.push_screen(HelpScreen(screen))


def run(
    connect: Connect,
    settings: Settings,
    *,
    where: str,
    mouse: bool = True,
    places: Places | None = None,
    stop: Callable[[], Awaitable[None]] | None = None,
    start: Callable[[], Awaitable[None]] | None = None,
    reload: Callable[[], Awaitable[None]] | None = None,
    closing: Callable[[], Awaitable[None]] | None = None,
    detachable: bool = True,
    settings_file: Path | None = None,
    faces: Faces | None = None,
    memory: Path | None = None,
    undo_seconds: float = 5.0,
) -> int:
    """Run the TUI until the user leaves; returns the exit status.

    Args:
        connect: Gives the task engine, awaited after the first frame and after every loss. Its watches must end
            when the connection is lost (`TaskClient(reconnect=False)`): the TUI says so and comes back by itself.
        settings: Client settings (theme, keys, roots).
        where: What to call the place attached to.
        mouse: Whether to take the mouse.
        places: Disks of the engine's machine, None for this one's.
        stop: Stops the daemon; None hides the action.
        start: Starts the daemon when the user asks for it; None hides that action.
        reload: Has the engine read its settings anew; None when that cannot be asked from here.
        closing: Closes what `connect` opened, awaited when the user leaves.
        detachable: Whether tasks go on afterwards (False for --solo).
        settings_file: Where settings are changed; None hides that screen.
        faces: Dashboard and bot of the daemon; None hides that panel.
        memory: File that keeps filter, order and typed lines for the next visit.
        undo_seconds: How long a cancel can be taken back.

    Raises:
        TaskdeckError: `usage` when there is no terminal to draw on.
    """
    _need_terminal()
    app = DeckApp(
        connect,
        settings,
        where=where,
        places=places,
        stop=stop,
        start=start,
        reload=reload,
        closing=closing,
        detachable=detachable,
        settings_file=settings_file,
        faces=faces,
        memory=memory,
        undo_seconds=undo_seconds,
        driver_class=PatientDriver,
    )
    status = app.run(mouse=mouse and settings.tui.mouse)
    farewell = app.farewell()
    if farewell and status == 0 and sys.stdout.isatty():
        print(farewell)
    return status if status is not None else app.return_code or 0


def _need_terminal() -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise TaskdeckError(
            "usage", "cannot open the terminal interface", "there is no terminal", "use `taskdeck status --watch`"
        )
    if os.environ.get("TERM") == "dumb":
        raise TaskdeckError(
            "usage", "cannot open the terminal interface", "TERM is dumb", "use `taskdeck status --watch`"
        )
