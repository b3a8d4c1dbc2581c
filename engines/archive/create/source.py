"""The tree to pack, walked once through directory descriptors: what is listed is what is opened later.

Every folder is opened relative to its parent with O_NOFOLLOW and remembered by device and inode. A folder that
was closed to save descriptors is opened again the same way and must still be the same one, so that a component
swapped for a link meanwhile cannot lead out of the source.
"""

from __future__ import annotations

import errno
import os
import resource
import stat
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from operator import attrgetter
from pathlib import Path
from typing import Final, Protocol

import msgspec

from engines.files import DIRECTORY_FLAGS, numbered
from engines.names import display
from engines.operations import Links
from engines.paths import PathPolicy

_OPEN_FOLDERS = max(64, min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 5))
"""Folder descriptors kept open: a fifth of what the process may have. Opening one again takes 15 us."""
_FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
# Without O_NONBLOCK a file swapped for a FIFO would block the open for ever.

_KINDS: Final = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l"}
_CHARSET: Final = sys.getfilesystemencoding()
_CHARSET_ERRORS: Final = sys.getfilesystemencodeerrors()

_leaf: Final = attrgetter("name")
_numbers: Final[dict[int, int]] = {}
"""One object for each mode, device and small size on disk: they are the same in nearly all entries, 32 bytes each."""
_FEW_BLOCKS: Final = 2048

Identity = tuple[int, int]
"""Device and inode."""
Facts = tuple[int, int, int, int, int, int, int, int, int]
"""Mode, size, time (ns), owner, group, device, inode, links and bytes on disk."""


class _Handle:
    """A directory descriptor that closes when its last user lets go of it."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class Folder:
    """A folder of the tree. `prefix` is what its members' names begin with ("movies/a/")."""

    __slots__ = ("_handle", "followed", "identity", "leaf", "parent", "prefix", "tree")

    def __init__(
        self,
        tree: Tree,
        parent: Folder | None,
        leaf: str,
        prefix: bytes,
        handle: _Handle,
        *,
        followed: bool = False,
    ) -> None:
        info = os.fstat(handle.fd)
        self.tree = tree
        self._handle: _Handle | None = handle
        self.parent = parent
        self.leaf = leaf
        self.prefix = prefix
        self.followed = followed
        self.identity: Identity = (info.st_dev, info.st_ino)

    def handle(self) -> _Handle:
        """The open descriptor; keep the object as long as the number is used. Thread-safe.

        Raises:
            OSError: The folder is gone or another one stands in its place (ESTALE).
        """
        handle = self._handle
        return handle if handle is not None else self.tree.reopen(self)

    def drop(self) -> None:
        """Let go of the descriptor; the next `handle` opens it again. Roots stay open."""
        if self.parent is not None:
            self._handle = None

    def adopt(self, handle: _Handle) -> None:
        """Take a descriptor that was opened again."""
        self._handle = handle

    @property
    def open(self) -> _Handle | None:
        """The descriptor if it is open now."""
        return self._handle


class Entry:
    """One thing to pack, as it was when it was listed."""

    __slots__ = (
        "dev",
        "folder",
        "followed",
        "gid",
        "ino",
        "kind",
        "leaf",
        "mode",
        "mtime_ns",
        "name",
        "nlink",
        "size",
        "space",
        "twin",
        "uid",
    )

    def __init__(
        self, folder: Folder, leaf: str, info: os.stat_result, base: bytes | None = None, *, followed: bool = False
    ) -> None:
        self.folder = folder
        self.leaf = leaf
        self.name = folder.prefix + (leaf.encode(_CHARSET, _CHARSET_ERRORS) if base is None else base)
        """The member's name without a trailing slash; it ends with `base` for a second source of the same name."""
        self.followed = followed
        """Whether the file is what a symbolic link points to."""
        self.twin: Twin | None = None
        self.refresh(info)

    def refresh(self, info: os.stat_result) -> None:
        """Take what a later stat says."""
        same = _numbers.setdefault
        mode, blocks = info.st_mode, info.st_blocks
        self.mode = same(mode, mode)
        self.kind = _KINDS.get(mode & 0o170000, "")
        self.size = info.st_size
        self.mtime_ns = info.st_mtime_ns
        self.uid = info.st_uid
        self.gid = info.st_gid
        self.dev = same(info.st_dev, info.st_dev)
        self.ino = info.st_ino
        self.nlink = info.st_nlink
        space = blocks * 512
        self.space = same(space, space) if blocks < _FEW_BLOCKS else space

    @property
    def facts(self) -> Facts:
        """What the last stat said, for another process."""
        return (
            self.mode,
            self.size,
            self.mtime_ns,
            self.uid,
            self.gid,
            self.dev,
            self.ino,
            self.nlink,
            self.space,
        )

    @facts.setter
    def facts(self, facts: Facts) -> None:
        self.mode, self.size, self.mtime_ns, self.uid, self.gid, self.dev, self.ino, self.nlink, self.space = facts

    @property
    def shown(self) -> str:
        """The member's name for people."""
        return display(self.name)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.kind == "f"

    @property
    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self.kind == "d"

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link, packed as one."""
        return self.kind == "l"

    def same(self, info: os.stat_result) -> bool:
        """Whether a stat shows the file unchanged since it was listed."""
        return info.st_size == self.size and info.st_mtime_ns == self.mtime_ns and info.st_ino == self.ino

    def open_file(self, *, judged: bool = True) -> int:
        """Open a regular file for reading; `judged` False when the caller looks at its kind itself.

        Raises:
            OSError: It is gone, unreadable, or no regular file any more (ESTALE).
        """
        if judged or self.followed:
            return self.folder.tree.open_judged(self)
        return os.open(self.leaf, _FILE_FLAGS, dir_fd=self.folder.handle().fd)

    def read_link(self) -> bytes:
        """Where a symbolic link points.

        Raises:
            OSError: It is gone or no link any more.
        """
        return os.fsencode(os.readlink(self.leaf, dir_fd=self.folder.handle().fd))


class Twin:
    """Hard links to one file: the first one is packed, the others point to it unless it could not be."""

    __slots__ = ("name", "packed")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.packed: Future[bool] = Future()


class Selection(Protocol):
    """Decides what of a tree is packed (see `engines.archive.create.select`)."""

    @property
    def takes_all(self) -> bool:
        """Whether everything is packed, so that `wants` need not be asked."""

    @property
    def drops_empty(self) -> bool:
        """Whether folders without a selected file are left out."""

    def wants(self, path: str, info: os.stat_result) -> bool:
        """Whether something at `path` (relative to its source's parent) is packed; else a folder is not entered."""

    def enter(self, path: str, fd: int) -> None:
        """Called for each folder before its content is judged."""


class _Level(msgspec.Struct):
    """A folder being walked: what is left of it, and itself while it is not known to hold anything wanted."""

    folder: Folder
    rest: Iterator[Entry]
    pending: Entry | None


class Tree:
    """Walks sources and opens what it listed.

    Args:
        policy: Where links may lead when they are followed.
        links: What to do with symbolic links.
        selection: What to leave out.
        excluded: For a folder, what tells the names in it that are never packed (the archive itself, its temporary
            parts); None when there are none.
        check: Called often; may raise.
        warn: Told what was left out, in one display-safe sentence.
    """

    def __init__(
        self,
        *,
        policy: PathPolicy,
        links: Links,
        selection: Selection,
        excluded: Callable[[Identity], Callable[[str], bool] | None],
        check: Callable[[], None],
        warn: Callable[[str], None],
    ) -> None:
        self._policy = policy
        self._links = links
        self._selection = selection
        self._takes_all = selection.takes_all
        self._excluded = excluded
        self._check = check
        self._warn = warn
        self.reason = ""
        """Why something was left out, if anything was."""
        self._lock = threading.Lock()
        self._recent: OrderedDict[int, Folder] = OrderedDict()

    def walk(self, sources: Iterable[Path], add: Callable[[Entry], None]) -> Iterator[None]:
        """List everything below the sources, about a folder at each step.

        Raises:
            OSError: A source itself cannot be read.
        """
        taken: set[bytes] = set()
        for source in sources:
            parent = self._root(source.parent)
            name = source.name
            if not name:  # the root of the file system: its content, without a name of its own
                yield from self._walk_folder(parent, None, add)
                continue
            info = os.stat(name, dir_fd=parent.handle().fd, follow_symlinks=False)
            if self._links is Links.FOLLOW and stat.S_ISLNK(info.st_mode):
                os.stat(source)  # what was asked for by name is not just left out
            base = self._unused(os.fsencode(name), taken)
            entry = self._entry(parent, name, info, base if os.fsencode(name) != base else None)
            if entry is None:
                continue
            if entry.is_dir:
                yield from self._walk_folder(self._child(parent, entry), entry, add)
            else:
                add(entry)
                yield

    def open_judged(self, entry: Entry) -> int:
        """See `Entry.open_file`."""
        handle = entry.folder.handle()
        fd = os.open(entry.leaf, _FILE_FLAGS ^ (os.O_NOFOLLOW if entry.followed else 0), dir_fd=handle.fd)
        try:
            if entry.followed:
                self._inside(fd)
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.ESTALE, "it is no regular file any more")
        except OSError:
            os.close(fd)
            raise
        return fd

    def reopen(self, folder: Folder) -> _Handle:
        """The descriptor of a folder that was closed; it must be the very same folder."""
        with self._lock:
            chain = [folder]
            while chain[-1].open is None:
                parent = chain[-1].parent
                assert parent is not None  # roots are never dropped
                chain.append(parent)
            handle = chain.pop().open
            assert handle is not None
            while chain:
                below = chain.pop()
                flags = DIRECTORY_FLAGS ^ (os.O_NOFOLLOW if below.followed else 0)
                handle = _Handle(os.open(below.leaf, flags, dir_fd=handle.fd))
                info = os.fstat(handle.fd)
                if (info.st_dev, info.st_ino) != below.identity:
                    raise OSError(errno.ESTALE, "another folder stands in its place")
            folder.adopt(handle)
            self._remember(folder)
            return handle

    def _remember(self, folder: Folder) -> None:
        self._recent[id(folder)] = folder
        while len(self._recent) > _OPEN_FOLDERS:
            self._recent.popitem(last=False)[1].drop()

    def _unused(self, name: bytes, taken: set[bytes]) -> bytes:
        """A top-level name that no other source has."""
        number = 1
        unused = name
        while unused in taken:
            number += 1
            unused = os.fsencode(numbered(os.fsdecode(name), number))
        if unused != name:
            self._warn(f"a second source named '{display(name)}' is packed as '{display(unused)}'")
        taken.add(unused)
        return unused

    def _root(self, path: Path) -> Folder:
        handle = _Handle(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        where = os.readlink(f"/proc/self/fd/{handle.fd}")
        # A root itself is reached through its parent, which lies outside.
        if not self._policy.allows(where) and where not in {os.path.dirname(root) for root in self._policy.roots}:
            raise PermissionError(errno.EACCES, "a link leads outside the allowed folders")
        return Folder(self, None, "", b"", handle)

    def _inside(self, fd: int) -> None:
        """Refuse a descriptor that a link led outside the allowed roots."""
        if not self._policy.allows(os.readlink(f"/proc/self/fd/{fd}")):
            raise PermissionError(errno.EACCES, "the link leads outside the allowed folders")

    def _content(self, folder: Folder, handle: _Handle) -> list[Entry]:
        """What of a folder is packed, sorted by name; all of it at once, while its descriptor is open."""
        with os.scandir(handle.fd) as listed:
            items = sorted(listed, key=_leaf)
        found = []
        at_once = self._takes_all and self._excluded(folder.identity) is None
        for number, item in enumerate(items, 1):
            if not number % 1024:
                self._check()
            leaf = item.name
            try:
                info = item.stat(follow_symlinks=False)
            except OSError as error:
                self._left_out(folder, leaf, error.strerror or str(error))
                continue
            if at_once and info.st_mode & 0o170000 == stat.S_IFREG:
                found.append(Entry(folder, leaf, info))  # nearly always: without a call for each question
                continue
            entry = self._entry(folder, leaf, info)
            if entry is not None:
                found.append(entry)
        return found

    def _entry(self, folder: Folder, leaf: str, info: os.stat_result, base: bytes | None = None) -> Entry | None:
        """The entry for something found, None when it is left out."""
        followed = False
        if stat.S_ISLNK(info.st_mode) and self._links is not Links.KEEP:
            if self._links is Links.SKIP:
                return None
            try:
                info = os.stat(leaf, dir_fd=folder.handle().fd)
                followed = True
            except OSError as error:
                self._left_out(folder, leaf, f"the link cannot be followed: {error.strerror}")
                return None
        kind = stat.S_IFMT(info.st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            self._left_out(folder, leaf, f"it is a {_SPECIAL.get(kind, 'special file')}")
            return None
        excluded = self._excluded(folder.identity)
        if excluded is not None and excluded(leaf):
            self._left_out(folder, leaf, "it is the archive being written")
            return None
        if not self._takes_all and not self._selection.wants(os.fsdecode(folder.prefix) + leaf, info):
            return None
        return Entry(folder, leaf, info, base, followed=followed)

    def _left_out(self, folder: Folder, leaf: str, why: str) -> None:
        self.reason = why
        self._warn(f"'{display(os.fsdecode(folder.prefix) + leaf)}' is left out: {why}")

    def _child(self, parent: Folder, entry: Entry) -> Folder:
        flags = DIRECTORY_FLAGS ^ (os.O_NOFOLLOW if entry.followed else 0)
        handle = _Handle(os.open(entry.leaf, flags, dir_fd=parent.handle().fd))
        if entry.followed:
            self._inside(handle.fd)
        folder = Folder(self, parent, entry.leaf, entry.name + b"/", handle, followed=entry.followed)
        with self._lock:
            self._remember(folder)
        return folder

    def _walk_folder(self, folder: Folder, entry: Entry | None, add: Callable[[Entry], None]) -> Iterator[None]:
        """List a folder and everything below, folders before their content, names sorted."""
        drops_empty = self._selection.drops_empty
        stack = [self._level(folder, entry, add)]
        while stack:
            level = stack[-1]
            for below in level.rest:
                if below.kind == "d":
                    break
                if drops_empty:
                    self._settle(stack, add)
                add(below)
            else:
                stack.pop()
                continue
            yield
            try:
                child = self._child(level.folder, below)
                if below.followed and any(child.identity == above.folder.identity for above in stack):
                    self._left_out(level.folder, below.leaf, "the link leads back to a folder above it")
                    continue
                stack.append(self._level(child, below, add))
            except OSError as error:
                add(below)
                self._warn(f"the content of '{below.shown}' is left out: {error.strerror}")

    def _settle(self, stack: list[_Level], add: Callable[[Entry], None]) -> None:
        """List the folders that are now known to hold something wanted."""
        for above in stack:
            if above.pending is not None:
                add(above.pending)
                above.pending = None

    def _level(self, folder: Folder, entry: Entry | None, add: Callable[[Entry], None]) -> _Level:
        self._check()
        handle = folder.handle()
        path = os.fsdecode(folder.prefix)
        self._selection.enter(path, handle.fd)
        content = self._content(folder, handle)
        pending = None
        if entry is not None:
            if self._selection.drops_empty:
                pending = entry
            else:
                add(entry)
        return _Level(folder, iter(content), pending)


_SPECIAL: Final = {
    stat.S_IFSOCK: "socket",
    stat.S_IFIFO: "named pipe",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}
