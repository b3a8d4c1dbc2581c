"""The line at the bottom for commands and filters, with suggestions above it.

Suggestions come from a function that is given the line; the widget knows nothing of operations or files.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input, Static

from widgets.keys import PROMPT_KEYS, bindings
from widgets.line_view import Lines
from widgets.spans import Row, Span, cell_len, cut
from widgets.work import restart

_SHOWN = 7
_PATIENCE = 1.0
"""Seconds that the key waits for suggestions which a slow disk or line has not given yet."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A text that can replace the line from `start` on; `help` is shown beside it."""

    text: str
    help: str = ""


@dataclass(frozen=True, slots=True)
class Suggestions:
    """What may stand at `start` of the line."""

    start: int = 0
    items: tuple[Suggestion, ...] = ()
    hint: str = ""
    """One line on what is expected here."""


Suggest = Callable[[str], Awaitable[Suggestions]]


@dataclass
class LineHistory:
    """Lines entered before, newest last."""

    lines: list[str] = field(default_factory=list)
    limit: int = 200

    def add(self, line: str) -> None:
        """Remember a line once, as the newest."""
        if line.strip():
            self.lines = [*(old for old in self.lines if old != line), line][-self.limit :]


class PromptInput(Input):
    """The input itself: Tab takes a suggestion, the arrows choose one or walk the history."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(PROMPT_KEYS)

    def action_leave(self) -> None:
        """Close the line."""
        self._prompt.leave()

    async def action_take(self) -> None:
        """Take the highlighted suggestion."""
        await self._prompt.take()

    async def action_choose(self, step: int) -> None:
        """Highlight another suggestion, or walk the history of an untouched line."""
        await self._prompt.choose(step)

    def action_walk(self, step: int) -> None:
        """Walk the history."""
        self._prompt.walk(step)

    @property
    def _prompt(self) -> Prompt:
        prompt = self.query_ancestor(Prompt)
        assert isinstance(prompt, Prompt)
        return prompt


class Prompt(Vertical):
    """Opened in a mode ("command" or "filter"); tells what was entered, or that it was left."""

    @dataclass
    class Entered(Message):
        """A line was entered."""

        mode: str
        line: str

    @dataclass
    class Edited(Message):
        """The line changed."""

        mode: str
        line: str

    @dataclass
    class Left(Message):
        """The prompt was closed without entering."""

        mode: str

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.mode = ""
        self.suggest: dict[str, Suggest] = {}
        self.history: dict[str, LineHistory] = {"command": LineHistory(), "filter": LineHistory()}
        self._found = Suggestions()
        self._found_for: str | None = None
        """The line that the suggestions are for."""
        self._chosen = -1
        self._walked: int | None = None
        self._draft = ""
        """What was typed before the history was walked."""

    def compose(self) -> ComposeResult:
        """Suggestions above the line."""
        yield Lines(id="suggestions")
        with Horizontal(id="prompt-line"):
            yield Static("", id="prompt-sign", markup=False)
            yield PromptInput(id="prompt-input", compact=True, select_on_focus=False)

    @property
    def line(self) -> PromptInput:
        """The input."""
        return self.query_one(PromptInput)

    def open(self, mode: str, value: str = "") -> None:
        """Show the prompt and give it the keyboard at once, so that no key typed ahead goes elsewhere."""
        self.mode = mode
        self._walked = None
        self.query_one("#prompt-sign", Static).update("/" if mode == "filter" else ":")
        self.add_class("-open")
        self.display = True
        line = self.line
        line.placeholder = (
            "status:failed kind:zip since:1d words" if mode == "filter" else "zip PATH, unzip PATH, help ..."
        )
        line.value = value
        line.cursor_position = len(value)
        self.screen.set_focus(line)
        self._look_up()

    def shut(self) -> None:
        """Hide the prompt."""
        self.remove_class("-open")
        self.display = False
        self._tell(Suggestions(), None)

    # -- suggestions -----------------------------------------------------------------
    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        if not self.display:
            return
        self.post_message(self.Edited(self.mode, event.value))
        self._look_up()

    def _look_up(self) -> None:
        suggest = self.suggest.get(self.mode)
        if suggest is not None:
            restart(self, "suggest", self._suggestions, suggest, self.line.value)

    async def _suggestions(self, suggest: Suggest, line: str) -> None:
        found = await suggest(line)
        if line == self.line.value and self.display:
            self._tell(found, line)
            self._draw()

    def _tell(self, found: Suggestions, line: str | None) -> None:
        self._found, self._found_for, self._chosen = found, line, -1

    def _draw(self) -> None:
        items = self._found.items
        first = max(0, min(self._chosen - _SHOWN + 1, len(items) - _SHOWN)) if self._chosen >= _SHOWN else 0
        shown = items[first : first + _SHOWN]
        width = max(20, self.size.width - 2)
        column = min(max((cell_len(item.text) for item in shown), default=0) + 2, width // 2)
        view = self.query_one("#suggestions", Lines)
        ellipsis = view.glyphs.ellipsis
        rows: list[Row] = []
        for number, item in enumerate(shown, first):
            chosen = number == self._chosen
            text = cut(item.text, column - 2, ellipsis)
            rows.append(
                [
                    Span(f" {'>' if chosen else ' '} ", "accent"),
                    Span(f"{text}{' ' * (column - cell_len(text))}", "key" if chosen else ""),
                    Span(cut(item.help, width - column - 3, ellipsis), "muted"),
                ]
            )
        if self._found.hint:
            rows.append([Span(f"   {cut(self._found.hint, width - 3, ellipsis)}", "muted")])
        view.styles.height = len(rows)
        view.display = bool(rows)
        view.show(rows)

    async def _items(self) -> tuple[Suggestion, ...]:
        """The suggestions for the line as it is, for which a key waits a little; none when they do not come."""
        if self._found_for != self.line.value and self.mode in self.suggest:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await self._suggestions(self.suggest[self.mode], self.line.value)
        return self._found.items if self._found_for == self.line.value else ()

    async def take(self) -> None:
        """Put the highlighted suggestion, or the first, into the line."""
        if await self._items():
            self._put()

    def _put(self) -> None:
        item = self._found.items[max(0, self._chosen)]
        line = self.line
        line.value = line.value[: self._found.start] + item.text
        line.cursor_position = len(line.value)

    async def choose(self, step: int) -> None:
        """Highlight another suggestion; without any, walk the history."""
        items = await self._items()
        if not items or (not self.line.value and self._chosen < 0 and step < 0):
            self.walk(step)
            return
        self._chosen = (self._chosen + step) % len(items) if self._chosen >= 0 or step > 0 else len(items) - 1
        self._draw()

    def walk(self, step: int) -> None:
        """Show an older or newer line entered before."""
        lines = self.history[self.mode].lines
        if not lines:
            return
        if self._walked is None:
            self._walked, self._draft = len(lines), self.line.value
        place = self._walked
        place = max(0, min(len(lines), place + step))
        self._walked = place
        self.line.value = lines[place] if place < len(lines) else self._draft
        self.line.cursor_position = len(self.line.value)

    # -- end ---------------------------------------------------------------------------
    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._chosen >= 0 and self._found_for == event.value:
            self._put()
            return
        mode, line = self.mode, event.value
        self.post_message(self.Entered(mode, line))

    def leave(self) -> None:
        """Close without entering."""
        self.post_message(self.Left(self.mode))
