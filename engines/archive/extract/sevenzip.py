"""Unpacking with 7zz: 7z, rar, wim, squashfs and the like, and ZIP members of methods we do not decode.

7zz is a program we do not trust with the destination: its list of members is judged first, it writes into a fresh
private folder, it is stopped when it writes more than the archive declares or the disk bears, and afterwards
everything it made is looked at again (`adopt`) before anything is published.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from engines.archive.containment import Parts, escape
from engines.archive.extract import sevenzip_names, sevenzip_stream
from engines.archive.extract.adopt import adopt
from engines.archive.extract.run import Run
from engines.archive.extract.sevenzip_links import read_links
from engines.archive.extract.sevenzip_list import WALL_CLOCK, XAR_TABLE, ListParser
from engines.archive.extract.sevenzip_run import Outcome, blame, failures, find_password, invoke, refused_links, watcher
from engines.archive.member import Listing, Member, MemberKind
from engines.archive.volumes import Volumes
from engines.errors import TaskdeckError
from engines.names import display
from engines.process import Tool


def listing(run: Run) -> Listing:
    """All members, by `7zz l -slt`; the passwords are tried where names are encrypted.

    Raises:
        TaskdeckError: `password.needed`, `password.wrong`, `archive.damaged`, `archive.volume`, `tool.missing`.
    """
    outcome = None
    for password in run.passwords or (None,):
        parser = ListParser(run.found.format, len(run.found.volumes))
        outcome = invoke(run, "l", ["-slt"], password=password, follow=parser.line, env=parser.env)
        if not (outcome.wrong_password or (outcome.status and outcome.prompted)):
            if outcome.prompted and password is not None:
                run.passwords = (password, *(other for other in run.passwords if other != password))
            break
    assert outcome is not None
    found = parser.end()
    if outcome.status > 1 and not (found.members and run.op.keep_broken):
        error = blame(run, outcome)
        if error.code == "archive.damaged" and "Cannot open" in outcome.text and not found.members:
            error = _unlisted(run, error.detail)
        raise error
    found.exact = found.format == "7z" and _name_exactly(run, found)
    if len(found.members) > run.limits.max_entries > 0:
        run.budget.declared(0, len(found.members))
    return found


def _unlisted(run: Run, detail: str) -> TaskdeckError:
    """Why an archive has no list: volumes or its end are missing, or it is damaged."""
    what = f"cannot read '{display(run.found.path.name)}'"
    numbered = run.found.volumes[0].suffix[1:].isdigit()
    if run.found.format == "7z":
        with Volumes(run.found.volumes) as volumes:
            there, whole = volumes.size, sevenzip_names.whole_size(volumes) or 0
        missing = there < run.found.offset + whole
        if missing and numbered:
            why = f"it has {whole:,} bytes, and those after the first {there:,} are missing"
            return TaskdeckError("archive.volume", what, why, "put all volumes into one folder", detail=detail)
        if missing:
            why = f"it is cut off: it has {whole:,} bytes, of which {there:,} are there"
            return TaskdeckError("archive.damaged", what, why, "get it again", detail=detail)
    return TaskdeckError("archive.damaged", what, "its directory is damaged or cut off", "get it again", detail=detail)


def catalogue(run: Run) -> Listing:
    """The same for people: with the targets of links, which some formats keep as the members' data.

    Raises:
        TaskdeckError: see `listing`.
    """
    found = listing(run)
    read_links(run, found)
    return found


def _name_exactly(run: Run, found: Listing) -> bool:
    """Give members of a 7z the names of its own header; False where they cannot be had."""
    with Volumes(run.found.volumes) as volumes:
        names = sevenzip_names.names(volumes)
    if names is None or len(names) != len(found.members):
        return False
    for member, name in zip(found.members, names, strict=True):
        member.name = name
    return True


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
    stream = sevenzip_stream.begin(run)
    try:
        found = listing(run)
        wanted = judge(run, found)
        if stream is None and any("\n" in name for name in _chosen(run, wanted)):
            stream = sevenzip_stream.begin(run, selected=True)  # 7zz is told names one a line
        if stream is not None and sevenzip_stream.write(run, stream, found, wanted):
            return
    finally:
        if stream is not None:
            stream.close()
    if (run.select and not wanted) or (run.broken_count and not _chosen(run, wanted)):
        return
    for name in _chosen(run, wanted):
        if "\n" in name:
            run.leave_out(name, "7zz cannot be told a name with a line break: unpack the whole archive")
    password = find_password(run, wanted)
    run.empty()  # an interrupted attempt may have left files: 7zz starts from the beginning
    outcome = _extract_into(run, wanted, password)
    _mend_links(run, outcome, wanted)
    failed = failures(outcome)
    if failed or (outcome.status not in (0, 1) and not refused_links(outcome)):
        _judge_failure(run, outcome, failed, wanted)
    if run.found.format == "xar":
        run.tree.unlink((XAR_TABLE,))
    for member in wanted:
        if member.kind is MemberKind.SPECIAL and run.tree.unlink(run.parts(member.name)):  # 7zz makes empty files
            run.leave_out(member.name, "it is a device, pipe or socket")
    adopt(run)
    for member in wanted:  # 7zz leaves every folder open to its owner
        if member.kind is MemberKind.FOLDER and member.mode is not None:
            run.tree.usable(run.parts(member.name), member.mode)
        if member.kind is MemberKind.FOLDER and run.broken_count:
            run.tree.folder(run.parts(member.name))
    if run.found.format in WALL_CLOCK:
        _correct_times(run, wanted)


def _correct_times(run: Run, wanted: Sequence[Member]) -> None:
    """Set the times of what was unpacked as they are listed: 7zz adds today's offset to all, summer or winter."""
    for member in wanted:
        if member.mtime_ns is None:
            continue
        parts = run.parts(member.name)
        if member.kind is MemberKind.FOLDER:
            run.tree.folder(parts, mode=member.mode, mtime_ns=member.mtime_ns)
        else:
            run.tree.set_time(parts, member.mtime_ns)


def _mend_links(run: Run, outcome: Outcome, wanted: Sequence[Member]) -> None:
    """Make the links that stay inside after all; 7zz left an empty file in place of each."""
    members = {member.name: member for member in wanted}
    for text in refused_links(outcome):
        cuts = [at for at in range(len(text)) if text.startswith(" : ", at) and text[:at] in members]
        if not cuts:
            continue
        name, target = text[: cuts[-1]], text[cuts[-1] + 3 :]
        parts = run.parts(name)
        run.tree.unlink(parts)
        above = members.get(name.rpartition("/")[0])
        if above is not None and above.kind is MemberKind.FOLDER:  # its time is that of this change now
            run.tree.folder(parts[:-1], mode=above.mode, mtime_ns=above.mtime_ns)
        if not run.tree.symlink(parts, target, members[name].mtime_ns):
            run.leave_out(name, "it is a link that leads outside")
        else:
            run.links += 1


def _extract_into(run: Run, wanted: list[Member], password: str | None) -> Outcome:
    folder = os.readlink(f"/proc/self/fd/{run.tree.root}")
    return invoke(
        run,
        "x",
        ["-y", "-aou", "-bd", "-sns-", f"-o{folder}"],
        password=password,
        watch=watcher(run, wanted),
        names=_chosen(run, wanted),
    )


def _chosen(run: Run, wanted: Sequence[Member]) -> list[str]:
    """The names 7zz is told, none for all. Beside refused members only files: a folder stands for its content."""
    if run.broken_count:
        return [member.name for member in wanted if member.kind is not MemberKind.FOLDER]
    return [member.name for member in wanted] if run.select else []


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
                run.what,
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
    return TaskdeckError("archive.damaged", f"cannot unpack member '{display(name, limit=200)}'", why)


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
        run.spoiled(name, TaskdeckError("archive.damaged", f"member '{display(name, limit=200)}'", why))
    if not failed:
        run.spoiled(run.found.path.name, error)
