"""Lays members out as a tar stream: headers, small files, links. Runs in threads and in helper processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from engines.archive.create import tarformat
from engines.archive.create.reading import Done, failed, read_into, read_whole
from engines.archive.create.session import Options
from engines.archive.create.source import Entry
from engines.archive.create.space import Space
from engines.archive.create.tarformat import Frame
from engines.operations import Owner

_PADDING = bytes(tarformat.BLOCK)
_LISTED: Final = {kind: Done(kind) for kind in "fdl"}
"""What became of an entry of which there is no more to say than the listing does."""


class TarMembers:
    """Reads entries into tar members; thread-safe."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._frames: dict[tuple[int, int, int], Frame | None] = {}
        self._sum: Callable[[memoryview], bytes] | None = None
        if options.hashed:
            from hashlib import sha256

            self._sum = lambda data: sha256(data).digest()

    def lay_out(self, entries: Sequence[Entry], space: Space) -> list[Done]:
        """Append members to a space; what became of each, nothing when all are as they were listed."""
        done = []
        member = self.member
        for entry in entries:
            before = space.length
            try:
                done.append(member(entry, space))
            except OSError as error:
                space.length = before
                done.append(failed(error))
        return [] if all(one is _LISTED.get(one.kind) for one in done) else done

    def member(self, entry: Entry, space: Space) -> Done:
        """Append one member; a hard link waits until it is known whether what it links to was packed.

        Raises:
            OSError: It cannot be read.
        """
        kind = entry.kind
        if kind == "d":
            space.put(self.header(entry, tarformat.FOLDER))
            return _LISTED["d"]
        if kind == "l":
            space.put(self.header(entry, tarformat.SYMLINK, link=entry.read_link()))
            return _LISTED["l"]
        if entry.twin is None or not self._options.hardlinks:
            return self._file(entry, space)
        twin = entry.twin
        if twin.name != entry.name and twin.packed.result():
            space.put(self.header(entry, tarformat.HARDLINK, link=twin.name))
            return Done("h")
        done = self._file(entry, space)
        if twin.name == entry.name and not twin.packed.done():
            twin.packed.set_result(True)
        return done

    def _file(self, entry: Entry, space: Space) -> Done:
        size = entry.size
        head = self.header(entry, tarformat.REGULAR, size=size)
        start = space.length
        at = start + len(head)
        if at + size + tarformat.BLOCK > len(space.view):
            space.reserve(len(head) + size + tarformat.BLOCK)
        view = space.view
        end = at + size
        if not read_into(entry, view[at : end + 1]):
            return self._changed_file(entry, space)
        view[start:at] = head
        pad = -size % tarformat.BLOCK
        view[end : end + pad] = _PADDING[:pad]
        space.length = end + pad
        return _LISTED["f"] if self._sum is None else Done("f", sha256=self._sum(view[at:end]))

    def _changed_file(self, entry: Entry, space: Space) -> Done:
        """A file that is not what was listed."""
        content = read_whole(entry)
        data = content.data
        for part in (
            self.header(entry, tarformat.REGULAR, size=len(data)),
            data,
            tarformat.padding(len(data)),
        ):
            space.put(part)
        digest = b"" if self._sum is None else self._sum(memoryview(data))
        return Done("f", changed=content.changed, sha256=digest, fresh=entry.facts)

    def header(self, entry: Entry, kind: bytes, *, size: int = 0, link: bytes = b"") -> bytes:
        """The header of an entry."""
        options = self._options
        name = entry.name
        mtime = options.mtime(entry)
        if kind == tarformat.REGULAR and not options.xattrs and tarformat.plain(name, size, mtime):
            frame = self._frame(entry)
            if frame is not None:
                return frame.header(name, size, mtime)
        if kind == tarformat.FOLDER:
            name += b"/"
        return tarformat.header(name, kind, size=size, link=link, **self._common(entry))

    def sparse_header(self, entry: Entry, segments: Sequence[tuple[int, int]]) -> bytes:
        """The headers of a file with holes."""
        return tarformat.sparse_header(entry.name, segments, realsize=entry.size, **self._common(entry))

    def _frame(self, entry: Entry) -> Frame | None:
        key = (entry.mode, entry.uid, entry.gid)
        try:
            return self._frames[key]
        except KeyError:
            common = self._common(entry)
            frame = tarformat.frame(tarformat.REGULAR, common["mode"], common["owner"], common["names"])
            self._frames[key] = frame
            return frame

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
