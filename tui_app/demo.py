"""`taskdeck demo`: packs, unpacks and probes generated files through the daemon, its cards as plain lines.

Everything lies in a private temporary folder inside the roots, which is removed at the end. A daemon that was started
for the demo is stopped after it, unless it has found other work to do.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from engines.errors import Exit, TaskdeckError
from engines.model import TERMINAL, Action, Json, Stats, SubmitOptions, TaskDetail, TaskView
from engines.names import display
from engines.paths import PathPolicy
from engines.process import Tool
from tui_app import wire
from tui_app.cli.output import bar, facts, out, pad

if TYPE_CHECKING:
    from tui_app.cli.context import Context
    from tui_app.client.local import LocalClient

_WORDS = ("archive", "member", "entry", "stream", "codec", "packet", "frame", "sample", "chapter", "volume", "block")


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Parameters of the command."""
    parser.add_argument("--size", type=int, default=24, metavar="MB", help="how much to generate (default 24)")


def run(context: Context, name: str, arguments: argparse.Namespace) -> int:
    """Run the demonstration; 0 when the unpacked files are the packed ones."""
    if not 1 <= arguments.size <= 10_000:
        raise TaskdeckError("value", f"cannot generate {arguments.size} MB", "it must be 1 to 10000")
    policy = PathPolicy.of(context.load_config().settings.roots)
    folder = _folder(policy)
    try:
        _story(context, folder, arguments.size)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if context.started_daemon:
            _stop(context)
    out("`taskdeck` opens the interface.")
    return Exit.OK


def _stop(context: Context) -> None:
    """Stop the daemon that was started for the demo; tasks that others left or queued keep it."""
    from tui_app.client.launch import stop_daemon

    client = context.client(start=False)
    try:
        counts = client.get("/api/v1/stats", Stats).counts
        if any(count for state, count in counts.items() if state not in TERMINAL):
            out("The daemon goes on: it has tasks of yours.")
        else:
            stop_daemon(context.locations)
            out("The daemon that was started for the demo has stopped.")
    except TaskdeckError as error:  # the demo itself is over
        out(f"The daemon was left as it is: {error.message}")


def _folder(policy: PathPolicy) -> Path:
    for root in policy.roots:
        try:
            return Path(tempfile.mkdtemp(prefix="taskdeck-demo-", dir=root))
        except OSError:
            continue
    roots = ", ".join(display(root) for root in policy.roots)
    raise TaskdeckError(
        "path.unreadable", "cannot make a folder for the demo", f"none of the roots can be written: {roots}"
    )


def _story(context: Context, folder: Path, megabytes: int) -> None:
    source = folder / "films and notes"
    _generate(source, megabytes)
    out(f"Taskdeck demo: {megabytes} MB in {display(source)}")
    client = context.client()
    archive = folder / "packed.zip"
    packed = _play(client, {"op": "zip", "path": str(source), "output": str(archive)}, folder, pause=True)
    if packed.error is not None:
        raise TaskdeckError.from_info(packed.error)
    target = folder / "unpacked"
    unpacked = _play(client, {"op": "unzip", "path": str(archive), "destination": str(target)}, folder)
    if unpacked.error is not None:
        raise TaskdeckError.from_info(unpacked.error)
    missing = [path for path in _files(source) if not _same(source / path, _unpacked(target, source, path))]
    if missing:
        raise TaskdeckError("archive.damaged", "cannot confirm the demo", f"{len(missing)} files differ")
    out(f"{len(_files(source))} files compared byte for byte: the same.")
    out("")
    _probe(context, client, folder)


def _probe(context: Context, client: LocalClient, folder: Path) -> None:
    """Generate a clip of two seconds and look at it; without ffmpeg say so and go on."""
    from engines.media import ffmpeg, tools

    clip = folder / "clip.mkv"
    picture = "testsrc2=size=1280x720:rate=24:duration=2"
    sound = "sine=frequency=440:duration=2"
    try:
        found = tools.find(context.load_config().settings.media)
        made = ffmpeg.output([ffmpeg.generated(picture), ffmpeg.generated(sound)], clip)
        tool = Tool(ffmpeg.argv(found, made, progress=False))
    except TaskdeckError as error:
        out(f"No clip to look at: {error.message}")
        return
    tool.stdout.read()
    if tool.wait():
        out(f"No clip to look at: ffmpeg could not make one: {tool.errors}")
        return
    probed = _play(client, {"op": "mediainfo", "path": str(clip)}, folder)
    if probed.error is not None:
        raise TaskdeckError.from_info(probed.error)


def _play(client: LocalClient, operation: Json, base: Path, *, pause: bool = False) -> TaskView:
    """Queue a task and print its card as it moves; with `pause`, pause and resume it once on the way."""
    request = wire.CreateRequest(operation, SubmitOptions(), str(base))
    view = client.post("/api/v1/tasks", TaskView, request, {wire.FACE_HEADER: "demo"})
    last = ""
    paused_at: float | None = None
    while True:
        last = _card(view, last)
        if view.terminal:
            break
        if pause and paused_at is None and (view.fraction or 0) > 0.2 and Action.PAUSE in view.actions:
            paused_at = time.monotonic()
            view = client.post(f"/api/v1/tasks/{view.id}/control", TaskView, wire.ControlRequest(Action.PAUSE))
            continue
        if paused_at is not None and time.monotonic() - paused_at > 0.5 and Action.RESUME in view.actions:
            view = client.post(f"/api/v1/tasks/{view.id}/control", TaskView, wire.ControlRequest(Action.RESUME))
            pause = False
            continue
        time.sleep(0.1)
        view = client.get(f"/api/v1/tasks/{view.id}/view", TaskView)
    detail = client.get(f"/api/v1/tasks/{view.id}", TaskDetail)
    if detail.reply:
        out("")
        out(detail.reply)
        out("")
    client.post(f"/api/v1/tasks/{view.id}/control", TaskView | None, wire.ControlRequest(Action.REMOVE))  # type: ignore[arg-type]
    return view


def _card(view: TaskView, last: str) -> str:
    line = f"{view.id} {pad(view.op, 9)} {pad(view.state.value, 10)} {bar(view)} {facts(view)}"
    mark = f"{view.state}{int((view.fraction or 0) * 10)}"
    if mark != last:
        out(line.rstrip())
    return mark


def _generate(source: Path, megabytes: int) -> None:
    """Text that packs well, noise that does not, many small files, and awkward names."""
    rng = random.Random(2026)  # noqa: S311 - the same demo every time
    big, small = source / "big", source / "small"
    big.mkdir(parents=True)
    small.mkdir()
    text = " ".join(rng.choices(_WORDS, k=20_000)).encode()
    for number in range(max(1, megabytes // 4)):
        noise = number % 4 == 3
        with open(big / f"part {number:03d}.{'bin' if noise else 'txt'}", "wb") as stream:
            for _ in range(4):
                stream.write(rng.randbytes(1_000_000) if noise else (text * 8)[:1_000_000])
    for number in range(200):
        (small / f"note {number:03d}.txt").write_bytes(text[number * 50 : number * 50 + 2000])
    (small / "naïve – ünïcode 日本.txt").write_bytes(b"a name that is no ASCII\n")
    (source / "empty folder").mkdir()


def _files(source: Path) -> list[Path]:
    return sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())


def _unpacked(target: Path, source: Path, path: Path) -> Path:
    below = target / source.name / path
    return below if below.exists() else target / path


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.getsize(one) == os.path.getsize(other) and one.read_bytes() == other.read_bytes()
    except OSError:
        return False
