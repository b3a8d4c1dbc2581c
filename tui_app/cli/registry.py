"""The commands: name, group, summary and where they live. Modules are loaded only for the command that runs."""

from __future__ import annotations

import argparse
import importlib
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from engines.operations import OPERATIONS

if TYPE_CHECKING:
    from tui_app.cli.context import Context


class Group(StrEnum):
    """Headings of the help."""

    OPERATIONS = "Operations"
    TASKS = "Tasks"
    DAEMON = "Daemon and settings"


class Module(Protocol):
    """A module of commands."""

    def add_arguments(self, parser: argparse.ArgumentParser, name: str) -> None:
        """Declare a command's parameters."""

    def run(self, context: Context, name: str, arguments: argparse.Namespace) -> int:
        """Do it; returns the exit status."""


class Command(msgspec.Struct, frozen=True):
    """One row."""

    name: str
    group: Group
    summary: str
    module: str
    hidden: bool = False

    def load(self) -> Module:
        """The module behind it."""
        module: Module = importlib.import_module(self.module)
        return module


_TASKS: Final = "tui_app.cli.tasks"
_CONTROL: Final = "tui_app.cli.control"
_SERVING: Final = "tui_app.cli.serving"
_SETTINGS: Final = "tui_app.cli.settings"
_COMPLETE: Final = "tui_app.cli.complete"
_OWN: Final = (
    Command("status", Group.TASKS, "Show tasks.", _TASKS),
    Command("show", Group.TASKS, "Show everything about a task.", _TASKS),
    Command("wait", Group.TASKS, "Wait for tasks; exits with the status of the first that failed.", _TASKS),
    Command("logs", Group.TASKS, "Show a task's log.", _TASKS),
    Command("history", Group.TASKS, "Show or export ended tasks.", _TASKS),
    Command("pause", Group.TASKS, "Pause tasks, or everything.", _CONTROL),
    Command("resume", Group.TASKS, "Resume tasks, or everything.", _CONTROL),
    Command("cancel", Group.TASKS, "Cancel tasks.", _CONTROL),
    Command("retry", Group.TASKS, "Run failed or cancelled tasks again.", _CONTROL),
    Command("again", Group.TASKS, "Queue the operations of tasks again, as new tasks.", _CONTROL),
    Command("remove", Group.TASKS, "Remove ended tasks from the history.", _CONTROL),
    Command("priority", Group.TASKS, "Change a queued task's priority or place.", _CONTROL),
    Command("unlock", Group.TASKS, "Give a password to a task that waits for one.", _CONTROL),
    Command("serve", Group.DAEMON, "Run the daemon in the foreground.", _SERVING),
    Command("stop", Group.DAEMON, "Stop the daemon; tasks go on when it starts again.", _SERVING),
    Command("restart", Group.DAEMON, "Restart the daemon; tasks are kept.", _SERVING),
    Command("service", Group.DAEMON, "Install, remove or show the systemd user service.", _SERVING),
    Command(
        "web", Group.DAEMON, "Sign a browser in to the dashboard; tokens, sessions, access log.", "tui_app.cli.web"
    ),
    Command("config", Group.DAEMON, "Show or change settings.", _SETTINGS),
    Command("doctor", Group.DAEMON, "Check tools, permissions, ports, disk; say how to fix each.", _SETTINGS),
    Command("completions", Group.DAEMON, "Print a completion script for bash, zsh or fish.", _COMPLETE),
    Command("demo", Group.DAEMON, "Pack and unpack a generated folder, to see something move.", "tui_app.demo"),
    Command("version", Group.DAEMON, "Show the versions of program and daemon.", _SETTINGS),
    Command("__complete", Group.DAEMON, "Words for the shell's completion.", _COMPLETE, hidden=True),
)


def commands() -> dict[str, Command]:
    """Every command by name: the operations of the table first."""
    found = {
        spec.name: Command(spec.name, Group.OPERATIONS, spec.summary, "tui_app.cli.operate")
        for spec in OPERATIONS.values()
    }
    found.update((command.name, command) for command in _OWN)
    return found
