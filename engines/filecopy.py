"""Bytes from one open file to another: by the kernel where it can, and then without a copy in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

_STEP: Final = 4 << 20
"""Bytes that the kernel copies at once ..."""
_BLOCK: Final = 256 << 10
"""... and those that are read and written where it cannot."""


class SourceError(OSError):
    """What is to be copied cannot be read."""


def write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    """Write every byte: the kernel may take fewer when the disk is nearly full or a limit is near.

    Raises:
        OSError: It cannot be written.
    """
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, memoryview(data)[written:])


def copied(source: int, target: int, position: int, count: int) -> Iterator[int]:
    """Copy `count` bytes from a position in one file to where the other stands; yields the bytes of each step.

    It ends early when the source does; who stops asking stops the copying.

    Raises:
        SourceError: The source cannot be read.
        OSError: The target cannot be written.
    """
    left = count
    by_kernel = True
    while left:
        step = 0
        if by_kernel:
            try:
                step = os.copy_file_range(source, target, min(left, _STEP), position)
            except OSError:  # as between two kinds of file system; or a fault: the calls below tell whose
                by_kernel = False
        if not by_kernel:
            try:
                block = os.pread(source, min(left, _BLOCK), position)
            except OSError as error:
                raise SourceError(*error.args) from error
            if block:
                write_all(target, block)
            step = len(block)
        if not step:
            return
        position, left = position + step, left - step
        yield step
