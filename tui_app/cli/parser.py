"""Parsers: the program's own options, then one parser for the command that runs.

argparse sub-parsers are not used: they cannot mix options and optional positionals (`zip PATH --detach tar.gz`).
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, Final, NoReturn

from engines.errors import CODES, Exit, TaskdeckError
from engines.names import display
from tui_app.cli.registry import Command, Group, commands

_HIDDEN: Final = "\0"
_EXITS: Final = {
    Exit.OK: "done",
    Exit.FAILED: "failed",
    Exit.USAGE: "wrong usage or value",
    Exit.CANCELLED: "cancelled",
    Exit.NOT_FOUND: "not found",
    Exit.NO_DAEMON: "no daemon",
    Exit.CONFLICT: "conflict with a state or a file",
    Exit.REFUSED: "refused (permission, roots, limits)",
    Exit.NO_SPACE: "no space",
    Exit.PASSWORD: "password needed or wrong",
    Exit.DAMAGED: "damaged input",
    Exit.DETACHED: "detached, the task goes on",
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ours: one sentence and exit status 2."""

    def error(self, message: str) -> NoReturn:
        """Raise the error instead of exiting."""
        raise TaskdeckError("usage", f"cannot run '{self.prog}'", message, f"see `{self.prog} --help`")

    def parse_words(self, words: list[str]) -> argparse.Namespace:
        """Parse a command's words: options anywhere, "--" before words that only look like options.

        Raises:
            TaskdeckError: `usage`.
        """
        if "--" in words:
            # parse_intermixed_args loses the "--"; a NUL, which no argument can hold, hides the dashes instead.
            at = words.index("--")
            words = words[:at] + [_HIDDEN + word for word in words[at + 1 :]]
        found = self.parse_intermixed_args(words)
        for name, value in vars(found).items():
            setattr(found, name, _shown(value))
        return found

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse hides a broken pipe; ours is handled in one place.
        (file or sys.stdout).write(message or "")


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return value.removeprefix(_HIDDEN) if isinstance(value, str) else value


class Help(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal. argparse makes one for each option, and left alone imports `shutil` (3 ms) for it."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


def program_parser() -> Parser:
    """The parser of what stands before the command."""
    parser = Parser(
        prog="taskdeck",
        usage="taskdeck [OPTIONS] [COMMAND ...]",
        description="Archive, media and file tasks that outlive your session.\nAlone: the terminal interface.",
        formatter_class=Help,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--version", action="store_true", help="show the version and exit")
    add("--config", metavar="FILE", help="settings file (default: $XDG_CONFIG_HOME/taskdeck/taskdeck.toml)")
    add("--set", metavar="KEY=VALUE", action="append", default=[], dest="settings", help="a setting for this run")
    add("--root", metavar="DIR", action="append", default=[], help="a folder tasks may use, for this run")
    add("--solo", action="store_true", help="interface, engine and API on TCP in this one process")
    add("--url", metavar="URL", help="open the interface of a daemon elsewhere ($TASKDECK_URL)")
    add("--token", metavar="TOKEN", help="its token; better in $TASKDECK_TOKEN, where nobody sees it")
    parser.epilog = _epilog()
    return parser


def parse_program(argv: list[str]) -> tuple[argparse.Namespace, str | None, list[str]]:
    """The program's own options, the command (None without one), and the command's words as they are.

    Raises:
        TaskdeckError: `usage`.
    """
    parser = program_parser()
    valued = {flag for action in parser._actions if action.nargs is None for flag in action.option_strings}
    at = 0
    while at < len(argv) and argv[at].startswith("-"):
        at += 2 if argv[at] in valued else 1
    options = parser.parse_args(argv[:at])
    return options, argv[at] if at < len(argv) else None, argv[at + 1 :]


def command_parser(command: Command) -> Parser:
    """The parser of one command."""
    parser = Parser(
        prog=f"taskdeck {command.name}",
        description=command.summary,
        formatter_class=Help,
        allow_abbrev=False,
    )
    command.load().add_arguments(parser, command.name)
    return parser


def find_command(name: str) -> Command:
    """The command of this name.

    Raises:
        TaskdeckError: `usage` for an unknown one, with the nearest known.
    """
    known = commands()
    if name in known:
        return known[name]
    import difflib

    close = difflib.get_close_matches(name, [item for item in known if not known[item].hidden], 1)
    hint = f"perhaps `taskdeck {close[0]}` is meant" if close else "see `taskdeck --help`"
    raise TaskdeckError("usage", f"cannot run '{display(name, limit=60)}'", "there is no such command", hint)


def _epilog() -> str:
    lines: list[str] = []
    for group in Group:
        lines.append(f"{group}:")
        lines += [
            f"  {command.name:<13} {command.summary}"
            for command in commands().values()
            if command.group is group and not command.hidden
        ]
        lines.append("")
    lines.append("Exit status:")
    lines += [f"  {status.value:<13} {text}" for status, text in _EXITS.items()]
    lines += ["", "`taskdeck COMMAND --help` explains a command."]
    return "\n".join(lines)


def exit_table() -> list[tuple[int, str, list[str]]]:
    """Every exit status with its meaning and the error codes that lead to it, for the documentation."""
    return [
        (status.value, text, sorted(code for code, info in CODES.items() if info.exit is status))
        for status, text in _EXITS.items()
    ]
