"""Packs batches of small members of a zip: in a thread or in a helper process, headers and data in one piece."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Final

from engines.archive.create.codecs import crc32, deflate_whole, incompressible
from engines.archive.create.encryption import OVERHEAD, Encryptor
from engines.archive.create.reading import Done, failed, read_into, read_whole
from engines.archive.create.session import Options
from engines.archive.create.source import Entry
from engines.archive.create.space import Space, Spaces
from engines.archive.create.zipformat import DEFLATED, NAME_MAX, Member
from engines.archive.levels import DEFLATE, MIB
from engines.operations import Owner

_TINY: Final = 64
"""Bytes below which deflate cannot win."""
PROBED: Final = 65536
"""Bytes from which a probe costs less than a useless compression."""


def member_of(entry: Entry, options: Options) -> Member:
    """The headers of an entry, without what its data says.

    Raises:
        OSError: Its name is too long.
    """
    name = entry.name + b"/" if entry.kind == "d" else entry.name
    if len(name) > NAME_MAX:
        raise OSError(errno.ENAMETOOLONG, "zip holds names of at most 65,535 bytes")
    member = Member(name, options.mode(entry), options.mtime(entry), utc=options.reproducible)
    if options.owner in (Owner.KEEP, Owner.NUMERIC) and not options.reproducible:
        member.owner = (entry.uid, entry.gid)
    return member


class SmallPacker:
    """Reads and packs small members; thread-safe."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._level = DEFLATE.get(options.level)
        self._scratch = Spaces(MIB)
        if options.hashed:
            from hashlib import sha256

            self._hash = sha256

    def pack(self, entries: Sequence[Entry], space: Space) -> list[Done]:
        """Append the members to a space; what became of each. `record` is for `zipformat.placed`."""
        scratch = self._scratch.take()
        done = []
        for entry in entries:
            before = space.length
            try:
                result = self._pack(entry, scratch, space)
                result.length = space.length - before
            except OSError as error:
                space.length = before
                result = failed(error)
            done.append(result)
        self._scratch.give(scratch)
        return done

    def _pack(self, entry: Entry, scratch: Space, space: Space) -> Done:
        options, kind = self._options, entry.kind
        member = None
        done = Done(kind)
        data: bytes | memoryview = b""
        if kind == "f":
            size = entry.size
            scratch.reserve(size + 1)
            if read_into(entry, scratch.view[: size + 1]):
                data = scratch.view[:size]
            else:
                content = read_whole(entry)
                data, done.changed, done.fresh = content.data, content.changed, entry.facts
        elif kind == "l":
            data = entry.read_link()
        member = member_of(entry, options)
        member.size = member.packed = len(data)
        member.crc = crc32(data, 0)
        packed: bytes | bytearray | memoryview = data
        if kind == "f" and self._level is not None and len(data) > _TINY and self._worth(data):
            smaller = deflate_whole(data, self._level.whole)
            if len(smaller) < len(data):
                member.method, packed = DEFLATED, smaller
                member.packed = len(smaller)
        if options.password is not None and kind != "d":
            self._put_encrypted(member, packed, space, done)
        else:
            head, done.record = member.records()
            space.reserve(len(head) + len(packed))
            space.put(head)
            space.put(packed)
        if options.hashed and kind == "f":
            done.sha256 = self._hash(data).digest()
        return done

    def _worth(self, data: bytes | memoryview) -> bool:
        return not self._options.store_compressed or len(data) <= PROBED or not incompressible(data)

    def _put_encrypted(self, member: Member, packed: bytes | bytearray | memoryview, space: Space, done: Done) -> None:
        assert self._options.password is not None
        encryptor = Encryptor(self._options.password)
        member.encrypted = True
        member.packed += OVERHEAD
        head, done.record = member.records()
        for part in (head, encryptor.head, *encryptor.encrypt([packed]), encryptor.tail()):
            space.put(part)
