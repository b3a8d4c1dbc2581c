"""The quick way to a picture shows what the slow way shows, at the same moment, and nobody depends on it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engines.media import shot
from engines.media.keyframe import Lifted, lifted
from engines.media.probe import probe
from engines.media.runner import Runner
from engines.media.shot import Film, Look, take
from engines.media.tools import bundled, find
from engines.settings import MediaSettings
from tests.support.media_corpus import corpus, ffmpeg, own_cache

__all__ = ["corpus", "own_cache"]

QUICK = (
    *("h264_aac.mp4", "h265_aac.mp4", "rotated90.mp4", "anamorphic.mp4", "fragmented.mp4", "vfr.mp4", "hlg.mp4"),
    *("hdr10.mkv", "vp9_opus.webm", "av1_opus.mkv", "coverfirst.mp4", "plain.ts"),
)
"""Files whose key frame can be lifted out."""


def film_of(path: Path, **tools: str) -> Film:
    chosen = find(MediaSettings())
    return Film(Runner(), msgspec.structs.replace(chosen, **tools), path, probe(Runner(), chosen, path))


@pytest.mark.parametrize("quick", ["", str(bundled())], ids=["system", "bundled"])
@pytest.mark.parametrize("name", QUICK)
def test_lifted_key_frame_is_the_picture_the_slow_way_takes(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, quick: str
) -> None:
    film = film_of(corpus / name, quick=quick)
    assert film.facts.main_video is not None
    with lifted(film.runs, film.tools.quickest, film.path, film.facts, 0.5) as packet:
        assert isinstance(packet, Lifted)
    near = take(film, 0.5, tmp_path / "quick.png", Look("png", 320))
    monkeypatch.setattr(shot, "_lifted", lambda *_: None)
    slow = take(msgspec.structs.replace(film, tools=film.tools.quickest), 0.5, tmp_path / "slow.png", Look("png", 320))
    assert near.at == pytest.approx(slow.at, abs=0.002)
    assert (tmp_path / "quick.png").read_bytes() == (tmp_path / "slow.png").read_bytes()


@pytest.mark.parametrize("extension", ["mkv", "mp4"])
def test_time_counts_from_the_files_own_start(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"late.{extension}"
    ffmpeg(
        *["-f", "lavfi", "-i", "testsrc2=s=64x36:r=10:d=4", "-c:v", "libx264", "-preset", "ultrafast", "-g", "10"],
        *["-output_ts_offset", "100"],
        path,
    )
    film = film_of(path)
    assert take(film, 2.5, tmp_path / "o.jpg", Look("jpg", 64)).at == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize("quick", ["/bin/false", "/nowhere/ffmpeg", "/etc/hostname"])
def test_quick_ffmpeg_that_does_not_run_costs_no_picture(corpus: Path, tmp_path: Path, quick: str) -> None:
    film = film_of(corpus / "h264_aac.mp4", quick=quick)
    assert take(film, 1.5, tmp_path / "o.jpg", Look("jpg", 160)).at == pytest.approx(1.0, abs=0.1)
    assert (tmp_path / "o.jpg").stat().st_size


def test_the_ffmpeg_that_was_asked_for_does_everything() -> None:
    asked = find(MediaSettings()).ffmpeg
    tools = find(MediaSettings(ffmpeg_path=asked))
    assert tools.quickest.ffmpeg == tools.ffmpeg == asked
