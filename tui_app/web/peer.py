"""Where a request comes from: the connection's other end, or what a trusted proxy says about it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from aiohttp import web

from engines.names import display
from engines.settings import WebSettings

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Peer:
    """The other side of a request.

    Attributes:
        address: Its IP address, display-safe.
        host: The Host it asked for, with port.
        secure: Whether it reached us, or a trusted proxy, over TLS.
    """

    address: str
    host: str
    secure: bool

    @property
    def group(self) -> str:
        """What attempts are counted by: the address, for IPv6 its /64 (one site has a whole one)."""
        return group_of(self.address)


def group_of(address: str) -> str:
    """The address, for IPv6 its /64."""
    found = _address(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((found, 64), strict=False))
    return address


def in_url(host: str) -> str:
    """A host as addresses have it: IPv6 in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def is_proxy(address: str, settings: WebSettings) -> bool:
    """Whether a connection comes from one of `web.trusted_proxies`."""
    return _trusted(address, _networks(settings.trusted_proxies))


PEER: Final = web.RequestKey("peer", Peer)


def peer_of(request: web.Request, settings: WebSettings) -> Peer:
    """The other side of a TCP request. X-Forwarded-* counts only from `web.trusted_proxies`.

    Of X-Forwarded-For the rightmost address that is not a trusted proxy itself is taken: what stands left of it
    is the client's own claim.
    """
    direct = request.remote or ""
    host = request.headers.get("Host", "")
    secure = request.transport is not None and request.transport.get_extra_info("ssl_object") is not None
    networks = _networks(settings.trusted_proxies)
    if not networks or not _trusted(direct, networks):
        return Peer(display(direct, limit=64), host, secure)
    address = direct
    # Some proxies (HAProxy) add a line of their own below the client's: together they are one list (RFC 9110, 5.2).
    for claimed in reversed(",".join(request.headers.getall("X-Forwarded-For", ())).split(",")):
        claimed = claimed.strip()
        if _address(claimed) is None:
            break
        address = claimed
        if not _trusted(claimed, networks):
            break
    proto = request.headers.get("X-Forwarded-Proto", "").strip().casefold()
    forwarded = request.headers.get("X-Forwarded-Host", "").strip()
    return Peer(display(address, limit=64), forwarded or host, secure or proto == "https")


def _trusted(address: str, networks: tuple[_Network, ...]) -> bool:
    found = _address(address)
    return found is not None and any(found in network for network in networks)


def _address(text: str) -> _Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found


@lru_cache(maxsize=4)
def _networks(given: tuple[str, ...]) -> tuple[_Network, ...]:
    found = []
    for text in given:
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            continue  # refused when the settings are read
    return tuple(found)
