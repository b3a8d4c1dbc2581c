"""Every media operation takes a folder: one task, a result or a reason for each file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engines import operations
from engines.errors import TaskdeckError
from engines.media import info, probe
from engines.settings import MediaSettings, Settings
from tests.support.jobs import RecordingJob
from tests.support.media_corpus import corpus, ffmpeg, own_cache

__all__ = ["corpus", "own_cache"]


@pytest.fixture
def films(corpus: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("audio_cover.m4a", "h264_ac3_51.mkv", "zero.mp4"):
        shutil.copy(corpus / name, folder)
    return folder


def do(root: Path, op: str, folder: Path, **fields: Any) -> tuple[Any, str]:
    settings = Settings(roots=(str(root),), media=MediaSettings(parallel=2))
    job = RecordingJob(root, settings=settings)
    struct = msgspec.convert({"op": op, "path": str(folder), **fields}, operations.spec_of(op).struct)
    operations.check(struct, job.policy, job.settings)
    try:
        result = operations.load(operations.spec_of(op).run)(struct, job)
    except TaskdeckError as error:
        if error.result is None:
            raise
        result = error.result
    assert job.claimed == set()
    assert [entry.name for entry in folder.iterdir() if entry.name.startswith(".")] == []
    return result, operations.reply(struct, msgspec.to_builtins(result)).render(emoji=False)


@pytest.mark.parametrize(
    ("op", "fields", "made"),
    [
        ("remux", {"container": "mkv"}, 2),
        ("remux", {"container": "mp4", "plan": True}, 0),
        ("metadata", {"album": "All of them"}, 0),
        ("metadata", {}, 0),
        ("mediatest", {}, 0),
        ("loudness", {}, 0),
        ("tracks", {}, 2),
        ("waveform", {"width": 64, "height": 32}, 2),
        ("framehash", {}, 0),
        ("compat", {}, 0),
        ("thumbnail", {}, 2),
        ("transcode", {"preset": "audio"}, 2),
    ],
)
def test_each_file_of_a_folder_has_its_own_outcome(
    films: Path, tmp_path: Path, op: str, fields: dict[str, Any], made: int
) -> None:
    result, said = do(tmp_path, op, films, **fields)
    assert [(row.name, bool(row.error)) for row in result.files] == [
        ("audio_cover.m4a", False),
        ("h264_ac3_51.mkv", False),
        ("zero.mp4", True),
    ]
    assert result.files[2].code == "media.unreadable"
    assert all(row.name in said for row in result.files)
    assert len(list(films.iterdir())) == 3 + made


@pytest.mark.parametrize(
    ("op", "fields", "code"),
    [
        ("mediatest", {}, "media.unreadable"),
        ("remux", {"plan": True}, "media.unreadable"),
        ("thumbnail", {}, "media.unreadable"),
        ("transcode", {"preset": "audio"}, "media.unreadable"),
        ("compat", {}, ""),
        ("mediainfo", {}, ""),
    ],
)
def test_folder_with_a_bad_file_ends_as_that_file_would_alone(
    films: Path, tmp_path: Path, op: str, fields: dict[str, Any], code: str
) -> None:
    struct = msgspec.convert({"op": op, "path": str(films), **fields}, operations.spec_of(op).struct)
    run, job = operations.load(operations.spec_of(op).run), RecordingJob(tmp_path)
    if not code:  # a table to look at
        assert len(run(struct, job).files) == 3
        return
    with pytest.raises(TaskdeckError, match=r"1 of 3 files: .*zero\.mp4") as caught:
        run(struct, job)
    assert caught.value.code == code
    assert len(msgspec.to_builtins(caught.value.result)["files"]) == 3
    assert caught.value.info.exit == 10


def test_folder_whose_files_are_all_damaged_keeps_what_was_found(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("trunc.mkv", "trunc.wav"):
        shutil.copy(corpus / name, folder)
    with pytest.raises(TaskdeckError, match="found damage in 2 of 2 files") as caught:
        operations.load(operations.spec_of("mediatest").run)(
            operations.MediaTest(path=str(folder)), RecordingJob(tmp_path)
        )
    assert caught.value.code == "media.damaged"
    assert len(msgspec.to_builtins(caught.value.result)["files"]) == 2


def test_changes_of_tracks_are_told(corpus: Path, tmp_path: Path) -> None:
    film = Path(shutil.copy(corpus / "multi.mkv", tmp_path))
    job = RecordingJob(tmp_path)
    op = operations.Metadata(path=str(film), language=("a:1=fr",), default=("a:1",), forced=("s:0",))
    result = operations.load(operations.spec_of("metadata").run)(op, job)
    told = operations.reply(op, msgspec.to_builtins(result)).render(emoji=False)
    for line in ("Language: a:1=fr", "Default Track: a:1", "Forced Track: s:0"):
        assert line in told


def test_results_of_a_folder_go_into_a_folder(films: Path, tmp_path: Path) -> None:
    with pytest.raises(TaskdeckError, match="give a folder"):
        do(tmp_path, "remux", films, output=str(tmp_path / "one.mkv"))
    (tmp_path / "out").mkdir()
    do(tmp_path, "metadata", films, title="x", output=str(tmp_path / "out"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["audio_cover.m4a", "h264_ac3_51.mkv"]


def test_two_files_that_aim_at_one_name_do_not_meet(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("h264_aac.mp4", "plain.ts"):
        shutil.copy(corpus / name, folder / ("film" + Path(name).suffix))
    do(tmp_path, "transcode", folder, speed="fastest", chunk=1)
    assert sorted(path.name for path in folder.iterdir()) == [
        "film.h264 (2).mp4",
        "film.h264.mp4",
        "film.mp4",
        "film.ts",
    ]
    do(tmp_path, "mediatest", folder, full=True)


def test_table_of_a_folder_is_the_same_without_pyav(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick, _ = do(tmp_path, "mediainfo", films)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other cache"))
    for module in (info, probe):
        monkeypatch.setattr(module, "has_pyav", lambda: False)
    slow, _ = do(tmp_path, "mediainfo", films)

    def seen(result: Any) -> list[tuple[str, str, str]]:
        return [(row.path, row.facts.container if row.facts else "", row.code) for row in result.files]

    assert seen(slow) == seen(quick)


def test_folder_is_compared_with_the_folder_it_was_made_from(films: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    shutil.copy(films / "h264_ac3_51.mkv", made / "h264_ac3_51.h264.mp4")
    shutil.copy(films / "h264_ac3_51.mkv", made / "other.mkv")
    result, said = do(tmp_path, "compare", made, reference=str(films))
    assert result.files[0].error == ""
    assert "no file of its name" in result.files[1].error
    assert "SSIM 1.0000" in said
    with pytest.raises(TaskdeckError, match="two folders"):
        do(tmp_path, "compare", made, reference=str(films / "h264_ac3_51.mkv"))


def test_folder_is_split_where_files_are_too_large(films: Path, tmp_path: Path) -> None:
    large = films / "large.mkv"
    words = ["-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=4", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25"]
    ffmpeg(*words, large)
    for name in ("zero.mp4", "h264_ac3_51.mkv"):
        (films / name).unlink()
    result, said = do(tmp_path, "split", films, size=str(large.stat().st_size * 2 // 3))
    parts = {row.name: len(row.result["parts"]) for row in result.files}
    assert parts.pop("large.mkv") > 1
    assert set(parts.values()) == {0}
    assert "small enough" in said
