"""Unpacking ZIP files on all cores: small members in batches read with one system call, large ones streamed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from functools import partial
from heapq import merge

import deflate
import msgspec
from isal import isal_zlib

from engines.archive.containment import Parts, cannot_make, file_mode, finish
from engines.archive.encodings import Decoder
from engines.archive.extract import zip_codec
from engines.archive.extract.copying import write_all
from engines.archive.extract.run import Batches, Keeping, Run, member_errors
from engines.archive.extract.zip_codec import WrongPasswordError, label
from engines.archive.extract.zip_directory import Directory, Entry, damaged, needs_tool, read_directory
from engines.archive.limits import RATIO_FLOOR
from engines.archive.member import MemberKind
from engines.archive.volumes import Volumes
from engines.errors import TaskdeckError

_SMALL = 4 << 20  # bytes unpacked: members up to this are decoded whole
_BATCH_BYTES = 1 << 20
_BATCH_MEMBERS = 256
_LOOK = 256  # members between two looks at whether to stop
_SPAN = 3 << 20  # bytes read at once for a batch


class Job(msgspec.Struct, gc=False):
    """A member and where it goes."""

    entry: Entry
    parts: Parts
    password: bytes = b""


Batch = list[Job]


def extract(run: Run) -> None:
    """Unpack a ZIP archive into the run's tree.

    Raises:
        TaskdeckError: see `engines.archive.extract.job.run`.
    """
    with Volumes(run.found.volumes) as volumes:
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
            from engines.archive.extract import sevenzip

            unlock(run, volumes, [Job(entry, ()) for entry in directory.entries])
            sevenzip.extract(run)
            return
        jobs, links = plan(run, directory)
        unlock(run, volumes, [*jobs, *links])
        _write(run, volumes, jobs)
        for job in links:
            _link(run, volumes, job)


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


def plan(run: Run, directory: Directory) -> tuple[list[Job], list[Job]]:
    """What to write, folders made already: files, and links, which come last."""
    jobs: list[Job] = []
    links: list[Job] = []
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
        (links if entry.kind is MemberKind.SYMLINK else jobs).append(Job(entry, given))
    run.budget.declared(total, len(directory.entries))
    for job in links:
        run.tree.reserve(job.parts)
    for number, (parts, entry) in enumerate(folders):
        if number % _LOOK == 0:
            run.job.check()
        with Keeping(run, entry.name):
            run.tree.folder(parts, mode=entry.mode, mtime=entry.mtime)
            run.folders += 1
    return jobs, links


def _write(run: Run, volumes: Volumes, jobs: list[Job]) -> None:
    total = sum(job.entry.size for job in jobs)
    batches = _batches(jobs)
    counts = [len(batch) for batch in batches]
    reached = [0]
    for count in counts:
        reached.append(reached[-1] + count)
    skip = 0
    while skip < len(batches) and reached[skip + 1] <= run.skip:
        skip += 1
    for batch in batches[:skip]:
        run.files += len(batch)
        run.budget.written += sum(job.entry.size for job in batch)
    current = [""]

    def work(batch: Batch, stop: threading.Event) -> None:
        current[0] = batch[0].entry.name
        if len(batch) == 1 and batch[0].entry.size > _SMALL:
            _large(run, volumes, batch[0], stop)
        else:
            _small(run, volumes, batch, stop)

    def tick(done: int) -> None:
        run.job.check()
        run.progress(run.budget.written, total, current[0])
        run.committed(reached[skip + done])

    Batches(batches[skip:], work, run.threads, [_lane(batch) for batch in batches[skip:]]).run(tick)


def _batches(jobs: list[Job]) -> list[Batch]:
    """Large members alone, longest first; the others together in order of their data; the two kinds interleaved.

    Both kinds are begun at once (see `Batches`), so they are ordered by how far each has come when the other has:
    the members before the first unfinished batch are what a checkpoint can count.
    """
    large = sorted(
        (job for job in jobs if job.entry.size > _SMALL), key=lambda job: (-job.entry.size, job.entry.offset)
    )
    batches: list[Batch] = []
    batch: Batch = []
    size = 0
    for job in jobs:
        if job.entry.size > _SMALL:
            continue
        if batch and (size + job.entry.size > _BATCH_BYTES or len(batch) >= _BATCH_MEMBERS):
            batches.append(batch)
            batch, size = [], 0
        batch.append(job)
        size += job.entry.size
    if batch:
        batches.append(batch)
    return [batch for _, batch in merge(_begin([[job] for job in large]), _begin(batches), key=lambda pair: pair[0])]


def _begin(batches: list[Batch]) -> list[tuple[float, Batch]]:
    """Each batch with the time it is begun when one thread does them all: 1 ns a byte and 30 us a member."""
    began = 0.0
    found = []
    for batch in batches:
        found.append((began, batch))
        began += sum(job.entry.size for job in batch) * 1e-9 + len(batch) * 3e-5
    return found


def _lane(batch: Batch) -> int:
    """0 for small members, 1 for a large one."""
    return int(len(batch) == 1 and batch[0].entry.size > _SMALL)


def _small(run: Run, volumes: Volumes, batch: Batch, stop: threading.Event) -> None:
    """Members that fit into memory: one read for all when they lie together, one look at the limits for all."""
    first = batch[0].entry.offset
    end = batch[-1].entry.ceiling
    span = volumes.pread(end - first, first) if end - first <= _SPAN else b""
    run.budget.spend(sum(job.entry.size for job in batch))
    view = memoryview(span)
    written = 0
    for job in batch:
        if stop.is_set():
            break
        try:
            _one(run, volumes, job, span, view, first)
            written += 1
        except TaskdeckError as error:
            run.budget.written -= job.entry.size
            run.spoiled(job.entry.name, error)
    run.wrote(written)


def _one(run: Run, volumes: Volumes, job: Job, span: bytes, view: memoryview, first: int) -> None:
    """One small member; `view` shows `span`, the bytes of the file from `first` on (both empty: not read yet)."""
    entry = job.entry
    data: bytes | bytearray | memoryview
    start, end = zip_codec.data_range(volumes, entry, span, entry.offset - first if span else 0)
    if entry.flags & 1 or entry.method not in (0, 8):
        data = b"".join(_content(volumes, job, start, end))
    else:
        raw = view[start - first : end - first] if span else volumes.pread(entry.packed, start)
        if len(raw) != entry.packed:
            raise damaged(label(entry), "the archive is cut off")
        data = _decode(entry, raw)
    mode = entry.mode
    descriptor = run.tree.create(job.parts, file_mode(mode))
    try:
        if data:
            write_all(descriptor, data)
        finish(descriptor, mode, entry.mtime)
    except OSError as error:
        raise cannot_make(job.parts, error) from None
    finally:
        os.close(descriptor)


def _decode(entry: Entry, raw: bytes | memoryview) -> bytes | bytearray | memoryview:
    """A whole member in one call; libdeflate writes no byte beyond the declared size."""
    data: bytes | bytearray | memoryview = raw
    if entry.method == 8:
        try:
            data = deflate.deflate_decompress(raw, entry.size) if entry.size else b""
        except deflate.DeflateError as error:
            raise damaged(label(entry), f"its data cannot be decompressed ({error})") from None
    if len(data) != entry.size:
        raise damaged(label(entry), f"it has {len(data):,} bytes and declares {entry.size:,}")
    if isal_zlib.crc32(data) != entry.crc:
        raise damaged(label(entry), "its checksum is wrong")
    return data


def _content(volumes: Volumes, job: Job, start: int, end: int) -> Iterator[bytes]:
    entry = job.entry
    blocks = (
        zip_codec.decrypt_aes(entry, volumes, start, end, job.password)
        if entry.encrypted
        else zip_codec.packed_blocks(volumes, start, end)
    )
    return zip_codec.unpack(entry, blocks)


def _large(run: Run, volumes: Volumes, job: Job, stop: threading.Event) -> None:
    entry = job.entry
    try:
        start, end = zip_codec.data_range(volumes, entry)
        with member_errors(entry.name):
            descriptor = run.tree.create(job.parts, file_mode(entry.mode))
            whole = False
            try:
                for block in _content(volumes, job, start, end):
                    if stop.is_set():
                        return
                    run.budget.spend(len(block))
                    write_all(descriptor, block)
                finish(descriptor, entry.mode, entry.mtime)
                whole = True
            finally:
                os.close(descriptor)
                if not whole:
                    run.tree.unlink(job.parts)
        run.wrote()
    except TaskdeckError as error:
        run.spoiled(entry.name, error)


def _link(run: Run, volumes: Volumes, job: Job) -> None:
    """A symbolic link: its target is the member's content."""
    entry = job.entry
    with Keeping(run, entry.name):
        if entry.size > 4096:
            raise damaged(label(entry), "it is a link with a target of more than 4,096 bytes")
        start, end = zip_codec.data_range(volumes, entry)
        target = os.fsdecode(b"".join(_content(volumes, job, start, end)))
        if run.tree.symlink(job.parts, target):
            run.links += 1
        else:
            run.leave_out(entry.name, "it is a link that leads outside")


def unlock(run: Run, volumes: Volumes, jobs: list[Job]) -> None:
    """Find the password of every encrypted member.

    Raises:
        TaskdeckError: `password.needed`, `password.wrong`.
    """
    name = run.found.path.name
    candidates = [password.encode() for password in run.passwords]
    for job in jobs:
        entry = job.entry
        if not entry.encrypted:
            continue
        if not candidates:
            raise password_needed(name)
        for number, password in enumerate(candidates):
            if _opens(volumes, entry, password):
                job.password = password
                candidates.insert(0, candidates.pop(number))
                run.passwords = tuple(item.decode() for item in candidates)
                break
        else:
            raise password_wrong(name, len(candidates))


def _opens(volumes: Volumes, entry: Entry, password: bytes) -> bool:
    if not entry.aes:
        return zip_codec.zipcrypto_opens(entry, volumes, password)
    start, _ = zip_codec.data_range(volumes, entry)
    size = (entry.aes & 3) * 4 + 4
    head = volumes.pread(size + 2, start)
    try:
        zip_codec.aes_key(entry, head[:size], head[size:], password)
    except WrongPasswordError:
        return False
    return True


def password_needed(name: str) -> TaskdeckError:
    """The error for an encrypted archive without a password."""
    return TaskdeckError(
        "password.needed",
        f"cannot unpack '{name}'",
        "it is encrypted",
        "give a password (--password-file, or type it when asked)",
    )


def password_wrong(name: str, tried: int) -> TaskdeckError:
    """The error when no password fits."""
    why = "the password is wrong" if tried < 2 else f"none of the {tried} passwords fits"
    return TaskdeckError("password.wrong", f"cannot unpack '{name}'", why, "try another password")


def test(run: Run) -> None:
    """Verify every member without writing; failures go to `Run.spoiled`."""
    with Volumes(run.found.volumes) as volumes:
        directory = load(run, volumes)
        jobs = [Job(entry, ()) for entry in directory.entries if entry.kind is not MemberKind.FOLDER]
        unlock(run, volumes, jobs)
        if any(needs_tool(entry) for entry in directory.entries):
            from engines.archive.extract import sevenzip

            sevenzip.test(run)
            return
        total = sum(job.entry.size for job in jobs)

        def tick(_: int) -> None:
            run.job.check()
            run.progress(run.budget.written, total)

        batches = _batches(jobs)
        Batches(batches, partial(_verify, run, volumes), run.threads, [_lane(b) for b in batches]).run(tick)


def _verify(run: Run, volumes: Volumes, batch: Batch, stop: threading.Event) -> None:
    for job in batch:
        if stop.is_set():
            return
        try:
            start, end = zip_codec.data_range(volumes, job.entry)
            for block in _content(volumes, job, start, end):
                if stop.is_set():
                    return
                run.budget.written += len(block)
            run.wrote()
        except TaskdeckError as error:
            run.spoiled(job.entry.name, error)
