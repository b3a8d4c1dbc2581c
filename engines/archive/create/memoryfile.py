"""Bytes in memory behind a descriptor: what a program is to read, without a copy on any disk."""

from __future__ import annotations

import os
from mmap import ACCESS_READ, mmap

from engines.archive.create.space import Buffer
from engines.filecopy import write_all


class MemoryFile:
    """Written from front to back, then read by a program or looked at.

    Attributes:
        fd: Its descriptor; it closes with this object.
        size: Bytes written.
    """

    def __init__(self, name: str) -> None:
        self.fd = os.memfd_create(name, os.MFD_CLOEXEC)
        self.size = 0

    def write(self, data: Buffer) -> None:
        """Append."""
        self.size += len(data)
        write_all(self.fd, data)

    def rewind(self) -> None:
        """Let the next reader of the descriptor begin in front."""
        os.lseek(self.fd, 0, os.SEEK_SET)

    def view(self) -> memoryview:
        """All bytes; they stay as long as the view does."""
        return memoryview(mmap(self.fd, self.size, access=ACCESS_READ) if self.size else b"")

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)
