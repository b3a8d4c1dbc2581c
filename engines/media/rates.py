"""Bit rates that no header tells: what is left for the video after the audio, and the audio's by a sample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from engines.media.facts import AudioFacts, BitRate, Kind, MediaFacts
from engines.media.structure import State, Structure

_LOSSLESS: Final = frozenset({"alac", "ape", "flac", "mlp", "truehd", "tta", "wavpack"})
_GUESSED: Final = 0.15
# The largest share of unknown audio in what a video rate is estimated from: real tracks are within half and twice.
_STATED: Final = frozenset({"mp4", "matroska", "webm"})
# Their headers state the duration; that of others ffprobe measures by what is there.
_PLACE: Final = 0.4
_SAMPLE: Final = 6.0


class Packet(msgspec.Struct, frozen=True, array_like=True):
    """One packet: time and length in seconds, bytes."""

    stream: int
    pts: float | None
    length: float
    key: bool
    size: int


def declared_size(size: int, structure: Structure) -> float:
    """The bytes that the stated duration stands for: of a file whose end is missing, the bytes it should have."""
    cut = structure.state is State.TRUNCATED and structure.container in _STATED
    return size / structure.present if cut and structure.present else size


def remainder(size: float, duration: float | None, audio: Sequence[AudioFacts]) -> BitRate | None:
    """What a file's rate leaves for its video.

    None where audio of unknown rate is so large a part that the rest would be a guess.
    """
    if not duration:
        return None
    left = size * 8 / duration - sum(track.bit_rate.value for track in audio if track.bit_rate)
    unknown = sum(_usual(track) for track in audio if track.bit_rate is None)
    return BitRate(round(left - unknown), approximate=True) if left > 0 and unknown <= left * _GUESSED else None


def _usual(track: AudioFacts) -> float:
    """What audio of a codec mostly takes, in bits a second."""
    if track.codec in _LOSSLESS or track.codec.startswith("pcm"):
        return track.channels * track.sample_rate * 16 * 0.6
    return track.channels * 64_000


def wanted(facts: MediaFacts) -> tuple[float, float] | None:
    """The span (begin and length in seconds) to sample when the video's rate cannot be told without the audio's."""
    video = facts.main_video
    if facts.kind is not Kind.VIDEO or video is None or video.bit_rate is not None or not facts.duration:
        return None
    if all(track.bit_rate for track in facts.audio):
        return None
    there = facts.size / declared_size(facts.size, facts.structure)
    return facts.start + facts.duration * there * _PLACE, _SAMPLE


def with_sample(facts: MediaFacts, packets: Iterable[Packet]) -> MediaFacts:
    """The facts with the audio's rates by a sample of packets, and with what they leave for the video."""
    rows: dict[int, list[Packet]] = {}
    for packet in packets:
        if packet.pts is not None:
            rows.setdefault(packet.stream, []).append(packet)
    audio = [
        track if track.bit_rate else msgspec.structs.replace(track, bit_rate=_measured(rows.get(track.index, [])))
        for track in facts.audio
    ]
    rest = remainder(declared_size(facts.size, facts.structure), facts.duration, audio)
    video = [msgspec.structs.replace(stream, bit_rate=stream.bit_rate or rest) for stream in facts.video]
    return msgspec.structs.replace(facts, audio=audio, video=video)


def _measured(row: Sequence[Packet]) -> BitRate | None:
    times = [packet.pts for packet in row if packet.pts is not None]
    length = max(times) - min(times) if times else 0.0
    # The last packet begins where the measured time ends.
    return BitRate(round(sum(packet.size for packet in row[:-1]) * 8 / length), approximate=True) if length else None
