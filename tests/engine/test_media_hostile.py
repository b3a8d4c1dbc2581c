"""Files that pretend to be media read nothing else and reach no network; bombs are contained."""

from __future__ import annotations

import resource
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.errors import TaskdeckError
from engines.media.probe import probe
from engines.media.runner import Runner
from engines.media.thumbnail import run
from engines.media.tools import PYAV, Tools, find
from engines.operations import Thumbnail
from engines.settings import MediaSettings
from tests.support.jobs import RecordingJob
from tests.support.media_corpus import HOSTILE, corpus, own_cache

__all__ = ["corpus", "own_cache"]


class Listener:
    """Counts connections on a loopback port."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.calls = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                self._socket.accept()[0].close()
            except OSError:
                return
            self.calls += 1

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


@pytest.fixture(params=["ffprobe", "pyav"])
def tools(request: pytest.FixtureRequest) -> Tools:
    return find(MediaSettings(ffprobe_path="" if request.param == "ffprobe" else PYAV))


@pytest.mark.parametrize("name", HOSTILE)
def test_playlist_disguised_as_media_reads_nothing(
    corpus: Path, tmp_path: Path, listener: Listener, tools: Tools, name: str
) -> None:
    victim = tmp_path / "victim.ts"
    shutil.copy(corpus / "plain.ts", victim)
    trap = tmp_path / name
    trap.write_text(HOSTILE[name].format(victim=victim, victim_name=victim.name, port=listener.port))
    with pytest.raises(TaskdeckError) as caught:
        probe(Runner(), tools, trap)
    assert caught.value.code == "media.unreadable"
    assert listener.calls == 0


def test_huge_picture_stays_small_in_memory(corpus: Path, tmp_path: Path) -> None:
    shutil.copy(corpus / "huge_16k.png", tmp_path)
    with pytest.raises(TaskdeckError, match="no frame of it can be decoded"):
        run(Thumbnail(path=str(tmp_path / "huge_16k.png")), RecordingJob(tmp_path))
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 1_500_000
    assert [entry.name for entry in tmp_path.iterdir()] == ["huge_16k.png"]


def test_media_hidden_behind_a_picture_name_pattern_is_not_opened(corpus: Path, tmp_path: Path) -> None:
    shutil.copy(corpus / "cover.jpg", tmp_path / "in1.jpg")
    shutil.copy(corpus / "image.png", tmp_path / "in%d.jpg")
    found = probe(Runner(), find(MediaSettings()), tmp_path / "in%d.jpg")
    assert found.main_video is not None
    assert found.main_video.codec == "png"
