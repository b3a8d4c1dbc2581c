"""For every test."""

from __future__ import annotations

import signal

# A runner in the background of a shell ignores SIGINT, and so would all the programs that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
