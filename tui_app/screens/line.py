"""The line at the bottom: commands that are typed, filters that work while they are typed, paths that are pasted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from engines.commandline import has_secret, parse_line
from engines.errors import TaskdeckError
from engines.model import Json
from engines.names import display
from engines.operations import OPERATIONS
from engines.query import Sort, parse_filter
from tui_app.commands import COMMANDS, CommandSuggester, action_words, pasted_paths, quote, suggest_filter, unquote
from tui_app.screens.board import Board
from widgets.prompt import Prompt


class LineDesk:
    """Understands what is entered.

    Args:
        board: The board the line stands on.
        act: Runs an action of the table.
        submit: Queues an operation; calls what it is given when the engine refuses.
        browse: Looks into an archive or folder.
        group: Groups the list.
    """

    def __init__(
        self,
        board: Board,
        *,
        act: Callable[[str], None],
        submit: Callable[[Json, Callable[[], None]], None],
        browse: Callable[[str], None],
        group: Callable[[str], None],
    ) -> None:
        self._board = board
        self._act, self._submit, self._browse, self._group = act, submit, browse, group
        self._filter_before = ""

    def ready(self) -> None:
        """Give the line its suggestions."""
        suggester = CommandSuggester(self._board.deck.places)
        self._board.prompt.suggest = {"command": suggester, "filter": suggest_filter}

    def open(self, mode: str, value: str = "") -> None:
        """Open the command line or the filter."""
        if mode == "filter":
            self._filter_before = self._board.filter
            value = value or self._board.filter
        self._board.prompt.open(mode, value)

    def paste(self, text: str) -> None:
        """Paths dropped or pasted on the list become the start of a command."""
        paths = pasted_paths(text)
        if paths and all(display(path) == path for path in paths):
            first, *others = [quote(path) for path in paths]
            self.open("command", " ".join([f"zip {first}", *(f"--add {path}" for path in others)]))
        else:
            self._board.deck.say("What was pasted is no list of paths.", severity="warning")

    def shut(self) -> None:
        """Close it and give the keyboard back to the list."""
        self._board.prompt.shut()
        self._board.set_focus(self._board.list)

    def edited(self, event: Prompt.Edited) -> None:
        """The line changed."""
        if event.mode == "filter":
            self.apply_filter(event.line, final=False)

    def left(self, event: Prompt.Left) -> None:
        """It was closed without entering."""
        self.shut()
        if event.mode == "filter":
            self.apply_filter(self._filter_before, final=True)

    def entered(self, event: Prompt.Entered) -> None:
        """It was entered."""
        if event.mode == "filter":
            if self.apply_filter(event.line, final=True):
                self._board.prompt.history["filter"].add(event.line)
                self.shut()
            return
        if not event.line.strip():
            self.shut()
        else:
            self.run_line(event.line)

    def apply_filter(self, text: str, *, final: bool) -> bool:
        """Watch what the filter lets through; tells whether it is one. What is wrong is said when it is `final`."""
        try:
            parse_filter(text, now=self._board.deck.clock())
        except TaskdeckError as error:
            if final:
                self._board.deck.say(error.coded, severity="warning")
            return False
        self._board.change_query(filter=text.strip(), offset=0)
        return True

    def run_line(self, line: str) -> None:
        """Run a command line; on a mistake the line stays open with what was typed."""
        words = line.strip().split(None, 1)
        word, rest = words[0], words[1].strip() if len(words) > 1 else ""
        action = action_words().get(line.strip())
        if word not in OPERATIONS and (action is not None or word in COMMANDS):
            if action is not None:
                self.shut()
                self._act(action)
            elif self._screen_command(word, rest):
                self.shut()
            else:
                return
            self._board.prompt.history["command"].add(line)
            return
        try:
            data = parse_line(line)
        except TaskdeckError as error:
            self._board.deck.say(error.coded, severity="error", seconds=8)
            return
        if not has_secret(line):
            self._board.prompt.history["command"].add(line)
        self.shut()
        self._submit(data, partial(self.open, "command", line))

    def _screen_command(self, word: str, value: str) -> bool:
        """Do a screen's own command; False, with the reason said, when it makes no sense."""
        choices = COMMANDS[word][1]
        if choices and value not in choices:
            self._board.deck.say(f"{word} takes one of: {', '.join(choices)}.", severity="warning")
            return False
        if word == "filter":
            return self.apply_filter(value, final=True)
        if word == "sort":
            self._board.change_query(sort=Sort(value), reverse=False)
        elif word == "group":
            self._group(value)
        elif word == "browse":
            self._browse(unquote(value))
        elif word == "theme":
            self._board.deck.set_theme(value)
        return True
