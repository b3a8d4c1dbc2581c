"""What `7zz l -slt` prints, as members."""

from __future__ import annotations

import calendar
import re
import time
from functools import lru_cache
from typing import Final

from engines.archive.member import SECOND, Listing, Member, MemberKind
from engines.process import environment

XAR_TABLE: Final = "[TOC].xml"
"""What 7zz makes of a xar's table of contents."""
_STAMP: Final = re.compile(r"(\d+-\d+-\d+ \d+:\d+):(\d+)(?:\.(\d{1,9}))?")
WALL_CLOCK: Final = frozenset({"arj", "cab", "rar"})
"""Formats that keep what a clock on the wall showed; 7zz prints that as it is, whatever the season ..."""
_MAYBE: Final = frozenset({"lha", "zip"})
"""... and those that may do so."""
_UNIX_MODE: Final = re.compile(r"(?:^|\s)([-dlcbps][-rwxsStT]{9})$")
_SPECIAL: Final = ("fifo", "socket", "character special", "block special")
"""Types of members of a xar."""
_CRC: Final = re.compile("[0-9A-Fa-f]{8}")


class ListParser:
    """Takes the output of `7zz l -slt` line by line."""

    def __init__(self, format_name: str, volumes: int) -> None:
        self._found = Listing(format_name, [], volumes)
        self._utc = format_name not in WALL_CLOCK | _MAYBE
        self.env = environment(TZ="UTC0") if self._utc else None
        """For 7zz: in the zone of this machine it would add today's offset to all times, summer or winter."""
        self._fields: dict[str, str] = {}
        self._inside = False

    def line(self, line: str) -> bool:
        """Take the next line; False when it says nothing about a member."""
        if not self._inside:
            self._inside = line.startswith("----------")
            if line.startswith("Solid = +"):
                self._found.solid = True
            return False
        key, equals, value = line.partition(" = ")
        if not equals and line.endswith(" ="):
            key, value = line[:-2], ""
        if key == "Path":
            self._take()
            self._fields = {"Path": value}
        elif self._fields:
            self._fields.setdefault(key, value)
        return bool(equals)

    def end(self) -> Listing:
        """Everything listed, when no line follows."""
        self._take()
        self._fields = {}
        self._found.encrypted = any(member.encrypted for member in self._found.members)
        return self._found

    def _take(self) -> None:
        fields = self._fields
        if fields and not (self._found.format == "xar" and fields["Path"] == XAR_TABLE):
            self._found.members.append(_member(fields, self._utc))


def _member(fields: dict[str, str], utc: bool) -> Member:
    get = fields.get
    kind, mode = _attributes(get("Attributes") or get("Mode", ""))
    link = get("Symbolic Link", "")
    if get("Folder") == "+":
        kind = MemberKind.FOLDER
    elif link and kind is not MemberKind.FOLDER:
        kind = MemberKind.SYMLINK
    elif get("Type") in _SPECIAL:
        kind = MemberKind.SPECIAL
    elif kind is MemberKind.FILE and get("Hard Link"):
        kind, link = MemberKind.HARDLINK, fields["Hard Link"]
    size, packed, crc = get("Size", ""), get("Packed Size", ""), get("CRC", "")
    return Member(
        fields["Path"],
        kind,
        int(size) if size.isdecimal() else 0,
        int(packed) if packed.isdecimal() else None,
        _moment(get("Modified", ""), utc),
        mode,
        link,
        get("Encrypted") == "+",
        int(crc, 16) if _CRC.fullmatch(crc) else None,
        get("Method", ""),
    )


@lru_cache(maxsize=1024)
def _attributes(text: str) -> tuple[MemberKind, int | None]:
    """Kind and permission bits; an archive knows few different ones."""
    unix = _UNIX_MODE.search(text)
    mode = _bits(unix[1]) if unix else None
    flags = text.split(" ", 1)[0]  # "RD" with Windows' letters, "drwxr-xr-x" without
    if flags.startswith("d") or (flags.isupper() and "D" in flags):
        return MemberKind.FOLDER, mode
    if unix and unix[1][0] == "l":
        return MemberKind.SYMLINK, mode
    if unix and unix[1][0] in "cbps":
        return MemberKind.SPECIAL, mode
    return MemberKind.FILE, mode


def _bits(text: str) -> int:
    mode = 0
    for index, letter in enumerate(text[1:]):
        mode |= (letter not in "-ST") << (8 - index)
    return mode


def _moment(text: str, utc: bool) -> int | None:
    """Nanoseconds since the epoch; 7zz shows as many digits as the format keeps."""
    match = _STAMP.match(text)
    minute = _minute(match[1], utc) if match else None
    if match is None or minute is None:
        return None
    return (minute + int(match[2])) * SECOND + int((match[3] or "").ljust(9, "0"))


@lru_cache(maxsize=4096)
def _minute(text: str, utc: bool) -> int | None:
    """Seconds since the epoch of a minute, in local time or UTC; files that were made together share their minutes."""
    year, month, day, hour, minute = (int(part) for part in re.split("[- :]", text))
    moment = (year, month, day, hour, minute, 0, 0, 0, -1)
    try:
        return calendar.timegm(moment) if utc else int(time.mktime(moment))
    except (OverflowError, ValueError):
        return None
