"""What the chat costs: command to reply, edits against Telegram's limit, upload beside the library's own.

`python -m benchmarks.telegram [--quick] [--only NAME]`. The installed client, real MTProto over loopback, a server
written for the tests in the same process.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec

from engines.model import TaskState
from engines.paths import PathPolicy
from tests.support.fake_tasks import FakeTasks, make_view
from tests.telegram.bot import running_bot, settings_for
from tests.telegram_server import Person, TelegramServer
from tui_app.telegram.gateway import Delivery
from tui_app.telegram.service import TelegramService
from tui_app.telegram.upload import Sender, Slice

COMMANDS = 100
UPLOAD = 48 * 1024 * 1024
PART_DELAY = 0.1
ROUNDS = 3


BEGUN = "the status message"
RESULT = "/zipinfo: the result, with the job"
QUEUED = ("/zip f", "/unzip", "/zipinfo")
ASKED = (
    ("/status", "/status", COMMANDS),
    ("/help", "/help zip", COMMANDS),
    ("/id", "/id", COMMANDS),
    ("/stats", "/stats", COMMANDS),
    ("/history", "/history", COMMANDS),
    ("/pause all, nothing to pause", "/pause all", COMMANDS),
    ("a mistake: /zip missing", "/zip missing", COMMANDS),
    (f"/zip: queued durably, then {BEGUN}", "/zip f{}", 40),
    (f"/unzip: queued durably, then {BEGUN}", "/unzip f{0}.zip out{0}", 40),
    ("/zipinfo: a job is asked, meanwhile typing", "/zipinfo f{}.zip", 40),
    (RESULT, "/zipinfo f{}.zip", 40),
)
"""What is sent: its name, the command with the number of the round, rounds."""


def row(label: str, times: list[float]) -> str:
    """A line of the table."""
    p95 = statistics.quantiles(times, n=20)[-1]
    return f"| {label} | {statistics.median(times):.1f} | {p95:.1f} | {max(times):.1f} |"


async def answered(person: Person, text: str, seen: Callable[[], int] | None = None) -> float:
    """Seconds from sending a command to the bot's message, or until `seen` has grown."""
    count = seen or (lambda: sent(person))
    before = count()
    began = time.perf_counter()
    person.say(text)
    await person.sees(lambda: count() > before, limit=30)
    return time.perf_counter() - began


def sent(person: Person) -> int:
    """Messages of the bot so far, deleted ones included: a new status message replaces the old."""
    return sum(message.sender_id == TelegramServer.bot_id for message in person.chat)


async def commands() -> None:
    """From the command to the reply in the chat, with the real task service behind."""
    with tempfile.TemporaryDirectory() as name:
        root = filled(Path(name, "root"))
        async with TelegramServer() as telegram:
            ann = telegram.person("Ann")
            async with running_bot(telegram, Path(name), settings_for(root, ann)) as bot:
                await answered(ann, "/id")
                print("| command to reply, ms | median | p95 | max |\n|---|---|---|---|")
                everything: list[float] = []
                shown = {"typing": lambda: len(telegram.typing)}
                for label, text, count in ASKED:
                    times = []
                    for number in range(count):
                        times.append(await answered(ann, text.format(number), shown.get(label.split()[-1])) * 1000)
                        if text.startswith(QUEUED):
                            await bot.end_of((await bot.only_task()).id)
                            await settled(ann)
                    everything += times if label != RESULT else []
                    print(row(label, times))
                print(row("all of them, but for the time the job took", everything))


def filled(root: Path) -> Path:
    """A folder with a small file for every command."""
    root.mkdir()
    for number in range(COMMANDS):
        (root / f"f{number}").write_bytes(b"x" * 1000)
    return root


def noise(path: Path) -> Path:
    """A file to upload."""
    path.write_bytes(os.urandom(UPLOAD))
    return path


async def settled(person: Person) -> None:
    """Return when the chat has been still for a moment, so that the next measure starts from rest."""
    while True:
        before = len(person.chat)
        await asyncio.sleep(0.25)
        if len(person.chat) == before:
            return


class Hosting:
    """The in-memory engine with the one method more that the chat needs."""

    def __init__(self, fake: FakeTasks) -> None:
        self._fake = fake

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fake, name)

    def host(self, operation: str, function: Any) -> None:
        """Nothing is hosted here."""


async def edits() -> None:
    """Twenty tasks that change twice a second for a minute, against twenty edits a minute; then all end."""
    with tempfile.TemporaryDirectory() as name:
        async with TelegramServer() as telegram:
            ann = telegram.person("Ann")
            telegram.limit("messages.EditMessage", 20, 60)
            settings = settings_for(Path(name), ann)
            views = [
                make_view(f"t{n:02d}", title=f"file {n}", total=10**12, speed=1e7, owner=f"telegram:{ann.id}")
                for n in range(20)
            ]
            tasks = FakeTasks(views)
            service = TelegramService(cast(Any, Hosting(tasks)), settings, Path(name), PathPolicy.of(settings.roots))
            await service.start()
            await service.connected()
            ann.say("/status")
            await ann.receives(lambda m: m.text.startswith("Tasks"))
            for _ in range(120):
                tasks.step(0.5)
                await asyncio.sleep(0.5)
            ended = time.monotonic()
            for view in views:
                tasks.change(view.id, state=TaskState.COMPLETED, done=10**12)

            def told() -> bool:
                text = "\n".join(m.text for m in ann.from_bot() if not m.text.startswith("Tasks"))
                return all(f"file {n}" in text for n in range(20))

            await ann.sees(told, limit=120)
            endings = time.monotonic() - ended
            await ann.receives(lambda m: "Nothing is running." in m.text, limit=120)
            board = time.monotonic() - ended
            made = telegram.count("messages.EditMessage")
            await service.stop()
            print("| 20 tasks for 60 s, 20 edits a minute allowed | |\n|---|---|")
            print(f"| edits | {made} |\n| refused | {len(telegram.refused)} |")
            print(f"| all endings told after, s | {endings:.1f} |\n| status message true after, s | {board:.1f} |")


async def uploads() -> None:
    """The same file by the library's send_document and by ours, 100 ms a part, in turns."""
    with tempfile.TemporaryDirectory() as name:
        path = noise(Path(name, "file.bin"))
        async with TelegramServer() as telegram:
            ann = telegram.person("Ann")
            telegram.keep_parts = False
            telegram._assemble = lambda file: b""  # type: ignore[method-assign]
            telegram.delays["upload.SaveBigFilePart"] = PART_DELAY
            settings = settings_for(Path(name), ann)
            async with running_bot(telegram, Path(name), settings) as bot:
                gateway = bot.service._client
                library: list[float] = []
                ours: list[float] = []
                for _ in range(ROUNDS):
                    began = time.perf_counter()
                    await gateway._client.send_document(ann.id, str(path))
                    library.append(time.perf_counter() - began)
                    began = time.perf_counter()
                    await send_ours(gateway, ann.id, path.name, os.open(path, os.O_RDONLY))
                    ours.append(time.perf_counter() - began)
        a, b = (UPLOAD / statistics.median(times) / 1e6 for times in (library, ours))
        print(f"| {UPLOAD / 1e6:.0f} MB, {PART_DELAY * 1000:.0f} ms a part | MB/s |\n|---|---|")
        print(f"| the library's send_document | {a:.1f} |\n| `send` | {b:.1f} |\n| ratio | {b / a:.2f} |")


async def send_ours(gateway: Any, chat: int, name: str, fd: int) -> None:
    """What the hosted job does, without the job."""

    async def ready() -> None:
        return None

    try:
        sender = Sender(gateway, ready, lambda _: None, lambda _: None)
        uploaded, mark = await sender.upload(Slice(fd, name, 0, UPLOAD))
        await gateway.send_file(chat, uploaded, Delivery(random_id=mark.random_id))
    finally:
        os.close(fd)


PARTS = (commands, uploads, edits)


def main() -> None:
    """Run all, or all but the long one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out the minute of edits")
    parser.add_argument("--only", choices=[part.__name__ for part in PARTS], help="one table")
    chosen = parser.parse_args()
    msgspec.json.encode({})  # loaded before anything is timed
    logging.getLogger("tui_app.telegram").setLevel(logging.ERROR)  # the tasks of `edits` have no results to tell
    for part in PARTS:
        if part.__name__ == chosen.only or not (chosen.only or (chosen.quick and part is edits)):
            asyncio.run(part())
            print()


if __name__ == "__main__":
    main()
