"""From the staging folder to where the user wants it: by rename only, never over anything the policy protects."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from engines import files
from engines.archive.containment import UMASK
from engines.errors import TaskdeckError
from engines.names import display
from engines.operations import Conflict
from engines.paths import unreadable

_ATTEMPTS = 10_000
_STRICT = 256  # folders held open at once
_UNDONE = 100_000  # moves that can be taken back


class Published(msgspec.Struct):
    """Where things went."""

    destination: Path
    renamed: int = 0
    skipped: int = 0
    replaced: int = 0
    roots: dict[str, str] = {}
    """New names of top-level entries that had to be renamed."""


class Merge:
    """Moves the entries of one folder into another, entry by entry, folders into folders.

    What was moved is moved back when something fails halfway, and what was replaced comes back too: a second name
    of it is kept meanwhile. At every moment each name holds the old file or the new one, never nothing.

    Args:
        old: Where the second names go: a path beside the staging folder, made when needed, removed at the end.
    """

    def __init__(self, conflict: Conflict, check: Callable[[], None], old: Path | None = None) -> None:
        self._conflict = conflict
        self._check = check
        self._old = old
        self._old_folder = -1
        self._undo: list[Callable[[], None]] = []
        self._open: list[int] = []
        self.renamed = self.skipped = self.replaced = 0
        self.roots: dict[str, str] = {}
        """New names of top-level entries that had to be renamed."""

    def run(self, source: int, target: int) -> None:
        """Move everything from one open folder to the other.

        Raises:
            TaskdeckError: `path.exists` under the policy `fail` (nothing was moved), `path.kind`, `disk.io`.
        """
        if self._conflict is Conflict.FAIL:
            self._foresee(source, target, "")
        try:
            self._folder(source, target, "")
        except BaseException:
            for step in reversed(self._undo):
                with suppress(OSError):
                    step()
            raise
        finally:
            for descriptor in self._open:
                os.close(descriptor)
            self._forget_old()

    def _forget_old(self) -> None:
        if self._old_folder >= 0:
            os.close(self._old_folder)
            self._old_folder = -1
        if self._old is not None and os.path.lexists(self._old):
            with suppress(OSError):
                files.remove(self._old)

    def _foresee(self, source: int, target: int, where: str) -> None:
        for entry in _entries(source):
            found = _kind(target, entry.name)
            if found is None:
                continue
            path = f"{where}{entry.name}"
            if not (entry.is_dir(follow_symlinks=False) and stat.S_ISDIR(found)):
                raise files.exists(path)
            with _Both(source, target, entry.name) as (a, b):
                self._foresee(a, b, f"{path}/")

    def _folder(self, source: int, target: int, where: str) -> None:
        for entry in _entries(source):
            self._check()
            name = entry.name
            path = f"{where}{name}"
            try:
                self._move(source, target, name, name)
            except FileExistsError:
                found = _kind(target, name)
                if found is not None and stat.S_ISDIR(found) and entry.is_dir(follow_symlinks=False):
                    with _Both(source, target, name) as (a, b):
                        self._folder(a, b, f"{path}/")
                        with suppress(OSError):
                            os.fsync(b)
                    continue
                self._settle(source, target, name, path, entry.is_dir(follow_symlinks=False), found)
            except OSError as error:
                raise unreadable(path, error) from None

    def _settle(self, source: int, target: int, name: str, path: str, folder: bool, found: int | None) -> None:
        """An entry whose name is taken by something it cannot be merged with."""
        match self._conflict:
            case Conflict.SKIP:
                self.skipped += 1
            case Conflict.FAIL:
                raise files.exists(path)
            case Conflict.OVERWRITE:
                if folder or (found is not None and stat.S_ISDIR(found)):
                    raise TaskdeckError(
                        "path.kind", f"cannot replace '{display(path)}'", "one is a folder, the other is not"
                    )
                try:
                    self._replace(source, target, name)
                except OSError as error:
                    raise unreadable(path, error) from None
                self.replaced += 1
            case Conflict.RENAME:
                self._numbered(source, target, name, path)

    def _replace(self, source: int, target: int, name: str) -> None:
        kept = self._keep_old(target, name)
        os.replace(name, name, src_dir_fd=source, dst_dir_fd=target)
        if not kept:
            return
        back, there = self._kept(source), self._kept(target)

        def restore() -> None:
            os.link(name, name, src_dir_fd=there, dst_dir_fd=back, follow_symlinks=False)
            os.replace(kept, name, src_dir_fd=self._old_folder, dst_dir_fd=there)

        self._undo.append(restore)

    def _keep_old(self, target: int, name: str) -> str:
        """Give what is about to be replaced a second name; "" where that is not possible."""
        if self._old is None or len(self._undo) >= _UNDONE:
            return ""
        kept = str(self.replaced)
        try:
            if self._old_folder < 0:
                self._old.mkdir(mode=0o700, exist_ok=True)
                self._old_folder = os.open(self._old, files.DIRECTORY_FLAGS)
            os.link(name, kept, src_dir_fd=target, dst_dir_fd=self._old_folder, follow_symlinks=False)
        except OSError:  # file systems without links
            return ""
        return kept

    def _numbered(self, source: int, target: int, name: str, path: str) -> None:
        for number in range(2, _ATTEMPTS):
            try:
                self._move(source, target, name, files.numbered(name, number))
            except FileExistsError:
                continue
            except OSError as error:
                raise unreadable(path, error) from None
            self.renamed += 1
            return
        raise TaskdeckError("path.exists", f"cannot name '{display(path)}'", "too many alternatives exist already")

    def _move(self, source: int, target: int, name: str, new: str) -> None:
        files.rename_exclusive(name, new, source_fd=source, target_fd=target)
        if len(self._undo) < _UNDONE:
            back, there = self._kept(source), self._kept(target)
            self._undo.append(lambda: files.rename_exclusive(new, name, source_fd=there, target_fd=back))

    def _kept(self, descriptor: int) -> int:
        """A descriptor that stays open until the merge is over, one for each folder."""
        identity = os.fstat(descriptor)
        for held in self._open[-8:]:
            known = os.fstat(held)
            if (known.st_dev, known.st_ino) == (identity.st_dev, identity.st_ino):
                return held
        if len(self._open) > 400:  # beyond that many folders undoing is given up, not descriptors
            self._undo.clear()
            for held in self._open:
                os.close(held)
            self._open.clear()
        self._open.append(os.dup(descriptor))
        return self._open[-1]


class _Both:
    """The same sub-folder on both sides, opened without following links."""

    def __init__(self, source: int, target: int, name: str) -> None:
        self._source, self._target, self._name = source, target, name
        self._opened: list[int] = []

    def __enter__(self) -> tuple[int, int]:
        try:
            for parent in (self._source, self._target):
                self._opened.append(os.open(self._name, files.DIRECTORY_FLAGS, dir_fd=parent))
        except OSError as error:
            self.__exit__()
            raise unreadable(self._name, error) from None
        return self._opened[0], self._opened[1]

    def __exit__(self, *_: object) -> None:
        for descriptor in self._opened:
            os.close(descriptor)
        self._opened.clear()


def _entries(folder: int) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _kind(folder: int, name: str) -> int | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None


def merge_into(
    source: Path, target: Path, conflict: Conflict, check: Callable[[], None], old: Path | None = None
) -> Published:
    """Move the content of a staging folder into an existing folder, entry by entry (`old`: see `Merge`)."""
    merge = Merge(conflict, check, old)
    try:
        with files.open_folder(source) as a, files.open_folder(target) as b:
            merge.run(a, b)
            with suppress(OSError):
                os.fsync(b)
    except OSError as error:
        raise unreadable(target, error) from None
    return Published(target, merge.renamed, merge.skipped, merge.replaced, merge.roots)


def become(
    source: Path, target: Path, conflict: Conflict, check: Callable[[], None], old: Path | None = None
) -> Published:
    """Make a staging folder the target itself, or merge it when a folder of that name exists (`old`: see `Merge`)."""
    made = _make_parents(target.parent)
    try:
        os.chmod(source, 0o777 & ~UMASK)
        try:
            files.rename_exclusive(source, target)
        except FileExistsError:
            return _occupied(source, target, conflict, check, old)
        files.sync_folder(target.parent)
        return Published(target)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise TaskdeckError(
                "disk.io",
                f"cannot unpack to '{display(target)}'",
                "a folder on its way lies on another disk",
                "make the destination folder first",
            ) from None
        raise unreadable(target, error) from None
    except BaseException:
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()
        raise


def _occupied(source: Path, target: Path, conflict: Conflict, check: Callable[[], None], old: Path | None) -> Published:
    if target.is_dir():
        return merge_into(source, target, conflict, check, old)
    if conflict is Conflict.SKIP:
        return Published(target, skipped=1)
    if conflict is Conflict.FAIL:
        raise files.exists(target)
    if conflict is Conflict.OVERWRITE:
        raise TaskdeckError("path.kind", f"cannot unpack to '{display(target)}'", "it is no folder")
    for number in range(2, _ATTEMPTS):
        other = target.with_name(files.numbered(target.name, number))
        with suppress(FileExistsError):
            files.rename_exclusive(source, other)
            return Published(other, renamed=1)
    raise TaskdeckError("path.exists", f"cannot name '{display(target)}'", "too many alternatives exist already")


def _make_parents(folder: Path) -> list[Path]:
    missing = []
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        try:
            path.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise unreadable(path, error) from None
    return missing[::-1]


class StrictFolders:
    """Gives folders modes that lock their owner out (0555), once they are where they belong.

    A folder without the owner's write bit cannot be moved or filled. They are held open meanwhile, so it does not
    matter under which name each ends up. More than `_STRICT` of them stay open for their owner.

    Args:
        modes: Paths below the staging folder, and modes.
    """

    def __init__(self, staging: Path, modes: dict[tuple[str, ...], int]) -> None:
        self._staging = staging
        self._modes = modes
        self._held: list[tuple[int, int]] = []

    def __enter__(self) -> StrictFolders:
        with files.open_folder(self._staging) as root:
            for parts, mode in list(self._modes.items())[:_STRICT]:
                with suppress(OSError):
                    self._held.append((_descend(root, parts), mode))
        return self

    def apply(self) -> None:
        """Set the modes."""
        for descriptor, mode in self._held:
            with suppress(OSError):
                os.fchmod(descriptor, mode)

    def __exit__(self, *_: object) -> None:
        for descriptor, _mode in self._held:
            os.close(descriptor)
        self._held.clear()


def _descend(root: int, parts: tuple[str, ...]) -> int:
    """A descriptor of a folder below another, no link followed."""
    current = os.dup(root)
    for part in parts:
        try:
            below = os.open(part, files.DIRECTORY_FLAGS, dir_fd=current)
        finally:
            os.close(current)
        current = below
    return current


def inode_below(folder: Path, parts: tuple[str, ...]) -> int:
    """The inode number of a folder below another, 0 when it is not there."""
    with suppress(OSError), files.open_folder(folder) as root:
        found = _descend(root, parts)
        try:
            return os.fstat(found).st_ino
        finally:
            os.close(found)
    return 0


def lock_published(bases: Iterable[Path], kept: Sequence[tuple[tuple[str, ...], int, int]]) -> None:
    """Give folders that an earlier attempt had moved already their strict modes.

    Args:
        bases: Where they may have gone; as they are, without their root, or below a root that was renamed.
        kept: Path below the staging folder, mode, and the inode number by which the folder is known again.
    """
    deepest_first = sorted(kept, key=lambda item: len(item[0]), reverse=True)
    for base in bases:
        with suppress(OSError), files.open_folder(base) as root:
            roots = [entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]
            for parts, mode, inode in deepest_first[:_STRICT]:
                ways = [parts, parts[1:], *((name, *parts[1:]) for name in roots)]
                any(_lock(root, way, mode, inode) for way in ways)


def _lock(root: int, parts: tuple[str, ...], mode: int, inode: int) -> bool:
    try:
        found = _descend(root, parts)
    except OSError:
        return False
    try:
        if inode == 0 or os.fstat(found).st_ino != inode:
            return False
        os.fchmod(found, mode)
    finally:
        os.close(found)
    return True
