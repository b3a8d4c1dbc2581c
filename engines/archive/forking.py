"""Forked children: they share what their parent knows, and do not outlive it."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, NoReturn

_PR_SET_PDEATHSIG: Final = 1


def possible() -> bool:
    """Whether this thread may fork: a death signal is tied to that thread, so it must be the one that lasts."""
    return hasattr(os, "fork") and threading.current_thread() is threading.main_thread()


def fork(life: Callable[[], NoReturn], foreign: Iterable[int]) -> int:
    """A child that lives `life`; its process id.

    Args:
        life: Ends the child by itself; an error in it ends the child with status 1.
        foreign: Descriptors that only the parent is to hold: closed in the child.

    Raises:
        OSError: There are as many processes as this user may have.
    """
    import ctypes  # 2 ms that a process without children need not spend

    parent = os.getpid()
    if pid := os.fork():
        return pid
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's; the parent decides
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        gc.disable()  # nothing there makes cycles, and a collection would copy what is shared
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        for descriptor in foreign:
            os.close(descriptor)
        if os.getppid() == parent:
            life()
    finally:
        os._exit(1)


def any_ended(pids: Sequence[int]) -> bool:
    """Whether one of these children has ended; `end` still has to be called for it."""
    with suppress(ChildProcessError):
        return any(os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) for pid in pids)
    return True


def kill(pids: Sequence[int]) -> None:
    """Kill children, whatever they do; `end` still has to be called for them."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def end(pids: Sequence[int]) -> None:
    """Kill children, whatever they do, and wait until they are gone."""
    kill(pids)
    for pid in pids:
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
