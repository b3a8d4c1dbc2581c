"""Packs into tar and its compressions: chunks of the tar stream are read and compressed by all cores.

A chunk becomes a gzip member, bzip2 stream, xz stream or Zstandard frame of its own; the formats allow
such streams to follow one another (RFC 1952 2.2), and a job can go on after any of them. With
`single_member` a tar.gz is one gzip member of blocks that continue each other.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from engines.archive.create import codecs, tarformat
from engines.archive.create.codecs import Buffer
from engines.archive.create.journal import Packed
from engines.archive.create.reading import OpenFile, read_whole
from engines.archive.create.session import Session, packed_of
from engines.archive.create.source import Entry, Twin
from engines.archive.levels import DEFLATE, GZIP_MEMBER, LZMA, MIB, ZSTD_FRAME
from engines.model import Json
from engines.names import display
from engines.operations import ArchiveFormat, Owner

_SMALL: Final = 256 << 10
"""Files up to this size are read whole by one thread."""
_SPARSE_FROM: Final = 128 << 10
_GZIP_HEADER: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_ZEROS: Final = bytes(MIB)


@dataclass(slots=True)
class _Range:
    """A stretch of a large file. `hole` zeros lie before it in the file, not in the archive."""

    file: OpenFile
    at: int
    length: int
    hole: int = 0
    last: bool = False
    """Whether the member's data ends here; padding follows."""
    pad: int = 0


@dataclass(slots=True)
class _Failed:
    entry: Entry
    error: OSError


_Piece = Entry | bytes | _Range | _Failed


@dataclass(slots=True)
class _Chunk:
    """Pieces that become one stretch of the tar stream."""

    pieces: list[_Piece] = field(default_factory=list)
    weight: int = 0


@dataclass(slots=True)
class _Outcome:
    """A chunk's bytes and what became of its pieces, in order."""

    data: Sequence[Buffer] = ()
    raw: int = 0
    crc: int = 0
    members: list[tuple[Entry, str, bool, bytes]] = field(default_factory=list)
    """Entry, kind letter, whether it changed while it was read, SHA-256."""
    failed: list[_Failed] = field(default_factory=list)
    bytes_read: int = 0
    short: list[OpenFile] = field(default_factory=list)
    open: _Range | None = None
    """The last stretch of a file that goes on in the next chunk."""
    ended: list[OpenFile] = field(default_factory=list)


class TarWriter:
    """Writes the members of a session as one tar stream."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._options = session.options
        self._chunk = _Chunk()
        self._tail: Future[bytes] | None = None
        self._crc = 0
        self._raw = 0
        self._short: set[int] = set()
        self._filling = False
        form, level = session.options.format, session.options.level
        self._single = form is ArchiveFormat.TAR_GZ and session.options.single_member
        self._block, self._codec = _codec(form, level, session.step)

    def run(self) -> None:
        """Pack everything."""
        session = self._session
        names = {member.name for member in session.members}
        if self._single and not session.output.position:
            session.output.write([_GZIP_HEADER])
        first = self._resume(session.state) if session.state else None
        for entry in session.entries:
            if entry.twin is not None and entry.twin.name in names and not entry.twin.packed.done():
                entry.twin.packed.set_result(True)
            if entry is not first:
                self._place(entry)
        self._add(tarformat.END, len(tarformat.END))
        self._flush()
        session.pipeline.drain()
        if self._single:
            session.output.write([codecs.DEFLATE_END + struct.pack("<II", self._crc, self._raw & 0xFFFFFFFF)])

    # What goes into which chunk

    def _add(self, piece: _Piece, weight: int) -> None:
        self._chunk.pieces.append(piece)
        self._chunk.weight += weight
        if self._chunk.weight >= self._block:
            self._flush()

    def _flush(self) -> None:
        chunk, self._chunk = self._chunk, _Chunk()
        if not chunk.pieces:
            return
        before, after = self._tail, None
        if self._single:
            after = self._tail = Future()
        self._session.pipeline.submit(
            lambda: self._pack(chunk, before, after),
            self._write,
            chunk.weight * 2 if self._codec is not None else chunk.weight,
        )

    def _place(self, entry: Entry) -> None:
        """Queue an entry, in stretches when it is large."""
        twin = entry.twin if self._options.hardlinks else None
        if entry.is_file and (entry.size > _SMALL or self._maybe_sparse(entry)):
            if twin is not None and twin.packed.done() and twin.packed.result():
                self._add(entry, tarformat.BLOCK)
                return
            self._place_large(entry, twin)
            return
        self._add(entry, tarformat.BLOCK + (entry.size if entry.is_file else 0))

    def _place_large(self, entry: Entry, twin: Twin | None) -> None:
        try:
            file = OpenFile(entry, hashed=self._options.hashed)
            segments = self._segments(file)
            head = self._large_header(entry, segments)
        except OSError as error:
            self._add(_Failed(entry, error), tarformat.BLOCK)
            return
        if twin is not None and not twin.packed.done():
            twin.name = entry.name
            twin.packed.set_result(True)
        self._add(head, len(head))
        self._add_ranges(file, segments, 0)

    def _add_ranges(self, file: OpenFile, segments: Sequence[tuple[int, int]], seen: int) -> None:
        """Queue the data of a file from `seen` on, cut where chunks are full."""
        total = sum(length for _, length in segments)
        pad = -total % tarformat.BLOCK
        todo = [(max(at, seen), at + length) for at, length in segments if at + length > seen]
        position = seen
        for number, (start, end) in enumerate(todo):
            while start < end:
                length = min(end - start, max(self._block - self._chunk.weight, tarformat.BLOCK))
                last = number == len(todo) - 1 and start + length == end
                trailing = file.size - end if last else 0
                self._add(
                    _Range(file, start, length, start - position, last and not trailing, pad if last else 0), length
                )
                if trailing:
                    self._add(_Range(file, file.size, 0, trailing, True), 0)
                start += length
                position = start
        if not todo:
            self._add(_Range(file, file.size, 0, file.size - position, True, 0), 0)

    def _maybe_sparse(self, entry: Entry) -> bool:
        return self._options.sparse and entry.size > _SPARSE_FROM and entry.space < entry.size - entry.size // 8

    def _segments(self, file: OpenFile) -> list[tuple[int, int]]:
        """Offsets and lengths of a file's data; one for the whole file unless it has holes worth keeping."""
        whole = [(0, file.size)] if file.size else []
        if not self._maybe_sparse(file.entry):
            return whole
        found = list(_data_segments(file.fd, file.size))
        return found if sum(length for _, length in found) < file.size else whole

    # Headers

    def _common(self, entry: Entry) -> dict[str, Any]:
        """What every header says of an entry: mode, owner, time, extended attributes."""
        options = self._options
        owner, names = (entry.uid, entry.gid), (b"", b"")
        if options.reproducible or options.owner is Owner.NONE:
            owner = (0, 0)
        elif options.owner is not Owner.NUMERIC:
            names = tarformat.owner_names(*owner)
        return {
            "mode": options.mode(entry),
            "owner": owner,
            "names": names,
            "mtime": options.mtime(entry),
            "records": self._xattrs(entry) if options.xattrs else (),
        }

    def _header(self, entry: Entry, kind: bytes, *, size: int = 0, link: bytes = b"") -> bytes:
        name = entry.name + b"/" if kind == tarformat.FOLDER else entry.name
        return tarformat.header(name, kind, size=size, link=link, **self._common(entry))

    def _large_header(self, entry: Entry, segments: Sequence[tuple[int, int]]) -> bytes:
        if sum(length for _, length in segments) == entry.size:
            return self._header(entry, tarformat.REGULAR, size=entry.size)
        return tarformat.sparse_header(entry.name, segments, realsize=entry.size, **self._common(entry))

    def _xattrs(self, entry: Entry) -> list[tuple[bytes, bytes]]:
        handle = entry.folder.handle()
        path = f"/proc/self/fd/{handle.fd}/{entry.leaf}"
        found = []
        try:
            for key in os.listxattr(path, follow_symlinks=entry.followed):
                value = os.getxattr(path, key, follow_symlinks=entry.followed)
                found.append((b"SCHILY.xattr." + os.fsencode(key), value))
        except OSError:
            return []
        return sorted(found)

    # In a worker

    def _pack(self, chunk: _Chunk, before: Future[bytes] | None, after: Future[bytes] | None) -> _Outcome:
        outcome = _Outcome()
        raw: list[Buffer] = []
        try:
            for piece in chunk.pieces:
                self._assemble(piece, raw, outcome)
            if self._codec is None:
                outcome.data = raw
                return outcome
            if after is None:
                outcome.data = self._codec(raw)
                return outcome
            data = _joined(raw)
        except BaseException:
            if after is not None:
                after.set_result(b"")
            raise
        after.set_result(data[-codecs.DICTIONARY :])
        outcome.raw = len(data)
        self._pack_continued(data, before, outcome)
        return outcome

    def _pack_continued(self, data: bytes, before: Future[bytes] | None, outcome: _Outcome) -> None:
        """A block of the one gzip member."""
        level = self._options.level
        if not level or codecs.incompressible(data):
            outcome.data, outcome.crc = codecs.stored_blocks(data), codecs.crc32(data, 0)
            return
        dictionary = before.result() if before is not None else b""
        packed, outcome.crc = codecs.deflate_block(
            data, dictionary, DEFLATE[level].block, fresh=self._options.reproducible
        )
        outcome.data = [packed]

    def _assemble(self, piece: _Piece, raw: list[Buffer], outcome: _Outcome) -> None:
        if isinstance(piece, bytes):
            raw.append(piece)
        elif isinstance(piece, _Failed):
            outcome.failed.append(piece)
        elif isinstance(piece, _Range):
            self._read_range(piece, raw, outcome)
        else:
            try:
                self._read_entry(piece, raw, outcome)
            except OSError as error:
                if piece.twin is not None and not piece.twin.packed.done() and piece.twin.name == piece.name:
                    piece.twin.packed.set_result(False)
                outcome.failed.append(_Failed(piece, error))

    def _read_entry(self, entry: Entry, raw: list[Buffer], outcome: _Outcome) -> None:
        if entry.is_dir:
            raw.append(self._header(entry, tarformat.FOLDER))
            outcome.members.append((entry, "d", False, b""))
            return
        if entry.is_link:
            target = entry.read_link()
            raw.append(self._header(entry, tarformat.SYMLINK, link=target))
            outcome.members.append((entry, "l", False, b""))
            return
        twin = entry.twin if self._options.hardlinks else None
        if twin is not None and twin.name != entry.name and twin.packed.result():
            raw.append(self._header(entry, tarformat.HARDLINK, link=twin.name))
            outcome.members.append((entry, "h", False, b""))
            return
        content = read_whole(entry)
        data = content.data
        raw += (self._header(entry, tarformat.REGULAR, size=len(data)), data, tarformat.padding(len(data)))
        if twin is not None and twin.name == entry.name and not twin.packed.done():
            twin.packed.set_result(True)
        outcome.bytes_read += len(data)
        digest = sha256(data).digest() if self._options.hashed else b""
        outcome.members.append((entry, "f", content.changed, digest))

    def _read_range(self, piece: _Range, raw: list[Buffer], outcome: _Outcome) -> None:
        file = piece.file
        try:
            data = file.read(piece.at, piece.length) if piece.length else b""
        except OSError:
            data = b""
        raw.append(data)
        if len(data) < piece.length:  # promised in the header: the rest is zeros, and reported
            raw.append(bytes(piece.length - len(data)))
            outcome.short.append(file)
        if piece.pad:
            raw.append(bytes(piece.pad))
        if file.digest is not None:
            for at in range(piece.at - piece.hole, piece.at, len(_ZEROS)):
                file.digest.update(at, _ZEROS[: piece.at - at])
            file.digest.update(piece.at, data)
            if len(data) < piece.length:
                file.digest.update(piece.at + len(data), bytes(piece.length - len(data)))
        outcome.bytes_read += piece.length + piece.hole
        outcome.open = piece
        if piece.last:
            outcome.ended.append(file)
            outcome.members.append((file.entry, "f", False, b""))
            outcome.open = None

    # In order

    def _write(self, outcome: _Outcome) -> None:
        session = self._session
        session.output.write(outcome.data)
        if self._single:
            self._crc = codecs.crc32_combine(self._crc, outcome.crc, outcome.raw) if self._raw else outcome.crc
            self._raw += outcome.raw
        self._short.update(id(file) for file in outcome.short)
        for failed in outcome.failed:
            session.left_out(failed.entry, failed.error)
        ended = {id(file.entry): file for file in outcome.ended}
        name = outcome.open.file.entry.name if outcome.open is not None else b""
        for entry, kind, changed, digest in outcome.members:
            file = ended.get(id(entry))
            if file is not None:
                changed = file.changed() or id(file) in self._short
                self._short.discard(id(file))
                digest = file.digest.hash.digest() if file.digest is not None else b""
            if changed:
                session.changed(entry)
            link = entry.twin.name if kind == "h" and entry.twin is not None else b""
            session.packed(packed_of(entry, sha256=digest, kind=kind, record=link))
            name = name or entry.name
        session.advance(outcome.bytes_read, name)
        if not self._filling:
            session.commit(lambda: self._state(outcome.open))

    # Checkpoints

    def _state(self, piece: _Range | None) -> Json:
        state: Json = {}
        if self._single:
            state |= {"crc": self._crc, "raw": self._raw}
        if piece is not None:
            entry = piece.file.entry
            state |= {
                "name": entry.name.hex(),
                "size": piece.file.size,
                "mtime_ns": entry.mtime_ns,
                "ino": entry.ino,
                "seen": piece.at + piece.length,
                "short": id(piece.file) in self._short,
                **self._left(piece),
            }
        return state

    def _left(self, piece: _Range) -> Json:
        """Data bytes of the member still to come, and the padding after them."""
        segments = self._segments(piece.file)
        seen = piece.at + piece.length
        left = sum(min(length, max(0, at + length - seen)) for at, length in segments)
        return {"left": left, "pad": -sum(length for _, length in segments) % tarformat.BLOCK}

    def _resume(self, state: Json) -> Entry | None:
        """Complete the member an earlier attempt was at; its entry when it is still there unchanged."""
        self._crc, self._raw = state.get("crc", 0), state.get("raw", 0)
        if "name" not in state:
            return None
        session = self._session
        name = bytes.fromhex(state["name"])
        entry = next((entry for entry in session.entries if entry.name == name), None)
        session.done += state["seen"]
        if entry is not None:
            try:
                file = OpenFile(entry, hashed=self._options.hashed)
                segments = self._segments(file)
                if self._unchanged(entry, state, segments):
                    self._rehash(file, state["seen"])
                    self._add_ranges(file, segments, state["seen"])
                    if entry.twin is not None and not entry.twin.packed.done():
                        entry.twin.packed.set_result(True)
                    return entry
            except OSError:
                pass
        shown = display(name)
        session.tally.changed += 1
        session.note(f"'{shown}' changed while the task was interrupted; zeros take the place of its rest")
        self._fill(state["left"] + state["pad"])
        self._flush()
        member = Packed(name, state["size"], state["mtime_ns"], state["ino"])
        session.pipeline.then(lambda: self._filled(member))
        return entry

    def _filled(self, member: Packed) -> None:
        self._filling = False
        self._session.packed(member)

    def _unchanged(self, entry: Entry, state: Json, segments: Sequence[tuple[int, int]]) -> bool:
        seen = state["seen"]
        left = sum(min(length, max(0, at + length - seen)) for at, length in segments)
        return (entry.size, entry.mtime_ns, entry.ino, left) == (
            state["size"],
            state["mtime_ns"],
            state["ino"],
            state["left"],
        )

    def _rehash(self, file: OpenFile, seen: int) -> None:
        if file.digest is None:
            return
        for at in range(0, seen, MIB):
            self._session.check()
            file.digest.update(at, file.read(at, min(MIB, seen - at)))

    def _fill(self, left: int) -> None:
        self._filling = True  # no checkpoint in the middle of it
        while left:
            part = min(left, self._block)
            self._add(bytes(part), part)
            left -= part


def _data_segments(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """The stretches of a file that are no holes."""
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            yield at, size - at  # the file system cannot tell
            return
        at = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        if start < size:
            yield start, at - start


def _joined(raw: list[Buffer]) -> bytes:
    """The pieces as one; the list lets go of them, so that a chunk is not held twice while it is packed."""
    data = b"".join(raw)
    raw.clear()
    return data


def _codec(
    form: ArchiveFormat, level: int, step: Callable[[int], None]
) -> tuple[int, Callable[[list[Buffer]], Sequence[Buffer]] | None]:
    """Bytes of tar stream in a chunk, and what packs one, emptying the list (None: as it is)."""
    match form:
        case ArchiveFormat.TAR:
            return MIB, None
        case ArchiveFormat.TAR_GZ:
            return GZIP_MEMBER, lambda raw: codecs.gzip_member(_joined(raw), level)
        case ArchiveFormat.TAR_BZ2:
            return max(1, level) * 100_000, lambda raw: codecs.bzip2_stream(_joined(raw), level)
        case ArchiveFormat.TAR_XZ:
            return LZMA[level].block, lambda raw: codecs.xz_stream(raw, level, step)
        case ArchiveFormat.TAR_ZST:
            return ZSTD_FRAME, lambda raw: codecs.zstd_frame(_joined(raw), level)
    raise ValueError(form)
