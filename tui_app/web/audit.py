"""The access log: who signed in, what was refused, what was changed from where. JSON lines, mode 0600, two files."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from engines.names import display

_LOG = logging.getLogger(__name__)
FILE_LIMIT: Final = 1 << 20
"""Bytes after which the file is turned over; one older file is kept."""
_BURST: Final = 60
"""Refusals recorded a minute; an attacker must not be able to turn the log over."""
_ENCODER: Final = msgspec.json.Encoder()


class AuditEntry(msgspec.Struct, frozen=True):
    """One line of the access log; all text is display-safe."""

    at: float
    event: str
    actor: str = ""
    address: str = ""
    detail: str = ""


class Audit:
    """Appends to and reads the access log.

    Args:
        path: The file; the older one has ".1" behind it.
    """

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._minute = 0
        self._refusals = 0

    def write(self, event: str, *, actor: str = "", address: str = "", detail: str = "") -> None:
        """Record something that happened. Never fails: an unwritable log is told to the daemon's log."""
        entry = AuditEntry(
            self._now(), event, display(actor, limit=80), display(address, limit=80), display(detail, limit=300)
        )
        try:
            self._append(_ENCODER.encode(entry) + b"\n")
        except OSError as error:
            _LOG.error("cannot write the access log: %s", error)

    def refused(self, event: str, *, address: str = "", detail: str = "") -> None:
        """Record a refusal, at most `_BURST` a minute."""
        minute = int(self._now() // 60)
        if minute != self._minute:
            if self._refusals > _BURST:
                self.write("refusals_not_recorded", detail=f"{self._refusals - _BURST} more in one minute")
            self._minute, self._refusals = minute, 0
        self._refusals += 1
        if self._refusals <= _BURST:
            self.write(event, address=address, detail=detail)

    def tail(self, limit: int) -> list[AuditEntry]:
        """The newest entries, newest first."""
        found: list[AuditEntry] = []
        for path in (self._path, self._older):
            try:
                lines = path.read_bytes().splitlines()
            except OSError:
                continue
            for line in reversed(lines):
                if len(found) >= limit:
                    return found
                try:
                    found.append(msgspec.json.decode(line, type=AuditEntry))
                except msgspec.MsgspecError:
                    continue  # a line cut by a full disk
        return found

    @property
    def _older(self) -> Path:
        return self._path.with_name(self._path.name + ".1")

    def _append(self, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, 0o600)
        try:
            if os.fstat(descriptor).st_size + len(line) > FILE_LIMIT:
                os.close(descriptor)
                os.replace(self._path, self._older)
                descriptor = os.open(self._path, flags, 0o600)
            os.write(descriptor, line)
        finally:
            os.close(descriptor)
