"""What is known about a media file: the words every report, plan and check of the media engine speaks.

Seconds, bytes and bits per second. Names and tags are foreign text made safe for display.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from engines.media.structure import State, Structure


class Kind(StrEnum):
    """What a file is to a person."""

    VIDEO = "video"
    AUDIO = "audio"
    IMAGE = "image"
    SUBTITLE = "subtitle"
    NONE = "none"


class Hdr(StrEnum):
    """High dynamic range flavours."""

    NONE = ""
    HDR10 = "HDR10"
    HDR10_PLUS = "HDR10+"
    PQ = "PQ"
    HLG = "HLG"
    DOLBY_VISION = "Dolby Vision"


class BitRate(msgspec.Struct, frozen=True):
    """Bits per second, and whether that is an estimate."""

    value: int
    approximate: bool = False


class VideoFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One moving picture. `width` and `height` are as shown: pixel aspect and rotation applied."""

    index: int
    codec: str
    profile: str = ""
    level: str = ""
    width: int = 0
    height: int = 0
    coded_width: int = 0
    coded_height: int = 0
    pixel_aspect: str = "1:1"
    aspect: str = ""
    rotation: int = 0
    """Degrees clockwise a player turns the picture: 0, 90, 180 or 270."""
    fps: float | None = None
    fps_peak: float | None = None
    """Set when the rate varies; `fps` is then the mean."""
    interlaced: bool = False
    field_order: str = ""
    bit_depth: int = 8
    pixel_format: str = ""
    color_space: str = ""
    color_transfer: str = ""
    color_primaries: str = ""
    color_range: str = ""
    hdr: Hdr = Hdr.NONE
    dolby_only: bool = False
    """Dolby Vision in Dolby's own colours (profile 5): without Dolby's processing they come out green and purple."""
    mastering: str = ""
    """Mastering display as x265 takes it: G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)."""
    max_cll: str = ""
    """Content light level "max,average" in nits."""
    bit_rate: BitRate | None = None
    frames: int | None = None
    start: float = 0.0
    language: str = ""
    title: str = ""
    default: bool = False

    @property
    def variable(self) -> bool:
        """Whether the frame rate varies."""
        return self.fps_peak is not None


class AudioFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One audio track."""

    index: int
    codec: str
    profile: str = ""
    channels: int = 0
    layout: str = ""
    sample_rate: int = 0
    bit_rate: BitRate | None = None
    language: str = ""
    title: str = ""
    default: bool = False


class SubtitleFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One subtitle track. `styled`: carries fonts and positions (ASS); `picture`: drawn, not text."""

    index: int
    codec: str
    language: str = ""
    title: str = ""
    default: bool = False
    forced: bool = False
    hearing_impaired: bool = False
    styled: bool = False
    picture: bool = False


class Chapter(msgspec.Struct, frozen=True):
    """A chapter: start and end in seconds."""

    start: float
    end: float
    title: str = ""


class Attachment(msgspec.Struct, frozen=True):
    """A file inside the file: a font, a picture."""

    name: str
    type: str = ""


class MediaFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one file. `duration` is None when the file does not say."""

    name: str
    kind: Kind
    container: str
    """Container in one word: "matroska", "mp4", "mp3"."""
    size: int
    duration: float | None = None
    start: float = 0.0
    bit_rate: BitRate | None = None
    video: list[VideoFacts] = []
    audio: list[AudioFacts] = []
    subtitles: list[SubtitleFacts] = []
    chapters: list[Chapter] = []
    attachments: list[Attachment] = []
    covers: int = 0
    """Cover pictures; they are not video."""
    cover_index: int | None = None
    other_streams: int = 0
    tags: dict[str, str] = {}
    structure: Structure = Structure(State.UNKNOWN)

    @property
    def main_video(self) -> VideoFacts | None:
        """The video a player shows: the default one, else the first."""
        return next((stream for stream in self.video if stream.default), self.video[0] if self.video else None)

    @property
    def main_audio(self) -> AudioFacts | None:
        """The track a player plays: the default one, else the first."""
        return next((stream for stream in self.audio if stream.default), self.audio[0] if self.audio else None)
