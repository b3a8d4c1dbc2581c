"""Passwords: asked for on the terminal, read from a file or standard input, hardly ever from the command line."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, Final

from engines.errors import TaskdeckError
from engines.names import display
from engines.operations import Field
from engines.paths import unreadable
from tui_app.cli.output import err

_LIMIT: Final = 4096
_SEEN: Final = "(Other users can see what is typed here.)"


def add_arguments(parser: argparse.ArgumentParser, field: Field | None = None, taken: set[str] | None = None) -> None:
    """Declare the ways to give a secret.

    Args:
        taken: Names of the operation's own fields: one called "password_file" is left to the operation.
    """
    name = field.name if field is not None else "password"
    flag = f"--{name.replace('_', '-')}"
    if field is not None and field.positional:
        parser.add_argument(name, nargs="?", metavar=name.upper(), help=f"{field.help} {_SEEN}")
    group = parser.add_argument_group(name)
    group.add_argument(flag, dest=f"{name}:ask", action="store_true", help="ask for it on the terminal")
    if f"{name}_file" not in (taken or set()):
        group.add_argument(f"{flag}-file", dest=f"{name}:file", metavar="FILE", help="take the first line of a file")
    group.add_argument(
        f"{flag}-stdin", dest=f"{name}:stdin", action="store_true", help="take the first line of standard input"
    )


def given(field: Field | None, arguments: dict[str, Any]) -> str | None:
    """The secret in whichever way it was given, None when it was not.

    Raises:
        TaskdeckError: `usage` for two ways at once, `password.needed` without a terminal to ask on, and what a
            bad file gives.
    """
    name = field.name if field is not None else "password"
    typed = arguments.get(name) if field is not None and field.positional else None
    file = arguments.get(f"{name}:file")
    stdin, asked = arguments.get(f"{name}:stdin"), arguments.get(f"{name}:ask")
    if sum(1 for way in (typed is not None, file is not None, stdin, asked) if way) > 1:
        raise TaskdeckError("usage", f"cannot take the {name}", "it is given in two ways")
    if typed is not None:
        err(f"taskdeck: warning: a {name} on the command line is visible to other users; use --{name} to be asked")
        return str(typed)
    if file is not None:
        return from_file(file)
    if stdin:
        return _first_line(sys.stdin.buffer.readline(_LIMIT + 2), "standard input")
    return ask(name.capitalize()) if asked else None


def ask(label: str) -> str:
    """Ask on the terminal without showing what is typed.

    Raises:
        TaskdeckError: `password.needed` when there is no terminal.
    """
    import getpass

    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        return getpass.getpass(f"{label}: ")
    except (OSError, EOFError):
        raise TaskdeckError(
            "password.needed",
            "cannot ask for the password",
            "there is no terminal",
            "use --password-file or --password-stdin",
        ) from None


def from_file(path: str) -> str:
    """The first line of a file."""
    try:
        with open(path, "rb") as stream:
            return _first_line(stream.readline(_LIMIT + 2), display(path))
    except OSError as error:
        raise unreadable(path, error) from None


def _first_line(raw: bytes, where: str) -> str:
    line = raw.rstrip(b"\r\n")
    if len(line) > _LIMIT:
        raise TaskdeckError("value", f"cannot use the password from {where}", f"it is longer than {_LIMIT} bytes")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise TaskdeckError("value", f"cannot use the password from {where}", "it is not UTF-8 text") from None
    if not text:
        raise TaskdeckError("password.needed", f"cannot read a password from {where}", "its first line is empty")
    return text
