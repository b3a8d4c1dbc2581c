"""kill -9 at random moments costs a transcode at most its current chunk, and never a frame."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engines.media.probe import packets
from engines.media.runner import Runner
from engines.media.tools import find
from engines.settings import MediaSettings
from tests.support.media_corpus import ffmpeg, own_cache

__all__ = ["own_cache"]


@pytest.mark.slow
def test_transcode_killed_at_random_moments_ends_with_every_frame(tmp_path: Path) -> None:
    film, kept = tmp_path / "film.mkv", tmp_path / "checkpoint.json"
    ffmpeg(
        *["-f", "lavfi", "-i", "mandelbrot=s=320x180:r=25", "-t", "24", "-c:v", "libx264", "-preset", "ultrafast"],
        *["-g", "25", "-bf", "2"],
        film,
    )
    chance, kills, said = random.Random(4), 0, b""
    while not said:
        command = [sys.executable, "-m", "tests.support.transcode_child", str(tmp_path), str(film), str(kept)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, process_group=0)
        try:
            said, _ = child.communicate(timeout=chance.uniform(0.5, 1.6) if kills < 5 else 120)
            assert child.returncode == 0
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            kills += 1
    made = Path(said.decode().strip())
    tools = find(MediaSettings())
    before, after = (list(packets(Runner(), tools, path, stream=0)) for path in (film, made))
    assert kills > 0
    assert len(after) == len(before) == 600
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["checkpoint.json", "film.mkv", "killed.mp4"]
