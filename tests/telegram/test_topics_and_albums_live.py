"""Forum topics and albums: answers stay in the topic, the files of an album are handled together."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.telegram.bot import running_bot, settings_for
from tests.telegram_server import Media, Person, Sent, TelegramServer


@pytest.fixture
def ann(telegram: TelegramServer) -> Person:
    return telegram.person("Ann")


def from_bot(person: Person, chat: int) -> list[Sent]:
    """What the bot has written into a group, deleted messages included."""
    return [m for m in person.chat if m.sender_id == TelegramServer.bot_id and m.chat_id == chat]


async def test_everything_asked_for_in_a_topic_stays_in_it(
    telegram: TelegramServer, ann: Person, tmp_path: Path, root: Path
) -> None:
    ops = telegram.group("Ops")
    topic, other = telegram.topic(ops), telegram.topic(ops)
    (root / "bad.zip").write_bytes(b"no archive")
    async with running_bot(telegram, tmp_path, settings_for(root, ann, allowed_chats=(ops,))):
        ann.say("/status", chat=ops, topic=topic)
        await ann.receives(lambda m: m.text.startswith("Tasks"))
        ann.say("/zip 'my movies' --send", chat=ops, topic=topic)
        await ann.receives(lambda m: "Archive Created" in m.text)
        await ann.receives(lambda m: m.media is not None and m.media.name == "my movies.zip")
        ann.say("/zipinfo 'my movies.zip'", chat=ops, topic=topic)
        await ann.receives(lambda m: "Archive Information" in m.text)
        ann.say("/unzip bad.zip", chat=ops, topic=topic)
        await ann.receives(lambda m: "unzip failed" in m.text)
        ann.say("/help", chat=ops, topic=topic)
        await ann.receives(lambda m: "Send me a file" in m.text)
        assert {m.topic for m in from_bot(ann, ops)} == {topic}
        ann.say("/id", chat=ops, topic=other)
        assert (await ann.receives(lambda m: "This chat" in m.text)).topic == other
        ann.say("/id", chat=ops)
        assert (await ann.receives(lambda m: "This chat" in m.text and m.topic is None)).topic is None


async def test_a_file_in_a_topic_is_answered_and_comes_back_there(
    telegram: TelegramServer, ann: Person, tmp_path: Path, root: Path
) -> None:
    ops = telegram.group("Ops")
    topic = telegram.topic(ops)
    async with running_bot(telegram, tmp_path, settings_for(root, ann, allowed_chats=(ops,))):
        sent = ann.upload("notes.txt", b"notes " * 100, chat=ops, topic=topic)
        offer = await ann.receives(lambda m: "What shall I do with it?" in m.text)
        assert offer.topic == topic
        await ann.press(offer, "Compress")
        await ann.receives(lambda m: m.media is not None and m.media.name == "notes.txt.zip")
        ann.say("/zip tar", chat=ops, topic=topic, reply_to=sent)
        await ann.receives(lambda m: m.media is not None and m.media.name.endswith(".tar"))
        assert {m.topic for m in from_bot(ann, ops)} == {topic}


async def test_an_unzip_command_in_a_topic_is_not_taken_for_one_with_a_password(
    telegram: TelegramServer, ann: Person, tmp_path: Path, root: Path
) -> None:
    ops = telegram.group("Ops")
    topic = telegram.topic(ops)
    with zipfile.ZipFile(root / "a.zip", "w") as archive:
        archive.writestr("x", "y")
    async with running_bot(telegram, tmp_path, settings_for(root, ann, allowed_chats=(ops,))):
        said = ann.say("/unzip a.zip out", chat=ops, topic=topic)
        await ann.receives(lambda m: "Archive Extracted" in m.text)
        assert not said.deleted


def send_album(person: Person, caption: str = "", names: tuple[str, ...] = ("a.txt", "b.txt", "c.txt")) -> list[Sent]:
    """Files sent as one album; as with real clients, the caption is on one of them."""
    album = 10**12 + person.id + len(person.chat)
    return [
        person.upload(name, name.encode() * 50, caption if number == 0 else "", album=album)
        for number, name in enumerate(names)
    ]


async def test_an_album_is_asked_about_once_and_packed_into_one_archive(
    telegram: TelegramServer, ann: Person, tmp_path: Path, root: Path
) -> None:
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        send_album(ann)
        offer = await ann.receives(lambda m: "What shall I do with them?" in m.text)
        assert "3 files" in offer.text and "b.txt" in offer.text
        assert await ann.press(offer, "Compress") == "Saving 3 files"
        back = await ann.receives(lambda m: m.media is not None)
        assert back.media is not None
        (root / "back.zip").write_bytes(back.media.data)
        with zipfile.ZipFile(root / "back.zip") as archive:
            assert {name: archive.read(name) for name in archive.namelist()} == {
                f"{name}.txt": f"{name}.txt".encode() * 50 for name in "abc"
            }
        assert sum("What shall I do" in m.text for m in ann.chat) == 1
        assert sum("Archive Created" in m.text for m in ann.from_bot()) == 1


async def test_a_caption_is_about_the_whole_album(
    telegram: TelegramServer, ann: Person, tmp_path: Path, root: Path
) -> None:
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        send_album(ann, "/zip tar")
        back = await ann.receives(lambda m: m.media is not None)
        assert back.media is not None and back.media.name.endswith(".tar")
        assert all(name in back.media.data for name in (b"a.txt", b"b.txt", b"c.txt"))


async def test_commands_for_one_file_are_done_with_each_of_an_album(
    telegram: TelegramServer, ann: Person, tmp_path: Path, root: Path
) -> None:
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        for name in ("one", "two"):
            with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
                archive.writestr(f"{name}.txt", name)
        data = {f"{name}.zip": (tmp_path / f"{name}.zip").read_bytes() for name in ("one", "two")}
        for number, (name, content) in enumerate(data.items()):
            ann.upload(name, content, "/zipinfo" if number == 0 else "", album=77)
        await ann.receives(lambda m: "Archive Information" in m.text and "one.zip" in m.text)
        await ann.receives(lambda m: "Archive Information" in m.text and "two.zip" in m.text)


async def test_a_file_of_another_chat_cannot_be_named_by_a_forged_button(
    telegram: TelegramServer, ann: Person, tmp_path: Path, root: Path
) -> None:
    ben = telegram.person("Ben")
    async with running_bot(telegram, tmp_path, settings_for(root, ann, ben)):
        secret = ann.upload("secret.txt", b"secret")
        ben.say("/status")
        board = await ben.receives(lambda m: m.text.startswith("Tasks"))
        for operation in ("save", "zip"):
            note = await ben.send_press(board, f"o:{operation}:{secret.id}".encode())
            assert "its message is gone" in note
        media = Media("document", "own.txt", "text/plain", b"own", id=telegram.next_id())
        telegram.files[media.id] = media
        ben.say("/zip", reply_to=secret)  # ids name messages of all private chats: only the own chat's count
        await ben.receives(lambda m: "usage" in m.text or "value" in m.text)
        assert not list(root.rglob("secret*"))
