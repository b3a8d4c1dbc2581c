"""Transcodes that die once their result is made: going on publishes it once, and converts nothing a second time."""

from __future__ import annotations

from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from engines.job import Stop, Stopped
from engines.media.transcode.job import run
from engines.operations import Speed, Transcode
from engines.paths import to_uri
from tests.support.dying import Place
from tests.support.jobs import RecordingJob
from tests.support.media_corpus import ffmpeg, own_cache, source

__all__ = ["own_cache"]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film, and two in a folder."""
    root = tmp_path_factory.mktemp("template")
    (root / "films").mkdir()
    for name in ("film.mkv", "films/a.mp4", "films/b.mp4"):
        ffmpeg(*source("64x48"), "-c:v", "libx264", "-preset", "ultrafast", "-qp", "8", "-g", "6", root / name)
    return root


@pytest.fixture
def place(template: Path, tmp_path: Path) -> Place:
    return Place(template, tmp_path)


def operation(place: Place, name: str, **more: Any) -> Transcode:
    return Transcode(path=str(place.root / name), speed=Speed.FAST, chunk=1, **more)


@pytest.mark.slow
def test_a_result_takes_its_sources_place_once_after_a_death_before_any_step(place: Place) -> None:
    op = operation(place, "film.mkv", replace=True)
    published = 0
    for number, checkpoint in enumerate(place.deaths(partial(run, op), since="made")):
        job = RecordingJob(place.root, attempt=2, checkpoint=checkpoint)
        result = run(op, job)
        assert place.new() == ["-film.mkv", "film.mp4"], (number, checkpoint)
        assert result.path == to_uri(str(place.root / "film.mp4")) and result.frames == 24 and result.replaced
        assert result.before is not None and result.before.name == "film.mkv"
        assert result.after is not None and result.after.name == "film.mp4"
        if checkpoint is not None and "made" in checkpoint:
            published += 1
            assert not any(progress.stage == "converting" for progress in job.seen)
    assert published > 3


@pytest.mark.slow
def test_no_film_of_a_folder_is_converted_twice(place: Place) -> None:
    op = operation(place, "films", replace=True)
    steps = islice(place.deaths(partial(run, op), since="made"), 8)  # those of the first film's publication
    for number, checkpoint in enumerate(steps):
        before = {path.name: path.stat().st_ino for path in (place.root / "films").glob("?.mp4")}
        kept: dict[str, Any] = (checkpoint or {}).get("batch", {})
        result = run(op, RecordingJob(place.root, attempt=2, checkpoint=checkpoint))
        assert place.new() == [] and sorted(place.files()) == ["film.mkv", "films/a.mp4", "films/b.mp4"]
        assert [row.error for row in result.files] == ["", ""]
        for key in kept.get("done", {}):
            name = result.files[int(key)].name
            assert (place.root / "films" / name).stat().st_ino == before[name], (number, checkpoint)
        for row in result.files:
            assert row.result is not None and row.result["before"]["size"] != row.result["after"]["size"]
    assert number == 7


def test_a_conversion_stopped_while_it_is_verified_goes_on_with_its_chunks(place: Place) -> None:
    place.begin()
    op = operation(place, "film.mkv", replace=True)
    first = RecordingJob(
        place.root, stop_when=lambda job: Stop.SUSPEND if job.seen and job.seen[-1].stage == "verifying" else None
    )
    with pytest.raises(Stopped):
        run(op, first)
    result = run(op, RecordingJob(place.root, attempt=2, checkpoint=first.saved[-1]))
    assert result.chunks > 0 and result.resumed == result.chunks
    assert place.new() == ["-film.mkv", "film.mp4"]
