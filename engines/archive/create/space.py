"""Memory that members are laid out in, used again and again: fresh memory would cost a page fault each 4 KiB."""

from __future__ import annotations

from mmap import mmap
from typing import Final

Buffer = bytes | bytearray | memoryview

_KEPT: Final = 3 << 20
"""Bytes of the largest memory that is kept for the next batch, unless all are larger."""


class NoRoomError(Exception):
    """A batch does not fit memory that cannot grow."""


class Space:
    """Bytes in front, room behind. `length` counts the bytes; `view` shows bytes and room.

    Args:
        memory: What it begins with.
        fixed: Whether that is all there is, because others know its place.
    """

    __slots__ = ("_fixed", "length", "view")

    def __init__(self, memory: bytearray | mmap, *, fixed: bool = False) -> None:
        self.view = memoryview(memory)
        self.length = 0
        self._fixed = fixed

    def reserve(self, size: int) -> None:
        """Make room for `size` more bytes; views of it taken before are void then.

        Raises:
            NoRoomError: It cannot grow.
        """
        need = self.length + size
        if need <= len(self.view):
            return
        if self._fixed:
            raise NoRoomError
        grown = memoryview(bytearray(need + (need >> 3)))
        grown[: self.length] = self.view[: self.length]
        self.view = grown

    def put(self, data: bytes | bytearray | memoryview) -> None:
        """Append.

        Raises:
            NoRoomError: It cannot grow.
        """
        end = self.length + len(data)
        if end > len(self.view):
            self.reserve(len(data))
        self.view[self.length : end] = data
        self.length = end

    @property
    def data(self) -> memoryview:
        """The bytes."""
        return self.view[: self.length]


class Spaces:
    """Spaces for whoever needs one in a thread.

    Args:
        size: Bytes each begins with.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._unused: list[Space] = []

    def take(self) -> Space:
        """An empty one, used before if there is one."""
        try:
            space = self._unused.pop()
        except IndexError:
            return Space(bytearray(self._size))
        space.length = 0
        return space

    def give(self, space: Space) -> None:
        """Take one back whose bytes nobody needs any more."""
        if len(space.view) <= max(_KEPT, self._size):
            self._unused.append(space)
