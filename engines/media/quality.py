"""The guide's quality rating by resolution class, with reasons and warnings by bits per pixel and codec."""

from __future__ import annotations

from typing import Final

import msgspec

from engines.media.facts import Hdr, Kind, MediaFacts, VideoFacts
from engines.media.labels import codec as codec_name
from engines.media.labels import frames_per_second
from engines.media.structure import State
from engines.text import bit_rate, percent

# Class, long side from, short side from: 1920x800 (cinema), 1080x1920 (portrait) and 1440x1080 shown as 1920x1080
# all belong to 1080p.
_CLASSES: Final = (
    ("8K", 7000, 3900),
    ("2160p", 3200, 1800),
    ("1440p", 2400, 1350),
    ("1080p", 1800, 1000),
    ("720p", 1200, 680),
    ("576p", 1 << 30, 560),
    ("480p", 700, 460),
    ("360p", 1 << 30, 340),
)
_WORDS: Final = {
    "8K": "Excellent",
    "2160p": "Excellent",
    "1440p": "High",
    "1080p": "High",
    "720p": "Medium",
    "576p": "Low",
    "480p": "Very Low",
    "360p": "Very Low",
    "240p": "Very Low",
}
_LABELS: Final = {"2160p": "4K"}

# Bits a codec needs relative to H.264 for the same picture (VMAF near 80, measured on two clips).
NEED: Final = {
    "h264": 1.0,
    "hevc": 0.65,
    "vp9": 0.75,
    "av1": 0.5,
    "vvc": 0.45,
    "vp8": 1.2,
    "theora": 1.6,
    "mpeg4": 1.8,
    "msmpeg4v1": 2.0,
    "msmpeg4v2": 2.0,
    "msmpeg4v3": 2.0,
    "h263": 2.0,
    "flv1": 2.0,
    "mpeg2video": 2.2,
    "mpeg1video": 2.5,
    "vc1": 1.2,
    "wmv3": 1.3,
}
_VERY_LOW, _LOW, _WASTE = 0.020, 0.040, 0.60


class Quality(msgspec.Struct, frozen=True):
    """The rating. `tier` is the resolution class ("1080p"), `warnings` sentences without full stops."""

    rating: str = ""
    tier: str = ""
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """ "High (1080p)"; "" when there is nothing to rate."""
        return f"{self.rating} ({_LABELS.get(self.tier, self.tier)})" if self.rating else ""


def resolution_class(width: int, height: int) -> str:
    """The class of a shown size: "8K" to "240p"; "" for no size."""
    if width <= 0 or height <= 0:
        return ""
    long, short = max(width, height), min(width, height)
    return next((name for name, wide, tall in _CLASSES if long >= wide or short >= tall), "240p")


def sharpness(video: VideoFacts) -> float | None:
    """Bits per pixel in H.264 terms, scaled to 720p25; None for lossless and unknown codecs or unknown rates."""
    need = NEED.get(video.codec)
    if need is None or video.bit_rate is None or not video.fps or not video.width or not video.height:
        return None
    pixels = video.coded_width * video.coded_height
    per_pixel = video.bit_rate.value / need / (pixels * video.fps)
    return float(per_pixel * (pixels / 921600) ** 0.25 * (video.fps / 25) ** 0.3)


def rate(facts: MediaFacts) -> Quality:
    """Rate a file. Sound and pictures get no rating, only warnings."""
    video = facts.main_video if facts.kind is Kind.VIDEO else None
    if video is None:
        return Quality(warnings=tuple(_file_warnings(facts)))
    tier = resolution_class(video.width, video.height)
    reasons = [f"{video.width}x{video.height} is of the {_LABELS.get(tier, tier)} class"] if tier else []
    reasons += _video_remarks(video)
    return Quality(
        rating=_WORDS.get(tier, ""),
        tier=tier,
        reasons=tuple(reasons),
        warnings=(*_file_warnings(facts), *_rate_warnings(video), *_audio_warnings(facts)),
    )


def _video_remarks(video: VideoFacts) -> list[str]:
    found = []
    if video.hdr is not Hdr.NONE:
        found.append(f"high dynamic range: {video.hdr.value}")
    if video.variable:
        found.append(f"the frame rate varies: {frames_per_second(video)}")
    if video.interlaced:
        found.append("interlaced")
    if video.bit_rate is not None and video.bit_rate.approximate:
        found.append("the video bit rate is estimated")
    return found


def _rate_warnings(video: VideoFacts) -> list[str]:
    value = sharpness(video)
    if value is None or video.bit_rate is None:
        return []
    shown = f"{bit_rate(video.bit_rate.value)} of {codec_name(video.codec)} at {video.width}x{video.height}"
    if value < _VERY_LOW:
        return [f"Very low bitrate for this resolution ({shown})"]
    if value < _LOW:
        return [f"Low bitrate for this resolution ({shown})"]
    return [f"Bitrate far above need ({shown})"] if value > _WASTE else []


def _file_warnings(facts: MediaFacts) -> list[str]:
    state, found = facts.structure, []
    if state.state is State.TRUNCATED:
        share = f", {percent(state.present, digits=0)} of it is present" if state.present is not None else ""
        found.append(f"The file is truncated{share}" + (f": {state.note}" if state.note else ""))
    elif state.state is State.UNFINISHED:
        found.append(f"The file is unfinished: {state.note}")
    elif state.state is State.DAMAGED:
        found.append(f"The file is damaged: {state.note}")
    if facts.kind in (Kind.VIDEO, Kind.AUDIO) and facts.duration is None:
        found.append("The duration is unknown; `--deep` counts it")
    return found


def _audio_warnings(facts: MediaFacts) -> list[str]:
    if not facts.audio:
        return ["There is no audio"]
    main = facts.main_audio
    if main and main.codec == "aac" and main.channels == 2 and main.bit_rate and main.bit_rate.value < 90_000:
        if main.bit_rate.approximate or main.profile.startswith("HE"):
            return []
        return [f"Low audio bitrate ({bit_rate(main.bit_rate.value)} AAC stereo)"]
    return []
