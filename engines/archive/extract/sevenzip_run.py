"""Running 7zz: arguments without secrets, an eye on what it writes, and what its messages mean.

Passwords reach it on its standard input, never in its arguments; it dies with the job.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec

from engines.archive.backends import sevenzip as find_sevenzip
from engines.archive.detect import Family
from engines.archive.extract.run import Run
from engines.archive.limits import refuse
from engines.archive.member import Member, MemberKind
from engines.archive.passwords import needed, wrong
from engines.errors import TaskdeckError
from engines.process import Tool

_TICK: Final = 0.03  # seconds between two looks at a running 7zz
_SLACK: Final = 64 << 20
"""Bytes a tool may write beyond what the archive declares: 7zz preallocates."""
_MOST_LINES: Final = 5_000_000
_REFUSED_LINK: Final = re.compile(r"ERROR: Dangerous (?:symbolic )?link path was ignored : (.+)$")
_ABOUT_MEMBER: Final = re.compile(
    r"(ERROR: (?:CRC Failed|Data Error|Unexpected end of data|Unavailable data|Unsupported Method)[^:]*) : .*"
)
"""A member's name may say anything."""
_NO_MEMORY: Final = ("Can't allocate required memory", "Memory usage limit was exceeded", "Cannot allocate memory")


class Outcome(msgspec.Struct):
    """How a 7zz run ended."""

    status: int
    lines: list[str]
    prompted: bool

    @property
    def text(self) -> str:
        """All output, for pattern searches."""
        return "\n".join(self.lines)

    @property
    def wrong_password(self) -> bool:
        """Whether it blames the password."""
        return "Wrong password" in self.text

    @property
    def certain(self) -> bool:
        """Whether it knows: formats with a password check say so without a question mark."""
        return any("ERROR: Wrong password :" in line for line in self.lines)


def archive_argument(run: Run) -> str:
    """The volume to give to 7zz: the last of a split ZIP, else the first."""
    found = run.found
    numbered = found.volumes[0].suffix[1:].isdigit()
    return str(found.volumes[-1] if found.family is Family.ZIP and not numbered else found.volumes[0])


def decoding(run: Run, *options: str, password: str | None = None, pass_fds: tuple[int, ...] = ()) -> Tool:
    """7zz at work on the archive, writing what members hold to its output, one after the other.

    Args:
        password: Given to it when it asks.
    """
    program = find_sevenzip(run.job.settings.archive)
    argv = [program, "x", "-so", "-bd", "-bso0", "-bsp0", *options, "--", archive_argument(run)]
    return run.job.tool(argv, stdin=None if password is None else password.encode() + b"\n", pass_fds=pass_fds)


def invoke(
    run: Run,
    verb: str,
    options: Sequence[str] = (),
    *,
    password: str | None = None,
    watch: Callable[[Tool], None] | None = None,
    names: Sequence[str] = (),
    follow: Callable[[str], bool] = lambda _: False,
    env: dict[str, str] | None = None,
) -> Outcome:
    """Run 7zz on the archive while `Job.check` is called; it dies with the job.

    Args:
        watch: Called about 30 times a second; what it raises ends the tool.
        follow: Called with each line as it comes, in another thread; lines it takes (True) are not kept.
        names: Only these members, exactly.
        env: Its environment, `process.environment` by default.
    """
    program = find_sevenzip(run.job.settings.archive)
    with told(names) as (chosen, descriptors):
        argv = [program, verb, "-bse1", "-sccUTF-8", *options, *chosen, "--", archive_argument(run)]
        tool = run.job.tool(argv, stdin=(password or "").encode() + b"\n", pass_fds=descriptors, env=env)
        # a list has no progress in it, and names may hold what ends progress
        return supervise(run, tool, watch, follow, b"\n" if verb == "l" else b"\r\n\b")


@contextmanager
def told(names: Sequence[str]) -> Iterator[tuple[list[str], tuple[int, ...]]]:
    """Arguments that choose exactly these members, none for all, and the descriptors to pass with them."""
    if not names:
        yield ["-scsUTF-8"], ()
        return
    descriptor = os.memfd_create("members", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as out:
            out.write(b"\n".join(os.fsencode(name) for name in names) + b"\n")
        yield ["-scsUTF-8", "-spd", f"-i@/proc/self/fd/{descriptor}"], (descriptor,)
    finally:
        os.close(descriptor)


def supervise(
    run: Run,
    tool: Tool,
    watch: Callable[[Tool], None] | None,
    follow: Callable[[str], bool] = lambda _: False,
    separators: bytes = b"\r\n\b",
) -> Outcome:
    """Wait for a tool while the job is asked whether to stop; end the tool when it is."""
    lines: list[str] = []
    failures: list[Exception] = []

    def read() -> None:
        for chunk in tool.chunks(separators):
            line = chunk.decode("utf-8", "surrogateescape")
            try:
                taken = not failures and follow(line)
            except Exception as error:  # the tool's output is read to its end all the same
                failures.append(error)
                taken = False
            if not taken and len(lines) < _MOST_LINES:
                lines.append(line)

    reading = threading.Thread(target=read, name="7zz output", daemon=True)
    reading.start()
    try:
        while tool.poll() is None:
            run.job.check()
            if watch is not None:
                watch(tool)
            reading.join(_TICK)
            if not reading.is_alive():
                time.sleep(0.002)  # its output has ended, so it is about to
        status = tool.wait()
        reading.join()
    except BaseException:
        _terminate(tool)
        raise
    if failures:
        raise failures[0]
    return Outcome(status, lines, any("Enter password" in line for line in lines[:200] + lines[-50:]))


def _terminate(tool: Tool) -> None:
    """SIGTERM lets 7zz remove its partial file; it has a tenth of a second."""
    if tool.poll() is None:
        os.kill(tool.pid, signal.SIGCONT)
        os.kill(tool.pid, signal.SIGTERM)
        deadline = time.monotonic() + 0.1
        while tool.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
    tool.kill()


def watcher(run: Run, wanted: Sequence[Member]) -> Callable[[Tool], None]:
    """Looks after a writing tool: progress by what it wrote, limits, free space."""
    total = sum(member.size for member in wanted)
    unknown = total == 0
    limited = [False]

    def watch(tool: Tool) -> None:
        if not limited[0]:
            limited[0] = True
            largest = max((member.size for member in wanted), default=0)
            room = max(run.budget.free(), 0)
            top = room if unknown else min(room, largest + _SLACK)
            try:
                resource.prlimit(tool.pid, resource.RLIMIT_FSIZE, (top, top))
            except (OSError, ValueError):
                return
        written = bytes_written(tool.pid)
        if written is None:
            return
        run.progress(min(written, total), total or None)
        if not unknown and written > total + _SLACK:
            raise refuse("cannot unpack the archive", "it writes more than it declares", "nothing")
        if run.limits.max_bytes and written > run.limits.max_bytes:
            run.budget.declared(written, 0)
        if run.budget.free() < 0:
            run.budget.declared(1 << 62, 0)

    return watch


def bytes_written(pid: int) -> int | None:
    """Bytes a process has passed to write(2) so far."""
    try:
        with open(f"/proc/{pid}/io", encoding="ascii") as io:
            return next((int(line[7:]) for line in io if line.startswith("wchar:")), None)
    except OSError:
        return None


def find_password(run: Run, wanted: Sequence[Member]) -> str | None:
    """The password that opens the smallest encrypted member, tried one by one; None when nothing is encrypted.

    Raises:
        TaskdeckError: `password.needed`, `password.wrong`.
    """
    locked = [member for member in wanted if member.encrypted and member.kind is MemberKind.FILE]
    if not locked:
        return run.passwords[0] if run.passwords else None
    if not run.passwords:
        raise needed(run.what)
    if len(run.passwords) == 1:
        return run.passwords[0]
    smallest = min((member for member in locked if member.size), key=lambda m: m.size, default=locked[0])
    for password in run.passwords:
        if invoke(run, "t", password=password, names=[smallest.name]).status == 0:
            return password
    raise wrong(run.what, len(run.passwords))


def blame(run: Run, outcome: Outcome) -> TaskdeckError:
    """Why 7zz failed, in our words."""
    text = "\n".join(_ABOUT_MEMBER.sub(r"\1", line) for line in outcome.text.splitlines())
    what = run.what
    detail = "\n".join(line for line in outcome.lines if "ERROR" in line or "WARNING" in line)[-4000:]
    if outcome.status in (126, 127):
        return TaskdeckError("tool.missing", what, "7zz cannot be run", "see `taskdeck doctor`", detail=text)
    if outcome.prompted and not run.passwords:
        return needed(what)
    if outcome.wrong_password:
        return wrong(what, len(run.passwords))
    if "Missing volume" in text or "Unavailable start of archive" in text:
        return TaskdeckError("archive.volume", what, "a volume is missing", "put all volumes into one folder")
    if "No space left" in text or "not enough space" in text:
        return TaskdeckError("disk.full", what, "the disk is full", "free some space and retry")
    if any(words in text for words in _NO_MEMORY):
        return TaskdeckError("archive.limit", what, "it needs more memory than there is")
    if "Unsupported Method" in text or "E_NOTIMPL" in text:
        return TaskdeckError("unsupported", what, "it uses a compression method that 7zz does not know", detail=detail)
    cut = "Unexpected end" in text
    why = "it is cut off, probably while it was copied" if cut else "its data is damaged"
    return TaskdeckError(
        "archive.damaged", what, why, "get it again, or use --keep-broken to save what is sound", detail=detail
    )


def refused_links(outcome: Outcome) -> list[str]:
    """ "name : target" of links that 7zz did not make: it refuses every "..", even inside the archive."""
    return list(dict.fromkeys(match[1] for line in outcome.lines if (match := _REFUSED_LINK.match(line))))


def _reason(text: str) -> str:
    """Why a member failed, without the doubt about the password: that is settled by what else opened."""
    return text.removesuffix(" Wrong password?").rstrip(". ").lower().replace("crc failed", "its checksum is wrong")


def failures(outcome: Outcome) -> dict[str, str]:
    """Members that 7zz names in its errors, with its reasons."""
    found = {}
    for line in outcome.lines:
        match = re.match(r"ERROR: (.+?) : (.+)$", line)
        if match and not _REFUSED_LINK.match(line):
            found[match[2].strip()] = _reason(match[1])
    return found
