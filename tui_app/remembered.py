"""What the TUI remembers from one visit to the next: filter, order, grouping, density, lines entered before."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from engines.errors import TaskdeckError
from engines.query import Sort
from tui_app.locations import write_private

_LARGEST: Final = 8 << 20
"""Bytes: twice 200 lines as the widgets keep them, of characters of four bytes."""
_LONGEST: Final = 4096
_LONGEST_FILTER: Final = 1000
Line = Annotated[str, Meta(max_length=_LONGEST)]


class Remembered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One visit. Lines that held a password are never among `commands`."""

    filter: Annotated[str, Meta(max_length=_LONGEST_FILTER)] = ""
    sort: Sort = Sort.STATE
    reverse: bool = False
    group: str = "none"
    dense: bool = False
    commands: Annotated[list[Line], Meta(max_length=1000)] = []
    filters: Annotated[list[Line], Meta(max_length=1000)] = []


class Memory:
    """Keeps a `Remembered` in a private file.

    Args:
        path: The file; None remembers nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def load(self) -> Remembered:
        """The last visit; the defaults when there was none or its file is of no use."""
        if self._path is None:
            return Remembered()
        try:
            with self._path.open("rb") as file:
                return msgspec.json.decode(file.read(_LARGEST), type=Remembered)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return Remembered()

    def save(self, visit: Remembered) -> None:
        """Keep a visit but for lines that nobody types; a full or read-only disk loses it, and nothing else."""
        kept = msgspec.structs.replace(
            visit,
            filter=visit.filter if len(visit.filter) <= _LONGEST_FILTER else "",
            commands=[line for line in visit.commands if len(line) <= _LONGEST],
            filters=[line for line in visit.filters if len(line) <= _LONGEST],
        )
        if self._path is not None:
            with contextlib.suppress(TaskdeckError):
                write_private(self._path, msgspec.json.encode(kept).decode())
