"""Transcodes keep every frame, survive being killed, fit their size, and never harm the source."""

from __future__ import annotations

import glob
import random
import re
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engines import operations
from engines.errors import TaskdeckError
from engines.job import Stop, Stopped
from engines.media import cache
from engines.media import tools as media_tools
from engines.media.probe import packets, probe
from engines.media.rates import Packet
from engines.media.runner import Runner
from engines.media.tools import PYAV, Tools, find
from engines.media.transcode import chunks, presets
from engines.media.transcode.job import TranscodeResult, run
from engines.media.transcode.presets import RECIPES
from engines.operations import Preset, Speed, Transcode
from engines.settings import MediaSettings, Settings
from tests.support.jobs import RecordingJob
from tests.support.media_corpus import STRANGE_NAMES, corpus, ffmpeg, own_cache

__all__ = ["corpus", "own_cache"]
RUNS, TOOLS = Runner(), find(MediaSettings())


def operation(path: Path, **fields: Any) -> Transcode:
    return msgspec.convert({"op": "transcode", "path": str(path), "speed": "fastest", "chunk": 1, **fields}, Transcode)


def times(path: Path) -> list[float]:
    video = probe(RUNS, TOOLS, path).main_video
    assert video is not None
    return sorted(p.pts for p in packets(RUNS, TOOLS, path, stream=video.index) if p.pts is not None)


def convert(
    corpus: Path, tmp_path: Path, name: str, *, job: RecordingJob | None = None, **fields: Any
) -> tuple[Path, TranscodeResult]:
    source = tmp_path / name
    if not source.exists():
        shutil.copy(corpus / name, source)
    job = job or RecordingJob(tmp_path)
    result = run(operation(source, **fields), job)
    assert job.claimed == set()
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []
    return Path(result.path), result


@pytest.mark.parametrize(
    ("preset", "container", "video", "audio"),
    [
        (Preset.H264, "mp4", "h264", "aac"),
        (Preset.HEVC, "matroska", "hevc", "aac"),
        (Preset.AV1, "matroska", "av1", "opus"),
        (Preset.WEB, "mp4", "h264", "aac"),
        (Preset.TELEGRAM, "mp4", "h264", "aac"),
        (Preset.AUDIO, "m4a", None, "aac"),
    ],
)
def test_every_preset_round_trips(
    corpus: Path, tmp_path: Path, preset: Preset, container: str, video: str | None, audio: str
) -> None:
    made, result = convert(corpus, tmp_path, "multi.mkv", preset=preset.value)
    facts = probe(RUNS, TOOLS, made)
    assert facts.container == container
    assert (facts.main_video.codec if facts.main_video else None) == video
    assert {track.codec for track in facts.audio} == {audio}
    assert [track.language for track in facts.audio] == ["eng", "spa"]
    assert [chapter.title for chapter in facts.chapters] == ["Intro", "Глава 2"]
    assert facts.tags["title"] == 'Movie & "Title" <x>'
    assert facts.duration == pytest.approx(2.0, abs=0.2)
    if preset is not Preset.AUDIO:
        assert [track.forced for track in facts.subtitles] == [False, True, False]
    assert result.before is not None
    assert operations.reply(operation(made), msgspec.to_builtins(result)).lines


@pytest.mark.parametrize(
    "name", ["h264_aac.mp4", "plain.ts", "vfr.mp4", "vfr.mkv", "av1_opus.mkv", "fragmented.mp4", "rotated90.mp4"]
)
def test_chunks_keep_every_frame_at_its_time(corpus: Path, tmp_path: Path, name: str) -> None:
    made, result = convert(corpus, tmp_path, name)
    assert result.chunks > (1 if name != "av1_opus.mkv" else 0)  # a single key frame
    before, after = times(corpus / name), times(made)
    assert len(after) == len(before)
    origin = probe(RUNS, TOOLS, corpus / name).start
    wrong = [(a, b) for a, b in zip(before, after, strict=True) if abs((a - origin) - b) > 0.012]
    assert wrong == []


def test_bundled_ffmpeg_keeps_every_frame_too(corpus: Path, tmp_path: Path) -> None:
    settings = Settings(media=MediaSettings(ffmpeg_path=str(media_tools.bundled()), ffprobe_path=PYAV))
    for name in ("plain.ts", "vfr.mkv"):
        made, result = convert(corpus, tmp_path, name, job=RecordingJob(tmp_path, settings=settings), preset="hevc")
        assert result.chunks > 1
        assert len(times(made)) == len(times(corpus / name))


@pytest.mark.slow
def test_killed_at_random_moments_it_goes_on_and_ends_with_the_same_frames(tmp_path: Path) -> None:
    source = tmp_path / "long.mkv"
    ffmpeg(
        *["-f", "lavfi", "-i", "testsrc2=s=96x54:r=25:d=20", "-f", "lavfi", "-i", "sine=d=20", "-c:a", "aac"],
        *["-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-bf", "3"],
        source,
    )
    chance, attempt, checkpoint = random.Random(5), 1, None
    result: TranscodeResult | None = None
    resumed = 0
    while result is None:
        deadline = chance.randrange(10, 45) if attempt < 20 else 10**9
        stop_when = _after(deadline, tmp_path, 1 if attempt == 1 else 0)
        job = RecordingJob(tmp_path, attempt=attempt, checkpoint=checkpoint, stop_when=stop_when)
        try:
            result = run(operation(source, chunk=2), job)
        except Stopped:
            checkpoint = job.saved[-1] if job.saved else checkpoint
            attempt += 1
        assert attempt < 60
    resumed = result.resumed
    assert resumed > 0
    assert len(times(Path(result.path))) == len(times(source)) == 500
    gaps = [b - a for a, b in zip(times(Path(result.path)), times(Path(result.path))[1:], strict=False)]
    assert max(gaps) < 0.06


def _after(checks: int, folder: Path, chunks: int) -> Any:
    """Stop after that many checks, which pass at the machine's pace, but not before so many chunks are finished."""

    def stop(job: RecordingJob) -> Stop | None:
        finished = len(list(folder.rglob("c_*.nut"))) >= chunks
        return Stop.SUSPEND if job.checks > checks and finished else None

    return stop


def test_cancelled_transcode_leaves_nothing(corpus: Path, tmp_path: Path) -> None:
    shutil.copy(corpus / "h264_aac.mp4", tmp_path)
    job = RecordingJob(
        tmp_path, stop_when=lambda job: Stop.CANCEL if job.saved and job.seen[-1].stage == "converting" else None
    )
    with pytest.raises(Stopped):
        run(operation(tmp_path / "h264_aac.mp4"), job)
    assert [entry.name for entry in tmp_path.iterdir()] == ["h264_aac.mp4"]
    assert job.claimed == set()


def test_changed_source_is_not_mixed_with_old_chunks(corpus: Path, tmp_path: Path) -> None:
    source = tmp_path / "a.mp4"
    shutil.copy(corpus / "h264_aac.mp4", source)
    first = RecordingJob(
        tmp_path, stop_when=lambda job: Stop.SUSPEND if job.saved and job.seen[-1].stage == "converting" else None
    )
    with pytest.raises(Stopped):
        run(operation(source), first)
    shutil.copy(corpus / "h265_aac.mp4", source)
    with pytest.raises(TaskdeckError) as caught:
        run(operation(source), RecordingJob(tmp_path, attempt=2, checkpoint=first.saved[-1]))
    assert caught.value.code == "path.changed"


def test_telegram_preset_never_exceeds_what_telegram_takes(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 70_000
    assert RECIPES[Preset.TELEGRAM].size == 2_000 << 20
    small = msgspec.structs.replace(RECIPES[Preset.TELEGRAM], size=limit)
    monkeypatch.setitem(RECIPES, Preset.TELEGRAM, small)
    shutil.copy(corpus / "multi.mkv", tmp_path / "long.mkv")
    made, _ = convert(corpus, tmp_path, "long.mkv", preset="telegram", audio=["spa"], crf=None)
    assert made.stat().st_size <= limit
    assert len(times(made)) == len(times(corpus / "multi.mkv"))


def test_a_result_that_grew_is_not_said_to_save(corpus: Path, tmp_path: Path) -> None:
    for crf, label in ((0, "Larger by"), (40, "Saved")):
        _, result = convert(corpus, tmp_path, "h264_aac.mp4", crf=crf)
        told = operations.reply(operation(tmp_path), msgspec.to_builtins(result)).render(emoji=False)
        assert f"{label}: " in told and ": -" not in told
        assert ("quality 1 is used" in told) == (crf == 0)


def test_telegram_preset_does_not_blow_a_small_film_up(corpus: Path, tmp_path: Path) -> None:
    made, _ = convert(corpus, tmp_path, "h264_aac.mp4", preset="telegram")
    assert made.stat().st_size < (corpus / "h264_aac.mp4").stat().st_size * 1.1


@pytest.mark.parametrize("how", [{}, {"size": "90KB", "audio": ["none"]}])
def test_projected_size_stops_one_shot_and_two_passes(corpus: Path, tmp_path: Path, how: dict[str, Any]) -> None:
    small = tmp_path / "small.mkv"
    ffmpeg(*["-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=4", "-c:v", "libx264", "-crf", "45"], small)
    with pytest.raises(TaskdeckError) as caught:
        run(operation(small, keep_if_smaller=True, **(how or {"crf": 1})), RecordingJob(tmp_path))
    assert caught.value.code == "media.not_smaller"
    assert [entry.name for entry in tmp_path.iterdir()] == ["small.mkv"]


def test_hardware_encoder_counts_only_after_it_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(works: Callable[[str, str], bool], nodes: tuple[str, ...] = ()) -> presets.Encoder:
        tried: list[str] = []

        def encodes(tools: Tools, name: str, device: str = "") -> bool:
            tried.append(name)
            return works(name, device)

        monkeypatch.setattr(presets, "_encodes", encodes)
        monkeypatch.setattr(cache, "about_program", lambda program, question, ask: ask())
        monkeypatch.setattr(presets, "_DEVICES", {"nvenc": "/dev/null", "qsv": "/nowhere"})
        found = {pattern: list(nodes) for pattern in ("/dev/dri/renderD*",)} | {"/dev/null": ["/dev/null"]}
        monkeypatch.setattr(glob, "glob", lambda pattern: found.get(pattern, []))
        monkeypatch.setattr(presets, "encoders", lambda _: {"h264_nvenc", "h264_qsv", "h264_vaapi", "libx264"})
        encoder = presets.choose(TOOLS, "h264", speed=Speed.FAST, quality=21, hardware=True)
        assert "h264_qsv" not in tried  # there is no device: no trial
        return encoder

    assert chosen(lambda name, device: name == "h264_nvenc").name == "h264_nvenc"
    assert chosen(lambda name, device: False).name == "libx264"
    second = chosen(
        lambda name, device: device == "/dev/dri/renderD129", ("/dev/dri/renderD128", "/dev/dri/renderD129")
    )
    assert (second.name, second.vaapi) == ("h264_vaapi", "/dev/dri/renderD129")


def test_encoder_that_is_listed_and_fails_is_not_proven() -> None:
    assert presets.proven(TOOLS, "libx264")
    assert not presets.proven(TOOLS, "h264_that_is_not_there")


@pytest.mark.parametrize(("size", "preset"), [("60KB", "h264"), ("150KB", "h264"), ("60KB", "hevc"), ("90KB", "av1")])
def test_target_size_is_never_exceeded(corpus: Path, tmp_path: Path, size: str, preset: str) -> None:
    made, _ = convert(corpus, tmp_path, "multi.mkv", size=size, preset=preset, audio=["spa"], subtitles=["none"])
    assert made.stat().st_size <= int(size.removesuffix("KB")) * 1000
    assert len(times(made)) == len(times(corpus / "multi.mkv"))


def test_size_that_cannot_be_reached_is_refused_with_what_is_needed(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(TaskdeckError, match="allow at least") as caught:
        convert(corpus, tmp_path, "multi.mkv", size="10KB")
    assert caught.value.code == "value"


def test_result_that_would_be_larger_stops_early_and_keeps_the_source(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(TaskdeckError, match="was kept") as caught:
        convert(corpus, tmp_path, "h264_aac.mp4", keep_if_smaller=True, crf=1)
    assert caught.value.code == "media.not_smaller"
    assert [entry.name for entry in tmp_path.iterdir()] == ["h264_aac.mp4"]


def test_replace_takes_the_sources_place_after_a_full_decode(corpus: Path, tmp_path: Path) -> None:
    shutil.copy(corpus / "h264_ac3_51.mkv", tmp_path / "film.mkv")
    job = RecordingJob(tmp_path)
    run(operation(tmp_path / "film.mkv", replace=True), job)
    assert [entry.name for entry in tmp_path.iterdir()] == ["film.mp4"]
    assert any(step.stage == "verifying" for step in job.seen)


def test_replace_of_a_rotten_source_keeps_it(corpus: Path, tmp_path: Path) -> None:
    shutil.copy(corpus / "bitrot.mp4", tmp_path / "film.mp4")
    before = (tmp_path / "film.mp4").read_bytes()
    with pytest.raises(TaskdeckError, match="thrown away"):
        run(operation(tmp_path / "film.mp4", replace=True, preset="hevc"), RecordingJob(tmp_path))
    assert (tmp_path / "film.mp4").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["film.mp4"]


@pytest.mark.parametrize("name", ["trunc_faststart.mp4", "trunc.mkv", "nodur_live.mkv"])
def test_replace_of_a_source_that_is_cut_off_is_refused(corpus: Path, tmp_path: Path, name: str) -> None:
    before = (corpus / name).read_bytes()
    with pytest.raises(TaskdeckError, match="is not replaced") as caught:
        convert(corpus, tmp_path, name, replace=True)
    assert caught.value.code == "media.damaged"
    assert (tmp_path / name).read_bytes() == before
    assert Path(convert(corpus, tmp_path, name)[0]).exists(), "what is there of it can be converted"


def test_sound_shorter_than_its_film_is_taken_out(tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    sources = ["-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=4", "-f", "lavfi", "-i", "sine=d=2"]
    ffmpeg(*sources, "-c:v", "libx264", "-c:a", "aac", film)
    result = run(operation(film, preset="audio"), RecordingJob(tmp_path))
    assert probe(RUNS, TOOLS, Path(result.path)).duration == pytest.approx(2.0, abs=0.1)


def test_languages_are_chosen_by_any_of_their_names(corpus: Path, tmp_path: Path) -> None:
    made, _ = convert(corpus, tmp_path, "multi.mkv", audio=["es"], subtitles=["Spanish"])
    facts = probe(RUNS, TOOLS, made)
    assert [track.language for track in facts.audio] == ["spa"]
    assert [track.language for track in facts.subtitles] == ["spa"]


def test_hdr_is_mapped_for_8_bit_and_kept_for_10(corpus: Path, tmp_path: Path) -> None:
    flat, _ = convert(corpus, tmp_path, "hdr10.mkv", preset="h264")
    deep, _ = convert(corpus, tmp_path, "hdr10.mkv", preset="hevc")
    low, high = probe(RUNS, TOOLS, flat).main_video, probe(RUNS, TOOLS, deep).main_video
    assert low is not None
    assert high is not None
    assert (low.hdr.value, low.bit_depth, low.color_transfer) == ("", 8, "bt709")
    assert (high.hdr.value, high.bit_depth, high.max_cll) == ("HDR10", 10, "1000,400")


def test_height_limit_counts_the_short_side_and_pixels_become_square(corpus: Path, tmp_path: Path) -> None:
    tall, _ = convert(corpus, tmp_path, "vertical_1080x1920.mp4", height=120)
    wide, _ = convert(corpus, tmp_path, "anamorphic.mp4", height=240)
    shapes = [probe(RUNS, TOOLS, path).main_video for path in (tall, wide)]
    assert [(v.coded_width, v.coded_height, v.pixel_aspect) for v in shapes if v] == [
        (120, 214, "1:1"),
        (426, 240, "1:1"),
    ]


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_strange_names(corpus: Path, tmp_path: Path, name: str) -> None:
    shutil.copy(corpus / name, tmp_path / name)
    run(operation(tmp_path / name), RecordingJob(tmp_path))
    assert len(list(tmp_path.iterdir())) == 2


def test_folder_is_one_task_with_a_result_for_each_file(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("h264_aac.mp4", "zero.mp4", "audio.flac"):
        shutil.copy(corpus / name, folder)
    job = RecordingJob(tmp_path)
    with pytest.raises(TaskdeckError, match=r"1 of 3 files") as first:
        run(operation(folder), job)
    rows = msgspec.to_builtins(first.value.result)["files"]
    assert [(row["name"], "error" in row) for row in rows] == [
        ("audio.flac", False),
        ("h264_aac.mp4", False),
        ("zero.mp4", True),
    ]
    again = RecordingJob(tmp_path, attempt=2, checkpoint=job.saved[-1])
    with pytest.raises(TaskdeckError) as second:
        run(operation(folder), again)
    assert msgspec.to_builtins(second.value.result)["files"] == rows
    assert len(list(folder.iterdir())) == 5


@pytest.mark.slow
def test_full_disk_fails_without_an_output(corpus: Path, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:  # only root may mount: then no file may grow beyond a limit
        _end_at_a_file_size_limit(corpus, place)
        return
    try:
        ffmpeg("-f", "lavfi", "-i", "mandelbrot=s=320x180:r=25", "-t", "3", "-c:v", "ffv1", tmp_path / "noise.mkv")
        filler = place / "filler"
        filler.write_bytes(b"x" * (19 << 20))
        source = place / "noise.mkv"
        source.symlink_to(tmp_path / "noise.mkv")
        with pytest.raises(TaskdeckError) as caught:
            run(operation(source, preset="h264", crf=0), RecordingJob(tmp_path))
        assert caught.value.code == "disk.full"
        filler.write_bytes(b"x" * (3 << 20))
        with pytest.raises(TaskdeckError) as caught:
            run(operation(source, preset="h264", crf=0, output=str(_tight(place))), RecordingJob(tmp_path))
        assert caught.value.code in ("disk.full", "media.failed")
        assert sorted(entry.name for entry in place.iterdir()) == ["filler", "noise.mkv"]
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _end_at_a_file_size_limit(corpus: Path, place: Path) -> None:
    source, before = place / "film.mkv", resource.getrlimit(resource.RLIMIT_FSIZE)
    shutil.copy(corpus / "h264_ac3_51.mkv", source)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises((TaskdeckError, OSError)):
            run(operation(source, crf=0), RecordingJob(place))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [entry.name for entry in place.iterdir()] == ["film.mkv"]


def test_output_that_cannot_grow_fails_and_leaves_nothing(corpus: Path, tmp_path: Path) -> None:
    _end_at_a_file_size_limit(corpus, tmp_path)


def _tight(place: Path) -> Path:
    """Leave the reserve and a little free, so that the disk fills up while encoding."""
    (place / "filler").write_bytes(b"x" * (20 << 20 >> 6))
    return place / "out.mp4"


def test_cut_falls_on_key_frames_and_counts_all_frames() -> None:
    rows = [Packet(0, n / 25, 0.04, n % 50 == 0, 100) for n in range(500)]
    random.Random(3).shuffle(rows)
    made = chunks.cut(rows, 5.0, [1, 2])
    assert made is not None
    assert made.frames == 500
    assert [chunk.start for chunk in made.chunks] == [0.0, 6.0, 12.0]
    assert not made.variable
    assert chunks.cut([Packet(0, None, 0.04, True, 1)] * 9, 5.0, []) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"size": "abc"},
        {"size": "1MB", "crf": 20},
        {"size": "1MB", "preset": "audio"},
        {"replace": True, "output": "/x"},
    ],
)
def test_options_that_do_not_fit_are_refused_before_a_task_is_made(corpus: Path, fields: dict[str, Any]) -> None:
    job = RecordingJob(corpus)
    with pytest.raises(TaskdeckError):
        operations.check(operation(corpus / "h264_aac.mp4", **fields), job.policy, job.settings)


def test_it_says_beforehand_what_can_be_resumed() -> None:
    spec = operations.spec_of("transcode")
    assert spec.is_resumable(operation(Path("/a")))
    assert not spec.is_resumable(operation(Path("/a"), size="1MB"))
    assert not spec.is_resumable(operation(Path("/a"), preset="telegram"))


@pytest.mark.parametrize("name", ["dolby5.mp4", "dolby5.mkv", "dolby5_unlabelled.mkv"])
def test_dolby_vision_without_ordinary_colours_is_refused_with_its_reason(
    corpus: Path, tmp_path: Path, name: str
) -> None:
    for fields in ({}, {"preset": "hevc"}, {"sdr": True, "preset": "av1"}):
        with pytest.raises(TaskdeckError, match=r"Dolby Vision \(profile 5\).*green and purple") as caught:
            convert(corpus, tmp_path, name, **fields)
        assert caught.value.code == "unsupported"
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("preset", ["hevc", "av1"])
def test_hdr10_keeps_what_screens_need_to_know(corpus: Path, tmp_path: Path, preset: str) -> None:
    made, _ = convert(corpus, tmp_path, "hdr10.mkv", preset=preset)
    before, after = (probe(RUNS, TOOLS, path).main_video for path in (corpus / "hdr10.mkv", made))
    assert before is not None and after is not None
    assert (after.hdr.value, after.max_cll) == ("HDR10", "1000,400")
    numbers = [list(map(int, re.findall(r"\d+", video.mastering))) for video in (before, after)]
    assert numbers[1] == pytest.approx(numbers[0], rel=0.01)


def test_dolby_vision_over_hdr10_is_converted(corpus: Path, tmp_path: Path) -> None:
    made, result = convert(corpus, tmp_path, "dolby.mp4", preset="hevc")
    assert result.notes == ["Dolby Vision is left out, the HDR10 picture below it is kept"]
    video = probe(RUNS, TOOLS, made).main_video
    assert video is not None and result.frames == 12
    assert (video.hdr.value, video.color_transfer) == ("HDR10", "smpte2084")
