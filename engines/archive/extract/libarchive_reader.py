"""libarchive as a decoder, in this process: it reads `Volumes`, we write.

The mtree format stays off (it reads files of this machine that the archive names), and so do filters that start
other programs.
"""

from __future__ import annotations

import ctypes
import stat
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol, cast

from engines.archive.backends import libarchive_ffi
from engines.archive.encodings import Decoder
from engines.archive.member import SECOND, Member, MemberKind
from engines.archive.passwords import needed, wrong
from engines.archive.volumes import Window
from engines.errors import TaskdeckError
from engines.names import display

_FORMATS: Final = ("ar", "cab", "cpio", "iso9660", "lha", "rar", "rar5", "tar", "warc", "xar", "zip", "7zip")
_FILTERS: Final = ("none", "gzip", "compress", "lzma", "xz", "lzip", "zstd", "lz4", "rpm")
"""bzip2 and lzop would start programs in builds without those libraries: bzip2 is decompressed before it comes here,
lzop only when the file needs it."""
_BLOCK: Final = 1 << 18
_EOF: Final = 1
_MADE_UP: Final = frozenset({0o666, 0o777})
_KINDS: Final = {
    stat.S_IFREG: MemberKind.FILE,
    stat.S_IFDIR: MemberKind.FOLDER,
    stat.S_IFLNK: MemberKind.SYMLINK,
    0: MemberKind.FILE,
}


class Source(Protocol):
    """Where the packed bytes come from."""

    def read(self, count: int = -1, /) -> bytes:
        """The next bytes, at most about `count`; b"" at the end."""


class Archive:
    """An open libarchive reader.

    Args:
        source: A `Window` is read by position where that saves work, anything else from front to back.
        what: How errors begin.
    """

    def __init__(
        self,
        source: Source,
        *,
        what: str = "cannot unpack the archive",
        raw: bool = False,
        lzop: bool = False,
        passwords: tuple[str, ...] = (),
    ) -> None:
        self._ffi = ffi = libarchive_ffi()
        self._source = source
        self._what = what
        self._failure: BaseException | None = None
        self._nlink = ffi.libarchive.archive_entry_nlink
        self._nlink.argtypes, self._nlink.restype = [ctypes.c_void_p], ctypes.c_uint
        self._pointer = ffi.read_new()
        self._entry = ffi.entry_new()
        self._buffer = ctypes.create_string_buffer(_BLOCK)
        self._keep: list[object] = []
        self._block = b""
        try:
            for name in (*_FILTERS, "lzop") if lzop else _FILTERS:
                self._support(f"filter_{name}")
            for name in ("raw",) if raw else _FORMATS:
                self._support(f"format_{name}")
            self._latin = not raw and self._names_of_lha_as_bytes()
            for password in passwords:
                ffi.read_add_passphrase(self._pointer, password.encode())
            self._open()
        except BaseException:
            self.close()
            raise

    def _support(self, name: str) -> None:
        """Switch a format or filter on; one that this build lacks is left out."""
        kind, _, what = name.partition("_")
        get = self._ffi.get_read_filter_function if kind == "filter" else self._ffi.get_read_format_function
        try:
            get(what)(self._pointer)
        except (ValueError, AttributeError, self._ffi.ArchiveError):
            return

    def _names_of_lha_as_bytes(self) -> bool:
        """Read names of LHA archives as Latin-1, which loses no byte.

        Most of them are Japanese, and libarchive gives up on names that the locale cannot express.
        """
        set_option = self._ffi.libarchive.archive_read_set_format_option
        set_option.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p]
        return bool(set_option(self._pointer, b"lha", b"hdrcharset", b"ISO-8859-1") == 0)

    def _open(self) -> None:
        ffi = self._ffi

        def read(_archive: object, _data: object, where: Any) -> int:
            try:
                self._block = self._source.read(_BLOCK)
            except BaseException as error:  # must not pass through C
                self._failure = error
                return -1
            where[0] = ctypes.cast(ctypes.c_char_p(self._block), ctypes.c_void_p)
            return len(self._block)

        self._keep = [ffi.READ_CALLBACK(read)]
        if isinstance(self._source, Window):
            window = self._source

            def seek(_archive: object, _data: object, offset: int, whence: int) -> int:
                try:
                    return window.seek(offset, whence)
                except BaseException as error:  # must not pass through C
                    self._failure = error
                    return -30

            self._keep.append(ffi.SEEK_CALLBACK(seek))
            ffi.read_set_seek_callback(self._pointer, self._keep[1])
        self._call(ffi.read_open, self._pointer, None, ffi.NO_OPEN_CB, self._keep[0], ffi.NO_CLOSE_CB)

    def close(self) -> None:
        """Free what C holds."""
        if self._pointer:
            self._ffi.read_free(self._pointer)
            self._ffi.entry_free(self._entry)
            self._pointer = None

    def _call(self, function: Callable[..., int], *arguments: object) -> int:
        try:
            code = function(*arguments)
        except self._ffi.ArchiveError as error:
            if self._failure is not None:
                raise self._failure from None
            raise _translated(self._what, str(error.msg or ""), ended=not self._block) from None
        if self._failure is not None:
            raise self._failure
        return code

    def next(self) -> bool:
        """Go to the next member; False at the end."""
        return self._call(self._ffi.read_next_header2, self._pointer, self._entry) != _EOF

    def data(self) -> Iterator[bytes]:
        """The member's content."""
        while count := self._call(self._ffi.read_data, self._pointer, self._buffer, _BLOCK):
            yield self._buffer.raw[:count] if count < _BLOCK else self._buffer.raw

    @property
    def names(self) -> int:
        """How many names the current member's file has, as the archive says."""
        return int(self._nlink(self._entry))

    @property
    def raw_name(self) -> bytes:
        """The current member's name as the archive has it; b"" where that is Unicode."""
        return self._raw(self._ffi.entry_pathname_w, self._ffi.entry_pathname) or b""

    def member(self, decoder: Decoder) -> Member:
        """The current member."""
        ffi, entry = self._ffi, self._entry
        mode = ffi.entry_mode(entry)
        hard = self._text(ffi.entry_hardlink_w, ffi.entry_hardlink, decoder)
        link = hard or self._text(ffi.entry_symlink_w, ffi.entry_symlink, decoder)
        kind = MemberKind.HARDLINK if hard else _KINDS.get(stat.S_IFMT(mode), MemberKind.SPECIAL)
        known = bool(ffi.entry_mtime_is_set(entry))
        sized = kind is not MemberKind.FOLDER and ffi.entry_size_is_set(entry)  # iso: the size of a directory's records
        return Member(
            _bare(self._text(ffi.entry_pathname_w, ffi.entry_pathname, decoder)),
            kind,
            max(0, ffi.entry_size(entry)) if sized else 0,
            None,
            ffi.entry_mtime(entry) * SECOND + ffi.entry_mtime_nsec(entry) if known else None,
            None if self._assumed(mode) else mode & 0o7777 or None,
            link,
        )

    def _assumed(self, mode: int) -> bool:
        """Whether the library made the mode up: on a disc without Rock Ridge, in a cabinet, in a DOS archive."""
        name = self._format
        if name.startswith(b"iso9660"):
            return b"rockridge" not in name
        return name.startswith((b"cab", b"lha")) and stat.S_IMODE(mode) in _MADE_UP

    @property
    def _format(self) -> bytes:
        return (self._ffi.format_name(self._pointer) or b"").lower()

    def _raw(self, wide: Callable[..., Any], narrow: Callable[..., Any]) -> bytes | None:
        """A text of the current member as bytes; None where there is none or it is no bytes.

        The folders of a name in an LHA archive come apart by backslashes, as DOS wrote them: libarchive takes each
        for a separator, the second byte of a Japanese letter too, and that byte comes back with the others.
        """
        if self._latin and self._format.startswith(b"lha"):
            text = wide(self._entry)
            return None if text is None else text.encode("latin-1", "replace").replace(b"/", b"\\")
        return cast("bytes | None", narrow(self._entry))

    def _text(self, wide: Callable[..., Any], narrow: Callable[..., Any], decoder: Decoder) -> str:
        raw = self._raw(wide, narrow)
        if raw is None:
            return wide(self._entry) or ""
        text = decoder.decode(raw)
        return text.replace("\\", "/") if self._latin and self._format.startswith(b"lha") else text


def _bare(name: str) -> str:
    """Without the "./" that rpm and cpio put first."""
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name


def _translated(what: str, message: str, *, ended: bool) -> TaskdeckError:
    """libarchive's complaint in our words.

    Args:
        ended: Whether it asked for more than there is; some of its readers then give no reason.
    """
    lowered = message.lower()
    detail = display(message, limit=300)
    if "passphrase" in lowered or "encrypted" in lowered or "password" in lowered:
        if "incorrect" in lowered:
            return wrong(what)
        if "support" in lowered:
            return TaskdeckError("unsupported", what, "its encryption is not supported", detail=detail)
        return needed(what)
    if "unsupported" in lowered or "not supported" in lowered or "unknown codec" in lowered:
        return TaskdeckError("unsupported", what, f"a part of the format is not supported ({detail})")
    if "unrecognized archive format" in lowered:
        return TaskdeckError("archive.not_archive", what, "it is not an archive of a known format")
    cut = "truncated" in lowered or "end of file" in lowered or "too small" in lowered or (ended and not message)
    why = "its data is damaged" + (f" ({detail})" if detail else "")
    why = "it is cut off, probably while it was copied" if cut else why
    return TaskdeckError(
        "archive.damaged", what, why, "get it again, or use --keep-broken to save what is sound", detail=detail
    )


def raw_stream(window: Window, codec: str) -> Iterator[bytes]:
    """One compressed file of a codec that only libarchive knows (lz4, lzip, lzop, compress).

    Raises:
        TaskdeckError: `archive.damaged`, `tool.missing`.
    """
    archive = Archive(window, raw=True, lzop=codec == "lzo")
    try:
        if archive.next():
            yield from archive.data()
    finally:
        archive.close()
