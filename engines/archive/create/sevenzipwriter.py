"""Packs into 7z: LZMA2 pieces on all cores, AES-256.

Files are grouped by suffix into solid folders; each folder is one LZMA2 stream of pieces that were compressed in
parallel (`lzma2`). The container is made here: paths and password never leave the process, names of any kind are kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import msgspec

from engines.archive.create import codecs
from engines.archive.create.lzma2 import Lzma2
from engines.archive.create.memoryfile import MemoryFile
from engines.archive.create.reading import OpenFile, read_whole
from engines.archive.create.session import FIXED_TIME, Session, packed_of
from engines.archive.create.sevenzipformat import SIGNATURE_HEADER, Encryption, Key, Solid, Stored, trailer
from engines.archive.create.sevenzipplan import cuts, solids
from engines.archive.create.source import Entry
from engines.archive.create.space import Buffer
from engines.archive.levels import MIB, SEVENZIP

_SMALL: Final = 256 << 10
"""Files up to this size are read whole, and never cut."""


class _Range(msgspec.Struct):
    """A stretch of a large file."""

    file: OpenFile
    member: Stored
    at: int
    length: int
    last: bool


class _Failed(msgspec.Struct):
    entry: Entry
    error: OSError


class _Part(msgspec.Struct):
    """What a piece holds of one file."""

    entry: Entry
    member: Stored
    crc: int
    length: int
    last: bool
    changed: bool = False
    sha256: bytes = b""
    file: OpenFile | None = None


class _Outcome(msgspec.Struct):
    data: Sequence[Buffer] = ()
    parts: list[_Part] = msgspec.field(default_factory=list)
    failed: list[_Failed] = msgspec.field(default_factory=list)


class SevenZipWriter:
    """Writes the members of a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._options = session.options
        self._output = session.output
        level = SEVENZIP.get(session.options.level)
        self._packer = Lzma2(session, level) if level else None
        self._block = self._packer.block if self._packer else MIB
        self._key = Key(session.options.password) if session.options.password is not None else None
        self._solids: list[Solid] = []
        self._empty: list[Stored] = []
        self._cipher: Encryption | None = None
        self._open_solid: Solid | None = None
        self._cuts: deque[int] = deque()
        """Places still ahead where the open folder is cut."""
        self._at = 0
        """Bytes of the open folder that are placed."""
        self._piece: list[Entry | _Range | _Failed] = []
        self._weight = 0

    def run(self) -> None:
        """Pack everything."""
        self._output.write([bytes(SIGNATURE_HEADER)])
        streams = []
        for _, entry in self._session.each():
            if entry.is_dir or (entry.is_file and not entry.size):
                self._empty.append(self._stored(entry))
                self._session.packed([packed_of(entry, sha256=sha256().digest() if entry.is_file else b"")])
            else:
                streams.append(entry)
        for group in solids(streams, self._block):
            self._cuts = deque(cuts(group, self._block))
            for entry in group:
                self._place(entry)
            self._end_solid()
        self._session.pipeline.drain()
        tail, head = trailer(
            self._solids,
            self._empty,
            dictionary=self._packer.dictionary if self._packer else 0,
            key=self._key,
            hide_names=self._options.encrypt_names,
        )
        self._output.write(tail)
        self._output.patch(0, head)

    def _stored(self, entry: Entry) -> Stored:
        options = self._options
        mtime = FIXED_TIME * 1_000_000_000 if options.reproducible else entry.mtime_ns
        return Stored(entry.name, options.mode(entry), mtime, folder=entry.is_dir)

    # What goes into which piece

    def _place(self, entry: Entry) -> None:
        if not entry.is_file or entry.size <= _SMALL:
            self._add(entry, entry.size)
            return
        try:
            file = OpenFile(entry, hashed=self._options.hashed)
        except OSError as error:
            self._add(_Failed(entry, error), entry.size)
            return
        member = self._stored(entry)
        at = 0
        while at < file.size:
            length = min(file.size - at, self._room())
            self._add(_Range(file, member, at, length, at + length == file.size), length)
            at += length

    def _room(self) -> int:
        """Bytes that the piece still takes; files may have grown since they were listed."""
        return self._cuts[0] - self._at if self._cuts else 2 * self._block - self._weight

    def _add(self, part: Entry | _Range | _Failed, weight: int) -> None:
        self._piece.append(part)
        self._weight += weight
        self._at += weight
        reached = self._weight >= 2 * self._block
        while self._cuts and self._cuts[0] <= self._at:
            self._cuts.popleft()
            reached = True
        if reached:
            self._flush()

    def _flush(self) -> None:
        piece, weight = self._piece, self._weight
        self._piece, self._weight = [], 0
        if piece:
            self._session.pipeline.submit(lambda: self._pack(piece), self._write, 2 * weight)

    def _end_solid(self) -> None:
        self._flush()
        self._session.pipeline.then(self._close_solid)
        self._at = 0

    # In a worker

    def _pack(self, piece: Sequence[Entry | _Range | _Failed]) -> _Outcome:
        outcome = _Outcome()
        content = MemoryFile("piece")
        try:
            for part in piece:
                self._session.step()
                if isinstance(part, _Failed):
                    outcome.failed.append(part)
                elif isinstance(part, _Range):
                    self._read_range(part, content, outcome)
                else:
                    self._read_entry(part, content, outcome)
        except BaseException:
            for part in piece:  # nobody may wait for this piece's turn in vain
                if isinstance(part, _Range) and part.file.digest is not None:
                    part.file.digest.skip()
            raise
        if content.size:
            outcome.data = self._packed(content)
        return outcome

    def _packed(self, content: MemoryFile) -> Sequence[Buffer]:
        if self._packer is None:
            return [content.view()]
        if self._options.store_compressed and codecs.incompressible(view := content.view()):
            return codecs.lzma2_stored(view)
        return self._packer.pack(content)

    def _read_entry(self, entry: Entry, content: MemoryFile, outcome: _Outcome) -> None:
        changed = False
        try:
            if entry.is_link:
                data = entry.read_link()
            else:
                whole = read_whole(entry)
                data, changed = whole.data, whole.changed
        except OSError as error:
            outcome.failed.append(_Failed(entry, error))
            return
        content.write(data)
        digest = sha256(data).digest() if self._options.hashed and entry.is_file else b""
        member = self._stored(entry)
        outcome.parts.append(_Part(entry, member, codecs.crc32(data, 0), len(data), True, changed, digest))

    def _read_range(self, part: _Range, content: MemoryFile, outcome: _Outcome) -> None:
        file = part.file
        at, end = part.at, part.at + part.length
        crc = 0
        while at < end:
            wanted = min(MIB, end - at)
            try:
                data = file.read(at, wanted)
            except OSError:  # what was read before stays; it is reported as changed
                data = b""
            if file.digest is not None:
                file.digest.update(at, data)
            content.write(data)
            crc = codecs.crc32(data, crc)
            at += len(data)
            if len(data) < wanted:
                break
        if file.digest is not None and at < end:
            file.digest.skip()
        outcome.parts.append(_Part(file.entry, part.member, crc, at - part.at, part.last, at < end, file=file))

    # In order

    def _write(self, outcome: _Outcome) -> None:
        session = self._session
        if outcome.data:
            solid = self._solid()
            solid.packed += sum(map(len, outcome.data))
            self._emit(solid, outcome.data)
        for failed in outcome.failed:
            session.left_out(failed.entry, failed.error)
        for part in outcome.parts:
            member = part.member
            member.crc = codecs.crc32_combine(member.crc, part.crc, part.length) if member.size else part.crc
            member.size += part.length
            if self._open_solid is not None:
                self._open_solid.unpacked += part.length
            if part.last:
                self._complete(part)
            session.advance(part.length, member.name)

    def _complete(self, part: _Part) -> None:
        session, member, entry = self._session, part.member, part.entry
        if member.size and self._open_solid is not None:
            self._open_solid.members.append(member)
        else:
            self._empty.append(member)
        digest = part.sha256
        changed = part.changed
        if part.file is not None:
            changed = changed or member.size != part.file.size or part.file.changed()
            if part.file.digest is not None:
                digest = part.file.digest.hash.digest()
        if changed:
            session.changed(entry)
        if entry.is_file:
            entry.size = member.size
        session.packed([packed_of(entry, sha256=digest)])

    def _solid(self) -> Solid:
        if self._open_solid is None:
            self._open_solid = Solid()
            if self._key is not None:
                self._cipher = Encryption(self._key)
                self._open_solid.initial = self._cipher.initial
        return self._open_solid

    def _emit(self, solid: Solid, data: Sequence[Buffer]) -> None:
        if self._cipher is not None:
            data = [self._cipher.encrypt(data)]
        self._output.write(data)
        solid.written += sum(map(len, data))

    def _close_solid(self) -> None:
        solid, self._open_solid = self._open_solid, None
        if solid is None:
            return
        if self._packer is not None:  # the end mark of LZMA2
            solid.packed += 1
            self._emit(solid, [b"\0"])
        if self._cipher is not None:
            tail = self._cipher.finish()
            self._output.write([tail])
            solid.written += len(tail)
        self._solids.append(solid)
