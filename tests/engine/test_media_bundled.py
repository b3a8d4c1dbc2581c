"""Every operation also works with the ffmpeg of the `bundled` extra and PyAV, without any ffprobe."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engines import operations
from engines.media.tools import PYAV, bundled
from engines.operations import Preset
from engines.settings import MediaSettings, Settings
from tests.support.jobs import RecordingJob
from tests.support.media_corpus import corpus, ffmpeg, own_cache

__all__ = ["corpus", "own_cache"]


def do(root: Path, op: str, path: Path, **fields: Any) -> Any:
    program = bundled()
    assert program is not None, "install the extra `bundled`"
    media = MediaSettings(ffmpeg_path=program, ffprobe_path=PYAV)
    job = RecordingJob(root, settings=Settings(roots=(str(root),), media=media))
    struct = msgspec.convert({"op": op, "path": str(path), **fields}, operations.spec_of(op).struct)
    operations.check(struct, job.policy, job.settings)
    result = operations.load(operations.spec_of(op).run)(struct, job)
    assert operations.reply(struct, msgspec.to_builtins(result)).render(emoji=True)
    assert job.claimed == set()
    assert [entry.name for entry in root.iterdir() if entry.name.startswith(".")] == []
    return result


@pytest.fixture
def film(corpus: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(corpus / "multi.mkv", tmp_path))


@pytest.mark.parametrize(("container", "subtitles"), [("mp4", 3), ("ts", 0), ("mkv", 3)])
def test_remux(film: Path, tmp_path: Path, container: str, subtitles: int) -> None:
    made = Path(do(tmp_path, "remux", film, container=container).path)
    facts = do(tmp_path, "mediainfo", made).facts
    assert (len(facts.video), len(facts.audio), len(facts.subtitles)) == (1, 2, subtitles)
    assert do(tmp_path, "mediatest", made, full=True).seconds == pytest.approx(2.0, abs=0.2)


def test_metadata_of_tracks_and_chapters(film: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("00:00:00 Start\n00:00:01 End\n")
    do(tmp_path, "metadata", film, title="New", language=["a:0=de"], chapters=str(tmp_path / "list.txt"))
    facts = do(tmp_path, "mediainfo", film).facts
    assert facts.tags["title"] == "New"
    assert [track.language for track in facts.audio] == ["deu", "spa"]
    assert [chapter.title for chapter in facts.chapters] == ["Start", "End"]


def test_tracks_become_files(film: Path, tmp_path: Path) -> None:
    names = [Path(made.path).name for made in do(tmp_path, "tracks", film).files]
    assert names == [
        "multi.1.eng.m4a",
        "multi.2.spa.m4a",
        "multi.3.eng.srt",
        "multi.4.spa.forced.srt",
        "multi.5.eng.sdh.ass",
    ]


def test_loudness_and_waveform(film: Path, tmp_path: Path) -> None:
    found = do(tmp_path, "loudness", film)
    assert -60 < found.integrated < 0
    assert do(tmp_path, "waveform", film, width=64, height=32).size > 50


def test_hashes_are_those_of_the_other_ffmpeg(film: Path, tmp_path: Path) -> None:
    mine = do(tmp_path, "framehash", film, frames=True)
    op = msgspec.convert({"op": "framehash", "path": str(film)}, operations.FrameHash)
    other = operations.load(operations.spec_of("framehash").run)(op, RecordingJob(tmp_path))
    assert mine.streams == other.streams


def test_split_and_compare(tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    words = ["-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=4", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25"]
    ffmpeg(*words, film)
    parts = do(tmp_path, "split", film, size=str(film.stat().st_size * 2 // 3))
    assert len(parts.parts) > 1
    scores = do(tmp_path, "compare", film, reference=str(film))
    assert scores.ssim == 1.0
    assert scores.vmaf is not None
    assert scores.vmaf > 90


@pytest.mark.parametrize("fields", [{"timestamp": "00:00:01"}, {"sheet": "2x2"}, {"timestamp": "1", "exact": True}])
def test_thumbnail(film: Path, tmp_path: Path, fields: dict[str, Any]) -> None:
    assert do(tmp_path, "thumbnail", film, **fields).size > 100


@pytest.mark.parametrize("preset", list(Preset))
def test_every_preset(film: Path, tmp_path: Path, preset: Preset) -> None:
    made = Path(do(tmp_path, "transcode", film, preset=preset.value, speed="fastest").path)
    assert do(tmp_path, "mediainfo", made).facts.duration == pytest.approx(2.0, abs=0.2)


def test_size_is_never_exceeded(film: Path, tmp_path: Path) -> None:
    made = Path(do(tmp_path, "transcode", film, size="90KB", audio=["spa"], speed="fastest").path)
    assert made.stat().st_size <= 90_000
