"""The ONE table of operations: parameters, defaults, help, and which function does the work.

Every face is made from it: CLI sub-commands, the TUI's command line, form, palette and help, chat commands,
the web form, request validation and OpenAPI. Adding an operation is one Struct, one `OperationSpec` and one
worker function.

A field is described by `arg` inside `Annotated`: its help, whether it is positional, what it completes to,
and whether it is secret. None as a default means "the setting decides" (see `with_defaults`).
"""

from __future__ import annotations

import importlib
import os
import shlex
import typing
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from engines.errors import TaskdeckError
from engines.model import Json, Kind
from engines.names import display
from engines.paths import PathPolicy, from_uri, to_uri
from engines.reply import Reply
from engines.settings import Settings


class Accepts(StrEnum):
    """What a field holds, for completion, file pickers and checks of the path policy."""

    TEXT = "text"
    SOURCE = "source"
    """A path that exists."""
    TARGET = "target"
    """A path that may not exist yet."""
    FOLDER = "folder"
    """A folder that may not exist yet."""
    SECRET = "secret"  # noqa: S105 - a word, not a secret
    GLOB = "glob"
    SIZE = "size"
    DURATION = "duration"


_PATHS: Final = frozenset({Accepts.SOURCE, Accepts.TARGET, Accepts.FOLDER})


def arg(
    text: str,
    *,
    positional: bool = False,
    accepts: Accepts = Accepts.TEXT,
    advanced: bool = False,
) -> Meta:
    """Describe a field: its help, place and content. `advanced` fields are folded away in forms.

    Ranges belong to the value's own type: `Annotated[Level | None, arg(...)]`.
    """
    return Meta(
        description=text,
        extra={"positional": positional, "accepts": accepts, "advanced": advanced},
        extra_json_schema={
            "x-accepts": accepts.value,
            **({"writeOnly": True} if accepts is Accepts.SECRET else {}),
            **({"minLength": 1} if accepts in _PATHS else {}),
        },
    )


class Operation(msgspec.Struct, tag_field="op", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all operations: what to do, without who, when or how."""


class ArchiveFormat(StrEnum):
    """Formats that can be made."""

    ZIP = "zip"
    TAR = "tar"
    TAR_GZ = "tar.gz"
    TAR_BZ2 = "tar.bz2"
    TAR_XZ = "tar.xz"
    TAR_ZST = "tar.zst"
    SEVENZIP = "7z"


class Conflict(StrEnum):
    """What to do when a target exists."""

    RENAME = "rename"
    """Write "name (2).ext"."""
    OVERWRITE = "overwrite"
    """Replace it atomically."""
    SKIP = "skip"
    """Leave it and go on."""
    FAIL = "fail"
    """End with `path.exists`."""


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


class Zip(Operation, frozen=True, kw_only=True, tag="zip"):
    """Pack files and folders into an archive."""

    path: Annotated[str, arg("File or folder to pack.", positional=True, accepts=Accepts.SOURCE)]
    format: Annotated[ArchiveFormat | None, arg("Archive format.", positional=True)] = None
    level: Annotated[Level | None, arg("0 stores, 9 packs hardest.", positional=True)] = None
    add: Annotated[tuple[str, ...], arg("Another file or folder to pack.", accepts=Accepts.SOURCE)] = ()
    output: Annotated[
        str | None,
        arg("Archive to write, with --each a folder (default: beside the source).", accepts=Accepts.TARGET),
    ] = None
    on_conflict: Annotated[Conflict, arg("When the archive exists.")] = Conflict.RENAME
    each: Annotated[bool, arg("One archive for each path given, or for each item of the only folder given.")] = False
    password: Annotated[
        str | None,
        arg("Encrypt with AES-256 (visible to other users when typed here).", accepts=Accepts.SECRET),
    ] = None
    password_file: Annotated[
        str | None, arg("Encrypt with the first line of this file.", accepts=Accepts.SOURCE, advanced=True)
    ] = None
    encrypt_names: Annotated[bool, arg("Encrypt the names too (7z).")] = False
    volume: Annotated[str | None, arg("Split into parts of this size, such as 700MB.", accepts=Accepts.SIZE)] = None
    exclude: Annotated[tuple[str, ...], arg("Leave out what matches.", accepts=Accepts.GLOB)] = ()
    include: Annotated[tuple[str, ...], arg("Pack only files that match.", accepts=Accepts.GLOB)] = ()
    gitignore: Annotated[bool, arg("Leave out what .gitignore files name, and .git itself.")] = False
    newer: Annotated[
        str | None, arg("Only files changed since: 2025-01-31, 2025-01-31T12:00 or an age such as 7d.", advanced=True)
    ] = None
    older: Annotated[str | None, arg("Only files not changed since: a date or an age.", advanced=True)] = None
    min_size: Annotated[str | None, arg("Only files of at least this size.", accepts=Accepts.SIZE, advanced=True)] = (
        None
    )
    max_size: Annotated[str | None, arg("Only files of at most this size.", accepts=Accepts.SIZE, advanced=True)] = None
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
    links: Annotated[Links, arg("Symbolic links.", advanced=True)] = Links.KEEP
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
    delete_source: Annotated[bool, arg("Remove the old archive after the new one was tested.")] = False


class Estimate(Operation, frozen=True, kw_only=True, tag="estimate"):
    """Foretell size, time and space of an archive from samples."""

    path: Annotated[str, arg("File or folder to pack.", positional=True, accepts=Accepts.SOURCE)]
    format: Annotated[ArchiveFormat | None, arg("Archive format.", positional=True)] = None
    level: Annotated[Level | None, arg("0 stores, 9 packs hardest.", positional=True)] = None
    add: Annotated[tuple[str, ...], arg("Another file or folder to pack.", accepts=Accepts.SOURCE)] = ()
    exclude: Annotated[tuple[str, ...], arg("Leave out what matches.", accepts=Accepts.GLOB)] = ()
    include: Annotated[tuple[str, ...], arg("Pack only files that match.", accepts=Accepts.GLOB)] = ()
    gitignore: Annotated[bool, arg("Leave out what .gitignore files name, and .git itself.")] = False


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
            "Password (visible to other users when typed here; better leave it out).",
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
        str | None, arg("Password (visible to other users when typed here).", accepts=Accepts.SECRET)
    ] = None
    password_file: Annotated[
        str | None, arg("File (0600) of passwords to try, one a line.", accepts=Accepts.SOURCE)
    ] = None


class MediaReport(StrEnum):
    """How much `mediainfo` tells."""

    FULL = "full"
    BRIEF = "brief"


class PictureFormat(StrEnum):
    """Formats of thumbnails."""

    JPG = "jpg"
    PNG = "png"
    WEBP = "webp"


class MediaInfo(Operation, frozen=True, kw_only=True, tag="mediainfo"):
    """Show what a media file is: streams, codecs, bit rates, quality."""

    path: Annotated[str, arg("Media file, or a folder of them.", positional=True, accepts=Accepts.SOURCE)]
    report: Annotated[MediaReport, arg("Everything, or a summary.", positional=True)] = MediaReport.FULL
    deep: Annotated[bool, arg("Read every packet: exact bit rates, duration and varying frame rates.")] = False


class MStats(Operation, frozen=True, kw_only=True, tag="mstats"):
    """Show quick statistics of a media file."""

    path: Annotated[str, arg("Media file, or a folder of them.", positional=True, accepts=Accepts.SOURCE)]


Width = Annotated[int, Meta(ge=16, le=7680)]
Shots = Annotated[int, Meta(ge=1, le=100)]


class Thumbnail(Operation, frozen=True, kw_only=True, tag="thumbnail"):
    """Take a picture out of a video."""

    path: Annotated[str, arg("Video file, audio with a cover, or a folder.", positional=True, accepts=Accepts.SOURCE)]
    timestamp: Annotated[
        str | None,
        arg(
            "HH:MM:SS, or auto for a telling one (default: 5 seconds, later when that is black).",
            positional=True,
            accepts=Accepts.DURATION,
        ),
    ] = None
    width: Annotated[Width | None, arg("Pixels across; never enlarged.")] = None
    format: Annotated[PictureFormat | None, arg("Picture format.")] = None
    shots: Annotated[Shots, arg("Several pictures, evenly spread.")] = 1
    sheet: Annotated[str | None, arg("One contact sheet of COLUMNSxROWS pictures, such as 4x4.")] = None
    sprite: Annotated[bool, arg("A seek-bar sprite with its WebVTT index.")] = False
    exact: Annotated[bool, arg("Decode to the very frame instead of the nearest key frame.")] = False
    output: Annotated[str | None, arg("Picture to write (default: beside the video).", accepts=Accepts.TARGET)] = None
    on_conflict: Annotated[Conflict, arg("When the picture exists.")] = Conflict.RENAME


class Preset(StrEnum):
    """What `transcode` makes."""

    H264 = "h264"
    """H.264 and AAC in MP4: plays everywhere."""
    HEVC = "hevc"
    """HEVC in Matroska: half the size, HDR kept."""
    AV1 = "av1"
    """AV1 and Opus in Matroska: smallest."""
    AUDIO = "audio"
    """The sound alone, as M4A."""
    WEB = "web"
    """H.264 up to 1080p with stereo, starts at once in a browser."""
    TELEGRAM = "telegram"
    """As web, and never above Telegram's 2,000 MiB."""


class Speed(StrEnum):
    """How hard an encoder tries."""

    FASTEST = "fastest"
    FAST = "fast"
    MEDIUM = "medium"
    SLOW = "slow"


Quality = Annotated[int, Meta(ge=0, le=63)]
Height = Annotated[int, Meta(ge=16, le=8640)]
ChunkSeconds = Annotated[int, Meta(ge=1, le=3600)]


class Transcode(Operation, frozen=True, kw_only=True, tag="transcode"):
    """Convert video or audio to another codec."""

    path: Annotated[str, arg("Media file, or a folder of them.", positional=True, accepts=Accepts.SOURCE)]
    preset: Annotated[Preset, arg("What to make.", positional=True)] = Preset.H264
    crf: Annotated[Quality | None, arg("Constant quality; smaller is better and larger.")] = None
    size: Annotated[
        str | None,
        arg("Never larger than this, such as 700MB: two passes, starts over after a crash.", accepts=Accepts.SIZE),
    ] = None
    height: Annotated[Height | None, arg("Shrink to at most this many lines.")] = None
    speed: Annotated[Speed, arg("How hard the encoder tries.")] = Speed.MEDIUM
    audio: Annotated[tuple[str, ...], arg("Keep audio of this language (all by default; none).")] = ()
    subtitles: Annotated[tuple[str, ...], arg("Keep subtitles of this language (all by default; none).")] = ()
    sdr: Annotated[bool, arg("Turn HDR into standard range (always so for 8-bit presets).")] = False
    hardware: Annotated[bool, arg("Use a hardware encoder when one is proven to work.")] = False
    keep_if_smaller: Annotated[
        bool, arg("Stop when the result would not be smaller than the source, and keep the source.")
    ] = False
    replace: Annotated[bool, arg("Put the result in the source's place, after it was decoded to its end.")] = False
    verify: Annotated[bool, arg("Decode the whole result before it counts.")] = False
    chunk: Annotated[ChunkSeconds, arg("Seconds of each resumable chunk.", advanced=True)] = 30
    output: Annotated[str | None, arg("File to write (default: beside the source).", accepts=Accepts.TARGET)] = None
    on_conflict: Annotated[Conflict, arg("When the result exists.")] = Conflict.RENAME


class Container(StrEnum):
    """Containers that `remux` writes."""

    MKV = "mkv"
    MP4 = "mp4"
    MOV = "mov"
    WEBM = "webm"
    TS = "ts"
    M4A = "m4a"


class Remux(Operation, frozen=True, kw_only=True, tag="remux"):
    """Put the same streams into another container, without encoding."""

    path: Annotated[str, arg("Media file.", positional=True, accepts=Accepts.SOURCE)]
    container: Annotated[Container, arg("Container to write.", positional=True)] = Container.MKV
    plan: Annotated[bool, arg("Only show what would be kept, converted and dropped.")] = False
    audio: Annotated[tuple[str, ...], arg("Keep audio of this language (all by default; none).")] = ()
    subtitles: Annotated[tuple[str, ...], arg("Keep subtitles of this language (all by default; none).")] = ()
    output: Annotated[str | None, arg("File to write (default: beside the source).", accepts=Accepts.TARGET)] = None
    on_conflict: Annotated[Conflict, arg("When the result exists.")] = Conflict.RENAME


class Metadata(Operation, frozen=True, kw_only=True, tag="metadata"):
    """Edit tags, cover, chapters, track languages and flags; without options show the tags."""

    path: Annotated[str, arg("Media file.", positional=True, accepts=Accepts.SOURCE)]
    title: Annotated[str | None, arg("Title; an empty text removes it.")] = None
    artist: Annotated[str | None, arg("Artist.")] = None
    album: Annotated[str | None, arg("Album.")] = None
    date: Annotated[str | None, arg("Date or year.")] = None
    genre: Annotated[str | None, arg("Genre.")] = None
    comment: Annotated[str | None, arg("Comment.")] = None
    cover: Annotated[str | None, arg("JPEG or PNG to use as cover.", accepts=Accepts.SOURCE)] = None
    chapters: Annotated[
        str | None, arg("Text file of chapters: HH:MM:SS and a title on each line.", accepts=Accepts.SOURCE)
    ] = None
    language: Annotated[tuple[str, ...], arg("Language of a track, such as a:0=eng or s:1=es.")] = ()
    default: Annotated[tuple[str, ...], arg("Track played by default, such as a:1.")] = ()
    forced: Annotated[tuple[str, ...], arg("Subtitle track that is forced, such as s:0.")] = ()
    clear: Annotated[bool, arg("Remove all tags first.")] = False
    output: Annotated[str | None, arg("Write a new file instead.", accepts=Accepts.TARGET)] = None
    on_conflict: Annotated[Conflict, arg("When the new file exists.")] = Conflict.RENAME


class MediaTest(Operation, frozen=True, kw_only=True, tag="mediatest"):
    """Test whether a media file is whole: structure and packets, or every frame with --full."""

    path: Annotated[str, arg("Media file, or a folder of them.", positional=True, accepts=Accepts.SOURCE)]
    full: Annotated[bool, arg("Decode everything: finds rot inside, takes as long as playing it fast.")] = False


class Tracks(Operation, frozen=True, kw_only=True, tag="tracks"):
    """Copy audio and subtitle tracks into files of their own."""

    path: Annotated[str, arg("Media file.", positional=True, accepts=Accepts.SOURCE)]
    audio: Annotated[tuple[str, ...], arg("Audio of this language (all by default; none).")] = ()
    subtitles: Annotated[tuple[str, ...], arg("Subtitles of this language (all by default; none).")] = ()
    output: Annotated[str | None, arg("Folder to write into (default: beside.)", accepts=Accepts.FOLDER)] = None
    on_conflict: Annotated[Conflict, arg("When a file exists.")] = Conflict.RENAME


class Loudness(Operation, frozen=True, kw_only=True, tag="loudness"):
    """Measure loudness by EBU R 128."""

    path: Annotated[str, arg("Media file with sound.", positional=True, accepts=Accepts.SOURCE)]


class Waveform(Operation, frozen=True, kw_only=True, tag="waveform"):
    """Draw the waveform of a sound as PNG."""

    path: Annotated[str, arg("Media file with sound.", positional=True, accepts=Accepts.SOURCE)]
    width: Annotated[Width, arg("Pixels across.")] = 1200
    height: Annotated[Height, arg("Pixels down.")] = 240
    output: Annotated[str | None, arg("Picture to write (default: beside the source).", accepts=Accepts.TARGET)] = None
    on_conflict: Annotated[Conflict, arg("When the picture exists.")] = Conflict.RENAME


class FrameHash(Operation, frozen=True, kw_only=True, tag="framehash"):
    """Hash the streams of a file, whatever its container and tags."""

    path: Annotated[str, arg("Media file.", positional=True, accepts=Accepts.SOURCE)]
    decoded: Annotated[bool, arg("Hash the decoded pictures and sound instead of the packets.")] = False
    frames: Annotated[bool, arg("Write a hash of each frame into a file beside the source.")] = False


class Split(Operation, frozen=True, kw_only=True, tag="split"):
    """Cut a file at key frames into playable parts of at most a size."""

    path: Annotated[str, arg("Media file.", positional=True, accepts=Accepts.SOURCE)]
    size: Annotated[str, arg("Largest part, such as 2GB.", positional=True, accepts=Accepts.SIZE)]
    output: Annotated[str | None, arg("Folder to write into (default: beside).", accepts=Accepts.FOLDER)] = None
    on_conflict: Annotated[Conflict, arg("When a part exists.")] = Conflict.RENAME


class Compare(Operation, frozen=True, kw_only=True, tag="compare"):
    """Measure how much a converted video lost: SSIM and PSNR, and VMAF when this ffmpeg has it."""

    path: Annotated[str, arg("Converted video.", positional=True, accepts=Accepts.SOURCE)]
    reference: Annotated[str, arg("Video it was made from.", positional=True, accepts=Accepts.SOURCE)]


class Compat(Operation, frozen=True, kw_only=True, tag="compat"):
    """Check where a file plays without conversion, and what bandwidth streaming it needs."""

    path: Annotated[str, arg("Media file.", positional=True, accepts=Accepts.SOURCE)]
    target: Annotated[str | None, arg("Only this target, such as browser or telegram.", positional=True)] = None


MediaOperation = (
    MediaInfo
    | MStats
    | Thumbnail
    | Transcode
    | Remux
    | Metadata
    | MediaTest
    | Tracks
    | Loudness
    | Waveform
    | FrameHash
    | Split
    | Compare
    | Compat
)


class Send(Operation, frozen=True, kw_only=True, tag="send"):
    """Send a file to a Telegram chat."""

    path: Annotated[str, arg("File to send.", positional=True, accepts=Accepts.SOURCE)]
    chat: Annotated[
        int | None, arg("Chat id of an allowed user or group (default: the first allowed user).", positional=True)
    ] = None
    caption: Annotated[str, arg("Text under the file.")] = ""


class Receive(Operation, frozen=True, kw_only=True, tag="receive"):
    """Save a file that was sent to the Telegram bot."""

    name: Annotated[str, arg("Name to save it under (default: its own).")] = ""
    chat: Annotated[int, arg("Chat id.", positional=True)]
    message: Annotated[int, arg("Id of the message that holds the file.", positional=True)]
    destination: Annotated[
        str | None, arg("Folder to save it in (default: the inbox).", positional=True, accepts=Accepts.FOLDER)
    ] = None


AnyOperation = Zip | Convert | Estimate | Unzip | ZipInfo | ZipTest | MediaOperation


@dataclass(frozen=True, slots=True)
class OperationSpec:
    """One row of the table.

    Functions are named "module:function" and loaded where they are used, so that the table imports no work.

    Attributes:
        struct: The operation's Struct; its docstring is the summary, its tag the name on every face.
        kind: Family: parallel limit and guide word.
        run: Worker function `(op, job) -> Struct`, called in the job process.
        reply: `(op, result as JSON object) -> Reply`, called by faces.
        check: `(op, policy, settings) -> None`: cheap refusal of bad input before a task is made (stat calls
            only); raises TaskdeckError.
        resumable: Whether a later attempt goes on from a checkpoint: a bool, or a function `(op) -> bool`.
        writes: Whether the disk guard applies.
        output: The field of the result that holds the path of what was made (a path or a file: URI), "" for
            operations that make nothing.
        examples: Command lines for help and docs, without the program's name.
        hosted: The work needs a live connection of the daemon: it runs there, by the function registered with
            `TaskService.host`, and `run` is not used.
    """

    struct: type[Operation]
    kind: Kind
    run: str
    reply: str
    check: str = ""
    resumable: bool | Callable[[Any], bool] = False
    writes: bool = False
    output: str = ""
    examples: tuple[str, ...] = ()
    hosted: bool = False

    @property
    def name(self) -> str:
        """The word users type."""
        return str(self.struct.__struct_config__.tag)

    @property
    def summary(self) -> str:
        """One line of help."""
        return (self.struct.__doc__ or "").splitlines()[0]

    @property
    def takes_long(self) -> bool:
        """Whether starting over may cost hours: worth a word beforehand when it cannot be resumed."""
        return self.writes and self.kind in (Kind.COMPRESS, Kind.EXTRACT, Kind.TRANSCODE)

    def is_resumable(self, op: Operation) -> bool:
        """Whether this very operation goes on from a checkpoint after a crash."""
        return self.resumable if isinstance(self.resumable, bool) else self.resumable(op)


def _packs_resumable(op: Zip) -> bool:
    """7z archives are written anew after a crash: one solid stream cannot be taken up in the middle."""
    return op.format is not ArchiveFormat.SEVENZIP


def _transcode_resumable(op: Transcode) -> bool:
    return op.size is None and op.preset not in (Preset.TELEGRAM, Preset.AUDIO)


OPERATIONS: Final[dict[str, OperationSpec]] = {
    spec.name: spec
    for spec in (
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
        ),
        OperationSpec(
            Convert,
            Kind.COMPRESS,
            run="engines.archive.create.convert:run",
            reply="engines.archive.create.result:convert_reply",
            check="engines.archive.create.checks:check_convert",
            writes=True,
            output="path",
            examples=("convert old.zip tar.zst", "convert backup.tar.gz 7z 9"),
        ),
        OperationSpec(
            Estimate,
            Kind.INFO,
            run="engines.archive.create.estimate:run",
            reply="engines.archive.create.estimate:estimate_reply",
            check="engines.archive.create.checks:check_estimate",
            examples=("estimate /downloads/movies", "estimate /downloads/folder tar.zst 9"),
        ),
        OperationSpec(
            Unzip,
            Kind.EXTRACT,
            run="engines.archive.extract.job:run",
            reply="engines.archive.extract.replies:unzip_reply",
            check="engines.archive.extract.checks:check_unzip",
            resumable=True,
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
        OperationSpec(
            MediaInfo,
            Kind.INFO,
            run="engines.media.info:run",
            reply="engines.media.info:reply",
            check="engines.media.checks:check_info",
            examples=("mediainfo /downloads/movie.mkv", "mediainfo video.mp4 brief"),
        ),
        OperationSpec(
            MStats,
            Kind.INFO,
            run="engines.media.info:run",
            reply="engines.media.info:reply",
            check="engines.media.checks:check_info",
            examples=("mstats video.mp4",),
        ),
        OperationSpec(
            Thumbnail,
            Kind.MEDIA,
            run="engines.media.thumbnail:run",
            reply="engines.media.replies:thumbnail_reply",
            check="engines.media.checks:check_thumbnail",
            writes=True,
            output="path",
            examples=("thumbnail video.mp4", "thumbnail movie.mkv 00:00:30", "thumbnail movie.mkv --sheet 4x4"),
        ),
        OperationSpec(
            Send,
            Kind.UPLOAD,
            run="",
            reply="engines.transfer.chat:send_reply",
            check="engines.transfer.chat:check_send",
            resumable=True,
            hosted=True,
            examples=("send /downloads/movies.zip", "send /downloads/movies.zip -1001234567890"),
        ),
        OperationSpec(
            Receive,
            Kind.DOWNLOAD,
            run="",
            reply="engines.transfer.chat:receive_reply",
            check="engines.transfer.chat:check_receive",
            resumable=True,
            writes=True,
            output="output",
            hosted=True,
            examples=("receive 12345678 42 /downloads",),
        ),
        OperationSpec(
            Transcode,
            Kind.TRANSCODE,
            run="engines.media.transcode.job:run",
            reply="engines.media.transcode.replies:reply",
            check="engines.media.checks:check_transcode",
            resumable=_transcode_resumable,
            writes=True,
            output="path",
            examples=(
                "transcode movie.mkv",
                "transcode movie.mkv hevc --keep-if-smaller",
                "transcode clip.mov --size 50MB",
            ),
        ),
        OperationSpec(
            Remux,
            Kind.MEDIA,
            run="engines.media.remux:run",
            reply="engines.media.remux:reply",
            check="engines.media.checks:check_file",
            writes=True,
            output="path",
            examples=(
                "remux movie.mkv mp4",
                "remux movie.mkv mp4 --plan",
            ),
        ),
        OperationSpec(
            Metadata,
            Kind.MEDIA,
            run="engines.media.metadata:run",
            reply="engines.media.metadata:reply",
            check="engines.media.checks:check_metadata",
            writes=True,
            output="path",
            examples=(
                "metadata song.mp3 --title Song --artist Band",
                "metadata movie.mkv --language a:0=eng",
            ),
        ),
        OperationSpec(
            MediaTest,
            Kind.MEDIA,
            run="engines.media.mediatest:run",
            reply="engines.media.mediatest:reply",
            check="engines.media.checks:check_source",
            examples=(
                "mediatest movie.mkv",
                "mediatest movie.mkv --full",
            ),
        ),
        OperationSpec(
            Tracks,
            Kind.MEDIA,
            run="engines.media.tracks:run",
            reply="engines.media.tracks:reply",
            check="engines.media.checks:check_file",
            writes=True,
            examples=("tracks movie.mkv --audio en --subtitles none",),
        ),
        OperationSpec(
            Loudness,
            Kind.MEDIA,
            run="engines.media.loudness:run",
            reply="engines.media.loudness:reply",
            check="engines.media.checks:check_file",
            examples=("loudness song.flac",),
        ),
        OperationSpec(
            Waveform,
            Kind.MEDIA,
            run="engines.media.waveform:run",
            reply="engines.media.waveform:reply",
            check="engines.media.checks:check_file",
            writes=True,
            output="path",
            examples=("waveform song.flac",),
        ),
        OperationSpec(
            FrameHash,
            Kind.MEDIA,
            run="engines.media.framehash:run",
            reply="engines.media.framehash:reply",
            check="engines.media.checks:check_file",
            output="path",
            examples=("framehash movie.mkv",),
        ),
        OperationSpec(
            Split,
            Kind.MEDIA,
            run="engines.media.split:run",
            reply="engines.media.split:reply",
            check="engines.media.checks:check_split",
            writes=True,
            examples=("split movie.mkv 2GB",),
        ),
        OperationSpec(
            Compare,
            Kind.MEDIA,
            run="engines.media.compare:run",
            reply="engines.media.compare:reply",
            check="engines.media.checks:check_compare",
            examples=("compare small.mkv movie.mkv",),
        ),
        OperationSpec(
            Compat,
            Kind.INFO,
            run="engines.media.compatibility:run",
            reply="engines.media.compatibility:reply",
            check="engines.media.checks:check_compat",
            examples=(
                "compat movie.mkv",
                "compat movie.mkv browser",
            ),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter of an operation as faces see it."""

    name: str
    type: type[Any]
    """str, int, float, bool or a StrEnum: the type of one value."""
    repeated: bool
    required: bool
    default: Any
    help: str
    positional: bool
    accepts: Accepts
    advanced: bool
    ge: float | None
    le: float | None

    @property
    def flag(self) -> str:
        """The command line option: "--on-conflict"."""
        return "--" + self.name.replace("_", "-")

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of an enumeration, else empty."""
        return tuple(member.value for member in self.type) if issubclass(self.type, StrEnum) else ()

    @property
    def secret(self) -> bool:
        """Whether the value must never be stored, logged or shown."""
        return self.accepts is Accepts.SECRET


@cache
def fields(struct: type[Operation]) -> tuple[Field, ...]:
    """The parameters of an operation in declaration order."""
    hints = get_type_hints(struct, include_extras=True)
    found = []
    for info in msgspec.structs.fields(struct):
        base, meta = _unwrap(hints[info.name])
        extra = meta.extra or {}
        inner, repeated, limits = _value_type(base)
        if meta.ge is not None or meta.le is not None:
            limits = meta
        found.append(
            Field(
                name=info.name,
                type=inner,
                repeated=repeated,
                required=info.required,
                default=None if info.required else info.default,
                help=meta.description or "",
                positional=extra.get("positional", False),
                accepts=extra.get("accepts", Accepts.TEXT),
                advanced=extra.get("advanced", False),
                ge=limits.ge,
                le=limits.le,
            )
        )
    return tuple(found)


def _unwrap(hint: Any) -> tuple[Any, Meta]:
    """The bare type and what is said about it; `Annotated` inside `Annotated` is one list to Python."""
    if get_origin(hint) is not Annotated:
        return hint, Meta()
    base, *extras = get_args(hint)
    said = [extra for extra in extras if isinstance(extra, Meta)]
    merged: dict[str, Any] = {}
    for meta in said:
        for name in ("description", "extra", "ge", "le"):
            if (value := getattr(meta, name)) is not None:
                merged[name] = value
    return base, Meta(**merged)


def _value_type(base: Any) -> tuple[type[Any], bool, Meta]:
    """The type of one value, whether it repeats, and its range."""
    repeated = False
    if isinstance(base, UnionType) or get_origin(base) is typing.Union:
        base = next(option for option in get_args(base) if option is not NoneType)
    if get_origin(base) is tuple:
        base, repeated = get_args(base)[0], True
    base, limits = _unwrap(base)
    return base, repeated, limits


def spec_of(op: Operation | str) -> OperationSpec:
    """The row of an operation or of its name.

    Raises:
        TaskdeckError: `usage` for an unknown name.
    """
    name = op if isinstance(op, str) else str(op.__struct_config__.tag)
    try:
        return OPERATIONS[name]
    except KeyError:
        raise TaskdeckError(
            "usage", f"cannot do '{display(name)}'", "there is no such operation", "see `taskdeck --help`"
        ) from None


def parse(data: Json) -> Operation:
    """An operation from JSON ({"op": "zip", "path": ...}), validated.

    Raises:
        TaskdeckError: `usage` for an unknown operation, `value` for a bad parameter.
    """
    return convert(data, spec_of(str(data.get("op", ""))).struct)


def convert(data: Json, struct: type[Operation]) -> Operation:
    """An operation of a known type from JSON, validated.

    Raises:
        TaskdeckError: `value` for a bad parameter.
    """
    try:
        op: Operation = msgspec.convert(data, struct)
    except msgspec.ValidationError as error:
        raise TaskdeckError("value", f"cannot {data.get('op', '')}", _plain(str(error))) from None
    return _map_paths(op, from_uri)


def _plain(message: str) -> str:
    """msgspec's message with the parameter named as users know it: "level: expected `int` <= 9"."""
    text, _, where = message.partition(" - at `$.")
    name = where.rstrip("`").removesuffix("[...]")
    text = text[:1].lower() + text[1:]
    return f"parameter {name}: {text}" if name else text


def with_defaults(op: Operation, settings: Settings) -> Operation:
    """The operation with what the settings decide filled in."""
    if isinstance(op, Zip | Convert | Estimate):
        return msgspec.structs.replace(
            op,
            format=op.format or _wanted_format(op) or ArchiveFormat(settings.archive.default_format),
            level=settings.archive.default_level if op.level is None else op.level,
        )
    return op


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


def absolute(op: Operation, policy: PathPolicy, *, base: str) -> Operation:
    """The operation with every path absolute and allowed; `base` is the caller's working directory.

    Raises:
        TaskdeckError: see `PathPolicy.source` and `PathPolicy.target`.
    """
    changes: dict[str, Any] = {}
    for field in fields(type(op)):
        value = getattr(op, field.name)
        if value is None or field.accepts not in _PATHS:
            continue
        resolve = policy.source if field.accepts is Accepts.SOURCE else policy.target
        if field.repeated:
            changes[field.name] = tuple(str(resolve(item, base=base)) for item in value)
        else:
            changes[field.name] = str(resolve(value, base=base))
    return msgspec.structs.replace(op, **changes) if changes else op


def check(op: Operation, policy: PathPolicy, settings: Settings) -> None:
    """Refuse bad input before a task is made (blocking stat calls only)."""
    reference = spec_of(op).check
    if reference:
        load(reference)(op, policy, settings)


def split_secrets(op: Operation) -> tuple[Operation, dict[str, str]]:
    """The operation without its secrets, fit for the store, and the secrets by field name."""
    secrets = {f.name: getattr(op, f.name) for f in fields(type(op)) if f.secret and getattr(op, f.name) is not None}
    return (msgspec.structs.replace(op, **dict.fromkeys(secrets)) if secrets else op), secrets


def to_json(op: Operation) -> Json:
    """The operation as a JSON object with its "op"; never call it on one that still holds secrets.

    Paths with bytes that are no UTF-8 become file: URIs; `parse` turns them back.
    """
    return typing.cast("Json", msgspec.to_builtins(_map_paths(op, to_uri)))


def _map_paths(op: Operation, change: Callable[[str], str]) -> Operation:
    """The operation with `change` applied to every path in it."""
    changes: dict[str, Any] = {}
    for field in fields(type(op)):
        value = getattr(op, field.name)
        if value and field.accepts in _PATHS:
            changes[field.name] = tuple(map(change, value)) if field.repeated else change(value)
    return msgspec.structs.replace(op, **changes) if changes else op


def title(op: Operation) -> str:
    """A display-safe name for the task: the last component of its main path."""
    first = fields(type(op))[0]
    value = str(getattr(op, first.name))
    return display(os.path.basename(value.rstrip("/")) or value, limit=200)


def as_command(op: Operation) -> str:
    """The operation as a shell command without secrets ("copy as command")."""
    words = ["taskdeck", spec_of(op).name]
    options: list[str] = []
    gap = False
    for field in fields(type(op)):
        value = getattr(op, field.name)
        if field.secret or (value == field.default and not field.required):
            gap = gap or field.positional
            continue
        values = [str(item) for item in value] if field.repeated else [str(value)]
        if field.positional and not gap:
            words += values
        elif field.type is bool:
            options.append(field.flag if value else f"--no-{field.name.replace('_', '-')}")
        else:
            for item in values:
                options += [field.flag, item]
    if any(word.startswith("-") for word in words[2:]):
        words[2:2] = ["--"]
        return shlex.join([*words[:2], *options, *words[2:]])
    return shlex.join([*words, *options])


def reply(op: Operation, result: Json) -> Reply:
    """The result in the guide's layout."""
    return typing.cast("Reply", load(spec_of(op).reply)(op, result))


def output_of(name: str, result: Json) -> str | None:
    """The path of what a task of this operation made, exact and absolute; None when it made nothing."""
    key = OPERATIONS[name].output if name in OPERATIONS else ""
    value = result.get(key) if key else None
    return from_uri(value) if isinstance(value, str) and value else None


@cache
def load(reference: str) -> Callable[..., Any]:
    """The function named "module:function"."""
    module, _, name = reference.partition(":")
    return typing.cast("Callable[..., Any]", getattr(importlib.import_module(module), name))
