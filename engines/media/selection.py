"""Which tracks of a file are meant: by language, under any of its names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from engines.media import labels
from engines.media.facts import AudioFacts, SubtitleFacts

Track = TypeVar("Track", AudioFacts, SubtitleFacts)


def by_language(tracks: Sequence[Track], wanted: tuple[str, ...], what: str) -> tuple[tuple[Track, ...], list[str]]:
    """The tracks of the wanted languages and notes; all tracks when none is named or none matches."""
    if not wanted or "all" in wanted:
        return tuple(tracks), []
    if "none" in wanted:
        return (), []
    codes = {labels.language_code(word) for word in wanted}
    kept = tuple(track for track in tracks if labels.language_code(track.language) in codes)
    if tracks and not kept:
        return tuple(tracks), [f"no {what} in {', '.join(sorted(codes))}: all are kept"]
    return kept, []
