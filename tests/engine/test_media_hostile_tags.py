"""What a file says about itself reaches no terminal, page or chat as more than text."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engines import operations
from tests.support.jobs import RecordingJob
from tests.support.media_corpus import corpus, ffmpeg, own_cache

__all__ = ["corpus", "own_cache"]
EVIL = "a\x1b[31m\x07\r\nForged: line\u202e\u2066 <b>x</b> [red]y[/red] `z` \x9b"


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    path = tmp_path_factory.mktemp("evil") / "evil\x1b[2J\n\u202e.mkv"
    words: list[str | Path] = ["-i", corpus / "multi.mkv", "-map", "0", "-c", "copy"]
    for tag in ("title", "artist", "album", "genre", "comment", "date"):
        words += ["-metadata", f"{tag}={EVIL}"]
    for stream in ("v:0", "a:0", "a:1", "s:0", "s:1", "s:2"):
        words += [f"-metadata:s:{stream}", f"title={EVIL}", f"-metadata:s:{stream}", f"handler_name={EVIL}"]
    ffmpeg(*words, "-metadata:c:0", f"title={EVIL}", "file:" + str(path))
    return path


@pytest.mark.parametrize(
    ("op", "fields"),
    [
        ("mediainfo", {}),
        ("mediainfo", {"report": "brief"}),
        ("mstats", {}),
        ("compat", {}),
        ("thumbnail", {}),
        ("thumbnail", {"shots": 2}),
        ("transcode", {"speed": "fastest", "height": 32}),
        ("transcode", {"preset": "audio"}),
        ("remux", {"container": "mp4"}),
        ("remux", {"container": "mp4", "plan": True}),
        ("metadata", {}),
        ("metadata", {"album": EVIL}),
        ("mediatest", {}),
        ("tracks", {}),
        ("loudness", {}),
        ("waveform", {"width": 64}),
        ("framehash", {"frames": True}),
        ("compare", {"reference": ""}),
        ("split", {"size": "0"}),
    ],
)
@pytest.mark.parametrize("folder", [False, True])
def test_no_reply_forges_a_line_or_moves_a_cursor(
    evil: Path, tmp_path: Path, op: str, fields: dict[str, Any], folder: bool
) -> None:
    if folder and op in ("split", "compare"):
        return  # they take one file
    path = Path(shutil.copy(evil, tmp_path))
    if "reference" in fields:
        fields = {"reference": str(path)}
    if op == "split":
        fields = {"size": str(path.stat().st_size * 2 // 3)}
    job = RecordingJob(tmp_path)
    struct = msgspec.convert(
        {"op": op, "path": str(tmp_path if folder else path), **fields}, operations.spec_of(op).struct
    )
    result = operations.load(operations.spec_of(op).run)(struct, job)
    reply = operations.reply(struct, msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(result))))
    for said in [reply.title, *(part for line in reply.lines for part in (line.text, line.value or ""))]:
        assert not [c for c in said if unicodedata.category(c) in ("Cc", "Cs")], said
        assert "\u202e" not in said
        assert "\u2066" not in said
    assert not any(line.startswith("Forged") for line in reply.render(emoji=False).splitlines())
    if reply.image:
        assert Path(reply.image).is_file()
