"""The systemd user service: tasks go on after a reboot. Written, enabled and explained; never as root's unit."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engines.errors import Exit, TaskdeckError
from engines.names import display

if TYPE_CHECKING:
    from tui_app.cli.context import Context
    from tui_app.doctor import Check

NAME: Final = "taskdeck.service"
_PLACES: Final = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "TASKDECK_CONFIG", "TASKDECK_STATE")
"""Variables that say where settings and tasks lie: systemd does not know them from a shell's start-up files."""
_SECONDS: Final = 20


def unit(arguments: list[str]) -> str:
    """The unit file.

    Args:
        arguments: Options of the program that the service should keep (`--config`, `--root`).
    """
    command = [sys.executable, "-P", "-m", "tui_app", *arguments, "serve", "--background"]
    places = "".join(f"Environment={_assigned(name, os.environ[name])}\n" for name in _PLACES if os.environ.get(name))
    return f"""[Unit]
Description=Taskdeck, durable archive, media and file tasks

[Service]
Type=notify
{places}ExecStart={" ".join(_quoted(word) for word in command)}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=2
# Jobs are stopped by the daemon itself, in order and with their checkpoints.
KillMode=mixed
TimeoutStopSec=30
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""


def _quoted(word: str) -> str:
    """A word of ExecStart (systemd.service(5), command lines): quoted, "%" and "$" doubled."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{word}"' if any(char in word for char in " \t\"'\\;") else word


def _assigned(name: str, value: str) -> str:
    """An assignment for Environment= (systemd.exec(5)): quoted, "%" doubled; "$" means nothing there."""
    value = os.path.abspath(os.path.expanduser(value)) if name.startswith("TASKDECK_") else value
    value = value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{name}={value}"'


def unit_path() -> Path:
    """Where the unit lies."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(home) / "systemd" / "user" / NAME


def command(context: Context, action: str) -> int:
    """`taskdeck service install|uninstall|status|print`."""
    from tui_app.cli.output import err, out

    if action == "print":
        out(unit(context.global_arguments()).rstrip("\n"))
        return Exit.OK
    if action == "status":
        for check in checks():
            out(f"{check.name}: {check.found}" + (f" -> {check.fix}" if check.fix else ""))
        return Exit.OK
    path = unit_path()
    if action == "uninstall":
        if path.exists():
            _systemctl("disable", "--now", NAME, needed=False)
            path.unlink()
            _systemctl("daemon-reload", needed=False)
        out("the service is removed; tasks stay")
        return Exit.OK
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(unit(context.global_arguments()))
    out(f"wrote {display(path)}")
    _systemctl("daemon-reload")
    _stop_other(context)
    _systemctl("enable", "--now", NAME)
    out("the service runs")
    if not _lingers():
        user = getpass.getuser()
        if shutil.which("loginctl") is None or _run("loginctl", "enable-linger", user).returncode != 0:
            err(f"taskdeck: tasks end with your last session until you run: sudo loginctl enable-linger {user}")
    return Exit.OK


def _stop_other(context: Context) -> None:
    """A daemon that a command started would hold the lock."""
    from tui_app.client.launch import answers
    from tui_app.client.local import LocalClient
    from tui_app.wire import StopRequest

    if answers(context.locations):
        LocalClient(context.locations, any_version=True).post("/api/v1/stop", dict[str, bool], StopRequest())


def checks() -> Iterator[Check]:
    """What `doctor` says about it."""
    from tui_app.doctor import Check, Level

    if shutil.which("systemctl") is None or not os.path.isdir("/run/systemd/system"):
        yield Check(
            "service", Level.OK, "no systemd here; start `taskdeck serve` from your init for tasks after a reboot"
        )
        return
    if not unit_path().exists():
        yield Check(
            "service",
            Level.WARN,
            "not installed: tasks go on after a reboot only when you come back",
            "run `taskdeck service install`",
        )
    else:
        active = _run("systemctl", "--user", "is-active", NAME).stdout.decode().strip()
        good = active == "active"
        yield Check(
            "service",
            Level.OK if good else Level.WARN,
            active or "unknown",
            "" if good else f"systemctl --user start {NAME}",
        )
    if _lingers():
        yield Check("linger", Level.OK, "on: tasks outlive your last session")
    else:
        user = getpass.getuser()
        yield Check(
            "linger",
            Level.WARN,
            "off: systemd may end tasks with your last session",
            f"sudo loginctl enable-linger {user}",
        )


def _lingers() -> bool:
    return os.path.exists(f"/var/lib/systemd/linger/{getpass.getuser()}")


def _systemctl(*arguments: str, needed: bool = True) -> None:
    if shutil.which("systemctl") is None:
        raise TaskdeckError(
            "tool.missing",
            "cannot install the service",
            "systemctl is not there",
            "`taskdeck service print` shows the unit",
        )
    done = _run("systemctl", "--user", *arguments)
    if needed and done.returncode != 0:
        raise TaskdeckError(
            "tool.failed",
            f"cannot run systemctl --user {arguments[0]}",
            done.stderr.decode("utf-8", "replace").strip().replace("\n", " "),
            f"the unit is written: in a login session of this user run systemctl --user enable --now {NAME}",
        )


def _run(*argv: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, capture_output=True, timeout=_SECONDS, stdin=subprocess.DEVNULL, check=False)
