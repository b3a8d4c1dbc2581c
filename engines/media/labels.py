"""Names of codecs, languages, layouts and numbers of media, as people write them."""

from __future__ import annotations

from typing import Final

from engines.media.facts import AudioFacts, BitRate, SubtitleFacts, VideoFacts
from engines.text import bit_rate

_CODECS: Final = {
    "h264": "H.264",
    "hevc": "HEVC",
    "av1": "AV1",
    "vp8": "VP8",
    "vp9": "VP9",
    "vvc": "VVC",
    "mpeg1video": "MPEG-1",
    "mpeg2video": "MPEG-2",
    "mpeg4": "MPEG-4",
    "msmpeg4v2": "MS MPEG-4 v2",
    "msmpeg4v3": "MS MPEG-4 v3",
    "prores": "ProRes",
    "theora": "Theora",
    "mjpeg": "JPEG",
    "aac": "AAC",
    "ac3": "AC-3",
    "eac3": "E-AC-3",
    "mp3": "MP3",
    "opus": "Opus",
    "vorbis": "Vorbis",
    "flac": "FLAC",
    "alac": "ALAC",
    "dts": "DTS",
    "truehd": "TrueHD",
    "wmav2": "WMA",
    "hdmv_pgs_subtitle": "PGS",
    "dvd_subtitle": "VOBSUB",
    "dvb_subtitle": "DVB",
}

_LANGUAGES: Final = {
    "ara": "Arabic",
    "bul": "Bulgarian",
    "cat": "Catalan",
    "ces": "Czech",
    "dan": "Danish",
    "deu": "German",
    "ell": "Greek",
    "eng": "English",
    "est": "Estonian",
    "eus": "Basque",
    "fas": "Persian",
    "fin": "Finnish",
    "fra": "French",
    "glg": "Galician",
    "heb": "Hebrew",
    "hin": "Hindi",
    "hrv": "Croatian",
    "hun": "Hungarian",
    "ind": "Indonesian",
    "isl": "Icelandic",
    "ita": "Italian",
    "jpn": "Japanese",
    "kor": "Korean",
    "lav": "Latvian",
    "lit": "Lithuanian",
    "msa": "Malay",
    "nld": "Dutch",
    "nor": "Norwegian",
    "pol": "Polish",
    "por": "Portuguese",
    "ron": "Romanian",
    "rus": "Russian",
    "slk": "Slovak",
    "slv": "Slovenian",
    "spa": "Spanish",
    "srp": "Serbian",
    "swe": "Swedish",
    "tam": "Tamil",
    "tel": "Telugu",
    "tha": "Thai",
    "tur": "Turkish",
    "ukr": "Ukrainian",
    "urd": "Urdu",
    "vie": "Vietnamese",
    "zho": "Chinese",
}

# ISO 639-1 and the bibliographic codes of ISO 639-2, to the terminological ones above.
_SAME: Final = {
    "ar": "ara",
    "bg": "bul",
    "ca": "cat",
    "cs": "ces",
    "cze": "ces",
    "da": "dan",
    "de": "deu",
    "ger": "deu",
    "el": "ell",
    "gre": "ell",
    "en": "eng",
    "et": "est",
    "eu": "eus",
    "baq": "eus",
    "fa": "fas",
    "per": "fas",
    "fi": "fin",
    "fr": "fra",
    "fre": "fra",
    "gl": "glg",
    "he": "heb",
    "hi": "hin",
    "hr": "hrv",
    "hu": "hun",
    "id": "ind",
    "is": "isl",
    "ice": "isl",
    "it": "ita",
    "ja": "jpn",
    "ko": "kor",
    "lv": "lav",
    "lt": "lit",
    "ms": "msa",
    "may": "msa",
    "nl": "nld",
    "dut": "nld",
    "no": "nor",
    "nb": "nor",
    "nob": "nor",
    "pl": "pol",
    "pt": "por",
    "ro": "ron",
    "rum": "ron",
    "ru": "rus",
    "sk": "slk",
    "slo": "slk",
    "sl": "slv",
    "es": "spa",
    "sr": "srp",
    "sv": "swe",
    "ta": "tam",
    "te": "tel",
    "th": "tha",
    "tr": "tur",
    "uk": "ukr",
    "ur": "urd",
    "vi": "vie",
    "zh": "zho",
    "chi": "zho",
}


def codec(name: str) -> str:
    """ "h264" -> "H.264"; an unknown codec in capitals."""
    if name.startswith("pcm_"):
        return "PCM"
    return _CODECS.get(name, name.upper())


def language_code(tag: str) -> str:
    """The ISO 639-2 code of "en", "eng", "en-US" or "English"; what is not known stays as it is, lower case."""
    word = tag.strip().lower()
    base = word.replace("_", "-").split("-")[0]
    base = _SAME.get(base, base)
    if base in _LANGUAGES:
        return base
    return next((code for code, name in _LANGUAGES.items() if name.lower() == word), word)


def language(tag: str) -> str:
    """ "eng" -> "English"; "" for none; an unknown code as it is."""
    return _LANGUAGES.get(language_code(tag), tag)


def rate(value: BitRate | None) -> str:
    """ "3.8 Mbps", "≈ 3.8 Mbps" when estimated, "unknown"."""
    if value is None:
        return "unknown"
    return f"{'≈ ' if value.approximate else ''}{bit_rate(value.value)}"


def frames_per_second(video: VideoFacts) -> str:
    """ "23.976 FPS", "35.745 FPS (variable, up to 60)", "" when unknown."""
    if video.fps is None:
        return ""
    if video.fps_peak is not None:
        return f"{_short(video.fps)} FPS (variable, up to {_short(video.fps_peak)})"
    return f"{_short(video.fps)} FPS"


def resolution(video: VideoFacts) -> str:
    """ "1920x1080 @ 23.976 FPS", as shown."""
    if not video.width or not video.height:
        return "unknown"
    rate_text = frames_per_second(video)
    return f"{video.width}x{video.height}" + (f" @ {rate_text}" if rate_text else "")


def channels(audio: AudioFacts) -> str:
    """ "6 (5.1)", "2 (Stereo)"."""
    if not audio.channels:
        return "unknown"
    word = audio.layout.removesuffix("(side)").removesuffix("(back)")
    word = word.capitalize() if word in ("mono", "stereo") else word
    return f"{audio.channels} ({word})" if word else str(audio.channels)


def video_codec(video: VideoFacts) -> str:
    """ "H.264 (High Profile)", "VP9 (Profile 0)"."""
    profile = video.profile if video.profile.startswith("Profile") else f"{video.profile} Profile"
    return f"{codec(video.codec)} ({profile})" if video.profile else codec(video.codec)


def subtitle(track: SubtitleFacts) -> str:
    """ "SUBRIP - Spanish [FORCED]", "ASS - English (Styled)"."""
    text = f"{codec(track.codec)} - {language(track.language) or '—'}"
    if track.styled:
        text += " (Styled)"
    if track.hearing_impaired:
        text += " [SDH]"
    return text + (" [FORCED]" if track.forced else "")


def _short(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
