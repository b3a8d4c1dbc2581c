"""Where the files of an RPM package begin (the package file format of rpm 4, "Package File Structure")."""

from __future__ import annotations

from typing import Final

from engines.archive.volumes import Volumes

_LEAD: Final = 96  # bytes
_HEADER: Final = b"\x8e\xad\xe8"


def payload(volumes: Volumes) -> int:
    """Where the packed cpio archive begins; 0 when the headers before it are not where they should be.

    Behind the lead come two headers, of the signature and of the package: each has 16 bytes, an index of 16 bytes an
    entry and its store; the first is filled up to a multiple of 8 bytes.
    """
    at = _LEAD
    for filled in (True, False):
        head = volumes.pread(16, at)
        if len(head) < 16 or not head.startswith(_HEADER):
            return 0
        entries, store = int.from_bytes(head[8:12], "big"), int.from_bytes(head[12:16], "big")
        at += 16 + 16 * entries + store
        at += -at % 8 if filled else 0
    return at
