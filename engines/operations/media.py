"""Media: facts, pictures, conversions."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

from msgspec import Meta

from engines.model import Kind
from engines.operations.schema import Accepts, Conflict, Operation, OperationSpec, arg


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
    preset: Annotated[
        Preset, arg("What to make; telegram takes two passes and starts over after a crash.", positional=True)
    ] = Preset.H264
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

    path: Annotated[str, arg("Media file, or a folder of them.", positional=True, accepts=Accepts.SOURCE)]
    container: Annotated[Container, arg("Container to write.", positional=True)] = Container.MKV
    plan: Annotated[bool, arg("Only show what would be kept, converted and dropped.")] = False
    audio: Annotated[tuple[str, ...], arg("Keep audio of this language (all by default; none).")] = ()
    subtitles: Annotated[tuple[str, ...], arg("Keep subtitles of this language (all by default; none).")] = ()
    output: Annotated[str | None, arg("File to write (default: beside the source).", accepts=Accepts.TARGET)] = None
    on_conflict: Annotated[Conflict, arg("When the result exists.")] = Conflict.RENAME


class Metadata(Operation, frozen=True, kw_only=True, tag="metadata"):
    """Edit tags, cover, chapters, track languages and flags; without options show the tags."""

    path: Annotated[str, arg("Media file, or a folder of them.", positional=True, accepts=Accepts.SOURCE)]
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
    default: Annotated[
        tuple[str, ...], arg("Track played by default, such as a:1; the others of its kind no longer are.")
    ] = ()
    forced: Annotated[
        tuple[str, ...], arg("Subtitle tracks that are forced, such as s:0; the others no longer are.")
    ] = ()
    clear: Annotated[bool, arg("Remove all tags first.")] = False
    output: Annotated[str | None, arg("Write a new file instead.", accepts=Accepts.TARGET)] = None
    on_conflict: Annotated[Conflict, arg("When the new file exists.")] = Conflict.RENAME


class MediaTest(Operation, frozen=True, kw_only=True, tag="mediatest"):
    """Test whether a media file is whole: structure and packets, or every frame with --full."""

    path: Annotated[str, arg("Media file, or a folder of them.", positional=True, accepts=Accepts.SOURCE)]
    full: Annotated[bool, arg("Decode everything: finds rot inside, takes as long as playing it fast.")] = False


class Tracks(Operation, frozen=True, kw_only=True, tag="tracks"):
    """Copy audio and subtitle tracks into files of their own."""

    path: Annotated[str, arg("Media file, or a folder of them.", positional=True, accepts=Accepts.SOURCE)]
    audio: Annotated[tuple[str, ...], arg("Audio of this language (all by default; none).")] = ()
    subtitles: Annotated[tuple[str, ...], arg("Subtitles of this language (all by default; none).")] = ()
    output: Annotated[str | None, arg("Folder to write into (default: beside.)", accepts=Accepts.FOLDER)] = None
    on_conflict: Annotated[Conflict, arg("When a file exists.")] = Conflict.RENAME


class Loudness(Operation, frozen=True, kw_only=True, tag="loudness"):
    """Measure loudness by EBU R 128."""

    path: Annotated[str, arg("Media file with sound, or a folder of them.", positional=True, accepts=Accepts.SOURCE)]


class Waveform(Operation, frozen=True, kw_only=True, tag="waveform"):
    """Draw the waveform of a sound as PNG."""

    path: Annotated[str, arg("Media file with sound, or a folder of them.", positional=True, accepts=Accepts.SOURCE)]
    width: Annotated[Width, arg("Pixels across.")] = 1200
    height: Annotated[Height, arg("Pixels down.")] = 240
    output: Annotated[str | None, arg("Picture to write (default: beside the source).", accepts=Accepts.TARGET)] = None
    on_conflict: Annotated[Conflict, arg("When the picture exists.")] = Conflict.RENAME


class FrameHash(Operation, frozen=True, kw_only=True, tag="framehash"):
    """Hash the streams of a file, whatever its container and tags."""

    path: Annotated[str, arg("Media file, or a folder of them.", positional=True, accepts=Accepts.SOURCE)]
    decoded: Annotated[bool, arg("Hash the decoded pictures and sound instead of the packets.")] = False
    frames: Annotated[bool, arg("Write a hash of each frame into a file beside the source.")] = False


class Split(Operation, frozen=True, kw_only=True, tag="split"):
    """Cut a file at key frames into playable parts of at most a size."""

    path: Annotated[str, arg("Media file, or a folder of them.", positional=True, accepts=Accepts.SOURCE)]
    size: Annotated[str, arg("Largest part, such as 2GB.", positional=True, accepts=Accepts.SIZE)]
    output: Annotated[str | None, arg("Folder to write into (default: beside).", accepts=Accepts.FOLDER)] = None
    on_conflict: Annotated[Conflict, arg("When a part exists.")] = Conflict.RENAME


class Compare(Operation, frozen=True, kw_only=True, tag="compare"):
    """Measure how much a converted video lost: SSIM and PSNR, and VMAF when this ffmpeg has it."""

    path: Annotated[str, arg("Converted video, or a folder of them.", positional=True, accepts=Accepts.SOURCE)]
    reference: Annotated[
        str, arg("Video it was made from, or the folder of those.", positional=True, accepts=Accepts.SOURCE)
    ]


class Compat(Operation, frozen=True, kw_only=True, tag="compat"):
    """Check where a file plays without conversion, and what bandwidth streaming it needs."""

    path: Annotated[str, arg("Media file, or a folder of them.", positional=True, accepts=Accepts.SOURCE)]
    target: Annotated[str | None, arg("Only this target, such as browser or telegram.", positional=True)] = None


def _transcode_resumable(op: Transcode) -> bool:
    return op.size is None and op.preset not in (Preset.TELEGRAM, Preset.AUDIO)


def _row(struct: type[Operation], room: str, *examples: str, check: str = "source", **more: Any) -> OperationSpec:
    """A row whose work, reply and check stand in the media engine under the usual names."""
    row = {
        "kind": Kind.MEDIA,
        "run": f"engines.media.{room}:run",
        "reply": f"engines.media.{room}:reply",
        "check": f"engines.media.checks:check_{check}",
        **more,
    }
    return OperationSpec(struct, examples=examples, **row)


_MAKES: Final[dict[str, Any]] = {"writes": True, "output": "path"}
"""Of operations whose result names the one file they made."""

MEDIA: Final = (
    _row(
        MediaInfo,
        "info",
        "mediainfo /downloads/movie.mkv",
        "mediainfo video.mp4 brief",
        kind=Kind.INFO,
    ),
    _row(MStats, "info", "mstats video.mp4", kind=Kind.INFO),
    _row(
        Thumbnail,
        "thumbnail",
        "thumbnail video.mp4",
        "thumbnail movie.mkv 00:00:30",
        "thumbnail movie.mkv --sheet 4x4",
        check="thumbnail",
        **_MAKES,
    ),
    _row(
        Transcode,
        "transcode.job",
        "transcode movie.mkv",
        "transcode movie.mkv hevc --keep-if-smaller",
        "transcode clip.mov --size 50MB",
        check="transcode",
        kind=Kind.TRANSCODE,
        reply="engines.media.transcode.replies:reply",
        resumable=_transcode_resumable,
        **_MAKES,
    ),
    _row(Remux, "remux", "remux movie.mkv mp4", "remux movie.mkv mp4 --plan", **_MAKES),
    _row(
        Metadata,
        "metadata",
        "metadata song.mp3 --title Song --artist Band",
        "metadata movie.mkv --language a:0=eng",
        check="metadata",
        **_MAKES,
    ),
    _row(MediaTest, "mediatest", "mediatest movie.mkv", "mediatest movie.mkv --full"),
    _row(Tracks, "tracks", "tracks movie.mkv --audio en --subtitles none", writes=True),
    _row(Loudness, "loudness", "loudness song.flac"),
    _row(Waveform, "waveform", "waveform song.flac", **_MAKES),
    _row(FrameHash, "framehash", "framehash movie.mkv", **_MAKES),
    _row(Split, "split", "split movie.mkv 2GB", check="split", writes=True),
    _row(Compare, "compare", "compare small.mkv movie.mkv", check="compare"),
    _row(
        Compat,
        "compatibility",
        "compat movie.mkv",
        "compat movie.mkv browser",
        check="compat",
        kind=Kind.INFO,
    ),
)
