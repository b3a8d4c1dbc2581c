"""Where symbolic links lead in formats that keep the target as the member's data (7z, wim): 7zz does not list it."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from typing import Final

from engines.archive.extract import piped
from engines.archive.extract.run import Run
from engines.archive.extract.sevenzip_run import decoding, told
from engines.archive.member import Listing, Member, MemberKind

_LONGEST: Final = 4096
_MOST: Final = 32 << 20
"""Bytes that are decompressed for them at most: a quarter of a second, some of them with slow methods."""


def read_links(run: Run, found: Listing) -> None:
    """Fill in the targets that can be read quickly; a warning tells of those that cannot."""
    links = {member.name for member in found.members if _unknown(member) and (run.passwords or not member.encrypted)}
    members = [member for member in found.members if member.name in links and member.kind is not MemberKind.FOLDER]
    if not members:
        return
    if _effort(found, members) > _MOST:
        found.warnings.append("where links lead is not shown: too much would have to be unpacked for it")
        return
    data = _read(run, members)
    if len(data) != sum(member.size for member in members):
        return  # damaged, another password, or names that 7zz takes for others
    at = 0
    for member in members:
        target = data[at : at + member.size]
        at += member.size
        if _unknown(member) and member.crc in (None, zlib.crc32(target)):
            member.link = os.fsdecode(target)


def _unknown(member: Member) -> bool:
    """Whether it is a link whose target is to be read."""
    known = member.link or member.kind is not MemberKind.SYMLINK
    return not known and 0 < member.size <= _LONGEST and _can_be_told(member.name)


def _can_be_told(name: str) -> bool:
    """Whether 7zz can be told the name: it reads UTF-8, a name a line."""
    return "\n" not in name and not any("\udc80" <= letter <= "\udcff" for letter in name)


def _effort(found: Listing, members: Sequence[Member]) -> int:
    """Bytes to decompress: what stands before the last one is packed together with it in solid archives."""
    if not found.solid:
        return sum(member.size for member in members)
    last = max(number for number, member in enumerate(found.members) if member is members[-1])
    return sum(member.size for member in found.members[: last + 1])


def _read(run: Run, members: Sequence[Member]) -> bytes:
    """The data of members, one after the other; anything else where that fails."""
    password = run.passwords[0] if run.passwords else ""
    most = sum(member.size for member in members)
    data = bytearray()
    with told(sorted({member.name for member in members})) as (chosen, descriptors):
        tool = decoding(run, *chosen, password=password, pass_fds=descriptors)
        try:
            for block in piped.blocks(tool, run.job.check):
                data += block
                if len(data) > most:
                    break
        finally:
            tool.kill()
    return bytes(data)
