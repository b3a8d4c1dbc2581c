"""The guide's own snippets for `MediaInfoExtractor` pass."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from engines.compat import MediaInfoExtractor
from tests.support.media_corpus import corpus, own_cache

__all__ = ["corpus", "own_cache"]


@pytest.fixture
def media_info_extractor() -> MediaInfoExtractor:
    return MediaInfoExtractor()


async def test_media_info(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, media_info_extractor: MediaInfoExtractor
) -> None:
    shutil.copy(corpus / "h264_aac.mp4", tmp_path / "test.mp4")
    monkeypatch.chdir(tmp_path)
    info = await media_info_extractor.get_media_info("test.mp4")
    assert info is not None
    assert len(info["video_streams"]) > 0
    assert info["video_streams"][0]["resolution"] == "160x90"
    assert info["audio_streams"][0]["codec"] == "aac"


async def test_format_info_is_a_text_and_can_be_awaited(corpus: Path, media_info_extractor: MediaInfoExtractor) -> None:
    info = await media_info_extractor.get_media_info(corpus / "multi.mkv")
    assert info is not None
    text = media_info_extractor.format_info(info)
    assert text.startswith("📊 Media Information\n\n📁 File: multi.mkv\n")
    brief = await media_info_extractor.format_info(info, detailed=False)
    assert brief.startswith("📊 Quick Media Stats")


async def test_quality_rating(corpus: Path, media_info_extractor: MediaInfoExtractor) -> None:
    info = await media_info_extractor.get_media_info(corpus / "hdv_1440x1080.mp4")
    assert info is not None
    assert media_info_extractor.get_quality_rating(info).startswith("High (1080p)")


async def test_what_is_no_media_gives_none(corpus: Path, media_info_extractor: MediaInfoExtractor) -> None:
    assert await media_info_extractor.get_media_info(corpus / "random.mkv") is None
    assert await media_info_extractor.get_media_info(corpus / "absent.mkv") is None


async def test_thumbnail(corpus: Path, tmp_path: Path, media_info_extractor: MediaInfoExtractor) -> None:
    target = tmp_path / "a.jpg"
    assert await media_info_extractor.extract_thumbnail(corpus / "h264_aac.mp4", target, "00:00:30")
    with Image.open(target) as picture:
        assert picture.size == (160, 90)
    assert not await media_info_extractor.extract_thumbnail(corpus / "audio.flac", tmp_path / "b.jpg")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.jpg"]
