"""Unpacking and testing ZIP files on all cores: what is done in which order."""

from __future__ import annotations

import threading
from functools import partial
from heapq import merge
from itertools import accumulate

from engines.archive.encodings import Decoder
from engines.archive.extract.batches import work_through
from engines.archive.extract.run import Keeping, Run
from engines.archive.extract.zip_directory import Directory, needs_tool, read_directory
from engines.archive.extract.zip_members import Batch, Target, large, link, small, verify
from engines.archive.extract.zip_passwords import unlock
from engines.archive.limits import RATIO_FLOOR
from engines.archive.member import MemberKind
from engines.archive.volumes import Volumes
from engines.errors import TaskdeckError

_SMALL = 4 << 20  # bytes unpacked: members up to this are decoded whole
_BATCH_BYTES = 1 << 20
_BATCH_MEMBERS = 256
_LOOK = 256  # members between two looks at whether to stop


def extract(run: Run) -> None:
    """Unpack a ZIP archive into the run's tree.

    Raises:
        TaskdeckError: see `engines.archive.extract.job.run`.
    """
    with Volumes(run.found.volumes, run.found.missing) as volumes:
        try:
            directory = load(run, volumes)
        except TaskdeckError as error:
            if error.code != "archive.damaged" or not run.op.keep_broken:
                raise
            from engines.archive.extract import sevenzip

            sevenzip.extract(run)  # finds members by their local headers where the directory is lost
            if not run.broken_count:
                run.spoiled(run.found.path.name, error)
            return
        if any(needs_tool(entry) for entry in directory.entries):
            unlock(run, volumes, [Target(entry, ()) for entry in directory.entries], all_now=True)
            _by_7zz(run, directory)
            return
        targets, links = plan(run, directory)
        unlock(run, volumes, [*targets, *links])
        _write(run, volumes, targets)
        for target in links:
            link(run, volumes, target)


def _by_7zz(run: Run, directory: Directory) -> None:
    """Traditional encryption and rare methods: 7zz decodes, and where it can be told from its output what is whose, the
    members are written here."""
    from engines.archive.extract import sevenzip, sevenzip_stream

    found = directory.listing(len(run.found.volumes))
    wanted = sevenzip.judge(run, found)
    if (run.select and not wanted) or sevenzip_stream.unpack_zip(run, found, wanted):
        return
    run.start_over()
    run.encoding = ""  # 7zz keeps the bytes of names
    sevenzip.extract(run)


def load(run: Run, volumes: Volumes) -> Directory:
    """Read the directory and hold it against the limits."""
    decoder = Decoder(run.op.encoding)
    directory = read_directory(volumes, decoder, max_entries=run.limits.max_entries, check=run.job.check)
    run.encoding = directory.encoding
    if decoder.guessed:
        run.warn(decoder.hint)
    if directory.overlapping:
        raise TaskdeckError(
            "archive.limit",
            "cannot unpack the archive",
            "its members share the same packed bytes, as in a decompression bomb",
        )
    return directory


def plan(run: Run, directory: Directory) -> tuple[list[Target], list[Target]]:
    """What to write, folders made already: files, and links, which come last."""
    targets: list[Target] = []
    links: list[Target] = []
    total = 0
    folders = []
    split, give = run.parts, run.names.give
    for number, entry in enumerate(directory.entries):
        if number % _LOOK == 0:
            run.job.check()
        try:
            parts = split(entry.name)
            if entry.size > RATIO_FLOOR:
                run.budget.ratio(entry.name, entry.size, entry.packed)
        except TaskdeckError as error:
            run.spoiled(entry.name, error)
            continue
        if not parts or (run.select and not run.select.wants(parts)):
            continue
        if entry.kind is MemberKind.FOLDER:
            folders.append((parts, entry))
            continue
        if entry.kind is MemberKind.SPECIAL:
            run.leave_out(entry.name, "it is a device, pipe or socket")
            continue
        given = give(parts, entry.name)
        if given is None:
            run.leave_out(entry.name, "the archive holds the name twice")
            continue
        total += entry.size
        (links if entry.kind is MemberKind.SYMLINK else targets).append(Target(entry, given))
    run.budget.declared(total, len(directory.entries))
    for target in links:
        run.tree.reserve(target.parts)
    for number, (parts, entry) in enumerate(folders):
        if number % _LOOK == 0:
            run.job.check()
        with Keeping(run, entry.name):
            run.tree.folder(parts, mode=entry.mode, mtime_ns=entry.mtime_ns)
            run.folders += 1
    return targets, links


def _write(run: Run, volumes: Volumes, targets: list[Target]) -> None:
    total = sum(target.entry.size for target in targets)
    batches = _batches(targets)
    reached = [0, *accumulate(map(len, batches))]
    skip = 0
    while skip < len(batches) and reached[skip + 1] <= run.skip:
        skip += 1
    run.files += reached[skip]
    run.budget.written += sum(target.entry.size for batch in batches[:skip] for target in batch)

    def work(batch: Batch, stop: threading.Event) -> None:
        if _lane(batch):
            large(run, volumes, batch[0], stop)
        else:
            small(run, volumes, batch, stop)

    def tick(done: int) -> None:
        run.job.check()
        begun = batches[min(skip + done, len(batches) - 1)]
        run.progress(run.budget.written, total, begun[0].entry.name)
        run.committed(reached[skip + done])

    if batches[skip:]:
        work_through(run, batches[skip:], work, tick, _lane, members=reached[-1] - reached[skip])


def _batches(targets: list[Target]) -> list[Batch]:
    """Large members alone, longest first; the others together in order of their data; the two kinds interleaved.

    So the longest are begun early, neither kind waits for the other, and the members before the first unfinished batch,
    which are what a checkpoint can count, are never far behind.
    """
    alone = sorted(
        ([target] for target in targets if target.entry.size > _SMALL),
        key=lambda batch: (-batch[0].entry.size, batch[0].entry.offset),
    )
    batches: list[Batch] = []
    batch: Batch = []
    size = 0
    for target in targets:
        if target.entry.size > _SMALL:
            continue
        if batch and (size + target.entry.size > _BATCH_BYTES or len(batch) >= _BATCH_MEMBERS):
            batches.append(batch)
            batch, size = [], 0
        batch.append(target)
        size += target.entry.size
    if batch:
        batches.append(batch)
    return [batch for _, batch in merge(_begin(alone), _begin(batches), key=lambda pair: pair[0])]


def _begin(batches: list[Batch]) -> list[tuple[float, Batch]]:
    """Each batch with the time it is begun when one thread does them all: 1 ns a byte and 30 us a member."""
    began = 0.0
    found = []
    for batch in batches:
        found.append((began, batch))
        began += sum(target.entry.size for target in batch) * 1e-9 + len(batch) * 3e-5
    return found


def _lane(batch: Batch) -> int:
    """0 for small members, 1 for a large one."""
    return int(len(batch) == 1 and batch[0].entry.size > _SMALL)


def test(run: Run) -> None:
    """Verify every member without writing; failures go to `Run.spoiled`."""
    with Volumes(run.found.volumes, run.found.missing) as volumes:
        directory = load(run, volumes)
        targets = [Target(entry, ()) for entry in directory.entries if entry.kind is not MemberKind.FOLDER]
        tool = any(needs_tool(entry) for entry in directory.entries)
        unlock(run, volumes, targets, all_now=tool)
        if tool:
            from engines.archive.extract import sevenzip

            sevenzip.test(run)
            return
        total = sum(target.entry.size for target in targets)

        def tick(_: int) -> None:
            run.job.check()
            run.progress(run.budget.written, total)

        batches = _batches(targets)
        work_through(run, batches, partial(verify, run, volumes), tick, _lane, members=len(targets))
