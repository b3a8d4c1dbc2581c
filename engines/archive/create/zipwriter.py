"""Packs into zip: small files in batches and large ones in blocks, compressed by all cores, written in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from engines.archive.create import zipformat
from engines.archive.create.codecs import (
    DEFLATE_END,
    DICTIONARY,
    crc32,
    crc32_combine,
    deflate_block,
    incompressible,
    sample_places,
    stored_blocks,
)
from engines.archive.create.encryption import OVERHEAD, Encryptor
from engines.archive.create.reading import Done, OpenFile
from engines.archive.create.session import Session, packed_of
from engines.archive.create.source import Entry
from engines.archive.create.space import Buffer, Space, Spaces
from engines.archive.create.zipformat import DEFLATED, STORED, Member
from engines.archive.create.zipsmall import PROBED, SmallPacker, member_of
from engines.archive.levels import DEFLATE, MIB, ZIP_BLOCK
from engines.model import Json

_BATCH_BYTES: Final = 1 * MIB
_BATCH_FILES: Final = 256
_LANE_BYTES: Final = 2 * MIB
"""Batches above this are packed by threads: a few long calls do not get into each other's way."""
_LANE_ROOM: Final = _LANE_BYTES + _BATCH_FILES * 1024
"""Room for their headers too."""
_LARGE: Final = 1 * MIB


class _Batch(msgspec.Struct):
    """Small members ready to be written."""

    entries: Sequence[Entry]
    space: Space
    done: Sequence[Done]


class _Large(msgspec.Struct):
    """A large member on its way: what the ordered side knows of it."""

    file: OpenFile
    member: Member
    at: int
    """Position of its local header."""
    encryptor: Encryptor | None = None
    read: int = 0
    crc: int = 0
    packed: int = 0
    error: OSError | None = None


class ZipWriter:
    """Writes the members of a session, then the central directory."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._options = session.options
        self._output = session.output
        self._level = DEFLATE.get(session.options.level)
        self._large_from = self._level.whole_max if self._level else _LARGE
        self._current: _Large | None = None
        self._small = SmallPacker(session.options)
        self._spaces = Spaces(_LANE_ROOM)
        session.open_lanes(_LANE_ROOM, self._pack_in_lane)

    def run(self) -> None:
        """Pack everything."""
        session = self._session
        entries = session.entries
        if self._output.position == 0 and self._options.volume is not None:
            self._output.write([zipformat.SPLIT_SIGNATURE])
        start = weight = 0
        first = self._resume_large()
        for number, entry in enumerate(entries):
            if entry.kind == "f":
                if entry.size > self._large_from or entry is first:
                    self._submit(start, number, weight)
                    start, weight = number + 1, 0
                    if entry is not first:
                        self._pack_large(entry)
                    continue
                weight += entry.size
            if weight >= _BATCH_BYTES or number - start >= _BATCH_FILES - 1:
                self._submit(start, number + 1, weight)
                start, weight = number + 1, 0
        self._submit(start, len(entries), weight)
        session.drain()
        self._finish()

    def _submit(self, start: int, end: int, weight: int) -> None:
        if start < end:
            self._session.pipeline.submit(lambda: self._pack_batch(start, end, weight), self._write_batch, weight)

    def _pack_batch(self, start: int, end: int, weight: int) -> _Batch:
        """In a worker: read and pack small members."""
        session = self._session
        entries = session.entries[start:end]
        if session.lanes is not None and weight <= _LANE_BYTES:
            answer = session.lanes.run(start, end)
            if answer is not None:
                space, body = answer
                return _Batch(entries, space, msgspec.msgpack.decode(body, type=list[Done]))
        session.step()
        space = self._spaces.take()
        return _Batch(entries, space, self._small.pack(entries, space))

    def _pack_in_lane(self, start: int, end: int, space: Space) -> bytes:
        """In a helper process."""
        return msgspec.msgpack.encode(self._small.pack(self._session.entries[start:end], space))

    def _write_batch(self, batch: _Batch) -> None:
        """In order: write small members and remember where they are."""
        session, output = self._session, self._output
        split = self._options.volume is not None
        data = batch.space.data
        position = output.position
        start = original = 0
        members = []
        if not split:
            output.write([data], lambda: self._release(batch.space))
        for entry, done in zip(batch.entries, batch.done, strict=True):
            if not done.kind:
                session.left_out(entry, done.failure)
                continue
            if done.fresh is not None:
                entry.facts = done.fresh
            if split:
                output.keep_together(zipformat.head_length(data, start))
                position = output.position
                output.write([data[start : start + done.length]])
            record = zipformat.placed(done.record, *output.locate(position))
            position += done.length
            start += done.length
            members.append(packed_of(entry, sha256=done.sha256, record=record, kind=done.kind))
            if done.kind == "f":
                original += entry.size
                if done.changed:
                    session.changed(entry)
        session.packed(members)
        if split:
            self._release(batch.space)
        session.advance(original, batch.entries[-1].name)
        session.commit()

    def _release(self, space: Space) -> None:
        """Let a batch's memory be used again."""
        lanes = self._session.lanes
        if lanes is None or not lanes.release(space):
            self._spaces.give(space)

    def _pack_large(self, entry: Entry) -> None:
        """Queue the blocks of a large file."""
        try:
            file = OpenFile(entry, hashed=self._options.hashed)
            member = member_of(entry, self._options)
        except OSError as error:
            failure = error
            self._session.pipeline.then(lambda: self._session.left_out(entry, failure))
            return
        member.method = DEFLATED if self._level and not self._all_noise(file) else STORED
        member.encrypted = self._options.password is not None
        self._queue(_Large(file, member, at=-1), 0)

    def _queue(self, large: _Large, start: int) -> None:
        pipeline = self._session.pipeline
        if start == 0:
            pipeline.then(lambda: self._begin(large))
        for at in range(start, large.file.size, ZIP_BLOCK):
            length = min(ZIP_BLOCK, large.file.size - at)
            pipeline.submit(
                lambda at=at, length=length: self._pack_block(large, at, length),  # type: ignore[misc]
                lambda block: self._write_block(large, block),
                2 * length,
            )
        pipeline.then(lambda: self._end(large))

    def _all_noise(self, file: OpenFile) -> bool:
        """Whether samples over the whole file say that it does not shrink."""
        if not self._options.store_compressed:
            return False
        count = max(8, min(64, file.size >> 24))
        try:
            return all(incompressible(file.read(at, PROBED)) for at in sample_places(file.size, PROBED, count))
        except OSError:
            return False

    def _pack_block(self, large: _Large, at: int, length: int) -> tuple[Sequence[Buffer], int, int] | OSError:
        """In a worker: the packed bytes of a block, its CRC and its length; or why it could not be read."""
        file = large.file
        try:
            if large.member.method == STORED:
                raw: Buffer = file.read(at, length)
                before: Buffer = b""
            else:
                start = max(0, at - DICTIONARY)
                view = memoryview(file.read(start, length + at - start))
                raw, before = view[at - start :], view[: at - start]
        except OSError as error:
            if file.digest is not None:
                file.digest.skip()
            return error
        packed: Sequence[Buffer]
        if large.member.method == STORED:
            packed, crc = [raw], crc32(raw, 0)
        elif self._options.store_compressed and incompressible(raw):
            packed, crc = stored_blocks(raw), crc32(raw, 0)
        else:
            assert self._level is not None
            block, crc = deflate_block(raw, before, self._level.block, fresh=self._options.reproducible)
            packed = [block]
        if file.digest is not None:
            file.digest.update(at, memoryview(raw))
        return packed, crc, len(raw)

    def _begin(self, large: _Large) -> None:
        """In order: the local header, to be completed at the end."""
        output, member = self._output, large.member
        member.size = large.file.size
        head = member.local(zip64=_wide(large.file.size))
        output.keep_together(len(head))
        large.at = output.position
        output.write([head])
        if member.encrypted:
            assert self._options.password is not None
            large.encryptor = Encryptor(self._options.password)
            output.write([large.encryptor.head])
        self._current = large

    def _write_block(self, large: _Large, block: tuple[Sequence[Buffer], int, int] | OSError) -> None:
        if large.error is not None:
            return
        if isinstance(block, OSError):
            large.error = block
            return
        packed, crc, length = block
        if not length:
            return
        self._write_packed(large, packed)
        large.crc = crc32_combine(large.crc, crc, length) if large.read else crc
        large.read += length
        self._session.advance(length, large.member.name)
        self._session.commit(lambda: self._large_state(large))

    def _write_packed(self, large: _Large, packed: Sequence[Buffer]) -> None:
        if large.encryptor is not None:
            packed = large.encryptor.encrypt(packed)
        self._output.write(packed)
        large.packed += sum(map(len, packed))

    def _end(self, large: _Large) -> None:
        """In order: complete the header of a large member."""
        session, member, entry = self._session, large.member, large.file.entry
        self._current = None
        if large.error is not None:
            self._output.rewind(large.at)
            session.left_out(entry, large.error)
            return
        if member.method == DEFLATED:
            self._write_packed(large, [DEFLATE_END])
        if large.encryptor is not None:
            self._output.write([large.encryptor.tail()])
        promised = large.file.size
        member.crc, member.size = large.crc, large.read
        member.packed = large.packed + (OVERHEAD if large.encryptor is not None else 0)
        self._output.patch(large.at, member.local(zip64=_wide(promised)))
        if large.read != promised or large.file.changed():
            session.changed(entry)
        entry.size = large.read
        digest = large.file.digest
        session.packed(
            [
                packed_of(
                    entry,
                    sha256=digest.hash.digest() if digest is not None else b"",
                    record=member.central(*self._output.locate(large.at)),
                )
            ]
        )
        session.commit()

    def _large_state(self, large: _Large) -> Json:
        entry = large.file.entry
        return {
            "name": entry.name.hex(),
            "size": large.file.size,
            "mtime_ns": entry.mtime_ns,
            "ino": entry.ino,
            "at": large.at,
            "read": large.read,
            "crc": large.crc,
            "packed": large.packed,
            "method": large.member.method,
        }

    def _resume_large(self) -> Entry | None:
        """Go on with the member an earlier attempt was at; its entry, None when there is none or it changed."""
        session, state = self._session, self._session.state
        if not state:
            return None
        name = bytes.fromhex(state["name"])
        entry = next((entry for entry in session.entries if entry.name == name), None)
        same = entry is not None and (entry.size, entry.mtime_ns, entry.ino) == (
            state["size"],
            state["mtime_ns"],
            state["ino"],
        )
        large = None
        if entry is not None and same:
            try:
                large = self._reopen(entry, state)
            except OSError:
                large = None
        if large is None:  # packed from its beginning, or reported as gone
            self._output.rewind(state["at"])
            return None
        session.done += large.read
        self._current = large
        self._queue(large, large.read)
        return entry

    def _reopen(self, entry: Entry, state: Any) -> _Large | None:
        file = OpenFile(entry, hashed=self._options.hashed)
        if file.changed() or (entry.size, entry.mtime_ns) != (state["size"], state["mtime_ns"]):
            return None
        member = member_of(entry, self._options)
        member.method = state["method"]
        member.size = file.size
        large = _Large(file, member, state["at"], None, state["read"], state["crc"], state["packed"])
        if self._options.password is not None:
            member.encrypted = True
            large.encryptor = self._reopen_encryptor(large)
        if file.digest is not None:
            for at in range(0, large.read, ZIP_BLOCK):
                self._session.check()
                file.digest.update(at, file.read(at, min(ZIP_BLOCK, large.read - at)))
        return large

    def _reopen_encryptor(self, large: _Large) -> Encryptor:
        """The cipher at its place, the authentication code fed with what is written already."""
        assert self._options.password is not None
        start = large.at + len(large.member.local(zip64=_wide(large.file.size)))
        salt = self._output.read(start, 16)
        encryptor = Encryptor(self._options.password, salt, large.packed)
        data_at = start + len(encryptor.head)
        for at in range(0, large.packed, ZIP_BLOCK):
            self._session.check()
            encryptor.replay(self._output.read(data_at + at, min(ZIP_BLOCK, large.packed - at)))
        return encryptor

    def _finish(self) -> None:
        """The central directory and the end records."""
        output, members = self._output, self._session.members
        if members:
            output.keep_together(len(members[0].record))
        start = output.locate(output.position)
        length = 0
        last_count = 0
        for group in range(0, len(members), 512):
            self._session.check()
            records = [member.record for member in members[group : group + 512]]
            if self._options.volume is None:
                output.write(records)
            else:
                last_count = self._write_records(records, last_count)
            length += sum(map(len, records))
        if self._options.volume is None:
            last_count = len(members)
        tail = zipformat.end_records(
            len(members), last_count=last_count, length=length, start=start, end64=(0, 0), volumes=start[0] + 1
        )
        before = len(output.state())
        output.keep_together(sum(map(len, tail)))
        if len(output.state()) > before:
            last_count = 0
        if self._options.volume is not None and len(output.state()) == 1:
            output.patch(0, zipformat.SINGLE_SIGNATURE)
        output.write(
            zipformat.end_records(
                len(members),
                last_count=last_count,
                length=length,
                start=start,
                end64=output.locate(output.position),
                volumes=len(output.state()),
            )
        )

    def _write_records(self, records: Sequence[bytes], last_count: int) -> int:
        """Central records one by one, none across volumes; how many lie in the last volume."""
        for record in records:
            before = len(self._output.state())
            self._output.keep_together(len(record))
            last_count = last_count + 1 if len(self._output.state()) == before else 1
            self._output.write([record])
        return last_count


def _wide(size: int) -> bool:
    """Whether a member of this size may need zip64 sizes, room for growth by stored blocks included."""
    return size + (size >> 10) + 65536 >= 0xFFFFFFFF
