"""Reports follow the guide's layouts to the letter."""

from __future__ import annotations

from engines.media.facts import AudioFacts, BitRate, Chapter, Kind, MediaFacts, SubtitleFacts, VideoFacts
from engines.media.report import brief, full, table

MOVIE = MediaFacts(
    name="movie.mkv",
    kind=Kind.VIDEO,
    container="matroska",
    size=4_850_000_000,
    duration=8130.0,
    bit_rate=BitRate(4_200_000),
    video=[
        VideoFacts(
            index=0,
            codec="h264",
            profile="High",
            width=1920,
            height=1080,
            coded_width=1920,
            coded_height=1080,
            aspect="16:9",
            fps=24000 / 1001,
            bit_rate=BitRate(3_800_000),
            pixel_format="yuv420p",
            color_space="bt709",
            default=True,
        )
    ],
    audio=[
        AudioFacts(
            index=1, codec="aac", channels=6, layout="5.1", sample_rate=48000, bit_rate=BitRate(320_000), language="eng"
        ),
        AudioFacts(
            index=2,
            codec="aac",
            channels=2,
            layout="stereo",
            sample_rate=48000,
            bit_rate=BitRate(128_000),
            language="spa",
        ),
    ],
    subtitles=[
        SubtitleFacts(index=3, codec="subrip", language="eng"),
        SubtitleFacts(index=4, codec="subrip", language="spa", forced=True),
        SubtitleFacts(index=5, codec="ass", language="eng", styled=True),
    ],
)

FULL = """📊 Media Information

📁 File: movie.mkv
📦 Format: MATROSKA
⏱ Duration: 02:15:30
💾 Size: 4.85 GB
📡 Bitrate: 4.2 Mbps

🎬 Video Streams:
  Stream 1:
    • Codec: H.264 (High Profile)
    • Resolution: 1920x1080 @ 23.976 FPS
    • Aspect Ratio: 16:9
    • Bitrate: 3.8 Mbps
    • Pixel Format: yuv420p
    • Color Space: bt709

🔊 Audio Streams:
  Stream 1 - English:
    • Codec: AAC
    • Channels: 6 (5.1)
    • Sample Rate: 48000 Hz
    • Bitrate: 320 Kbps

  Stream 2 - Spanish:
    • Codec: AAC
    • Channels: 2 (Stereo)
    • Sample Rate: 48000 Hz
    • Bitrate: 128 Kbps

💬 Subtitle Streams:
  1. SUBRIP - English
  2. SUBRIP - Spanish [FORCED]
  3. ASS - English (Styled)

⭐ Quality: High (1080p)"""

BRIEF = """📊 Quick Media Stats

📁 File: movie.mkv
📦 Format: MATROSKA
⏱️ Duration: 02:15:30
💾 Size: 4.85 GB

🎬 Resolution: 1920x1080 @ 23.976 FPS
📹 Video Codec: H.264
🔊 Audio Codec: AAC
🎙️ Channels: 6 (5.1)

⭐ Quality: High (1080p)"""


def test_full_report_is_the_guides_sample() -> None:
    assert full(MOVIE).render(emoji=True) == FULL


def test_brief_report_is_the_guides_sample() -> None:
    assert brief(MOVIE).render(emoji=True) == BRIEF


def test_terminal_report_has_no_wide_glyphs() -> None:
    assert full(MOVIE).render(emoji=False).replace("—", "-").isascii()


def test_estimates_are_marked() -> None:
    import msgspec

    guessed = msgspec.structs.replace(MOVIE.video[0], bit_rate=BitRate(3_800_000, approximate=True))
    text = full(msgspec.structs.replace(MOVIE, video=[guessed])).render(emoji=True)
    assert "Bitrate: ≈ 3.8 Mbps" in text


def test_table_names_what_cannot_be_read() -> None:
    text = table([("a.mkv", MOVIE), ("b.mkv", "cannot read 'b.mkv': the file is empty.")], folder="films")
    lines = text.render(emoji=False).splitlines()
    assert "  02:15:30 | 4.85 GB | 1920x1080 @ 23.976 FPS | H.264 | AAC 6 (5.1) | High (1080p)" in lines
    assert "  ! cannot read 'b.mkv': the file is empty." in lines
    assert "Total Duration: 02:15:30" in lines


def test_chapters_and_covers_are_listed() -> None:
    import msgspec

    facts = msgspec.structs.replace(MOVIE, chapters=[Chapter(0, 61, "Intro"), Chapter(61, 90, "")], covers=1)
    text = full(facts).render(emoji=False)
    assert "  1. 00:00:00 Intro\n  2. 00:01:01\n" in text
    assert "- Cover picture" in text
