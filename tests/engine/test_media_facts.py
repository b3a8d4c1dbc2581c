"""The golden table: what is true about each file of the corpus, whatever reads it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engines.errors import TaskdeckError
from engines.media import cache
from engines.media.facts import BitRate, MediaFacts
from engines.media.probe import probe, probe_many
from engines.media.quality import rate
from engines.media.runner import Runner
from engines.media.structure import State, inspect
from engines.media.tools import PYAV, Tools, find
from engines.settings import MediaSettings
from tests.support.media_corpus import STRANGE_NAMES, corpus, own_cache

__all__ = ["corpus", "own_cache"]

H264 = {
    "kind": "video",
    "codec": "h264",
    "shown": (160, 90),
    "fps": 23.976,
    "duration": 2.0,
    "rating": "Very Low (240p)",
}
HDR10 = {
    "codec": "hevc",
    "hdr": "HDR10",
    "depth": 10,
    "mastering": "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)",
    "max_cll": "1000,400",
}
GOLDEN: dict[str, dict[str, Any]] = {
    "h264_aac.mp4": {**H264, "container": "mp4", "audio": [("aac", 1, "")], "vrate": 260_000},
    "h265_aac.mp4": {**H264, "codec": "hevc"},
    "vp9_opus.webm": {**H264, "codec": "vp9", "container": "webm", "audio": [("opus", 1, "")], "approximate": True},
    "av1_opus.mkv": {**H264, "codec": "av1", "container": "matroska"},
    "h264_ac3_51.mkv": {
        **H264,
        "audio": [("ac3", 6, "")],
        "layout": "5.1(side)",
        "vrate": 265_000,
        "approximate": True,
    },
    "audio.flac": {"kind": "audio", "container": "flac", "duration": 2.0, "tags": {"artist": "Artist", "date": "2024"}},
    "audio_cbr.mp3": {"kind": "audio", "arate": 320_000, "duration": 2.0, "tags": {"title": "Tone"}},
    "audio_vbr_noxing.mp3": {"kind": "audio", "container": "mp3"},
    "audio.opus": {"kind": "audio", "container": "ogg", "audio": [("opus", 1, "")]},
    "audio.m4a": {"kind": "audio", "container": "m4a"},
    "audio_raw.aac": {"kind": "audio", "container": "aac"},
    "audio.wav": {"kind": "audio", "container": "wav", "arate": 768_000, "layout": "mono"},
    "audio_cover.mp3": {"kind": "audio", "covers": 1, "codec": None, "rating": ""},
    "audio_cover.m4a": {"kind": "audio", "covers": 1, "codec": None, "rating": ""},
    "coverfirst.mp4": {**H264, "covers": 1},
    "cover_attach.mkv": {**H264, "covers": 1},
    "cover.jpg": {"kind": "image", "shown": (600, 600), "duration": None, "fps": None, "rating": ""},
    "image.png": {"kind": "image", "shown": (600, 600), "duration": None, "fps": None},
    "anim.gif": {"kind": "image", "container": "gif", "duration": 1.0},
    "huge_16k.png": {"kind": "image", "shown": (16000, 16000)},
    "huge_60k.png": {"kind": "image", "shown": (60000, 60000)},
    "multi.mkv": {
        **H264,
        "audio": [("aac", 6, "eng"), ("aac", 2, "spa")],
        "titles": ["English 5.1", "Castellano"],
        "subtitles": [("subrip", "eng", False, False), ("subrip", "spa", True, False), ("ass", "eng", False, True)],
        "chapters": ["Intro", "Глава 2"],
        "tags": {"title": 'Movie & "Title" <x>'},
    },
    "multi.mp4": {
        **H264,
        "audio": [("aac", 6, "eng"), ("aac", 2, "spa")],
        "subtitles": [("mov_text", "eng", False, False), ("mov_text", "spa", True, False)],
        "chapters": ["Intro", "Глава 2"],
        "other": 1,
    },
    "hdr10.mkv": HDR10,
    "hdr10plus.mkv": {**HDR10, "hdr": "HDR10+"},
    "hdr10plus.mp4": {**HDR10, "hdr": "HDR10+"},
    "dolby.mp4": {**HDR10, "hdr": "Dolby Vision"},
    "dolby.mkv": {**HDR10, "hdr": "Dolby Vision"},
    "dolby.ts": {**HDR10, "hdr": "Dolby Vision"},
    "dolby_unlabelled.mkv": {**HDR10, "hdr": "Dolby Vision"},
    **{
        name: {"codec": "hevc", "depth": 10, "hdr": "Dolby Vision", "dolby only": True}
        for name in ("dolby5.mp4", "dolby5.mkv", "dolby5_unlabelled.mkv")
    },
    "hlg.mp4": {"hdr": "HLG", "depth": 10, "fps": 50.0},
    "rotated90.mp4": {"shown": (90, 160), "coded": (160, 90), "rotation": 270, "aspect": "9:16"},
    "vfr.mp4": {"fps": 37.333, "peak": 60.0},
    "interlaced.ts": {"shown": (1024, 576), "interlaced": True, "fps": 25.0, "rating": "Low (576p)", "aspect": "16:9"},
    "anamorphic.mp4": {"shown": (853, 480), "coded": (720, 480), "fps": 29.97, "aspect": "16:9"},
    "scope_1920x800.mp4": {"shown": (1920, 800), "rating": "High (1080p)", "aspect": "12:5"},
    "vertical_1080x1920.mp4": {"shown": (1080, 1920), "rating": "High (1080p)"},
    "hdv_1440x1080.mp4": {"shown": (1920, 1080), "rating": "High (1080p)"},
    "wvga_854x480.mp4": {"shown": (854, 480), "rating": "Very Low (480p)"},
    "dci_scope.mp4": {"shown": (4096, 1716), "rating": "Excellent (4K)", "aspect": "2.39:1"},
    "uhd.mp4": {"shown": (3840, 2160), "rating": "Excellent (4K)"},
    "plain.ts": {**H264, "container": "mpegts"},
    "plain.flv": {**H264, "container": "flv"},
    "plain.avi": {**H264, "container": "avi"},
    "plain.wmv": {"kind": "video", "codec": "msmpeg4v2", "container": "asf", "fps": 25.0},
    "raw.h264": {**H264, "duration": None, "container": "h264", "warning": "duration is unknown"},
    "nodur_live.mkv": {**H264, "duration": None, "warning": "unfinished"},
    "fragmented.mp4": {**H264},
    "trunc_faststart.mp4": {**H264, "warning": "truncated, 60% of it"},
    "trunc.mkv": {**H264, "warning": "truncated, 60% of it"},
    "trunc.wav": {"kind": "audio", "warning": "truncated, 60% of it"},
    "trunc.avi": {"kind": "video", "warning": "truncated, 60% of it"},
    "trunc.ts": {"kind": "video", "warning": "last packet is cut"},
    "bitrot.mp4": {**H264},
    **{name: {**H264} for name in STRANGE_NAMES},
}
REFUSED = {
    "zero.mp4": "is empty",
    "random.mkv": "not audio, video or a picture",
    "ch.txt": "not audio, video or a picture",
    "trunc_moovend.mp4": "index (moov) is missing",
}


def said(facts: MediaFacts) -> dict[str, Any]:
    video, audio, quality = facts.main_video, facts.main_audio, rate(facts)
    return {
        "kind": facts.kind.value,
        "container": facts.container,
        "duration": facts.duration,
        "codec": video.codec if video else None,
        "shown": (video.width, video.height) if video else None,
        "coded": (video.coded_width, video.coded_height) if video else None,
        "aspect": video.aspect if video else None,
        "fps": video.fps if video else None,
        "peak": video.fps_peak if video else None,
        "rotation": video.rotation if video else None,
        "interlaced": video.interlaced if video else None,
        "hdr": video.hdr.value if video else None,
        "dolby only": video.dolby_only if video else None,
        "depth": video.bit_depth if video else None,
        "mastering": video.mastering if video else None,
        "max_cll": video.max_cll if video else None,
        "vrate": video.bit_rate.value if video and video.bit_rate else None,
        "approximate": video.bit_rate.approximate if video and video.bit_rate else None,
        "arate": audio.bit_rate.value if audio and audio.bit_rate else None,
        "layout": audio.layout if audio else None,
        "audio": [(track.codec, track.channels, track.language) for track in facts.audio],
        "titles": [track.title for track in facts.audio],
        "subtitles": [(s.codec, s.language, s.forced, s.hearing_impaired) for s in facts.subtitles],
        "chapters": [chapter.title for chapter in facts.chapters],
        "covers": facts.covers,
        "other": facts.other_streams,
        "tags": facts.tags,
        "rating": quality.label,
        "warning": " ".join(quality.warnings),
    }


def agrees(name: str, true: Any, told: Any) -> bool:
    if name == "tags":
        return all(told.get(key) == value for key, value in true.items())
    if name == "warning":
        return true in told
    if name == "duration" and true is not None:
        return told is not None and abs(told - true) < 0.15
    if name in ("fps", "peak") and true is not None:
        return told is not None and abs(told - true) < 0.01
    if name in ("vrate", "arate"):
        return told is not None and abs(told - true) / true < 0.02
    return bool(true == told)


@pytest.fixture(scope="module", params=["ffprobe", "pyav"])
def tools(request: pytest.FixtureRequest) -> Tools:
    return find(MediaSettings(ffprobe_path="" if request.param == "ffprobe" else PYAV))


def each(tools: Tools, paths: list[Path]) -> Iterator[tuple[Path, MediaFacts | TaskdeckError]]:
    if tools.ffprobe is None:
        yield from probe_many(Runner(), tools, paths)
        return
    for path in paths:  # `probe_many` would use the PyAV worker
        try:
            yield path, probe(Runner(), tools, path)
        except TaskdeckError as error:
            yield path, error


def test_facts_are_true(corpus: Path, tools: Tools) -> None:
    wrong: list[tuple[object, ...]] = []
    found = dict(each(tools, [corpus / name for name in GOLDEN]))
    for name, truth in GOLDEN.items():
        facts = found[corpus / name]
        if isinstance(facts, TaskdeckError):
            wrong.append((name, facts.message))
            continue
        told = said(facts)
        wrong += [(name, key, told[key], true) for key, true in truth.items() if not agrees(key, true, told[key])]
    assert wrong == []


def test_a_batch_by_one_worker_says_the_same(corpus: Path) -> None:
    names = [*GOLDEN, *REFUSED]
    found = list(probe_many(Runner(), find(MediaSettings()), [corpus / name for name in names]))
    assert [path.name for path, _ in found] == names
    refused = {path.name: facts.code for path, facts in found if isinstance(facts, TaskdeckError)}
    assert refused == dict.fromkeys(REFUSED, "media.unreadable")
    told = {path.name: said(facts) for path, facts in found if isinstance(facts, MediaFacts)}
    assert [
        (name, key)
        for name, truth in GOLDEN.items()
        for key, true in truth.items()
        if not agrees(key, true, told[name][key])
    ] == []


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_media_is_refused_with_a_reason(corpus: Path, tools: Tools, name: str) -> None:
    with pytest.raises(TaskdeckError) as caught:
        probe(Runner(), tools, corpus / name)
    assert caught.value.code == "media.unreadable"
    assert REFUSED[name] in caught.value.message


def test_every_file_of_the_corpus_has_a_true_entry(corpus: Path) -> None:
    helpers = {"s_en.srt", "s_es.srt", "s_en.ass", "moov_end.mp4", "vfr.mkv"}
    assert {entry.name for entry in corpus.iterdir()} == set(GOLDEN) | set(REFUSED) | helpers


def rates_of(facts: MediaFacts) -> list[BitRate | None]:
    return [video.bit_rate for video in facts.video] + [track.bit_rate for track in facts.audio]


def test_an_estimated_rate_is_near_the_true_one(corpus: Path, tools: Tools) -> None:
    estimated, wrong = set(), []
    whole = [name for name, truth in GOLDEN.items() if truth.get("duration") and "warning" not in truth]
    for path, facts in each(tools, [corpus / name for name in whole]):
        assert isinstance(facts, MediaFacts)
        deep = probe(Runner(), tools, path, deep=True)
        for told, true in zip(rates_of(facts), rates_of(deep), strict=True):
            if told is None or not told.approximate:
                continue
            assert true is not None
            estimated.add(path.name)
            # What the container itself takes counts in files as small as these.
            if abs(told.value - true.value) > max(0.2 * true.value, 70_000):
                wrong.append((path.name, told.value, true.value))
    assert wrong == []
    assert {"multi.mkv", "vp9_opus.webm", "plain.ts"} <= estimated


def test_a_rate_is_that_of_the_whole_file_where_the_end_is_missing(corpus: Path, tools: Tools) -> None:
    whole, cut = (probe(Runner(), tools, corpus / name) for name in ("h264_aac.mp4", "trunc_faststart.mp4"))
    assert whole.bit_rate and cut.bit_rate and cut.size < whole.size * 0.7
    assert cut.bit_rate.approximate and cut.bit_rate.value == pytest.approx(whole.bit_rate.value, rel=0.02)


def test_deep_look_finds_what_headers_hide(corpus: Path, tools: Tools) -> None:
    deep = probe(Runner(), tools, corpus / "vfr.mkv", deep=True)
    assert deep.main_video is not None
    assert deep.main_video.fps_peak == pytest.approx(60, abs=4)
    assert deep.main_video.bit_rate is not None
    assert not deep.main_video.bit_rate.approximate
    live = probe(Runner(), tools, corpus / "nodur_live.mkv", deep=True)
    assert live.duration == pytest.approx(2.0, abs=0.1)


def test_second_look_comes_from_the_cache_and_a_changed_file_does_not(
    corpus: Path, tools: Tools, tmp_path: Path
) -> None:
    path = tmp_path / "a.mp4"
    shutil.copy(corpus / "h264_aac.mp4", path)
    first = probe(Runner(), tools, path)
    status = os.stat(path)
    key = cache.Key(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    assert cache.load(key) == first
    os.utime(path, ns=(1, 1))
    changed = os.stat(path)
    assert cache.load(cache.Key(changed.st_dev, changed.st_ino, changed.st_size, changed.st_mtime_ns)) is None


def test_a_renamed_file_keeps_its_facts_but_not_its_name(corpus: Path, tools: Tools, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    shutil.copy(corpus / "h264_aac.mp4", path)
    probe(Runner(), tools, path)
    assert probe(Runner(), tools, path.rename(tmp_path / "b.mp4")).name == "b.mp4"


def test_structure_check_raises_no_false_alarm(corpus: Path) -> None:
    sound = [name for name in GOLDEN if not name.startswith("trunc") and name != "nodur_live.mkv"]
    states = {name: inspect(corpus / name).state for name in sound}
    assert {name: state for name, state in states.items() if state not in (State.COMPLETE, State.UNKNOWN)} == {}
