"""Exact amounts out of a stream of blocks."""

from __future__ import annotations

from collections.abc import Iterator

from engines.archive.volumes import Window


class TruncatedError(Exception):
    """The stream ended inside a member."""


class Blocks:
    """Reads exact amounts from an iterator of blocks without copying more than it must.

    Args:
        window: The file itself where the blocks are its bytes as they are: what is passed over is not read then.
    """

    def __init__(self, blocks: Iterator[bytes], window: Window | None = None) -> None:
        self._blocks = blocks
        self._window = window
        self._block = b""
        self._at = 0
        self.position = 0
        """Bytes taken so far."""

    def take(self, count: int) -> bytes:
        """Exactly `count` bytes; fewer only when the stream ends at once (b"").

        Raises:
            TruncatedError: The stream ends in between.
        """
        end = self._at + count
        if end <= len(self._block):
            piece = self._block[self._at : end]
            self._at = end
            self.position += count
            return piece
        parts = [self._block[self._at :]]
        have = len(parts[0])
        self._block, self._at = b"", 0
        while have < count:
            block = next(self._blocks, None)
            if block is None:
                if have:
                    raise TruncatedError
                return b""
            if have + len(block) > count:
                self._block, self._at = block, count - have
                block = block[: count - have]
            parts.append(block)
            have += len(block)
        self.position += count
        return b"".join(parts)

    def views(self, count: int) -> Iterator[memoryview]:
        """The next `count` bytes as views of the blocks they are in.

        Raises:
            TruncatedError: The stream ends before.
        """
        while count:
            if self._at >= len(self._block):
                block = next(self._blocks, None)
                if block is None:
                    raise TruncatedError
                self._block, self._at = block, 0
            step = min(count, len(self._block) - self._at)
            view = memoryview(self._block)[self._at : self._at + step]
            self._at += step
            self.position += step
            count -= step
            yield view

    def piece(self, count: int) -> memoryview | None:
        """The next `count` bytes when they lie in one block, else None and nothing is taken."""
        end = self._at + count
        if end > len(self._block):
            return None
        view = memoryview(self._block)[self._at : end]
        self._at = end
        self.position += count
        return view

    def fill(self, room: memoryview) -> None:
        """The next bytes, as many as there is room for.

        Raises:
            TruncatedError: The stream ends before.
        """
        count = len(room)
        end = self._at + count
        if end <= len(self._block):
            room[:] = memoryview(self._block)[self._at : end]
            self._at = end
            self.position += count
            return
        done = 0
        for view in self.views(count):
            room[done : done + len(view)] = view
            done += len(view)

    def skip(self, count: int) -> None:
        """Pass over bytes."""
        end = self._at + count
        if end <= len(self._block):
            self._at = end
            self.position += count
            return
        window = self._window
        if window is None:
            for _ in self.views(count):
                pass
            return
        ahead = end - len(self._block)
        if window.position + ahead > window.end:
            raise TruncatedError
        self._block, self._at = b"", 0
        window.position += ahead
        self.position += count

    def buffered(self) -> memoryview:
        """What was read already and not taken; it counts as taken now."""
        view = memoryview(self._block)[self._at :]
        self._block, self._at = b"", 0
        self.position += len(view)
        return view

    def drain(self) -> Iterator[int]:
        """Read to the end, so that checksums behind the archive are verified; yields sizes."""
        self._block, self._at = b"", 0
        for block in self._blocks:
            yield len(block)
