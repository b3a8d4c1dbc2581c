"""What `doctor` says of media was tried: an encoder counts when it encoded five frames, whatever ffmpeg lists."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engines.media.capabilities import Finding, examine
from engines.settings import MediaSettings
from tests.support.media_corpus import own_cache

__all__ = ["own_cache"]


@pytest.fixture
def pretender(tmp_path: Path) -> str:
    """An ffmpeg that lists everything and cannot encode HEVC or Opus."""
    real, path = shutil.which("ffmpeg"), tmp_path / "ffmpeg"
    path.write_text(f'#!/bin/sh\ncase "$*" in *" libx265 "*|*" libopus "*) exit 1;; esac\nexec {real} "$@"\n')
    path.chmod(0o755)
    return str(path)


def told(settings: MediaSettings, *, everything: bool = False) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(settings, everything=everything)}


def test_working_encoders_are_proven_and_versions_shown() -> None:
    found = told(MediaSettings())
    assert found["ffmpeg"].found.startswith("ffmpeg version")
    assert found["encoders"] == Finding("encoders", True, "work: libx264, libx265, libsvtav1")


def test_an_encoder_that_is_only_listed_is_reported(pretender: str) -> None:
    found = told(MediaSettings(ffmpeg_path=pretender))
    assert not found["encoders"].good
    assert "missing: libx265 (the hevc preset)" in found["encoders"].found


def test_all_tries_each_encoder_and_names_each_filter(pretender: str) -> None:
    found = told(MediaSettings(ffmpeg_path=pretender), everything=True)
    assert [name for name, finding in found.items() if name.startswith("encoder ") and not finding.good] == [
        "encoder libx265",
        "encoder libopus",
    ]
    assert found["encoder aac"].found == found["encoder libwebp"].found == "encoded five frames"
    assert found["filter ebur128"].found == "loudness"


def test_missing_ffmpeg_is_told_with_the_cure(tmp_path: Path) -> None:
    found = told(MediaSettings(ffmpeg_path=str(tmp_path / "none")))
    assert not found["ffmpeg"].good
    assert "apt install ffmpeg" in found["ffmpeg"].fix


def test_an_encoder_that_failed_once_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "ffmpeg"
    broken = f'#!/bin/sh\n[ -e {tmp_path}/mended ] || case "$*" in *" libx265 "*) exit 1;; esac\n'
    path.write_text(f'{broken}exec {shutil.which("ffmpeg")} "$@"\n')
    path.chmod(0o755)
    assert not told(MediaSettings(ffmpeg_path=str(path)))["encoders"].good
    (tmp_path / "mended").touch()
    assert told(MediaSettings(ffmpeg_path=str(path)))["encoders"].good
