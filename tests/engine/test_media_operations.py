"""Remux, metadata, tests and the smaller media operations, on real files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image

from engines import operations
from engines.errors import TaskdeckError
from engines.job import Stop, Stopped
from engines.media.facts import MediaFacts
from engines.media.metadata import chapter_file
from engines.media.probe import packets, probe
from engines.media.rates import Packet
from engines.media.runner import Runner
from engines.media.split import points
from engines.media.tools import find
from engines.settings import MediaSettings
from tests.support.jobs import RecordingJob
from tests.support.media_corpus import STRANGE_NAMES, corpus, ffmpeg, own_cache

__all__ = ["corpus", "own_cache"]
RUNS, TOOLS = Runner(), find(MediaSettings())


def do(tmp_path: Path, op: str, path: Path, *, job: RecordingJob | None = None, **fields: Any) -> Any:
    """Check, run and describe an operation the way a task does; nothing temporary may stay."""
    job = job or RecordingJob(tmp_path)
    struct = msgspec.convert({"op": op, "path": str(path), **fields}, operations.spec_of(op).struct)
    operations.check(struct, job.policy, job.settings)
    result = operations.load(operations.spec_of(op).run)(struct, job)
    assert operations.reply(struct, msgspec.to_builtins(result)).render(emoji=False)
    assert job.claimed == set()
    assert [entry.name for entry in path.parent.iterdir() if entry.name.startswith(".")] == []
    return result


@pytest.fixture
def take(corpus: Path, tmp_path: Path) -> Any:
    def copy(name: str) -> Path:
        return Path(shutil.copy(corpus / name, tmp_path / name))

    return copy


def facts_of(path: str | Path) -> MediaFacts:
    return probe(RUNS, TOOLS, Path(path))


# Remux


@pytest.mark.parametrize(
    ("name", "container", "kept"),
    [
        ("multi.mkv", "mp4", (1, 2, 3)),
        ("multi.mkv", "ts", (1, 2, 0)),
        ("multi.mp4", "mkv", (1, 2, 2)),
        ("plain.avi", "mkv", (1, 1, 0)),
        ("plain.ts", "mp4", (1, 1, 0)),
        ("vp9_opus.webm", "mp4", (1, 1, 0)),
        ("audio_cover.m4a", "mp4", (0, 1, 0)),
        ("h265_aac.mp4", "mkv", (1, 1, 0)),
        ("plain.flv", "mov", (1, 1, 0)),
        ("av1_opus.mkv", "webm", (1, 1, 0)),
    ],
)
def test_remux_keeps_what_the_container_holds(
    take: Any, tmp_path: Path, name: str, container: str, kept: tuple[int, int, int]
) -> None:
    result = do(tmp_path, "remux", take(name), container=container)
    facts = facts_of(result.path)
    assert (len(facts.video), len(facts.audio), len(facts.subtitles)) == kept


def test_remux_plan_says_what_would_be_lost_and_writes_nothing(take: Any, tmp_path: Path) -> None:
    source = take("multi.mkv")
    result = do(tmp_path, "remux", source, container="mp4", plan=True)
    assert [(fate.kind, fate.action.value) for fate in result.fates] == [
        ("video", "copy"),
        ("audio", "copy"),
        ("audio", "copy"),
        *[("subtitle", "convert")] * 3,
    ]
    assert "styles are lost" in result.fates[-1].reason
    assert list(tmp_path.iterdir()) == [source]


def test_remux_that_would_lose_the_picture_is_refused(take: Any, tmp_path: Path) -> None:
    with pytest.raises(TaskdeckError, match="cannot hold MS MPEG-4") as caught:
        do(tmp_path, "remux", take("plain.wmv"), container="mp4")
    assert caught.value.code == "unsupported"


def test_remux_carries_chapters_and_titles(take: Any, tmp_path: Path) -> None:
    facts = facts_of(do(tmp_path, "remux", take("multi.mkv"), container="mp4").path)
    assert [chapter.title for chapter in facts.chapters] == ["Intro", "Глава 2"]
    assert facts.tags["title"] == 'Movie & "Title" <x>'


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_remux_of_strange_names(take: Any, tmp_path: Path, name: str) -> None:
    do(tmp_path, "remux", take(name))
    assert len(list(tmp_path.iterdir())) == 2


# Metadata


@pytest.mark.parametrize(
    "name",
    ["audio_cbr.mp3", "audio.flac", "audio.opus", "audio.m4a", "h264_aac.mp4", "multi.mkv", "plain.wmv", "audio.wav"],
)
def test_tags_are_changed_and_the_rest_stays(take: Any, tmp_path: Path, name: str) -> None:
    source = take(name)
    before = facts_of(source)
    do(tmp_path, "metadata", source, title="Nice <b>", artist="Ünï", date="2025")
    after = facts_of(source)
    assert after.tags["title"] == "Nice <b>"
    assert after.tags["artist"] == "Ünï"
    assert after.tags["date"].startswith("2025")
    assert [len(x) for x in (after.video, after.audio, after.subtitles, after.chapters)] == [
        len(x) for x in (before.video, before.audio, before.subtitles, before.chapters)
    ]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "name", ["audio_cbr.mp3", "audio.flac", "audio.opus", "audio.m4a", "h264_aac.mp4", "multi.mkv"]
)
def test_cover_is_added_and_is_no_video(take: Any, corpus: Path, tmp_path: Path, name: str) -> None:
    source = take(name)
    before = facts_of(source)
    shutil.copy(corpus / "cover.jpg", tmp_path)
    do(tmp_path, "metadata", source, cover=str(tmp_path / "cover.jpg"))
    after = facts_of(source)
    assert (after.covers, len(after.video)) == (1, len(before.video))


def test_track_languages_flags_and_chapters(take: Any, tmp_path: Path) -> None:
    source = take("multi.mkv")
    (tmp_path / "list.txt").write_text("00:00:00 Start = here\n00:00:01 Ende; #2\n")
    fields: dict[str, Any] = {"language": ["a:0=de", "s:1=French"], "default": ["a:1"], "forced": ["s:0"]}
    do(tmp_path, "metadata", source, chapters=str(tmp_path / "list.txt"), **fields)
    after = facts_of(source)
    assert [(track.language, track.default) for track in after.audio] == [("deu", False), ("spa", True)]
    assert [(track.language, track.forced) for track in after.subtitles] == [
        ("eng", True),
        ("fra", False),
        ("eng", False),
    ]
    assert after.subtitles[2].hearing_impaired
    assert [(chapter.start, chapter.title) for chapter in after.chapters] == [(0, "Start = here"), (1, "Ende; #2")]
    assert after.tags["title"] == 'Movie & "Title" <x>'


def test_wrong_track_or_cover_is_refused_and_the_file_is_as_before(take: Any, tmp_path: Path) -> None:
    source = take("multi.mkv")
    before = source.read_bytes()
    for fields in ({"language": ["a:9=en"]}, {"default": ["x"]}, {"cover": str(source)}):
        with pytest.raises(TaskdeckError):
            do(tmp_path, "metadata", source, **fields)
    assert source.read_bytes() == before


def test_without_a_change_the_tags_are_shown(take: Any, tmp_path: Path) -> None:
    assert do(tmp_path, "metadata", take("audio.flac")).after["artist"] == "Artist"


def test_chapter_file_escapes_what_ffmpeg_would_read() -> None:
    assert "title=a\\=b\\;c\\#d\\\\e" in chapter_file("5 a=b;c#d\\e", 10.0)
    with pytest.raises(TaskdeckError, match="00:01:30 Title"):
        chapter_file("soon Title", 1.0)


# Test of a file


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    "name", ["h264_aac.mp4", "multi.mkv", "plain.ts", "vfr.mp4", "audio_cover.m4a", "audio_cover.mp3", "nodur_live.mkv"]
)
def test_whole_file_passes(take: Any, tmp_path: Path, name: str, full: bool) -> None:
    do(tmp_path, "mediatest", take(name), full=full)


@pytest.mark.parametrize(
    ("name", "full"),
    [("trunc_faststart.mp4", False), ("trunc.mkv", False), ("trunc.ts", False), ("bitrot.mp4", True)],
)
def test_damage_is_found(take: Any, tmp_path: Path, name: str, full: bool) -> None:
    with pytest.raises(TaskdeckError, match="is damaged") as caught:
        do(tmp_path, "mediatest", take(name), full=full)
    assert caught.value.code == "media.damaged"


def test_folder_test_names_each_damaged_file(take: Any, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("h264_aac.mp4", "trunc.mkv", "zero.mp4"):
        take(name).rename(folder / name)
    with pytest.raises(TaskdeckError, match="found damage in 2 of 3 files") as caught:
        do(tmp_path, "mediatest", folder)
    rows = msgspec.to_builtins(caught.value.result)["files"]
    assert {row["name"]: "error" in row for row in rows} == {
        "h264_aac.mp4": False,
        "trunc.mkv": True,
        "zero.mp4": True,
    }


# The smaller ones


def test_tracks_become_files(take: Any, tmp_path: Path) -> None:
    result = do(tmp_path, "tracks", take("multi.mkv"))
    names = sorted(Path(made.path).name for made in result.files)
    assert names == [
        "multi.1.eng.m4a",
        "multi.2.spa.m4a",
        "multi.3.eng.srt",
        "multi.4.spa.forced.srt",
        "multi.5.eng.sdh.ass",
    ]
    assert "Hola, mundo" in (tmp_path / "multi.4.spa.forced.srt").read_text()
    assert facts_of(tmp_path / "multi.1.eng.m4a").audio[0].channels == 6


def test_loudness_of_a_known_tone(tmp_path: Path) -> None:
    tone = tmp_path / "tone.wav"
    ffmpeg("-f", "lavfi", "-i", "sine=f=1000:r=48000:d=4,volume=-2dB,aformat=channel_layouts=stereo", tone)
    result = do(tmp_path, "loudness", tone)
    # ffmpeg's sine peaks at -18.06 dBFS, less 2 dB, less 3 dB for two channels; at 1 kHz LUFS and peak agree.
    assert result.integrated == pytest.approx(-23.07, abs=0.3)
    assert result.peak == pytest.approx(-23.07, abs=0.3)


def test_waveform_is_a_picture_of_the_wanted_size(take: Any, tmp_path: Path) -> None:
    result = do(tmp_path, "waveform", take("audio.flac"), width=300, height=60)
    with Image.open(result.path) as picture:
        assert (picture.format, picture.size) == ("PNG", (300, 60))
        assert len(picture.getcolors(100000) or []) > 1


def test_stream_hash_survives_a_remux_and_not_an_edit(take: Any, tmp_path: Path) -> None:
    first = do(tmp_path, "framehash", take("h264_ac3_51.mkv"), decoded=True)
    moved = Path(do(tmp_path, "remux", tmp_path / "h264_ac3_51.mkv", container="mp4").path)
    assert do(tmp_path, "framehash", moved, decoded=True).streams == first.streams
    assert do(tmp_path, "framehash", take("h265_aac.mp4"), decoded=True).streams != first.streams
    listed = do(tmp_path, "framehash", moved, frames=True)
    assert len(Path(listed.path).read_text().splitlines()) > 50


def test_parts_fit_and_together_hold_every_packet(tmp_path: Path) -> None:
    source = tmp_path / "100%d.mkv"
    ffmpeg(
        *["-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=8", "-f", "lavfi", "-i", "sine=d=8"],
        *["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-c:a", "ac3"],
        source,
    )
    whole = source.stat().st_size
    result = do(tmp_path, "split", source, size=str(whole // 3))
    assert len(result.parts) >= 3
    assert max(result.sizes) <= whole // 3
    counts = [len(list(packets(RUNS, TOOLS, Path(path), stream=0))) for path in result.parts]
    assert sum(counts) == 200
    assert sorted(p.name for p in tmp_path.iterdir())[1] == "100%d.part01.mkv"


def test_split_that_cannot_work_is_refused(take: Any, tmp_path: Path) -> None:
    with pytest.raises(TaskdeckError, match="needs no cutting"):
        do(tmp_path, "split", take("h264_aac.mp4"), size="1GB")
    with pytest.raises(TaskdeckError, match="key frames are too far apart"):
        points([Packet(0, n / 25, 0.04, n == 0, 100) for n in range(100)], 0, 2000)


def test_compare_tells_same_from_worse(take: Any, tmp_path: Path) -> None:
    source = take("h264_aac.mp4")
    worse = tmp_path / "worse.mp4"
    ffmpeg("-i", source, "-c:v", "libx264", "-crf", "45", "-preset", "ultrafast", worse)
    same = do(tmp_path, "compare", source, reference=str(source))
    less = do(tmp_path, "compare", worse, reference=str(source))
    assert same.ssim == 1.0
    assert less.ssim < 0.97
    assert less.psnr < same.psnr
    assert less.vmaf is None or less.vmaf < 80


def test_a_container_that_rounds_times_does_not_shift_the_pictures_compared(take: Any, tmp_path: Path) -> None:
    """multi.mkv has the very pictures of h264_aac.mp4, with times in whole milliseconds."""
    exact, rounded = take("h264_aac.mp4"), take("multi.mkv")
    assert do(tmp_path, "compare", exact, reference=str(rounded)).ssim == 1.0
    assert do(tmp_path, "compare", rounded, reference=str(exact)).ssim == 1.0


@pytest.mark.parametrize(
    ("name", "plays"),
    [
        ("h264_aac.mp4", {"browser", "telegram", "iphone", "tv", "tv4k", "chromecast"}),
        ("vp9_opus.webm", {"browser", "tv4k"}),
        ("hdr10.mkv", {"tv4k"}),
        ("dolby.mp4", {"iphone", "tv4k"}),
        ("dolby5.mp4", {"iphone"}),
        ("multi.mkv", {"tv", "tv4k"}),
        ("audio_cbr.mp3", {"browser", "iphone", "chromecast"}),
    ],
)
def test_compatibility(take: Any, tmp_path: Path, name: str, plays: set[str]) -> None:
    result = do(tmp_path, "compat", take(name))
    assert {verdict.target for verdict in result.verdicts if verdict.plays} == plays
    refused = [verdict for verdict in result.verdicts if not verdict.plays]
    assert all(verdict.reasons for verdict in refused)
    assert all(bool(verdict.advice) == (name != "dolby5.mp4") for verdict in refused), "nothing converts these colours"


def test_bandwidth_knows_the_busy_part(tmp_path: Path) -> None:
    busy = tmp_path / "busy.mkv"
    ffmpeg(
        *["-f", "lavfi", "-i", "color=gray:s=160x90:r=10:d=20", "-f", "lavfi", "-i", "testsrc2=s=160x90:r=10:d=12"],
        *["-filter_complex", "[0][1]concat", "-c:v", "mpeg4", "-b:v", "2M"],
        busy,
    )
    result = do(tmp_path, "compat", busy, target="browser")
    assert result.peak > result.mean * 1.5
    assert result.needed == pytest.approx(result.peak * 1.2, rel=0.01)


@pytest.mark.parametrize(
    ("op", "fields"),
    [
        ("remux", {"container": "mp4"}),
        ("metadata", {"title": "x"}),
        ("mediatest", {"full": True}),
        ("tracks", {}),
        ("split", {"size": "60KB"}),
        ("waveform", {}),
    ],
)
def test_cancel_leaves_the_source_and_nothing_else(take: Any, tmp_path: Path, op: str, fields: dict[str, Any]) -> None:
    source = take("multi.mkv")
    before = source.read_bytes()
    job = RecordingJob(tmp_path, stop_when=lambda job: Stop.CANCEL if job.checks > 3 else None)
    with pytest.raises(Stopped):
        do(tmp_path, op, source, job=job, **fields)
    assert [entry.name for entry in tmp_path.iterdir()] == ["multi.mkv"]
    assert source.read_bytes() == before
    assert job.claimed == set()


def test_what_only_needs_another_container_is_not_told_to_encode(take: Any, tmp_path: Path) -> None:
    result = do(tmp_path, "compat", take("multi.mkv"), target="iphone")
    assert result.verdicts[0].advice == "remux FILE mp4"
    made = do(tmp_path, "remux", take("multi.mkv"), container="mp4").path
    assert do(tmp_path, "compat", Path(made), target="iphone").verdicts[0].plays
    assert do(tmp_path, "compat", take("hlg.mp4"), target="browser").verdicts[0].advice == "transcode FILE web"
