"""Unpacking one compressed file (gz, bz2, xz, zst, lz4, br, lzma, lz, lzo, Z) to its own name without the suffix."""

from __future__ import annotations

import os

from engines.archive.containment import finish
from engines.archive.extract.naming import name_of
from engines.archive.extract.run import Keeping, Run, member_errors
from engines.archive.extract.streams import open_stream
from engines.archive.member import Member
from engines.archive.volumes import Volumes
from engines.errors import TaskdeckError
from engines.filecopy import write_all


def extract(run: Run) -> None:
    """Unpack the file into the run's tree; its time is the archive's."""
    name = name_of(run.found.path.name)
    parts = run.parts(name)
    if not run.select.wants(parts):
        return
    run.budget.entry()
    with Volumes(run.found.volumes, run.found.missing) as volumes, Keeping(run, name), member_errors(name):
        mtime_ns = os.stat(run.found.volumes[0]).st_mtime_ns
        stream = open_stream(volumes, run.found.codec, threads=run.threads, check=run.job.check, start=run.job.tool)
        before = run.budget.written
        descriptor = run.tree.create(parts, 0o644)
        whole = False
        try:
            for block in stream:
                run.job.check()
                run.budget.spend(len(block))
                run.budget.ratio(name, run.budget.written, stream.packed)
                run.progress(min(stream.packed, volumes.size), volumes.size, name)
                write_all(descriptor, block)
            finish(descriptor, None, mtime_ns)
            whole = True
        except TaskdeckError as error:
            if not (run.op.keep_broken and error.code == "archive.damaged" and run.budget.written > before):
                raise
            finish(descriptor, None, mtime_ns)
            whole = True
            run.wrote()
            raise _begun(error, run.budget.written - before) from None
        finally:
            os.close(descriptor)
            stream.close()
            if not whole:
                run.tree.unlink(parts)
        run.wrote()


def _begun(error: TaskdeckError, size: int) -> TaskdeckError:
    """The error for a file whose beginning is kept."""
    return TaskdeckError(error.code, error.message, f"{error.why}; its first {size:,} bytes are saved")


def test(run: Run) -> None:
    """Decompress without writing."""
    name = name_of(run.found.path.name)
    with Volumes(run.found.volumes, run.found.missing) as volumes, Keeping(run, name):
        stream = open_stream(volumes, run.found.codec, threads=run.threads, check=run.job.check, start=run.job.tool)
        try:
            for block in stream:
                run.job.check()
                run.budget.written += len(block)
                run.budget.ratio(name, run.budget.written, stream.packed)
                run.progress(min(stream.packed, volumes.size), volumes.size, name)
        finally:
            stream.close()
        run.wrote()


def member(run: Run) -> Member:
    """The one member; its size is known only after decompressing."""
    name = name_of(run.found.path.name)
    size = 0
    with Volumes(run.found.volumes, run.found.missing) as volumes:
        stream = open_stream(volumes, run.found.codec, threads=run.threads, check=run.job.check, start=run.job.tool)
        try:
            for block in stream:
                run.job.check()
                size += len(block)
                run.budget.ratio(name, size, stream.packed)
                run.progress(min(stream.packed, volumes.size), volumes.size, name)
        finally:
            stream.close()
        return Member(name, size=size, packed=volumes.size, mtime_ns=os.stat(run.found.volumes[0]).st_mtime_ns)
