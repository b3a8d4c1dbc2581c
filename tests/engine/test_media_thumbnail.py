"""Thumbnails come out for any moment of any file that can be decoded, right way up and in shape."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from PIL import Image, ImageStat

from engines import operations
from engines.errors import TaskdeckError
from engines.job import Stop, Stopped
from engines.media.thumbnail import ThumbnailResult, run
from engines.media.tools import PYAV, bundled
from engines.operations import Conflict, PictureFormat, Thumbnail
from engines.paths import from_uri
from engines.settings import MediaSettings, Settings
from tests.support.jobs import RecordingJob
from tests.support.media_corpus import STRANGE_NAMES, corpus, ffmpeg, own_cache

__all__ = ["corpus", "own_cache"]


def shoot(corpus: Path, tmp_path: Path, name: str, **fields: object) -> tuple[ThumbnailResult, Image.Image]:
    source = tmp_path / name
    shutil.copy(corpus / name, source)
    op = msgspec.convert({"op": "thumbnail", "path": str(source), **fields}, Thumbnail)
    job = RecordingJob(tmp_path)
    result = run(op, job)
    assert job.claimed == set()
    assert [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []
    picture = Image.open(from_uri(result.path))
    picture.load()
    return result, picture


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("h264_aac.mp4", (160, 90)),
        ("rotated90.mp4", (90, 160)),
        ("anamorphic.mp4", (320, 180)),
        ("interlaced.ts", (320, 180)),
        ("hdv_1440x1080.mp4", (320, 180)),
        ("scope_1920x800.mp4", (320, 134)),
        ("vertical_1080x1920.mp4", (320, 568)),
        ("hdr10.mkv", (160, 90)),
        ("audio_cover.mp3", (320, 320)),
        ("coverfirst.mp4", (160, 90)),
        ("trunc.mkv", (160, 90)),
        ("raw.h264", (160, 90)),
        ("plain.wmv", (160, 120)),
        ("anim.gif", (64, 64)),
        ("image.png", (320, 320)),
    ],
)
def test_picture_has_the_shape_a_player_shows(corpus: Path, tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    _, picture = shoot(corpus, tmp_path, name)
    assert picture.format == "JPEG"
    assert abs(picture.width - size[0]) <= 2
    assert abs(picture.height - size[1]) <= 2


@pytest.mark.parametrize("at", ["0", "00:00:01", "1.99", "00:01:00", "auto"])
@pytest.mark.parametrize("name", ["h264_aac.mp4", "plain.ts", "nodur_live.mkv"])
def test_never_empty_whatever_the_moment(corpus: Path, tmp_path: Path, name: str, at: str) -> None:
    result, _ = shoot(corpus, tmp_path, name, timestamp=at)
    assert 0 <= result.timestamp <= 2.1


def test_key_frame_reports_its_own_time_and_exact_decodes_to_the_asked_one(corpus: Path, tmp_path: Path) -> None:
    near, _ = shoot(corpus, tmp_path, "h264_aac.mp4", timestamp="0.9")
    exact, _ = shoot(corpus, tmp_path, "h264_aac.mp4", timestamp="0.9", exact=True, output=str(tmp_path / "e.jpg"))
    assert near.timestamp == pytest.approx(0, abs=0.01)
    assert exact.timestamp == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize("form", list(PictureFormat))
def test_formats(corpus: Path, tmp_path: Path, form: PictureFormat) -> None:
    result, picture = shoot(corpus, tmp_path, "h264_aac.mp4", format=form.value)
    assert picture.format == {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[form.value]
    assert result.path.endswith(f"h264_aac.thumb.{form.value}")


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_strange_names(corpus: Path, tmp_path: Path, name: str) -> None:
    shoot(corpus, tmp_path, name)


def test_black_start_is_skipped(tmp_path: Path) -> None:
    video = tmp_path / "late.mp4"
    ffmpeg(
        *["-f", "lavfi", "-i", "color=black:s=64x36:r=10:d=8", "-f", "lavfi", "-i", "testsrc2=s=64x36:r=10:d=4"],
        *["-filter_complex", "[0][1]concat", "-c:v", "libx264", "-preset", "ultrafast", "-g", "10"],
        video,
    )
    result = run(Thumbnail(path=str(video)), RecordingJob(tmp_path))
    assert result.timestamp > 7.5


def test_hdr_becomes_standard_range(corpus: Path, tmp_path: Path) -> None:
    _, picture = shoot(corpus, tmp_path, "hdr10.mkv", format="png")
    assert ImageStat.Stat(picture.convert("L")).stddev[0] > 30


def test_contact_sheet_has_a_tile_for_each_share(corpus: Path, tmp_path: Path) -> None:
    result, picture = shoot(corpus, tmp_path, "h264_aac.mp4", sheet="3x2")
    assert len(result.timestamps) == 6
    assert result.timestamps == sorted(result.timestamps)
    assert picture.size == (3 * 160 + 4 * 4, 2 * 90 + 3 * 4)


def test_sprite_has_a_map_of_the_whole_duration(corpus: Path, tmp_path: Path) -> None:
    result, picture = shoot(corpus, tmp_path, "h264_aac.mp4", sprite=True)
    index = Path(result.index).read_text().split("\n")
    assert index[0] == "WEBVTT"
    assert index[2] == "00:00:00.000 --> 00:00:01.001"
    assert index[3] == "h264_aac.sprite.jpg#xywh=0,0,160,90"
    assert index[5].endswith("00:00:02.002")
    assert picture.width == 320


def test_several_shots(corpus: Path, tmp_path: Path) -> None:
    result, _ = shoot(corpus, tmp_path, "h264_aac.mp4", shots=3)
    assert [Path(path).name for path in result.pictures] == [f"h264_aac.thumb-0{n}.jpg" for n in (1, 2, 3)]


def test_settings_decide_size_and_format(corpus: Path, tmp_path: Path) -> None:
    settings = Settings(media=MediaSettings(thumbnail_size="80:-1", thumbnail_format="png"))
    op = Thumbnail(path=str(corpus / "h264_aac.mp4"), output=str(tmp_path))
    result = run(op, RecordingJob(tmp_path, settings=settings))
    with Image.open(result.path) as picture:
        assert (picture.format, picture.size) == ("PNG", (80, 44))


def test_existing_picture_is_kept(corpus: Path, tmp_path: Path) -> None:
    shoot(corpus, tmp_path, "h264_aac.mp4")
    result, _ = shoot(corpus, tmp_path, "h264_aac.mp4")
    assert result.path.endswith("h264_aac.thumb (2).jpg")
    with pytest.raises(TaskdeckError, match="exists already"):
        run(Thumbnail(path=str(tmp_path / "h264_aac.mp4"), on_conflict=Conflict.FAIL), RecordingJob(tmp_path))


def test_cancelled_sheet_leaves_nothing(corpus: Path, tmp_path: Path) -> None:
    shutil.copy(corpus / "h264_aac.mp4", tmp_path)
    job = RecordingJob(tmp_path, stop_when=lambda job: Stop.CANCEL if len(job.seen) > 3 else None)
    with pytest.raises(Stopped):
        run(Thumbnail(path=str(tmp_path / "h264_aac.mp4"), sheet="4x4"), job)
    assert [entry.name for entry in tmp_path.iterdir()] == ["h264_aac.mp4"]
    assert job.claimed == set()


def test_folder_gives_a_picture_of_each_video_and_a_reason_for_the_rest(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("h264_aac.mp4", "audio.flac", "plain.ts"):
        shutil.copy(corpus / name, folder)
    op = Thumbnail(path=str(folder))
    result = run(op, RecordingJob(tmp_path))
    assert [Path(picture).name for picture in result.pictures] == ["h264_aac.thumb.jpg", "plain.thumb.jpg"]
    assert [bool(row.error) for row in result.files] == [True, False, False]
    assert "2 thumbnails" in operations.reply(op, msgspec.to_builtins(result)).title


@pytest.mark.parametrize("name", ["plain.ts", "hdr10.mkv", "raw.h264", "audio_cover.mp3"])
def test_bundled_ffmpeg_makes_pictures_too(corpus: Path, tmp_path: Path, name: str) -> None:
    settings = Settings(media=MediaSettings(ffmpeg_path=str(bundled()), ffprobe_path=PYAV))
    op = Thumbnail(path=str(corpus / name), timestamp="1.99", output=str(tmp_path), format=PictureFormat.WEBP)
    result = run(op, RecordingJob(tmp_path, settings=settings))
    with Image.open(result.path) as picture:
        assert picture.format == "WEBP"


def test_sound_without_cover_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(TaskdeckError, match="no video and no cover"):
        shoot(corpus, tmp_path, "audio.flac")


@pytest.mark.parametrize("given", ["abc", "-5", "1:2:x"])
def test_wrong_timestamp_is_refused_before_a_task_is_made(corpus: Path, given: str) -> None:
    job = RecordingJob(corpus)
    with pytest.raises(TaskdeckError, match="HH:MM:SS"):
        operations.check(Thumbnail(path=str(corpus / "h264_aac.mp4"), timestamp=given), job.policy, job.settings)


def test_reply_is_the_guides(corpus: Path, tmp_path: Path) -> None:
    shutil.copy(corpus / "h264_aac.mp4", tmp_path / "movie.mkv")
    op = Thumbnail(path=str(tmp_path / "movie.mkv"), timestamp="0")
    answer = operations.reply(op, msgspec.to_builtins(run(op, RecordingJob(tmp_path))))
    lines = answer.render(emoji=True).splitlines()
    assert lines[:4] == ["✅ Thumbnail extracted successfully!", "", "📁 Source: movie.mkv", "⏱️ Timestamp: 00:00:00"]
    assert lines[4].startswith("💾 Size: ")
    assert answer.image == str(tmp_path / "movie.thumb.jpg")
