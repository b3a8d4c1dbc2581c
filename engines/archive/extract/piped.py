"""What a program decompresses, as blocks, while the job is asked whether to stop."""

from __future__ import annotations

import fcntl
import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from engines.process import Tool

_BLOCK: Final = 1 << 20
_LEAD: Final = 16 << 20
"""Bytes that are read ahead at most."""
_GLANCE: Final = 5  # milliseconds without a block before a lead asks whether it shall end
_PATIENCE: Final = 40  # milliseconds without a block before the job is asked whether to stop


class Lead:
    """Reads what a program writes in a thread of its own, as long as nobody else has time for it."""

    def __init__(self, tool: Tool) -> None:
        self._output = _widened(tool)
        self._blocks: list[bytes] = []
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._read, name="read ahead", daemon=True)
        self._thread.start()

    def end(self) -> list[bytes]:
        """Stop reading; the blocks so far."""
        self._enough.set()
        self._thread.join()
        return self._blocks

    def _read(self) -> None:
        poll = select.poll()
        poll.register(self._output, select.POLLIN)
        room = _LEAD
        while room > 0 and not self._enough.is_set():
            if poll.poll(_GLANCE):
                block = os.read(self._output, _BLOCK)
                if not block:
                    return
                self._blocks.append(block)
                room -= len(block)


def _widened(tool: Tool) -> int:
    """The program's output; its pipe holds a block, so that it works ahead by itself."""
    output = tool.stdout.fileno()
    with suppress(OSError):  # more than this user may have
        fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, _BLOCK)
    return output


def blocks(tool: Tool, check: Callable[[], None]) -> Iterator[bytes]:
    """The program's output to its end.

    Args:
        check: Called while nothing comes; may raise to stop.
    """
    output = _widened(tool)
    poll = select.poll()
    poll.register(output, select.POLLIN)
    while True:
        while not poll.poll(_PATIENCE):
            check()
        block = os.read(output, _BLOCK)
        if not block:
            return
        yield block
