"""The guide's `MediaInfoExtractor`: dictionaries and texts over the media engine.

Calls run in threads of this process. `format_info` is synchronous, as the guide's class shows it, and awaiting
its result also works, as the guide's integration snippet does.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec

from engines.errors import TaskdeckError
from engines.media import labels, report
from engines.media.facts import MediaFacts
from engines.media.probe import probe
from engines.media.quality import rate
from engines.media.runner import Runner
from engines.media.shot import DEFAULT_AT, Film, Look, clamp, require_picture, take
from engines.media.thumbnail import moment
from engines.media.tools import find
from engines.model import Json
from engines.settings import Settings


class Text(str):
    """A string that can be awaited."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, str]:
        yield from ()
        return str(self)


class MediaInfoExtractor:
    """Facts, texts, ratings and thumbnails of media files.

    Args:
        settings: Which ffmpeg to use, and the size of thumbnails; the defaults without.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()

    async def get_media_info(self, file_path: str | os.PathLike[str]) -> Json | None:
        """Everything known about a file; None when it is no media that can be read.

        Returns:
            `format`, `duration` (seconds), `size` (bytes), `bitrate` (bits a second), `video_streams`,
            `audio_streams`, `subtitle_streams` (lists of dictionaries), `chapters`, `metadata` (tags) and `facts`,
            which the other methods read.
        """
        try:
            facts = await asyncio.to_thread(self._probe, Path(file_path))
        except TaskdeckError:
            return None
        return {
            "file_name": facts.name,
            "format": report.format_name(facts),
            "duration": facts.duration,
            "size": facts.size,
            "bitrate": facts.bit_rate.value if facts.bit_rate else None,
            "video_streams": [_video(msgspec.to_builtins(stream), stream.codec) for stream in facts.video],
            "audio_streams": [_stream(msgspec.to_builtins(stream), stream.codec) for stream in facts.audio],
            "subtitle_streams": [_stream(msgspec.to_builtins(stream), stream.codec) for stream in facts.subtitles],
            "chapters": msgspec.to_builtins(facts.chapters),
            "metadata": dict(facts.tags),
            "facts": msgspec.to_builtins(facts),
        }

    def format_info(self, media_info: Json, detailed: bool = True) -> Text:
        """The guide's full report, or its brief one; the result may also be awaited."""
        facts = _facts(media_info)
        return Text((report.full(facts) if detailed else report.brief(facts)).render(emoji=True))

    def get_quality_rating(self, media_info: Json) -> str:
        """ "High (1080p)", with warnings behind it; "" for what has no picture."""
        quality = rate(_facts(media_info))
        return "; ".join(filter(None, (quality.label, *quality.warnings)))

    async def extract_thumbnail(
        self,
        file_path: str | os.PathLike[str],
        output_path: str | os.PathLike[str],
        timestamp: str | float = DEFAULT_AT,
    ) -> bool:
        """Write the picture at "HH:MM:SS" or a number of seconds; False when there is none to be had."""
        try:
            at = float(timestamp) if isinstance(timestamp, int | float) else moment(timestamp)
            await asyncio.to_thread(self._thumbnail, Path(file_path), Path(output_path), at)
        except (TaskdeckError, OSError):
            return False
        return True

    def _probe(self, path: Path) -> MediaFacts:
        tools = find(self._settings.media)
        return probe(Runner(), tools, path, timeout=self._settings.media.probe_timeout)

    def _thumbnail(self, path: Path, target: Path, at: float) -> None:
        tools, facts = find(self._settings.media), self._probe(path)
        require_picture(facts)
        form = target.suffix.lower().lstrip(".")
        form = form if form in ("png", "webp") else "jpg"
        width, _, height = self._settings.media.thumbnail_size.partition(":")
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            look = Look(form, int(width), int(height or -1))
            take(Film(Runner(), tools, path, facts), clamp(at, facts), part, look)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)


def _facts(media_info: Json) -> MediaFacts:
    return msgspec.convert(media_info["facts"], MediaFacts)


def _stream(fields: Json, codec: str) -> Json:
    rate_of = fields.get("bit_rate")
    return {
        **fields,
        "codec": codec,
        "codec_label": labels.codec(codec),
        "bitrate": rate_of["value"] if rate_of else None,
        "language_label": labels.language(fields.get("language", "")),
    }


def _video(fields: Json, codec: str) -> Json:
    return {**_stream(fields, codec), "resolution": f"{fields['width']}x{fields['height']}"}
