"""Packs into 7z in this process: LZMA2 pieces on all cores, AES-256, without an external program.

Files are grouped by suffix into solid folders; each folder is one LZMA2 stream of pieces that were compressed in
parallel. Paths and password never leave the process, names of any kind are kept, and a cancel acts at once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import msgspec

from engines.archive.create import codecs
from engines.archive.create.codecs import Buffer
from engines.archive.create.reading import OpenFile, read_whole
from engines.archive.create.session import FIXED_TIME, Session, packed_of
from engines.archive.create.sevenzipformat import SIGNATURE_HEADER, Encryption, Key, Solid, Stored, trailer
from engines.archive.create.source import Entry
from engines.archive.levels import MIB, SEVENZIP, SOLID

_SMALL: Final = 256 << 10


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
        self._level = SEVENZIP.get(session.options.level)
        self._block = self._level.block if self._level else MIB
        self._key = Key(session.options.password) if session.options.password is not None else None
        self._solids: list[Solid] = []
        self._empty: list[Stored] = []
        self._cipher: Encryption | None = None
        self._open_solid: Solid | None = None
        self._planned = 0
        self._piece: list[Entry | _Range | _Failed] = []
        self._weight = 0

    def run(self) -> None:
        """Pack everything."""
        self._output.write([bytes(SIGNATURE_HEADER)])
        streams = []
        for entry in self._session.entries:
            if entry.is_dir or (entry.is_file and not entry.size):
                self._empty.append(self._stored(entry))
                self._session.packed([packed_of(entry, sha256=sha256().digest() if entry.is_file else b"")])
            else:
                streams.append(entry)
        streams.sort(key=lambda entry: (os.path.splitext(entry.leaf)[1].lower(), entry.name))
        for entry in streams:
            self._place(entry)
        self._end_solid()
        self._session.pipeline.drain()
        tail, head = trailer(
            self._solids,
            self._empty,
            dictionary=self._level.dictionary if self._level else 0,
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
        if self._planned and self._planned + entry.size > max(SOLID, 4 * self._block):
            self._end_solid()
        self._planned += entry.size
        if not entry.is_file or entry.size <= _SMALL:
            self._add(entry, entry.size)
            return
        try:
            file = OpenFile(entry, hashed=self._options.hashed)
        except OSError as error:
            self._add(_Failed(entry, error), 0)
            return
        member = self._stored(entry)
        at = 0
        while at < file.size:
            length = min(file.size - at, self._block - self._weight)
            self._add(_Range(file, member, at, length, at + length == file.size), length)
            at += length

    def _add(self, part: Entry | _Range | _Failed, weight: int) -> None:
        self._piece.append(part)
        self._weight += weight
        if self._weight >= self._block:
            self._flush()

    def _flush(self) -> None:
        piece, weight = self._piece, self._weight
        self._piece, self._weight = [], 0
        if piece:
            self._session.pipeline.submit(lambda: self._pack(piece), self._write, 2 * weight)

    def _end_solid(self) -> None:
        self._flush()
        self._session.pipeline.then(self._close_solid)
        self._planned = 0

    # In a worker

    def _pack(self, piece: Sequence[Entry | _Range | _Failed]) -> _Outcome:
        outcome = _Outcome()
        raw: list[bytes] = []
        try:
            for part in piece:
                self._session.step()
                self._read(part, raw, outcome)
        except BaseException:
            for part in piece:  # nobody may wait for this piece's turn in vain
                if isinstance(part, _Range) and part.file.digest is not None:
                    part.file.digest.skip()
            raise
        data = b"".join(raw)
        raw.clear()
        if not data:
            return outcome
        if self._level is None:
            outcome.data = [data]
        elif self._options.store_compressed and codecs.incompressible(data):
            outcome.data = codecs.lzma2_stored(data)
        else:
            outcome.data = codecs.lzma2_piece(data, self._level, self._session.step)
        return outcome

    def _read(self, part: Entry | _Range | _Failed, raw: list[bytes], outcome: _Outcome) -> None:
        try:
            if isinstance(part, _Failed):
                outcome.failed.append(part)
            elif isinstance(part, _Range):
                self._read_range(part, raw, outcome)
            else:
                self._read_entry(part, raw, outcome)
        except OSError as error:
            assert isinstance(part, Entry)
            outcome.failed.append(_Failed(part, error))

    def _read_entry(self, entry: Entry, raw: list[bytes], outcome: _Outcome) -> None:
        changed = False
        if entry.is_link:
            data = entry.read_link()
        else:
            content = read_whole(entry)
            data, changed = content.data, content.changed
        raw.append(data)
        digest = sha256(data).digest() if self._options.hashed and entry.is_file else b""
        member = self._stored(entry)
        outcome.parts.append(_Part(entry, member, codecs.crc32(data, 0), len(data), True, changed, digest))

    def _read_range(self, part: _Range, raw: list[bytes], outcome: _Outcome) -> None:
        file = part.file
        try:
            data = file.read(part.at, part.length)
        except OSError:  # what was read before stays; it is reported as changed
            data = b""
        if file.digest is not None:
            file.digest.update(part.at, data)
            if len(data) < part.length:
                file.digest.skip()
        raw.append(data)
        short = len(data) < part.length
        outcome.parts.append(
            _Part(file.entry, part.member, codecs.crc32(data, 0), len(data), part.last, short, file=file)
        )

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
        if self._level is not None:  # the end mark of LZMA2
            solid.packed += 1
            self._emit(solid, [b"\0"])
        if self._cipher is not None:
            tail = self._cipher.finish()
            self._output.write([tail])
            solid.written += len(tail)
        self._solids.append(solid)
