"""The guide's rating: by resolution class, with warnings by bits per pixel and codec."""

from __future__ import annotations

import pytest

from engines.media.facts import AudioFacts, BitRate, Kind, MediaFacts, VideoFacts
from engines.media.quality import rate, resolution_class
from engines.media.structure import State, Structure


def movie(width: int = 1920, height: int = 1080, codec: str = "h264", bits: int = 3_800_000) -> MediaFacts:
    video = VideoFacts(
        index=0,
        codec=codec,
        width=width,
        height=height,
        coded_width=width,
        coded_height=height,
        fps=23.976,
        bit_rate=BitRate(bits),
    )
    track = AudioFacts(index=1, codec="aac", channels=2, bit_rate=BitRate(128_000))
    return MediaFacts(
        name="a", kind=Kind.VIDEO, container="mp4", size=1000, duration=10.0, video=[video], audio=[track]
    )


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (7680, 4320, "8K"),
        (3840, 2160, "2160p"),
        (4096, 1716, "2160p"),
        (2560, 1440, "1440p"),
        (1920, 1080, "1080p"),
        (1920, 800, "1080p"),
        (1080, 1920, "1080p"),
        (1280, 720, "720p"),
        (1280, 536, "720p"),
        (1024, 576, "576p"),
        (854, 480, "480p"),
        (720, 480, "480p"),
        (640, 360, "360p"),
        (320, 240, "240p"),
        (0, 0, ""),
    ],
)
def test_class_looks_at_both_sides(width: int, height: int, expected: str) -> None:
    assert resolution_class(width, height) == expected


@pytest.mark.parametrize(
    ("size", "label"),
    [
        ((3840, 2160), "Excellent (4K)"),
        ((1920, 1080), "High (1080p)"),
        ((1280, 720), "Medium (720p)"),
        ((1024, 576), "Low (576p)"),
        ((640, 480), "Very Low (480p)"),
    ],
)
def test_words_of_the_guide(size: tuple[int, int], label: str) -> None:
    assert rate(movie(*size)).label == label


def test_sample_of_the_guide_has_no_warning() -> None:
    assert rate(movie()).warnings == ()


def test_low_bitrate_is_judged_by_codec() -> None:
    starved = 900_000
    assert any("low bitrate" in text.lower() for text in rate(movie(bits=starved)).warnings)
    assert rate(movie(codec="av1", bits=starved * 2)).warnings == ()
    assert "Very low bitrate" in rate(movie(bits=300_000)).warnings[0]


def test_waste_is_named() -> None:
    assert "far above need" in rate(movie(bits=200_000_000)).warnings[0]


def test_lossless_codecs_are_not_judged_by_bits() -> None:
    assert rate(movie(codec="ffv1", bits=900_000_000)).warnings == ()


def test_sound_has_no_rating() -> None:
    song = MediaFacts(name="a", kind=Kind.AUDIO, container="mp3", size=1, duration=3.0, covers=1)
    assert rate(song).label == ""


def test_truncated_file_says_how_much_is_there() -> None:
    facts = MediaFacts(
        name="a",
        kind=Kind.AUDIO,
        container="wav",
        size=1,
        duration=1.0,
        structure=Structure(State.TRUNCATED, "wav", 0.6),
    )
    assert rate(facts).warnings[0] == "The file is truncated, 60% of it is present"
