"""What fills the details pane: everything about the task under the cursor, and a picture of what it made."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable
from typing import Final

from engines.errors import TaskdeckError
from engines.model import Json, TaskDetail, TaskState, TaskView
from engines.operations import output_of
from engines.paths import to_uri
from tui_app.screens.base import DeckScreen
from widgets.detail_pane import DetailPane
from widgets.glyphs import ASCII
from widgets.half_blocks import half_blocks
from widgets.work import restart

_PICTURE: Final = (40, 24)
"""Pixels of a preview at most: cells across, half cells down."""


class DetailFeed:
    """Fetches when the pane is in sight and something may have changed.

    Args:
        screen: Where the pane stands.
        pane: The pane.
        current: Gives the task under the cursor.
    """

    def __init__(self, screen: DeckScreen, pane: DetailPane, current: Callable[[], TaskView | None]) -> None:
        self._screen, self._pane, self._current = screen, pane, current
        self._shown: tuple[str, int] | None = None
        """The task that was fetched last, and the revision of it that its details cover."""
        self._fetching = ""
        """The task that is being fetched: asking again would only drop an answer that is under way on a slow line."""

    def follow(self, view: TaskView) -> None:
        """The task under the cursor changed."""
        self._pane.follow(view)
        if self._shown != (view.id, view.rev) and (view.terminal or self._shown is None):
            self.refresh()

    def renew(self) -> None:
        """Fetch anew once the pane has its place."""
        self._shown, self._fetching = None, ""
        self._screen.call_after_refresh(self.refresh)

    def refresh(self) -> None:
        """Fetch the details unless they are there."""
        if not self._pane.is_on_screen or not self._pane.size.height:
            return
        current = self._current()
        if current is None:
            self._shown = None
            self._pane.tell(None)
        elif (
            self._shown != (current.id, current.rev)
            and self._fetching != current.id
            and self._screen.deck.link.state.up
        ):
            self._fetching = current.id
            self._pane.expect()
            restart(self._screen, "detail", self._fetch, current.id)

    async def _fetch(self, task_id: str) -> None:
        try:
            detail = await self._screen.deck.tasks.detail(task_id)
        except TaskdeckError:
            return
        finally:
            if self._fetching == task_id:
                self._fetching = ""
        current = self._current()
        if current is not None and current.id == task_id:
            # What changed after the answer was made is fetched by the next look.
            self._shown = (task_id, current.rev if detail.view.rev >= current.rev else detail.view.rev)
            self._pane.tell(detail)
            if detail.view.op == "thumbnail" and detail.view.state is TaskState.COMPLETED:
                await self._preview(detail)

    async def _preview(self, detail: TaskDetail) -> None:
        """The picture a task has made, in half blocks, decoded by the engine: where colours are many enough."""
        path = output_of(detail.view.op, detail.result or {})
        width = min(_PICTURE[0], self._pane.size.width - 1)
        if path is None or width < 8 or self._screen.deck.glyphs is ASCII or self._screen.deck.current_theme.ansi:
            return
        with contextlib.suppress(TaskdeckError):  # a picture more is no matter for a message
            question: Json = {"op": "picture", "path": to_uri(path), "width": width, "height": _PICTURE[1]}
            found = await self._screen.deck.tasks.look(question)
            self._pane.show_picture(detail.view.id, half_blocks(base64.b64decode(found["rgb"]), int(found["width"])))
