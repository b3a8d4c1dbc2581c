"""Packs into tar and its compressions: chunks of the tar stream are read and compressed by all cores.

A chunk becomes a gzip member, bzip2 stream, xz stream or Zstandard frame of its own; the formats allow
such streams to follow one another (RFC 1952 2.2), and a job can go on after any of them. With
`single_member` a tar.gz is one gzip member of blocks that continue each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from engines.archive.create import sparse, tarformat
from engines.archive.create.journal import Packed
from engines.archive.create.output import WriteBehind
from engines.archive.create.reading import OpenFile
from engines.archive.create.session import Session, packed_of
from engines.archive.create.source import Entry, Twin
from engines.archive.create.tarchunks import Chunk, Failed, Outcome, Piece, Range
from engines.archive.create.tarpacker import SMALL, TarPacker
from engines.archive.levels import MIB
from engines.model import Json
from engines.names import display
from engines.operations import ArchiveFormat

if TYPE_CHECKING:
    from concurrent.futures import Future

_COPIED: Final = MIB
"""Files from this size are copied into a bare tar by the kernel ..."""
_COPIED_AT_ONCE: Final = 16 * MIB
"""... in such stretches: that often it can be interrupted."""


class TarWriter:
    """Writes the members of a session as one tar stream."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._options = session.options
        self._chunk = Chunk()
        self._short: set[int] = set()
        self._filling = False
        self._packer = TarPacker(session)
        bare = session.options.format is ArchiveFormat.TAR and not session.options.hashed
        self._copier = session.output if bare and isinstance(session.output, WriteBehind) else None

    def run(self) -> None:
        """Pack everything."""
        session = self._session
        names = {member.name for member in session.members}
        if self._packer.gzip is not None and not session.output.position:
            session.output.write([self._packer.gzip.header])
        first = self._resume(session.state) if session.state else None
        for number, entry in session.each():
            if entry.twin is not None and entry.twin.name in names and not entry.twin.packed.done():
                entry.twin.packed.set_result(True)
            if entry is not first:
                self._place(entry, number)
        self._add(tarformat.END, len(tarformat.END))
        self._flush()
        session.drain()
        if self._packer.gzip is not None:
            session.output.write([self._packer.gzip.end()])

    # What goes into which chunk

    def _add(self, piece: Piece, weight: int, number: int = -1) -> None:
        """Add a piece to the chunk; `number` is that of an entry that helpers may take."""
        chunk = self._chunk
        if not chunk.pieces:
            chunk.first = number
        elif chunk.first >= 0 and number != chunk.first + len(chunk.pieces):
            chunk.first = -1
        chunk.pieces.append(piece)
        chunk.weight += weight
        if chunk.weight >= self._packer.block:
            self._flush()

    def _flush(self) -> None:
        chunk, self._chunk = self._chunk, Chunk()
        if not chunk.pieces:
            return
        if self._packer.helpless and chunk.first >= 0 and chunk.weight >= self._packer.block:
            self._packer.get_help()
        self._packer.cut(chunk.weight)
        link = None if self._packer.gzip is None else self._packer.gzip.link()
        self._session.pipeline.submit(
            lambda: self._packer.pack(chunk, link),
            self._write,
            int(chunk.weight * self._packer.share),
        )

    def _place(self, entry: Entry, number: int) -> None:
        """Queue an entry, in stretches when it is large."""
        if entry.kind != "f":
            self._add(entry, tarformat.BLOCK, number)
            return
        size = entry.size
        twin = entry.twin if self._options.hardlinks else None
        if size > sparse.SMALLEST and (size > SMALL or self._maybe_sparse(entry)):
            if twin is not None and twin.packed.done() and twin.packed.result():
                self._add(entry, tarformat.BLOCK)
                return
            self._place_large(entry, twin)
            return
        self._add(entry, tarformat.BLOCK + size, number if twin is None else -1)

    def _place_large(self, entry: Entry, twin: Twin | None) -> None:
        try:
            file = OpenFile(entry, hashed=self._options.hashed)
            segments = self._segments(file)
            if sum(length for _, length in segments) == entry.size:
                head = self._packer.members.header(entry, tarformat.REGULAR, size=entry.size)
            else:
                head = self._packer.members.sparse_header(entry, segments)
        except OSError as error:
            self._add(Failed(entry, error), tarformat.BLOCK)
            return
        if twin is not None and not twin.packed.done():
            twin.name = entry.name
            twin.packed.set_result(True)
        self._add_file(file, segments, head)

    def _add_file(self, file: OpenFile, segments: Sequence[tuple[int, int]], head: bytes, seen: int = 0) -> None:
        """Queue the header of a file and its data from `seen` on."""
        if self._copier is not None and segments == sparse.whole(file) and file.size - seen >= _COPIED:
            self._copy(file, self._copier, head, seen)
            return
        if head:
            self._add(head, len(head))
        self._add_ranges(file, segments, seen)

    def _add_ranges(self, file: OpenFile, segments: Sequence[tuple[int, int]], seen: int) -> None:
        """Queue the data of a file from `seen` on, cut where chunks are full."""
        total = sum(length for _, length in segments)
        pad = -total % tarformat.BLOCK
        todo = [(max(at, seen), at + length) for at, length in segments if at + length > seen]
        position = seen
        for number, (start, end) in enumerate(todo):
            while start < end:
                room = max(self._packer.block - self._chunk.weight, tarformat.BLOCK)
                length = min(end - start, room, self._packer.stretch)
                last = number == len(todo) - 1 and start + length == end
                trailing = file.size - end if last else 0
                self._add(
                    Range(file, start, length, start - position, last and not trailing, pad if last else 0), length
                )
                if trailing:
                    self._add(Range(file, file.size, 0, trailing, True), 0)
                start += length
                position = start
        if not todo:
            self._add(Range(file, file.size, 0, file.size - position, True, 0), 0)

    def _copy(self, file: OpenFile, output: WriteBehind, head: bytes, seen: int) -> None:
        """Have a file copied from `seen` on, after its header."""
        self._flush()
        size = file.size
        for start in range(seen, size, _COPIED_AT_ONCE):
            length = min(_COPIED_AT_ONCE, size - start)
            last = start + length == size
            piece = Range(file, start, length, last=last, pad=-size % tarformat.BLOCK if last else 0)
            before = head if start == seen else b""
            self._session.pipeline.follow(partial(_begin_copy, output, piece, before), partial(self._end_copy, piece))

    def _end_copy(self, piece: Range, real: int) -> None:
        outcome = Outcome([bytes(piece.pad)] if piece.pad else ())
        outcome.taken(piece, whole=real == piece.length)
        self._write(outcome)

    def _maybe_sparse(self, entry: Entry) -> bool:
        return self._options.sparse and sparse.likely(entry)

    def _segments(self, file: OpenFile) -> list[tuple[int, int]]:
        return sparse.segments(file) if self._maybe_sparse(file.entry) else sparse.whole(file)

    # In order

    def _write(self, outcome: Outcome) -> None:
        session = self._session
        if outcome.data:
            session.output.write(outcome.data, lambda: self._packer.release(outcome))
        if self._packer.gzip is not None:
            self._packer.gzip.add(outcome.crc, outcome.raw)
        self._short.update(id(file) for file in outcome.short)
        packed = [packed_of(entry) for entry in outcome.listed]
        read = outcome.bytes_read + sum(entry.size for entry in outcome.listed if entry.kind == "f")
        ended = outcome.ended
        for entry, done in outcome.members:
            kind, changed, digest, link = done.kind, done.changed, done.sha256, b""
            if kind == "f":
                if done.fresh is not None:
                    entry.facts = done.fresh
                file = ended.get(id(entry)) if ended else None
                if file is None:
                    read += entry.size
                else:
                    changed = file.changed() or id(file) in self._short
                    self._short.discard(id(file))
                    digest = file.digest.hash.digest() if file.digest is not None else b""
                if changed:
                    session.changed(entry)
            elif not kind:
                session.left_out(entry, done.failure)
                continue
            elif kind == "h" and entry.twin is not None:
                link = entry.twin.name
            packed.append(packed_of(entry, sha256=digest, kind=kind, record=link))
        session.packed(packed)
        name = packed[-1].name if packed else b""
        session.advance(read, outcome.open.file.entry.name if outcome.open is not None else name)
        if not self._filling:
            session.commit(lambda: self._state(outcome.open))

    # Checkpoints

    def _state(self, piece: Range | None) -> Json:
        state: Json = {} if self._packer.gzip is None else self._packer.gzip.state
        if piece is not None:
            entry = piece.file.entry
            state |= {
                "name": entry.name.hex(),
                "size": piece.file.size,
                "mtime_ns": entry.mtime_ns,
                "ino": entry.ino,
                "seen": piece.at + piece.length,
                "short": id(piece.file) in self._short,
                **self._rest(piece),
            }
        return state

    def _rest(self, piece: Range) -> Json:
        """Data bytes of the member still to come, and the padding after them."""
        segments = self._segments(piece.file)
        seen = piece.at + piece.length
        left = sum(min(length, max(0, at + length - seen)) for at, length in segments)
        return {"left": left, "pad": -sum(length for _, length in segments) % tarformat.BLOCK}

    def _resume(self, state: Json) -> Entry | None:
        """Complete the member an earlier attempt was at; its entry when it is still there unchanged."""
        if self._packer.gzip is not None:
            self._packer.gzip.restore(state)
        if "name" not in state:
            return None
        session = self._session
        name = bytes.fromhex(state["name"])
        entry = next((entry for entry in session.entries if entry.name == name), None)
        session.done += state["seen"]
        if entry is not None:
            file = self._reopened(entry, state)
            if file is not None:
                self._rehash(file, state["seen"])
                self._add_file(file, self._segments(file), b"", state["seen"])
                if entry.twin is not None and not entry.twin.packed.done():
                    entry.twin.packed.set_result(True)
                return entry
            if entry.twin is not None and not entry.twin.packed.done():
                entry.twin.packed.set_result(False)  # its other names get content of their own
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
        self._session.packed([member])

    def _reopened(self, entry: Entry, state: Json) -> OpenFile | None:
        """The file an earlier attempt was at, None when it is not what it was."""
        try:
            file = OpenFile(entry, hashed=self._options.hashed)
            seen = state["seen"]
            left = sum(min(length, max(0, at + length - seen)) for at, length in self._segments(file))
        except OSError:
            return None
        is_now = (entry.size, entry.mtime_ns, entry.ino, left)
        return file if is_now == (state["size"], state["mtime_ns"], state["ino"], state["left"]) else None

    def _rehash(self, file: OpenFile, seen: int) -> None:
        if file.digest is None:
            return
        for at in range(0, seen, MIB):
            self._session.check()
            file.digest.update(at, file.read(at, min(MIB, seen - at)))

    def _fill(self, left: int) -> None:
        self._filling = True  # no checkpoint in the middle of it
        while left:
            part = min(left, self._packer.block)
            self._add(bytes(part), part)
            left -= part


def _begin_copy(output: WriteBehind, piece: Range, head: bytes) -> Future[int]:
    if head:
        output.write([head])
    return output.copy(piece.file.fd, piece.at, piece.length)
