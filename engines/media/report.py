"""Replies in the guide's layouts, made from facts alone."""

from __future__ import annotations

from collections.abc import Sequence

from engines import text
from engines.media import labels
from engines.media.facts import Kind, MediaFacts, VideoFacts
from engines.media.quality import Quality, rate
from engines.names import display
from engines.reply import Line, Reply

_FORMATS = {"mpegts": "MPEG-TS", "mpeg": "MPEG-PS", "asf": "WMV/ASF"}


def full(facts: MediaFacts) -> Reply:
    """The guide's "Media Information"."""
    lines = _head(facts, icon="clock")
    lines.append(Line("Bitrate", labels.rate(facts.bit_rate), icon="signal"))
    lines += _tag_lines(facts)
    if facts.video:
        lines += [Line(""), Line("Video Streams:" if facts.kind is Kind.VIDEO else "Picture:", icon="video")]
        for number, video in enumerate(facts.video, 1):
            lines += [Line(""), *_video(video, number)] if number > 1 else _video(video, number)
    if facts.audio:
        lines += [Line(""), Line("Audio Streams:", icon="audio")]
        for number, track in enumerate(facts.audio, 1):
            name = " - ".join(filter(None, (labels.language(track.language), track.title)))
            lines += [Line("")] if number > 1 else []
            lines.append(Line(f"Stream {number}" + (f" - {name}:" if name else ":"), indent=1))
            lines += _bullets(
                ("Codec", labels.codec(track.codec)),
                ("Channels", labels.channels(track)),
                ("Sample Rate", f"{track.sample_rate} Hz" if track.sample_rate else ""),
                ("Bitrate", labels.rate(track.bit_rate) if track.bit_rate else ""),
            )
    if facts.subtitles:
        lines += [Line(""), Line("Subtitle Streams:", icon="subtitle")]
        lines += [Line(f"{n}. {labels.subtitle(track)}", indent=1) for n, track in enumerate(facts.subtitles, 1)]
    lines += _extras(facts)
    return Reply("Media Information", [*lines, *_quality(rate(facts))], icon="chart")


def brief(facts: MediaFacts) -> Reply:
    """The guide's "Quick Media Stats"."""
    lines = [*_head(facts, icon="time"), Line("")]
    video, audio = facts.main_video, facts.main_audio
    if video is not None:
        lines.append(Line("Resolution", labels.resolution(video), icon="video"))
        lines.append(Line("Video Codec", labels.codec(video.codec), icon="codec"))
    if audio is not None:
        lines.append(Line("Audio Codec", labels.codec(audio.codec), icon="audio"))
        lines.append(Line("Channels", labels.channels(audio), icon="channels"))
    return Reply("Quick Media Stats", [*lines, *_quality(rate(facts))], icon="chart")


def table(rows: Sequence[tuple[str, MediaFacts | str]], *, folder: str) -> Reply:
    """One line a file of a folder: size, duration, picture, sound, quality; or why it cannot be read."""
    lines = [Line("Folder", display(folder), icon="file"), Line("Files", str(len(rows)), icon="chart"), Line("")]
    readable = [facts for _, facts in rows if isinstance(facts, MediaFacts)]
    for name, facts in rows:
        lines.append(Line(display(name, limit=120), icon="video"))
        lines.append(Line(_row(facts) if isinstance(facts, MediaFacts) else f"! {facts}", indent=1))
    total = sum(facts.duration or 0 for facts in readable if facts.kind in (Kind.VIDEO, Kind.AUDIO))
    lines += [
        Line(""),
        Line("Total Duration", text.clock(total), icon="time"),
        Line("Total Size", text.size(sum(facts.size for facts in readable)), icon="disk"),
    ]
    return Reply("Media Information", lines, icon="chart")


def _row(facts: MediaFacts) -> str:
    video, audio, quality = facts.main_video, facts.main_audio, rate(facts)
    parts = [
        text.clock(facts.duration) if facts.duration else "",
        text.size(facts.size),
        labels.resolution(video) if video else "",
        labels.codec(video.codec) if video else "",
        f"{labels.codec(audio.codec)} {labels.channels(audio)}" if audio else "",
        quality.label,
        "; ".join(quality.warnings),
    ]
    return " | ".join(filter(None, parts))


def format_name(facts: MediaFacts) -> str:
    """ "MATROSKA", "MP4"."""
    return _FORMATS.get(facts.container, facts.container.upper())


def _head(facts: MediaFacts, *, icon: str) -> list[Line]:
    length = text.clock(facts.duration) if facts.duration else "unknown"
    found = [Line("File", facts.name, icon="file"), Line("Format", format_name(facts), icon="archive")]
    if facts.kind is not Kind.IMAGE:
        found.append(Line("Duration", length, icon=icon))
    return [*found, Line("Size", text.size(facts.size), icon="disk")]


def _tag_lines(facts: MediaFacts) -> list[Line]:
    wanted = ("title", "artist", "album", "date", "genre")
    found = [Line(name.capitalize(), facts.tags[name]) for name in wanted if facts.tags.get(name)]
    return [Line(""), *found] if found else []


def _video(video: VideoFacts, number: int) -> list[Line]:
    coded = f"{video.coded_width}x{video.coded_height}"
    stored = f"{coded}, pixel aspect {video.pixel_aspect}" if video.pixel_aspect != "1:1" else ""
    if video.rotation:
        stored = f"{stored or coded}, turned {video.rotation}°"
    space = " / ".join(dict.fromkeys(filter(None, (video.color_space, video.color_primaries, video.color_transfer))))
    return [
        Line(f"Stream {number}:", indent=1),
        *_bullets(
            ("Codec", labels.video_codec(video)),
            ("Resolution", labels.resolution(video)),
            ("Stored as", stored),
            ("Aspect Ratio", video.aspect),
            ("Scan", f"interlaced ({video.field_order})" if video.interlaced else ""),
            ("Bitrate", labels.rate(video.bit_rate) if video.bit_rate else ""),
            ("Pixel Format", video.pixel_format),
            ("Bit Depth", f"{video.bit_depth} bits" if video.bit_depth > 8 else ""),
            ("Color Space", space),
            ("Dynamic Range", _dynamic_range(video)),
        ),
    ]


def _dynamic_range(video: VideoFacts) -> str:
    if video.dolby_only:
        return f"{video.hdr.value} alone (players without it show false colours)"
    return f"{video.hdr.value} (brightest {video.max_cll.split(',')[0]} nits)" if video.max_cll else video.hdr.value


def _bullets(*pairs: tuple[str, str]) -> list[Line]:
    return [Line(label, value, indent=2, bullet=True) for label, value in pairs if value]


def _extras(facts: MediaFacts) -> list[Line]:
    lines: list[Line] = []
    if facts.chapters:
        lines += [Line(""), Line("Chapters:", icon="chart")]
        lines += [
            Line(f"{n}. {text.clock(chapter.start)} {chapter.title}".rstrip(), indent=1)
            for n, chapter in enumerate(facts.chapters, 1)
        ]
    if facts.attachments or facts.covers:
        lines += [Line(""), Line("Attachments:", icon="file")]
        lines += [Line("Cover picture", indent=1, bullet=True)] * facts.covers
        lines += [Line(" ".join(filter(None, (a.name, a.type))), indent=1, bullet=True) for a in facts.attachments]
    return lines


def _quality(quality: Quality) -> list[Line]:
    lines = [Line("Quality", quality.label, icon="star")] if quality.label else []
    lines += [Line(warning, icon="warning") for warning in quality.warnings]
    return [Line(""), *lines] if lines else []
