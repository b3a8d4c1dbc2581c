"""Unpacking with 7zz: 7z, rar, wim, squashfs and the like, and ZIP members of methods we do not decode.

7zz is a program we do not trust with the destination: its list of members is judged first, it writes into a fresh
private folder, it is stopped when it writes more than the archive declares or the disk bears, and afterwards
everything it made is looked at again (`adopt`) before anything is published. Passwords reach it on its standard
input, never in its arguments.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from engines.archive.backends import sevenzip as find_sevenzip
from engines.archive.containment import Parts, escape
from engines.archive.detect import Family
from engines.archive.extract.adopt import adopt
from engines.archive.extract.run import Run
from engines.archive.limits import refuse
from engines.archive.member import Listing, Member, MemberKind
from engines.errors import TaskdeckError
from engines.names import display
from engines.process import Tool

_TICK: Final = 0.03  # seconds between two looks at a running 7zz
_SLACK: Final = 64 << 20
"""Bytes a tool may write beyond what the archive declares: 7zz preallocates."""
_XAR_TABLE: Final = "[TOC].xml"
"""What 7zz makes of a xar's table of contents."""
_MOST_LINES: Final = 5_000_000
_STAMP: Final = re.compile(r"(\d+-\d+-\d+ \d+:\d+):(\d+(?:\.\d+)?)")
_UNIX_MODE: Final = re.compile(r"(?:^|\s)([-dlcbps][-rwxsStT]{9})$")
_CRC: Final = re.compile("[0-9A-Fa-f]{8}")


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


def invoke(
    run: Run,
    verb: str,
    options: Sequence[str] = (),
    *,
    password: str | None = None,
    watch: Callable[[Tool], None] | None = None,
    names: Sequence[str] = (),
    follow: Callable[[str], bool] = lambda _: False,
) -> Outcome:
    """Run 7zz on the archive while `Job.check` is called; it dies with the job.

    Args:
        watch: Called about 30 times a second; what it raises ends the tool.
        follow: Called with each line as it comes, in another thread; lines it takes (True) are not kept.
        names: Only these members, exactly.
    """
    program = find_sevenzip(run.job.settings.archive)
    chosen: list[str] = []
    descriptor = -1
    if names:
        descriptor = os.memfd_create("members", os.MFD_CLOEXEC)
        with os.fdopen(os.dup(descriptor), "wb") as out:
            out.write(b"\n".join(os.fsencode(name) for name in names) + b"\n")
        chosen = ["-spd", f"-i@/proc/self/fd/{descriptor}"]
    argv = [program, verb, "-bse1", "-sccUTF-8", "-scsUTF-8", *options, *chosen, "--", archive_argument(run)]
    try:
        tool = run.job.tool(
            argv, stdin=(password or "").encode() + b"\n", pass_fds=(descriptor,) if descriptor >= 0 else ()
        )
        return supervise(run, tool, watch, follow)
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def supervise(
    run: Run, tool: Tool, watch: Callable[[Tool], None] | None, follow: Callable[[str], bool] = lambda _: False
) -> Outcome:
    """Wait for a tool while the job is asked whether to stop; end the tool when it is."""
    lines: list[str] = []
    failures: list[Exception] = []

    def read() -> None:
        for chunk in tool.chunks():
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


def blame(run: Run, outcome: Outcome) -> TaskdeckError:
    """Why 7zz failed, in our words."""
    name = display(run.found.path.name)
    text = outcome.text
    what = f"cannot unpack '{name}'"
    detail = "\n".join(line for line in outcome.lines if "ERROR" in line or "WARNING" in line)[-4000:]
    if outcome.status in (126, 127):
        return TaskdeckError("tool.missing", what, "7zz cannot be run", "see `taskdeck doctor`", detail=text)
    if outcome.prompted and not run.passwords:
        return TaskdeckError(
            "password.needed", what, "it is encrypted", "give a password (--password-file, or type it when asked)"
        )
    if outcome.wrong_password:
        return TaskdeckError("password.wrong", what, "the password is wrong", "try another password")
    if "Missing volume" in text or "Unavailable start of archive" in text:
        return TaskdeckError("archive.volume", what, "a volume is missing", "put all volumes into one folder")
    if "No space left" in text or "not enough space" in text:
        return TaskdeckError("disk.full", what, "the disk is full", "free some space and retry")
    if "Can't allocate" in text or "memory" in text.lower():
        return TaskdeckError("archive.limit", what, "it needs more memory than there is")
    if "Unsupported Method" in text:
        return TaskdeckError("unsupported", what, "it uses a compression method that 7zz does not know", detail=detail)
    cut = "Unexpected end" in text
    why = "it is cut off, probably while it was copied" if cut else "its data is damaged"
    return TaskdeckError(
        "archive.damaged", what, why, "get it again, or use --keep-broken to save what is sound", detail=detail
    )


def listing(run: Run) -> Listing:
    """All members, by `7zz l -slt`; the passwords are tried where names are encrypted.

    Raises:
        TaskdeckError: `password.needed`, `password.wrong`, `archive.damaged`, `archive.volume`, `tool.missing`.
    """
    outcome = None
    for password in run.passwords or (None,):
        parser = ListParser(run.found.format, len(run.found.volumes))
        outcome = invoke(run, "l", ["-slt"], password=password, follow=parser.line)
        if not (outcome.wrong_password or (outcome.status and outcome.prompted)):
            if outcome.prompted and password is not None:
                run.passwords = (password, *(other for other in run.passwords if other != password))
            break
    assert outcome is not None
    found = parser.end()
    if outcome.status > 1 and not (found.members and run.op.keep_broken):
        error = blame(run, outcome)
        if error.code == "archive.damaged" and "Cannot open" in outcome.text and not found.members:
            error = TaskdeckError(
                "archive.damaged",
                f"cannot read '{display(run.found.path.name)}'",
                "its directory is damaged or cut off",
                "get it again",
                detail=error.detail,
            )
        raise error
    if len(found.members) > run.limits.max_entries > 0:
        run.budget.declared(0, len(found.members))
    return found


class ListParser:
    """Takes the output of `7zz l -slt` line by line."""

    def __init__(self, format_name: str, volumes: int) -> None:
        self._found = Listing(format_name, [], volumes)
        self._fields: dict[str, str] = {}
        self._inside = False

    def line(self, line: str) -> bool:
        """Take the next line; False when it says nothing about a member."""
        if not self._inside:
            self._inside = line.startswith("----------")
            if line.startswith("Solid = +"):
                self._found.solid = True
            return False
        key, equals, value = line.partition(" = ")
        if not equals and line.endswith(" ="):
            key, value = line[:-2], ""
        if key == "Path":
            self._take()
            self._fields = {"Path": value}
        elif self._fields:
            self._fields.setdefault(key, value)
        return bool(equals)

    def end(self) -> Listing:
        """Everything listed, when no line follows."""
        self._take()
        self._fields = {}
        self._found.encrypted = any(member.encrypted for member in self._found.members)
        return self._found

    def _take(self) -> None:
        fields = self._fields
        if fields and not (self._found.format == "xar" and fields["Path"] == _XAR_TABLE):
            self._found.members.append(_member(fields))


def _member(fields: dict[str, str]) -> Member:
    get = fields.get
    kind, mode = _attributes(get("Attributes") or get("Mode", ""))
    link = get("Symbolic Link", "")
    if get("Folder") == "+":
        kind = MemberKind.FOLDER
    elif link and kind is not MemberKind.FOLDER:
        kind = MemberKind.SYMLINK
    elif kind is MemberKind.FILE and get("Hard Link"):
        kind, link = MemberKind.HARDLINK, fields["Hard Link"]
    size, packed, crc = get("Size", ""), get("Packed Size", ""), get("CRC", "")
    return Member(
        fields["Path"],
        kind,
        int(size) if size.isdecimal() else 0,
        int(packed) if packed.isdecimal() else None,
        _moment(get("Modified", "")),
        mode,
        link,
        get("Encrypted") == "+",
        int(crc, 16) if _CRC.fullmatch(crc) else None,
        get("Method", ""),
    )


@lru_cache(maxsize=1024)
def _attributes(text: str) -> tuple[MemberKind, int | None]:
    """Kind and permission bits; an archive knows few different ones."""
    unix = _UNIX_MODE.search(text)
    mode = _bits(unix[1]) if unix else None
    flags = text.split(" ", 1)[0]  # "RD" with Windows' letters, "drwxr-xr-x" without
    if flags.startswith("d") or (flags.isupper() and "D" in flags):
        return MemberKind.FOLDER, mode
    if unix and unix[1][0] == "l":
        return MemberKind.SYMLINK, mode
    if unix and unix[1][0] in "cbps":
        return MemberKind.SPECIAL, mode
    return MemberKind.FILE, mode


def _bits(text: str) -> int:
    mode = 0
    for index, letter in enumerate(text[1:]):
        mode |= (letter not in "-ST") << (8 - index)
    return mode


def _moment(text: str) -> float | None:
    match = _STAMP.match(text)
    minute = _minute(match[1]) if match else None
    return None if match is None or minute is None else minute + float(match[2])


@lru_cache(maxsize=4096)
def _minute(text: str) -> float | None:
    """Local time; files that were made together share their minutes."""
    year, month, day, hour, minute = (int(part) for part in re.split("[- :]", text))
    try:
        return time.mktime((year, month, day, hour, minute, 0, 0, 0, -1))
    except (OverflowError, ValueError):
        return None


def judge(run: Run, found: Listing) -> list[Member]:
    """The members to unpack, after refusing what 7zz must not even begin with.

    Raises:
        TaskdeckError: `archive.escape` for names that lead outside or lie beneath a link, `archive.limit`.
    """
    links = {member.name.strip("/") for member in found.members if member.kind is MemberKind.SYMLINK}
    wanted = []
    for member in found.members:
        if not member.name:
            continue
        try:
            parts = _place(run, member, links)
        except TaskdeckError as error:
            run.spoiled(member.name, error)
            continue
        if not run.select or (parts and run.select.wants(parts)):
            wanted.append(member)
    packed = sum(os.stat(path).st_size for path in run.found.volumes)
    run.budget.ratio(run.found.path.name, found.size, packed)
    run.budget.declared(sum(member.size for member in wanted), len(found.members))
    return wanted


def _place(run: Run, member: Member, links: set[str]) -> Parts:
    """Where a member goes, or why it may not."""
    parts = run.parts(member.name)
    for end in range(1, len(parts)):
        if links and "/".join(parts[:end]) in links:
            raise escape(member.name, "it lies beneath a symbolic link of the archive")
    if member.packed:
        run.budget.ratio(member.name, member.size, member.packed)
    return parts


def extract(run: Run) -> None:
    """Unpack with 7zz into the run's tree.

    Raises:
        TaskdeckError: see `engines.archive.extract.job.run`.
    """
    found = listing(run)
    wanted = judge(run, found)
    if (run.select and not wanted) or (run.broken_count and not _chosen(run, wanted)):
        return
    password = find_password(run, wanted)
    run.empty()  # an interrupted attempt may have left files: 7zz starts from the beginning
    outcome = _extract_into(run, wanted, password)
    _mend_links(run, outcome, wanted)
    failed = failures(outcome)
    if failed or (outcome.status not in (0, 1) and not refused_links(outcome)):
        _judge_failure(run, outcome, failed, wanted)
    if run.found.format == "xar":
        run.tree.unlink((_XAR_TABLE,))
    adopt(run)
    for member in wanted:  # 7zz leaves every folder open to its owner
        if member.kind is MemberKind.FOLDER and member.mode is not None:
            run.tree.usable(run.parts(member.name), member.mode)
        if member.kind is MemberKind.FOLDER and run.broken_count:
            run.tree.folder(run.parts(member.name))


_REFUSED_LINK: Final = re.compile(r"ERROR: Dangerous (?:symbolic )?link path was ignored : (.+)$")


def refused_links(outcome: Outcome) -> list[str]:
    """ "name : target" of links that 7zz did not make: it refuses every "..", even inside the archive."""
    return list(dict.fromkeys(match[1] for line in outcome.lines if (match := _REFUSED_LINK.match(line))))


def _mend_links(run: Run, outcome: Outcome, wanted: Sequence[Member]) -> None:
    """Make the links that stay inside after all; 7zz left an empty file in place of each."""
    names = {member.name for member in wanted}
    for text in refused_links(outcome):
        cuts = [at for at in range(len(text)) if text.startswith(" : ", at) and text[:at] in names]
        if not cuts:
            continue
        name, target = text[: cuts[-1]], text[cuts[-1] + 3 :]
        parts = run.parts(name)
        run.tree.unlink(parts)
        if not run.tree.symlink(parts, target):
            run.leave_out(name, "it is a link that leads outside")
        else:
            run.links += 1


def extract_or_fall_back(run: Run) -> None:
    """Unpack with 7zz; libarchive takes over where 7zz is missing or lacks a codec (Zstandard in 7z)."""
    from engines.archive.extract import libarchive

    try:
        extract(run)
    except TaskdeckError as error:
        if error.code not in ("unsupported", "tool.missing"):
            raise
        run.job.log(f"trying libarchive: {error.message}", level="warning")
        run.start_over()
        try:
            libarchive.extract_only(run)
        except TaskdeckError as second:
            raise (error if second.code in ("archive.not_archive", "unsupported") else second) from None


def _extract_into(run: Run, wanted: list[Member], password: str | None) -> Outcome:
    folder = os.readlink(f"/proc/self/fd/{run.tree.root}")
    return invoke(
        run,
        "x",
        ["-y", "-aou", "-bd", f"-o{folder}", *_code_page(run)],
        password=password,
        watch=watcher(run, wanted),
        names=_chosen(run, wanted),
    )


def _chosen(run: Run, wanted: Sequence[Member]) -> list[str]:
    """The names 7zz is told, none for all. Beside refused members only files: a folder stands for its content."""
    if run.broken_count:
        return [member.name for member in wanted if member.kind is not MemberKind.FOLDER]
    return [member.name for member in wanted] if run.select else []


def _code_page(run: Run) -> list[str]:
    """Tell 7zz the code page of names where the user chose one."""
    encoding = (run.op.encoding or "").lower().removeprefix("cp")
    return [f"-mcp={encoding}"] if encoding.isdigit() and run.found.family is Family.ZIP else []


def find_password(run: Run, wanted: Sequence[Member]) -> str | None:
    """The password that opens the smallest encrypted member, tried one by one; None when nothing is encrypted.

    Raises:
        TaskdeckError: `password.needed`, `password.wrong`.
    """
    locked = [member for member in wanted if member.encrypted and member.kind is MemberKind.FILE]
    if not locked:
        return run.passwords[0] if run.passwords else None
    if not run.passwords:
        raise TaskdeckError(
            "password.needed",
            f"cannot unpack '{display(run.found.path.name)}'",
            "it is encrypted",
            "give a password (--password-file, or type it when asked)",
        )
    if len(run.passwords) == 1:
        return run.passwords[0]
    smallest = min((member for member in locked if member.size), key=lambda m: m.size, default=locked[0])
    for password in run.passwords:
        if invoke(run, "t", password=password, names=[smallest.name]).status == 0:
            return password
    raise TaskdeckError(
        "password.wrong",
        f"cannot unpack '{display(run.found.path.name)}'",
        f"none of the {len(run.passwords)} passwords fits",
        "try another password",
    )


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


def failures(outcome: Outcome) -> dict[str, str]:
    """Members that 7zz names in its errors, with its reasons."""
    found = {}
    for line in outcome.lines:
        match = re.match(r"ERROR: (.+?) : (.+)$", line)
        if match and not _REFUSED_LINK.match(line):
            found[match[2].strip()] = match[1]
    return found


def _judge_failure(run: Run, outcome: Outcome, failed: dict[str, str], wanted: Sequence[Member]) -> None:
    """After a failed run: is the password wrong, the archive damaged, and what is sound all the same?

    Raises:
        TaskdeckError: Unless --keep-broken applies; then the failed members are removed and noted.
    """
    error = blame(run, outcome)
    if error.code == "password.wrong":
        locked = {member.name for member in wanted if member.encrypted and member.size}
        opened = locked - set(failed)
        if opened and failed and not outcome.certain:  # the password opened others: these are damaged
            error = TaskdeckError(
                "archive.damaged",
                f"cannot unpack '{display(run.found.path.name)}'",
                "its data is damaged",
                "get it again, or use --keep-broken to save what is sound",
            )
    if not failed:
        run.spoiled(run.found.path.name, error)
    for name, why in failed.items():
        run.spoiled(name, error if not run.op.keep_broken else _member_error(name, why, error))
        parts = run.parts(name)
        if parts:
            run.tree.unlink(parts)


def _member_error(name: str, why: str, error: TaskdeckError) -> TaskdeckError:
    if error.code != "archive.damaged":
        return error
    return TaskdeckError("archive.damaged", f"cannot unpack member '{display(name, limit=200)}'", why.lower())


def test(run: Run) -> None:
    """Verify every checksum with 7zz; failures go to `Run.spoiled`."""
    found = listing(run)
    password = find_password(run, found.members)
    total = found.size

    def watch(tool: Tool) -> None:
        run.progress(0, total)

    outcome = invoke(run, "t", password=password, watch=watch)
    failed = failures(outcome)
    run.files += max(0, found.files - len(failed))
    run.budget.written += total
    if outcome.status in (0, 1) and not failed:
        return
    error = blame(run, outcome)
    if error.code != "archive.damaged":
        opened = {m.name for m in found.members if m.encrypted and m.size} - set(failed)
        if error.code != "password.wrong" or outcome.certain or not opened or not failed:
            raise error
    for name, why in failed.items():
        run.spoiled(name, TaskdeckError("archive.damaged", f"member '{display(name, limit=200)}'", why.lower()))
    if not failed:
        run.spoiled(run.found.path.name, error)
