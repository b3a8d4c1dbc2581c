"""What an archive holds, in one form for every format: the words of listing, testing and unpacking."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

SECOND: Final = 1_000_000_000
"""Nanoseconds: times of members are whole numbers of them, which hold what any format keeps."""
_TICK: Final = 100  # nanoseconds
_UNIX_EPOCH: Final = 116_444_736_000_000_000  # ticks since 1601


def from_ticks(ticks: int) -> int:
    """Nanoseconds since 1970 of a FILETIME: steps of 100 ns since 1601."""
    return (ticks - _UNIX_EPOCH) * _TICK


class MemberKind(StrEnum):
    """What a member becomes on disk."""

    FILE = "file"
    FOLDER = "folder"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    SPECIAL = "special"
    """A device, pipe or socket: never made."""


class Member(msgspec.Struct, gc=False):
    """One entry of an archive.

    `name` is the name as the archive gives it, decoded (bytes that could not be decoded are surrogates, so
    that `os.fsencode` restores them); it is hostile until `containment.components` has taken it apart.
    """

    name: str
    kind: MemberKind = MemberKind.FILE
    size: int = 0
    """Bytes once unpacked, as declared."""
    packed: int | None = None
    """Bytes in the archive; None where a format compresses members together."""
    mtime_ns: int | None = None
    """Nanoseconds since the epoch."""
    mode: int | None = None
    """Permission bits as stored; None when the format or its writer knows none."""
    link: str = ""
    """Target of a link, as stored."""
    encrypted: bool = False
    crc: int | None = None
    method: str = ""


class Listing(msgspec.Struct):
    """All of an archive's entries and what is known of the whole."""

    format: str
    members: list[Member]
    volumes: int = 1
    encrypted: bool = False
    solid: bool = False
    comment: str = ""
    warnings: list[str] = []
    exact: bool = False
    """Whether a list that a program printed has the archive's own names."""

    @property
    def files(self) -> int:
        """Members that are no folders."""
        return sum(1 for member in self.members if member.kind is not MemberKind.FOLDER)

    @property
    def size(self) -> int:
        """Declared bytes of all members."""
        return sum(member.size for member in self.members)
