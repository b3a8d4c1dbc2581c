"""A small daemon for fault tests: `python -m tests.support.hosting FOLDER` hosts a task service.

It prints "ready", then one line of JSON for every state change of a task, and stops when standard input closes.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from engines.model import Action
from engines.tasks.api import Watch
from tests.support.workbench import ME, running


async def host(folder: Path) -> None:
    """Host a service over the folder; commands come as JSON lines on standard input."""
    async with running(folder, parallel_compress=8, parallel_extract=8) as deck:
        lines = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        watcher = await deck.service.watch(Watch(stats=False, hz=10))

        async def tell() -> None:
            async for update in watcher:
                for view in (*update.rows, *update.ended):
                    say(msgspec.json.encode(view))

        telling = asyncio.create_task(tell())
        say(b"ready")
        async for line in lines:
            command = msgspec.json.decode(line)
            match command.pop("do"):
                case "submit":
                    view = await deck.service.submit(command, actor=ME)
                    say(msgspec.json.encode({"submitted": view.id}))
                case "look":
                    say(msgspec.json.encode({"seen": await deck.service.view(command["id"])}))
                case "control":
                    outcome = await deck.ask(command["id"], Action(command["action"]))
                    say(msgspec.json.encode({"controlled": outcome}))
                case "unlock":
                    await deck.service.unlock(command["id"], command["secrets"], actor=ME)
        await watcher.close()
        await telling


def say(line: bytes) -> None:
    """Write one whole line, so that a kill cannot leave half of one."""
    os.write(1, line + b"\n")


if __name__ == "__main__":
    asyncio.run(host(Path(sys.argv[1])))
