"""Commands end to end: typed by a person, through MTProto and the real engines, to the reply in the guide's layout."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.telegram.bot import running_bot, settings_for
from tests.telegram_server import TelegramServer

pytestmark = pytest.mark.pyrogram


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a folder "my movies" of two files."""
    folder = tmp_path / "root" / "my movies"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("alpha " * 2000)
    (folder / "b <b>.txt").write_text("beta " * 2000)
    return tmp_path / "root"


async def test_zip_makes_the_archive_and_replies_in_the_guides_layout(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say(f"/zip {root}/my movies zip 9")
        await ann.receives(lambda m: "Tasks" in m.text and "my movies" in m.text)
        reply = await ann.receives(lambda m: "Archive Created Successfully!" in m.text)
    lines = reply.text.splitlines()
    assert lines[0] == "✅ Archive Created Successfully!"
    assert "📦 Format: ZIP" in lines
    assert "📁 Filename: my movies.zip" in lines
    assert f"📁 Location: {root}/my movies.zip" in lines
    with zipfile.ZipFile(root / "my movies.zip") as archive:
        assert archive.testzip() is None
        assert archive.read("my movies/a.txt") == b"alpha " * 2000
