"""Entry of the command line: finds the command, runs it, turns every error into a sentence and an exit status."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys

from engines.errors import Exit, TaskdeckError
from engines.paths import unreadable
from tui_app.cli.context import Context
from tui_app.cli.output import err, out, out_json, show_error
from tui_app.cli.parser import command_parser, find_command, parse_program


def run(argv: list[str]) -> int:
    """Run one command line; returns its exit status and never raises."""
    _open_missing_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run_or_restart(argv)
        sys.stdout.flush()
    except TaskdeckError as error:
        status = _tell(error, argv)
    except BrokenPipeError:
        # The reader went away (`| head`): end as a program killed by SIGPIPE would, without a traceback.
        _silence(1)
        status = 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        err("")
        status = 128 + signal.SIGINT
    except SystemExit as leave:  # argparse after --help
        status = leave.code if isinstance(leave.code, int) else 0
    except Exception as error:
        if os.environ.get("TASKDECK_DEBUG"):
            raise
        status = _tell(_explained(error), argv)
    return int(status)


def _open_missing_streams() -> None:
    """Let standard streams that the caller has closed lead nowhere; else the next file opened would stand for them."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
            os.set_inheritable(opened, True)
            setattr(sys, name, os.fdopen(opened, mode, closefd=False))


def _explained(error: Exception) -> TaskdeckError:
    """A full, read-only or foreign disk is no fault of ours, nor are words in another encoding; all else is."""
    if isinstance(error, OSError) and isinstance(error.filename, (str, bytes)):
        return unreadable(os.fsdecode(error.filename), error)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        _silence(1)
        return unreadable("standard output", error)
    if isinstance(error, UnicodeEncodeError):  # it may be a password, so it is not shown
        return TaskdeckError("value", "cannot use the command line", "a word of it that is no path is not UTF-8 text")
    why = f"{type(error).__name__}: {error}"
    return TaskdeckError("internal", "cannot go on", why, "set TASKDECK_DEBUG=1 for the details")


def _tell(error: TaskdeckError, argv: list[str]) -> int:
    try:
        show_error(error.info)
        if "--json" in argv:
            out_json({"error": error.info})
    except OSError:  # nobody reads, or the disk behind the stream is full: the status still tells
        _silence(1)
        _silence(2)
    return error.info.exit


def _silence(descriptor: int) -> None:
    """Let what a stream still holds go nowhere: Python's flush at exit would fail and change the status."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _run_or_restart(argv: list[str]) -> int:
    """Run it; when an older or newer daemon answers and a person is there, offer to restart that one, and run again."""
    try:
        return _run(argv)
    except TaskdeckError as error:
        if error.code != "daemon.version":
            raise
        from tui_app.cli.interface import offer_restart

        if not offer_restart(error):
            raise
    return _run(argv)


def _run(argv: list[str]) -> int:
    options, name, words = parse_program(argv)
    context = Context(options.config, options.settings, options.root)
    if options.version:
        from tui_app.wire import program_version

        out(f"taskdeck {program_version()}")
        return Exit.OK
    if name is None:
        from tui_app.cli.interface import open_interface

        return open_interface(context, solo=options.solo, url=options.url, token=options.token)
    command = find_command(name)
    parser = command_parser(command)
    return command.load().run(context, command.name, parser.parse_words(words))
