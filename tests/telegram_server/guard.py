"""No test may leave this machine: every dial and look-up that would is refused, recorded and fails the suite."""

from __future__ import annotations

import ipaddress
import sys
from typing import Any, Final

_attempts: list[str] = []
_armed = False
_installed = False
_LOCAL_NAMES: Final = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", ""})


class LeftLoopback(OSError):
    """Something dialled an address outside this machine."""


def arm() -> None:
    """Refuse dials outside loopback from now on, in every thread of this process."""
    global _armed, _installed
    if not _installed:
        # An audit hook sees sockets of every library, below asyncio and below anything a test could patch.
        sys.addaudithook(_audit)
        _installed = True
    _armed = True


def disarm() -> list[str]:
    """Stop refusing; returns what was attempted since `arm`."""
    global _armed
    _armed = False
    attempts = list(_attempts)
    _attempts.clear()
    return attempts


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if not _armed:
        return
    if event in ("socket.connect", "socket.sendto"):
        address = args[1]
        if isinstance(address, tuple) and not _local(str(address[0])):
            _refuse(f"{event} {address[0]}:{address[1]}")
    elif event == "socket.getaddrinfo" and args[0] is not None:
        host = args[0].decode() if isinstance(args[0], bytes) else str(args[0])
        if not _local(host):
            _refuse(f"{event} {host}")


def _local(host: str) -> bool:
    if host in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _refuse(what: str) -> None:
    _attempts.append(what)
    raise LeftLoopback(f"a test tried to leave this machine: {what}")
