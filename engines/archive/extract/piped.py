"""What a program decompresses, as blocks, while the job is asked whether to stop."""

from __future__ import annotations

import fcntl
import os
import select
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from engines.process import Tool

_BLOCK: Final = 1 << 20
_PATIENCE: Final = 40  # milliseconds without a block before the job is asked whether to stop


def blocks(tool: Tool, check: Callable[[], None]) -> Iterator[bytes]:
    """The program's output to its end; its pipe holds a block, so that it works ahead by itself.

    Args:
        check: Called while nothing comes; may raise to stop.
    """
    output = tool.stdout.fileno()
    with suppress(OSError):  # more than this user may have
        fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, _BLOCK)
    poll = select.poll()
    poll.register(output, select.POLLIN)
    while True:
        while not poll.poll(_PATIENCE):
            check()
        block = os.read(output, _BLOCK)
        if not block:
            return
        yield block
