"""Pictures of the TUI for the docs: `python -m tests.support.screenshots docs/images`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from textual.pilot import Pilot

from engines.archive.member import Member, MemberKind
from engines.archive.pages import Page, page
from engines.media.facts import Kind as MediaKind
from engines.media.facts import MediaFacts, VideoFacts
from engines.media.info import FileInfo, MediaInfoResult
from engines.media.quality import rate
from engines.model import Json, Kind, TaskState, TaskView, Usage
from engines.settings import Settings, TuiSettings
from tests.support.fake_tasks import START, FakeTasks, ManualClock, make_view, seeded
from tui_app.app import DeckApp
from tui_app.faces import FacesState
from tui_app.places import Entry

GB = 1_000_000_000
REPLY = """Archive Created Successfully!

Format: ZIP
Filename: photos 2025.zip
Original Size: 4.52 GB
Compressed Size: 3.14 GB
Compression Ratio: 30.5%
Time Taken: 45.23s
Speed: 99.93 MB/s

Location: /srv/photos 2025.zip"""
MEDIA_REPORT = """Media Information

File: harbour.mp4
Format: MP4
Duration: 01:34:00
Size: 2.81 GB
Bitrate: 3986 Kbps

Video Streams:
  Stream 1:
    - Codec: H.264 (High Profile)
    - Resolution: 1920x1080 @ 25 FPS
    - Aspect Ratio: 16:9
    - Bitrate: 3790 Kbps
    - Pixel Format: yuv420p

Audio Streams:
  Stream 1:
    - Codec: AAC
    - Channels: 2 (Stereo)
    - Sample Rate: 48000 Hz
    - Bitrate: 192 Kbps
    - Language: eng

Quality: High (1080p)"""


def story() -> list[TaskView]:
    """A believable afternoon on a server."""
    rest = seeded(24)
    head = [
        make_view("k3f9", title="photos 2025", total=4.52 * GB, done=int(2.04 * GB), speed=98_400_000.0, eta=25.0,
                  item="2025-07/IMG_4471.raw", usage=Usage(178.0, 96_000_000, 9.9e7, 6.9e7)),
        make_view("m2x7", op="unzip", kind=Kind.EXTRACT, title="dataset-de-référence.tar.zst", total=11 * GB,
                  done=int(8.1 * GB), speed=212_000_000.0, eta=14.0, item="train/images/000412.png", position=1),
        make_view("p8aa", op="transcode", kind=Kind.TRANSCODE, title="東京の夜.mkv", total=5400, done=1312,
                  unit="seconds", speed=61.2, eta=67.0, item="segment 14 of 54", position=2),
        make_view("q1zz", title="home-backup", state=TaskState.PAUSED, total=38 * GB, done=17 * GB, position=3),
        make_view("r7c2", title="mail archive", state=TaskState.QUEUED, done=0, total=None, started=None, item="",
                  position=4, priority=1),
        make_view("s0d4", op="unzip", kind=Kind.EXTRACT, title="secret.7z", state=TaskState.WAITING, done=0, total=None,
                  started=None, item="", note="waits for a password", position=5),
    ]  # fmt: skip
    ended = [view for view in rest if view.terminal]
    head[0] = msgspec.structs.replace(head[0], total=int(4.52 * GB))
    return [*head, *ended]


MEMBERS = [
    Member(f"dataset/{name}", MemberKind.FILE, size)
    for name, size in (
        ("README.md", 4_200), ("labels.csv", 18_400_000), ("train/images/000001.png", 2_100_000_000),
        ("train/labels.json", 61_000_000), ("test/images/000001.png", 1_900_000_000), ("license.txt", 11_000),
    )
]  # fmt: skip


def members(question: Json) -> Json:
    """A page of an archive."""
    rows, total = page(MEMBERS, question.get("folder", ""), offset=question["offset"])
    found = Page(format="TAR.ZST", files=1412, size=4_520_000_000, encrypted=False, folder="", total=total, rows=rows)
    answer: Json = msgspec.to_builtins(found)
    return answer


ESTIMATE: Json = {"files": 1_247, "original": 18_400_000_000, "packed": 17_900_000_000, "seconds": 184.0,
                  "free": 42_000_000_000, "fits": True}  # fmt: skip


def report() -> TaskView:
    """A media report that was asked for, last."""
    return make_view("v0r1", op="mediainfo", kind=Kind.INFO, title="harbour.mp4", state=TaskState.COMPLETED,
                     total=2_810_000_000, done=2_810_000_000, started=START - 40, finished=START - 39)  # fmt: skip


def media() -> Json:
    """A folder of films."""
    rows = []
    for name, codec, height, size, minutes in (
        ("東京の夜.mkv", "hevc", 2160, 14_200_000_000, 107), ("harbour.mp4", "h264", 1080, 2_810_000_000, 94),
        ("lecture 01.webm", "vp9", 720, 640_000_000, 61), ("old tape.avi", "mpeg4", 480, 700_000_000, 88),
        ("trailer.mp4", "av1", 1080, 48_000_000, 2),
    ):  # fmt: skip
        video = VideoFacts(index=0, codec=codec, width=height * 16 // 9, height=height)
        facts = MediaFacts(name=name, kind=MediaKind.VIDEO, container="mp4", size=size, duration=minutes * 60.0,
                           video=[video])  # fmt: skip
        rows.append(FileInfo(path=name, facts=facts, quality=rate(facts)))
    found: Json = msgspec.to_builtins(MediaInfoResult(folder="/srv/films", files=rows))
    return found


class DemoPlaces:
    """A server's disk that is the same everywhere."""

    async def roots(self) -> list[str]:
        """One root."""
        return ["/srv"]

    def base(self) -> str:
        """The root."""
        return "/srv"

    async def entries(self, folder: str, *, prefix: str = "") -> list[Entry]:
        """The same names in every folder."""
        if folder.rstrip("/") not in ("/srv", "."):
            return []
        folders = ["films", "home-backup", "music", "photos 2025"]
        files = [("archive.tar.zst", 3_140_000_000), ("disc.iso", 4_520_000_000), ("notes.txt", 1_840)]
        return [
            *(Entry(name, True, 0, START - 86_400 * n) for n, name in enumerate(folders, 1)),
            *(Entry(name, False, count, START - 7_200) for name, count in files),
        ]


class DemoFaces:
    """A dashboard and a bot that are on."""

    can_switch = True

    async def look(self) -> FacesState:
        """Both are on."""
        return FacesState("https://files.example.org", "online as @files_example_bot")

    async def link(self) -> str:
        """A link that works no more."""
        return "https://files.example.org/login#code=4kX2-hQ9v-Tz7m"

    async def switch(self, on: bool) -> FacesState:
        """They stay on."""
        return await self.look()


async def shoot(size: tuple[int, int], script: Callable[[Pilot[int], DeckApp], Awaitable[None]],
                *, theme: str = "taskdeck-dark", settings_file: Path | None = None) -> str:  # fmt: skip
    """The picture after a script of keys, as SVG."""
    clock = ManualClock(START)
    tasks = FakeTasks([*story(), report()], clock=clock)
    tasks.results.update(mediainfo=media())
    tasks.looks.update(members=members, estimate=ESTIMATE)
    detail = await tasks.detail("v0r1")
    tasks.details["v0r1"] = msgspec.structs.replace(
        detail, params={"path": "/srv/films/harbour.mp4"}, command="taskdeck mediainfo /srv/films/harbour.mp4",
        reply=MEDIA_REPORT, result={}, history=[],
    )  # fmt: skip
    settings = Settings(tui=TuiSettings(theme=theme))
    app = DeckApp(tasks.connect, settings, where="files.example.org", clock=clock,
                  places=DemoPlaces(), faces=DemoFaces(), settings_file=settings_file)  # fmt: skip
    async with app.run_test(size=size) as pilot:
        for load in (22, 31, 28, 44, 52, 47, 61, 58, 49, 63, 72, 66, 54, 59, 68, 61, 57, 64, 71, 66, 58, 62, 67, 61):
            tasks.host = msgspec.structs.replace(
                tasks.host, at=tasks.host.at + 1, cpu=float(load), memory=55 + load / 8, io_write=load * 1e6
            )
            tasks.wake()
            await pilot.pause(0.01)
        await script(pilot, app)
        await pilot.pause(0.3)
        return app.export_screenshot(title="taskdeck")


async def nothing(_pilot: Pilot[int], _app: DeckApp) -> None:
    """The picture as it is."""


def keys(*names: str) -> Callable[[Pilot[int], DeckApp], Awaitable[None]]:
    """A script that presses keys."""

    async def script(pilot: Pilot[int], _app: DeckApp) -> None:
        for name in names:
            await pilot.press(name)
            await pilot.pause(0.05)

    return script


PICTURES: dict[str, tuple[tuple[int, int], Callable[[Pilot[int], DeckApp], Awaitable[None]], str]] = {
    "tasks": ((132, 38), nothing, "taskdeck-dark"),
    "tasks-80x24": ((80, 24), nothing, "taskdeck-dark"),
    "tasks-light": ((132, 38), nothing, "taskdeck-light"),
    "tasks-contrast": ((80, 24), nothing, "taskdeck-contrast"),
    "tasks-narrow": ((50, 14), nothing, "taskdeck-dark"),
    "command": ((100, 28), keys("colon", *"zip films tar.zst 9 --"), "taskdeck-dark"),
    "filter": ((100, 28), keys("slash", *"status:failed"), "taskdeck-dark"),
    "cancel": ((100, 28), keys("space", "space", "x"), "taskdeck-dark"),
    "form": ((100, 30), keys("n", "enter", *"films"), "taskdeck-dark"),
    "operations": ((100, 34), keys("n"), "taskdeck-dark"),
    "picker": ((100, 30), keys("n", "enter", "ctrl+o", "j", "space", "space"), "taskdeck-dark"),
    "archive": (
        (100, 30),
        keys("colon", *"browse archive.tar.zst", "enter", "j", "l", "space", "j", "j", "space"),
        "taskdeck-dark",
    ),
    "media": ((120, 24), keys("colon", *"browse films", "enter", "j", "space", "space"), "taskdeck-dark"),
    "faces": ((100, 34), keys("W", "l"), "taskdeck-dark"),
    "history": ((110, 28), keys("H"), "taskdeck-dark"),
    "details": ((100, 34), keys("j", "enter"), "taskdeck-dark"),
    "report": ((100, 36), keys("slash", *"harbour", "enter", "enter"), "taskdeck-dark"),
    "groups": ((100, 34), keys("b", "b"), "taskdeck-dark"),
    "planned": ((100, 20), keys("L"), "taskdeck-dark"),
    "settings": ((110, 30), keys("comma", *"jjjjjj"), "taskdeck-dark"),
    "keys": ((100, 30), keys("ctrl+k"), "taskdeck-dark"),
    "theme": ((100, 24), keys("T"), "taskdeck-dark"),
    "palette": ((100, 26), keys("ctrl+p", *"da"), "taskdeck-dark"),
    "help": ((100, 34), keys("question_mark"), "taskdeck-dark"),
}


def main(folder: Path, only: list[str]) -> None:
    """Make all pictures, or those named."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (size, script, theme) in PICTURES.items():
        if not only or name in only:
            picture = asyncio.run(shoot(size, script, theme=theme, settings_file=Path("/etc/taskdeck/taskdeck.toml")))
            (folder / f"tui-{name}.svg").write_text(picture)


if __name__ == "__main__":
    os.environ.update(TZ="UTC", TERM="xterm-256color", COLORTERM="truecolor")
    main(Path(sys.argv[1]), sys.argv[2:])
