"""The media table: the files of a folder by codec, size, duration, rating; marked ones are transcoded or pictured."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from engines.errors import TaskdeckError
from engines.model import TaskState, TaskView
from engines.names import display
from engines.operations import OPERATIONS
from engines.paths import from_uri, to_uri
from engines.text import amount, clock, natural, percent, plural, size
from tui_app.keys import bindings
from tui_app.screens.base import DeckDialog
from tui_app.screens.new_task import NewTask
from widgets.line_view import Lines
from widgets.row_list import RowList
from widgets.spans import Row, Span, cell_len, cut

if TYPE_CHECKING:
    from engines.media.info import FileInfo

_COLUMNS: Final = ("name", "picture", "codec", "duration", "size", "quality")
_RATINGS: Final = ("", "Very Low", "Low", "Medium", "High", "Excellent")
_UNSHOWN: Final = "\ufffd"


def _duration(row: FileInfo) -> float:
    return (row.facts.duration or 0.0) if row.facts is not None else -1.0


def _pixels(row: FileInfo) -> int:
    video = row.facts.main_video if row.facts is not None else None
    return video.width * video.height if video is not None else 0


def _rating(row: FileInfo) -> int:
    rating = row.quality.rating if row.quality is not None else ""
    return _RATINGS.index(rating) if rating in _RATINGS else 0


_KEYS: Final[dict[str, Callable[[FileInfo], Any]]] = {
    "name": lambda row: natural(row.path),
    "picture": _pixels,
    "codec": lambda row: _codec(row),
    "duration": _duration,
    "size": lambda row: row.facts.size if row.facts is not None else -1,
    "quality": lambda row: (_rating(row), _pixels(row)),
}


def _codec(row: FileInfo) -> str:
    from engines.media import labels

    if row.facts is None:
        return ""
    video, audio = row.facts.main_video, row.facts.main_audio
    return labels.codec(video.codec) if video is not None else labels.codec(audio.codec) if audio is not None else ""


def _picture(row: FileInfo) -> str:
    video = row.facts.main_video if row.facts is not None else None
    return f"{video.width}x{video.height}" if video is not None else ""


def _cells(name: str, values: tuple[str, str, str, str, str], width: int, ellipsis: str) -> str:
    """One table row; the name takes what is left, columns go when it is narrow."""
    picture, codec, duration, amount, quality = values
    right = f"{picture:>11}" if width >= 84 else ""
    right += f"  {cut(codec, 10, ellipsis):<10}" if width >= 60 else ""
    right += f"{duration:>10}{amount:>11}"
    right += f"  {cut(quality, 17, ellipsis):<17}" if width >= 70 else ""
    room = max(4, width - len(right))
    shown = cut(name, room, ellipsis)
    return shown + " " * (room - cell_len(shown)) + right


class MediaTable(DeckDialog[None]):
    """Sortable; stays open while tasks are made from it.

    Args:
        folder: The folder, exact.
    """

    BINDINGS: ClassVar = bindings("media", "dialog.close")

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder
        self._files: list[FileInfo] = []
        self._taken: dict[str, None] = {}
        self._order = 0
        self._reverse = False
        self.heads = Lines(id="media-heads")
        self.rows = RowList(id="media-rows")

    def compose(self) -> ComposeResult:
        """Folder, column heads, files, keys."""
        with Vertical(classes="dialog -wide"):
            yield Static(display(self._folder), markup=False, classes="dialog-title")
            yield self.heads
            yield self.rows
            yield Static("", id="media-facts", markup=False, classes="dialog-hint")

    def on_mount(self) -> None:
        """Ask the engine to look into every file."""
        self.rows.glyphs = self.heads.glyphs = self.deck.glyphs
        self.rows.empty = "Reading ..."
        self.set_focus(self.rows)
        self.run_worker(self._read(), group="media")

    def on_resize(self) -> None:
        """Column heads at the new width."""
        self.call_after_refresh(self._tell)

    async def _read(self) -> None:
        from engines.media.info import MediaInfoResult

        try:
            found = await self.deck.performer.result(
                {"op": "mediainfo", "path": to_uri(self._folder)}, self.deck.places.base(), self._progress
            )
        except TaskdeckError as error:
            self.deck.say(error.message, severity="error")
            self.dismiss(None)
            return
        self._files = msgspec.convert(found, MediaInfoResult).files
        self.rows.empty = "No file here is named like media."
        self._fill()

    def _progress(self, view: TaskView) -> None:
        """How far the reading is: files, the one at work, or why it waits."""
        glyphs = self.deck.glyphs
        if view.state is not TaskState.RUNNING:
            what = f"{view.state.value}{f', {view.note}' if view.note else ''}"
        elif view.total:
            what = (
                f"{amount(view.done, view.unit)} of {amount(view.total, view.unit)}, {percent(view.done / view.total)}"
            )
        else:
            what = amount(view.done, view.unit)
        self.rows.empty = cut(
            f"Reading {what}  {view.item}".rstrip(), max(20, self.rows.size.width - 6), glyphs.ellipsis
        )
        self.rows.refresh()

    def _fill(self) -> None:
        self._files.sort(key=_KEYS[_COLUMNS[self._order]], reverse=self._reverse)
        self.rows.fill(len(self._files), self._draw)
        self._remark()

    def _remark(self) -> None:
        self.rows.marks = {n for n, row in enumerate(self._files) if row.path in self._taken}
        self.rows.refresh()
        self._tell()

    def _tell(self) -> None:
        width = self.rows.scrollable_content_region.width
        if width:
            heads = [column.upper() for column in _COLUMNS]
            text = _cells(
                heads[0], (heads[1], heads[2], heads[3], heads[4], heads[5]), width - 3, self.deck.glyphs.ellipsis
            )
            self.heads.show([[Span("   "), Span(text, "label")]])
        order = f"by {_COLUMNS[self._order]}{' reversed' if self._reverse else ''}"
        marked = f"{len(self._taken)} marked, " if self._taken else ""
        line = self.deck.hint(("media.mark", "marks"), ("media.sort", "sorts"), ("media.transcode", "transcodes"),
                              ("media.thumbnail", "pictures"))  # fmt: skip
        self.query_one("#media-facts", Static).update(
            f"{marked}{plural(len(self._files), 'file')} {order}   {line}  {self.deck.key('dialog.leave')}"
        )

    def _draw(self, index: int, width: int) -> Row:
        row = self._files[index]
        if row.facts is None:
            return [Span(cut(f"{row.path}: {row.error}", width, self.deck.glyphs.ellipsis), "failed")]
        duration = clock(row.facts.duration) if row.facts.duration else ""
        quality = row.quality.label if row.quality is not None else ""
        values = (_picture(row), _codec(row), duration, size(row.facts.size), quality)
        return [Span(_cells(row.path, values, width, self.deck.glyphs.ellipsis))]

    # -- actions ------------------------------------------------------------------------
    def action_mark(self) -> None:
        """Mark the file under the cursor."""
        if self._files:
            path = self._files[self.rows.cursor].path
            if path in self._taken:
                del self._taken[path]
            else:
                self._taken[path] = None
            self.rows.toggle_mark()
            self._tell()

    def action_mark_all(self) -> None:
        """Mark every readable file, or none."""
        everything = dict.fromkeys(row.path for row in self._files if row.facts is not None)
        self._taken = {} if self._taken == everything else everything
        self._remark()

    def action_sort(self) -> None:
        """By the next column."""
        self._order = (self._order + 1) % len(_COLUMNS)
        self._fill()

    def action_reverse(self) -> None:
        """The other way round."""
        self._reverse = not self._reverse
        self._fill()

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        self.action_mark()

    def action_make(self, operation: str) -> None:
        """Open the form for the first file; what it says goes for every marked one."""
        names = list(self._taken) or [self._files[self.rows.cursor].path] if self._files else []
        paths = [to_uri(os.path.join(self._folder, name)) for name in names if _UNSHOWN not in name]
        if len(paths) < len(names):
            self.deck.say("Names with characters that cannot be shown are left out; use the file picker for them.",
                          severity="warning")  # fmt: skip
        if paths:
            self.app.push_screen(
                NewTask(OPERATIONS[operation], {"path": paths[0]}),
                lambda data: self._start({**data}, paths) if data else None,
            )

    def _start(self, data: dict[str, Any], paths: list[str]) -> None:
        # The form may have changed the first path; then it is about that file alone.
        path = str(data.get("path"))
        wanted = paths if from_uri(path) == from_uri(paths[0]) else [path]
        self.deck.performer.start(self.deck.performer.submit_each(data, wanted, base=self.deck.places.base()))
