"""What is packed, in order, while it is found: packing can begin before everything is listed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from engines.archive.create.source import Entry, Identity, Twin


class Listing:
    """What a walk found, as far as it has come.

    Args:
        walk: Adds a little to this listing at each step.
    """

    def __init__(self, walk: Callable[[Listing], Iterator[None]]) -> None:
        self.entries: list[Entry] = []
        self.files = 0
        self.folders = 0
        self.size = 0
        """Bytes in regular files."""
        self._steps = walk(self)
        self._twins: dict[Identity, Twin] = {}
        self.whole = False
        """Whether this is everything."""

    def add(self, entry: Entry) -> None:
        """Append an entry and count it. Hard links to one file get a common `Twin`."""
        self.entries.append(entry)
        if entry.kind == "d":
            self.folders += 1
            return
        self.files += 1
        if entry.kind == "f":
            self.size += entry.size
            if entry.nlink > 1:
                key = (entry.dev, entry.ino)
                twin = self._twins.get(key)
                if twin is None:
                    twin = self._twins[key] = Twin(entry.name)
                entry.twin = twin

    def more(self) -> bool:
        """List a little more; False when nothing is left.

        Raises:
            OSError: A source cannot be read.
        """
        if self.whole:
            return False
        try:
            next(self._steps)
        except StopIteration:
            self.whole = True
            self._twins.clear()
        return True

    def finish(self) -> Listing:
        """List everything that is left; itself."""
        while self.more():
            pass
        return self
