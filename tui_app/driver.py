"""A Textual driver for slow lines: it drops frames instead of stopping the event loop when nobody reads.

Textual 8.2.8 writes through a queue of 30 frames with a blocking `put` on the event loop: a stalled SSH client
would stop the whole process. Frames are dropped while the queue is more than a third full; when the terminal
reads again everything is painted once. A terminal that is gone ends the application cleanly.

This touches `WriterThread._queue`, which is private, and the decoder of what is typed: Textual is pinned, and
tests/terminal proves the behaviour.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import queue
import sys
from functools import partial
from typing import Final

from textual import events
from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Size

HIGH_WATER: Final = 12
"""Queued frames at which new ones are dropped; Textual's queue holds 30, the rest is for control sequences."""
_LOOK_AGAIN: Final = 0.1
_CLOSE_PATIENCE: Final = 1.0


def _lenient_decoder(encoding: str) -> partial[codecs.IncrementalDecoder]:
    """What terminals set to another character set send becomes "\ufffd"; Textual's own decoder ends the program."""
    return partial(codecs.getincrementaldecoder(encoding), errors="replace")


linux_driver.getincrementaldecoder = _lenient_decoder  # type: ignore[assignment,attr-defined]


class PatientDriver(LinuxDriver):
    """`LinuxDriver` that never blocks the loop.

    Attributes:
        dropped: Writes dropped so far.
    """

    dropped = 0
    _stalled = False
    _closing = False
    _gone = False

    def write(self, data: str) -> None:
        """Queue a frame, or drop it when the terminal does not read."""
        thread = self._writer_thread
        if thread is None:
            return
        if not thread.is_alive():
            self._lost()
            return
        if self._closing:
            with contextlib.suppress(queue.Full):
                thread._queue.put_nowait(data)
            return
        if self._stalled or thread._queue.qsize() >= HIGH_WATER:
            self.dropped += 1
            if not self._stalled:
                self._stalled = True
                self._loop.call_later(_LOOK_AGAIN, self._recover)
            return
        super().write(data)

    def check_size(self) -> None:
        """Look whether the terminal has another size than we think.

        SIGWINCH is lost while a process is stopped, and some multiplexers send it before the size has changed.
        """
        try:
            size = Size(*os.get_terminal_size(self.fileno))
        except OSError:
            return
        if size.width and size.height and size != self._app.size:
            self._app.post_message(events.Resize(size, size))

    def switch_mouse(self) -> bool:
        """Take the mouse or give it back; tells whether it is taken now."""
        self.take_mouse(not self._mouse)
        return self._mouse

    def take_mouse(self, wanted: bool) -> None:
        """Take the mouse, or leave it to the terminal."""
        if wanted and not self._mouse:
            self._mouse = True  # first, else what enables it does nothing
            self._enable_mouse_support()
        elif self._mouse and not wanted:
            self._disable_mouse_support()
            self._mouse = False

    def _recover(self) -> None:
        """Paint everything once the queue has drained."""
        thread = self._writer_thread
        if thread is None or self._closing:
            return
        if not thread.is_alive():
            self._lost()
        elif thread._queue.qsize():
            self._loop.call_later(_LOOK_AGAIN, self._recover)
        else:
            self._stalled = False
            for screen in self._app.screen_stack:
                screen.refresh()

    def _lost(self) -> None:
        """End the application: its terminal is gone."""
        if not self._gone:
            self._gone = True
            self._loop.call_soon_threadsafe(self._app.exit)

    def _run_input_thread(self) -> None:
        # A hung-up terminal makes read() fail with EIO: that is an end, not a fault worth a traceback.
        try:
            self.run_input_thread()
        except OSError:
            self._lost()
        except BaseException:
            if self._gone or self._closing:
                return
            import rich.traceback

            self._app.call_later(self._app.panic, rich.traceback.Traceback())

    def stop_application_mode(self) -> None:
        """Restore the terminal; never waits for one that does not read."""
        self._closing = True
        super().stop_application_mode()

    def close(self) -> None:
        """Let the writer finish, but not for ever."""
        thread = self._writer_thread
        if thread is None:
            return
        if thread.is_alive():
            with contextlib.suppress(queue.Full):
                thread._queue.put_nowait(None)
            thread.join(_CLOSE_PATIENCE)
            if thread.is_alive():  # a stalled terminal: closing its file would block as well
                sys.__stderr__ = None  # type: ignore[misc]
