"""Archives: packing, unpacking, looking inside."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from engines.model import Kind
from engines.operations.schema import Accepts, Conflict, Operation, OperationSpec, arg
from engines.settings import Settings


class ArchiveFormat(StrEnum):
    """Formats that can be made."""

    ZIP = "zip"
    TAR = "tar"
    TAR_GZ = "tar.gz"
    TAR_BZ2 = "tar.bz2"
    TAR_XZ = "tar.xz"
    TAR_ZST = "tar.zst"
    SEVENZIP = "7z"


class Links(StrEnum):
    """What to do with symbolic links while packing."""

    KEEP = "keep"
    """Store them as links."""
    FOLLOW = "follow"
    """Store what they point to."""
    SKIP = "skip"
    """Leave them out."""


Level = Annotated[int, Meta(ge=0, le=9)]


class Owner(StrEnum):
    """What of a file's owner goes into an archive."""

    AUTO = "auto"
    """Names and numbers in tar, nothing in zip and 7z."""
    KEEP = "keep"
    """Numbers in zip, names and numbers in tar."""
    NUMERIC = "numeric"
    """Numbers only."""
    NONE = "none"
    """Nothing: root in tar."""


# What of the sources is packed, for the packing and for its estimate.
_Exclude = Annotated[tuple[str, ...], arg("Leave out what matches.", accepts=Accepts.GLOB)]
_Include = Annotated[tuple[str, ...], arg("Pack only files that match.", accepts=Accepts.GLOB)]
_GitIgnore = Annotated[bool, arg("Leave out what .gitignore files name, and .git itself.")]
_Newer = Annotated[
    str | None, arg("Only files changed since: 2025-01-31, 2025-01-31T12:00 or an age such as 7d.", advanced=True)
]
_Older = Annotated[str | None, arg("Only files not changed since: a date or an age.", advanced=True)]
_MinSize = Annotated[str | None, arg("Only files of at least this size.", accepts=Accepts.SIZE, advanced=True)]
_MaxSize = Annotated[str | None, arg("Only files of at most this size.", accepts=Accepts.SIZE, advanced=True)]
_Links = Annotated[Links, arg("Symbolic links.", advanced=True)]


class Zip(Operation, frozen=True, kw_only=True, tag="zip"):
    """Pack files and folders into an archive."""

    path: Annotated[str, arg("File or folder to pack.", positional=True, accepts=Accepts.SOURCE, as_link=True)]
    format: Annotated[ArchiveFormat | None, arg("Archive format.", positional=True)] = None
    level: Annotated[Level | None, arg("0 stores, 9 packs hardest.", positional=True)] = None
    add: Annotated[tuple[str, ...], arg("Another file or folder to pack.", accepts=Accepts.SOURCE, as_link=True)] = ()
    output: Annotated[
        str | None,
        arg("Archive to write, with --each a folder (default: beside the source).", accepts=Accepts.TARGET),
    ] = None
    on_conflict: Annotated[Conflict, arg("When the archive exists.")] = Conflict.RENAME
    each: Annotated[bool, arg("One archive for each path given, or for each item of the only folder given.")] = False
    password: Annotated[
        str | None,
        arg("Encrypt with AES-256.", accepts=Accepts.SECRET),
    ] = None
    password_file: Annotated[
        str | None, arg("Encrypt with the first line of this file.", accepts=Accepts.SOURCE, advanced=True)
    ] = None
    encrypt_names: Annotated[bool, arg("Encrypt the names too (7z).")] = False
    volume: Annotated[str | None, arg("Split into parts of this size, such as 700MB.", accepts=Accepts.SIZE)] = None
    exclude: _Exclude = ()
    include: _Include = ()
    gitignore: _GitIgnore = False
    newer: _Newer = None
    older: _Older = None
    min_size: _MinSize = None
    max_size: _MaxSize = None
    test: Annotated[bool, arg("Read the archive back and verify every checksum.")] = False
    manifest: Annotated[bool, arg("Write SHA-256 sums of the packed files beside the archive.")] = False
    delete_source: Annotated[
        bool, arg("Remove what was packed, after the archive was tested and its manifest written.")
    ] = False
    reproducible: Annotated[
        bool, arg("The same files give the same bytes: fixed times, modes and owners.", advanced=True)
    ] = False
    single_member: Annotated[
        bool, arg("tar.gz as one gzip member, for tools that read only the first.", advanced=True)
    ] = False
    store_compressed: Annotated[bool, arg("Store what does not shrink instead of packing it.", advanced=True)] = True
    links: _Links = Links.KEEP
    hardlinks: Annotated[bool, arg("Keep hard links (tar); else each is a copy.", advanced=True)] = True
    sparse: Annotated[bool, arg("Keep holes of sparse files (tar).", advanced=True)] = True
    xattrs: Annotated[bool, arg("Keep extended attributes (tar).", advanced=True)] = False
    owner: Annotated[Owner, arg("Owners of files.", advanced=True)] = Owner.AUTO


class Convert(Operation, frozen=True, kw_only=True, tag="convert"):
    """Turn an archive into one of another format."""

    path: Annotated[str, arg("Archive to convert.", positional=True, accepts=Accepts.SOURCE)]
    format: Annotated[ArchiveFormat | None, arg("Format of the new archive.", positional=True)] = None
    level: Annotated[Level | None, arg("0 stores, 9 packs hardest.", positional=True)] = None
    output: Annotated[str | None, arg("Archive to write (default: beside the old one).", accepts=Accepts.TARGET)] = None
    on_conflict: Annotated[Conflict, arg("When the new archive exists.")] = Conflict.RENAME
    password: Annotated[str | None, arg("Password of the old archive, and of the new one.", accepts=Accepts.SECRET)] = (
        None
    )
    test: Annotated[bool, arg("Read the new archive back and verify every checksum.")] = False
    delete_source: Annotated[
        bool, arg("Remove the old archive after the new one was tested and its manifest written.")
    ] = False


class Estimate(Operation, frozen=True, kw_only=True, tag="estimate"):
    """Foretell size, time and space of an archive from samples."""

    path: Annotated[str, arg("File or folder to pack.", positional=True, accepts=Accepts.SOURCE, as_link=True)]
    format: Annotated[ArchiveFormat | None, arg("Archive format.", positional=True)] = None
    level: Annotated[Level | None, arg("0 stores, 9 packs hardest.", positional=True)] = None
    add: Annotated[tuple[str, ...], arg("Another file or folder to pack.", accepts=Accepts.SOURCE, as_link=True)] = ()
    exclude: _Exclude = ()
    include: _Include = ()
    gitignore: _GitIgnore = False
    newer: _Newer = None
    older: _Older = None
    min_size: _MinSize = None
    max_size: _MaxSize = None
    links: _Links = Links.KEEP


class Unzip(Operation, frozen=True, kw_only=True, tag="unzip"):
    """Unpack an archive."""

    path: Annotated[str, arg("Archive to unpack.", positional=True, accepts=Accepts.SOURCE)]
    destination: Annotated[
        str | None,
        arg(
            "Folder to unpack into (default: beside the archive, in a new folder unless it holds a single one).",
            positional=True,
            accepts=Accepts.FOLDER,
        ),
    ] = None
    password: Annotated[
        str | None,
        arg(
            "Password. Better leave it out: it is asked for when it is needed.",
            accepts=Accepts.SECRET,
            positional=True,
        ),
    ] = None
    on_conflict: Annotated[Conflict, arg("When a file exists.")] = Conflict.RENAME
    files: Annotated[tuple[str, ...], arg("Unpack only members that match.", accepts=Accepts.GLOB)] = ()
    password_file: Annotated[
        str | None, arg("File (0600) of passwords to try, one a line.", accepts=Accepts.SOURCE)
    ] = None
    encoding: Annotated[
        str | None, arg("Code page of member names: cp437, cp932, cp936, cp949, cp1251, cp866 (default: detected).")
    ] = None
    nested: Annotated[bool, arg("Unpack archives inside the archive too.")] = False
    strip_root: Annotated[bool, arg("Leave out the single folder everything lies in.")] = False
    keep_broken: Annotated[bool, arg("Of a damaged archive keep what is sound, in a folder marked (incomplete).")] = (
        False
    )


class ZipInfo(Operation, frozen=True, kw_only=True, tag="zipinfo"):
    """Show what an archive holds."""

    path: Annotated[str, arg("Archive to look into.", positional=True, accepts=Accepts.SOURCE)]
    tree: Annotated[bool, arg("Show the members as a tree.")] = False
    files: Annotated[bool, arg("Show a table of the members.")] = False
    password: Annotated[str | None, arg("Password, for archives with hidden names.", accepts=Accepts.SECRET)] = None
    password_file: Annotated[
        str | None, arg("File (0600) of passwords to try, one a line.", accepts=Accepts.SOURCE)
    ] = None
    encoding: Annotated[str | None, arg("Code page of member names (default: detected).", advanced=True)] = None


class ZipTest(Operation, frozen=True, kw_only=True, tag="ziptest"):
    """Verify every checksum of an archive without unpacking it."""

    path: Annotated[str, arg("Archive to test.", positional=True, accepts=Accepts.SOURCE)]
    password: Annotated[
        str | None, arg("Password. Better leave it out: it is asked for when it is needed.", accepts=Accepts.SECRET)
    ] = None
    password_file: Annotated[
        str | None, arg("File (0600) of passwords to try, one a line.", accepts=Accepts.SOURCE)
    ] = None


def _packs_resumable(op: Zip) -> bool:
    """7z archives are written anew after a crash: one solid stream cannot be taken up in the middle."""
    return op.format is not ArchiveFormat.SEVENZIP


_OUTPUT_SUFFIXES: Final = {
    ".tgz": ArchiveFormat.TAR_GZ,
    ".tbz2": ArchiveFormat.TAR_BZ2,
    ".txz": ArchiveFormat.TAR_XZ,
    ".tzst": ArchiveFormat.TAR_ZST,
} | {f".{member.value}": member for member in ArchiveFormat}


def _wanted_format(op: Zip | Convert | Estimate) -> ArchiveFormat | None:
    """The format that the suffix of `--output` asks for."""
    name = "" if isinstance(op, Estimate) or op.output is None else op.output.lower()
    return next((found for suffix, found in _OUTPUT_SUFFIXES.items() if name.endswith(suffix)), None)


def _defaults(op: Zip | Convert | Estimate, settings: Settings) -> Operation:
    """Format and level: as given, as the output's suffix asks, else as the settings say."""
    return msgspec.structs.replace(
        op,
        format=op.format or _wanted_format(op) or ArchiveFormat(settings.archive.default_format),
        level=settings.archive.default_level if op.level is None else op.level,
    )


ARCHIVE: Final = (
    OperationSpec(
        Zip,
        Kind.COMPRESS,
        run="engines.archive.create.job:run",
        reply="engines.archive.create.result:zip_reply",
        check="engines.archive.create.checks:check_zip",
        resumable=_packs_resumable,
        writes=True,
        output="path",
        examples=(
            "zip /downloads/movies",
            "zip /downloads/video.mp4 zip 9",
            "zip /downloads/folder tar.gz",
            "zip /downloads/docs 7z 9 --test --manifest",
            "zip /downloads/folder --exclude '*.tmp' --volume 700MB",
        ),
        defaults=_defaults,
    ),
    OperationSpec(
        Convert,
        Kind.COMPRESS,
        run="engines.archive.create.convert:run",
        reply="engines.archive.create.result:convert_reply",
        check="engines.archive.create.checks:check_convert",
        resumable="engines.archive.create.convert:resumes",
        writes=True,
        output="path",
        examples=("convert old.zip tar.zst", "convert backup.tar.gz 7z 9"),
        defaults=_defaults,
    ),
    OperationSpec(
        Estimate,
        Kind.INFO,
        run="engines.archive.create.estimate:run",
        reply="engines.archive.create.estimate:estimate_reply",
        check="engines.archive.create.checks:check_estimate",
        examples=("estimate /downloads/movies", "estimate /downloads/folder tar.zst 9"),
        defaults=_defaults,
    ),
    OperationSpec(
        Unzip,
        Kind.EXTRACT,
        run="engines.archive.extract.job:run",
        reply="engines.archive.extract.replies:unzip_reply",
        check="engines.archive.extract.checks:check_unzip",
        resumable="engines.archive.extract.checks:resumes",
        writes=True,
        output="location",
        examples=(
            "unzip /downloads/archive.zip",
            "unzip archive.zip /tmp/extracted",
            "unzip --files '*.jpg' photos.7z",
        ),
    ),
    OperationSpec(
        ZipInfo,
        Kind.INFO,
        run="engines.archive.inspect:run_info",
        reply="engines.archive.extract.replies:zipinfo_reply",
        check="engines.archive.extract.checks:check_archive",
        examples=("zipinfo archive.zip", "zipinfo --tree backup.tar.gz"),
    ),
    OperationSpec(
        ZipTest,
        Kind.EXTRACT,
        run="engines.archive.inspect:run_test",
        reply="engines.archive.extract.replies:ziptest_reply",
        check="engines.archive.extract.checks:check_archive",
        examples=("ziptest archive.7z",),
    ),
)
