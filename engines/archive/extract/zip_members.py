"""Members of a ZIP file on their way to the disk: small ones read many at a time, large ones streamed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress

import deflate
import msgspec
from isal import isal_zlib

from engines.archive.containment import Parts, file_mode, finish
from engines.archive.extract import zip_codec
from engines.archive.extract.run import Keeping, Run, member_errors
from engines.archive.extract.writing import write_file
from engines.archive.extract.zip_codec import label
from engines.archive.extract.zip_directory import Directory, Entry, damaged, needs_tool
from engines.archive.extract.zip_passwords import Keyring
from engines.archive.member import MemberKind
from engines.archive.volumes import Volumes
from engines.errors import TaskdeckError
from engines.filecopy import write_all

_SPAN = 3 << 20  # bytes read at once for a batch
_LONGEST_LINK = 4096
_LINKS_READ = 10_000  # for a list: about a tenth of a second


class Target(msgspec.Struct, gc=False):
    """A member and where it goes."""

    entry: Entry
    parts: Parts
    keyring: Keyring | None = None
    """What opens it, where it is encrypted."""


Batch = list[Target]


def small(run: Run, volumes: Volumes, batch: Batch, stop: threading.Event) -> None:
    """Members that fit into memory: one read for all when they lie together, one look at the limits for all."""
    first = batch[0].entry.offset
    end = batch[-1].entry.ceiling
    span = volumes.pread(end - first, first) if end - first <= _SPAN else b""
    if len(span) < end - first:  # a volume is missing: members behind the gap are there all the same
        span = b""
    run.budget.spend(sum(target.entry.size for target in batch))
    view = memoryview(span)
    written = 0
    for target in batch:
        if stop.is_set():
            break
        try:
            _one(run, volumes, target, span, view, first)
            written += 1
        except TaskdeckError as error:
            run.budget.written -= target.entry.size
            run.spoiled(target.entry.name, error)
    run.wrote(written)


def _one(run: Run, volumes: Volumes, target: Target, span: bytes, view: memoryview, first: int) -> None:
    """One small member; `view` shows `span`, the bytes of the file from `first` on (both empty: not read yet)."""
    entry = target.entry
    data: bytes | bytearray | memoryview
    start, end = zip_codec.data_range(volumes, entry, span, entry.offset - first if span else 0)
    if entry.flags & 1 or entry.method not in (0, 8):
        data = b"".join(_content(volumes, target, start, end))
    else:
        raw = view[start - first : end - first] if span else volumes.pread(entry.packed, start)
        if len(raw) != entry.packed:
            raise damaged(label(entry), "the archive is cut off")
        data = _decode(entry, raw)
    write_file(run.tree, target.parts, data, entry.mode, entry.mtime_ns)


def _decode(entry: Entry, raw: bytes | memoryview) -> bytes | bytearray | memoryview:
    """A whole member in one call; libdeflate writes no byte beyond the declared size."""
    data: bytes | bytearray | memoryview = raw
    if entry.method == 8:
        try:
            data = deflate.deflate_decompress(raw, entry.size) if entry.size else b""
        except deflate.DeflateError as error:
            raise damaged(label(entry), f"its data cannot be decompressed ({error})") from None
    if len(data) != entry.size:
        raise damaged(label(entry), f"it has {len(data):,} bytes and declares {entry.size:,}")
    if isal_zlib.crc32(data) != entry.crc:
        raise damaged(label(entry), "its checksum is wrong")
    return data


def _content(volumes: Volumes, target: Target, start: int, end: int) -> Iterator[bytes]:
    entry = target.entry
    blocks = (
        zip_codec.decrypt_aes(entry, volumes, start, end, target.keyring.keys(entry, volumes, start, end))
        if target.keyring
        else zip_codec.packed_blocks(volumes, start, end)
    )
    return zip_codec.unpack(entry, blocks)


def large(run: Run, volumes: Volumes, target: Target, stop: threading.Event) -> None:
    entry = target.entry
    try:
        start, end = zip_codec.data_range(volumes, entry)
        with member_errors(entry.name):
            descriptor = run.tree.create(target.parts, file_mode(entry.mode))
            whole = False
            try:
                for block in _content(volumes, target, start, end):
                    if stop.is_set():
                        return
                    run.budget.spend(len(block))
                    write_all(descriptor, block)
                finish(descriptor, entry.mode, entry.mtime_ns)
                whole = True
            finally:
                os.close(descriptor)
                if not whole:
                    run.tree.unlink(target.parts)
        run.wrote()
    except TaskdeckError as error:
        run.spoiled(entry.name, error)


def link(run: Run, volumes: Volumes, target: Target) -> None:
    """A symbolic link: its target is the member's content."""
    entry = target.entry
    with Keeping(run, entry.name):
        if run.tree.symlink(target.parts, _leads_to(volumes, target), entry.mtime_ns):
            run.links += 1
        else:
            run.leave_out(entry.name, "it is a link that leads outside")


def _leads_to(volumes: Volumes, target: Target) -> str:
    entry = target.entry
    if entry.size > _LONGEST_LINK:
        raise damaged(label(entry), "it is a link with a target of more than 4,096 bytes")
    start, end = zip_codec.data_range(volumes, entry)
    return os.fsdecode(b"".join(_content(volumes, target, start, end)))


def read_links(volumes: Volumes, directory: Directory) -> None:
    """Give links their targets for a list, where they can be read without a password or another program."""
    links = [entry for entry in directory.entries if entry.kind is MemberKind.SYMLINK]
    for entry in links[:_LINKS_READ]:
        if not entry.encrypted and not needs_tool(entry):
            with suppress(TaskdeckError):
                entry.link = _leads_to(volumes, Target(entry, ()))


def verify(run: Run, volumes: Volumes, batch: Batch, stop: threading.Event) -> None:
    for target in batch:
        if stop.is_set():
            return
        try:
            start, end = zip_codec.data_range(volumes, target.entry)
            for block in _content(volumes, target, start, end):
                if stop.is_set():
                    return
                run.budget.note(len(block))
            run.wrote()
        except TaskdeckError as error:
            run.spoiled(target.entry.name, error)
