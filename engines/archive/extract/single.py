"""Unpacking one compressed file (gz, bz2, xz, zst, lz4, br, lzma, lz, lzo, Z) to its own name without the suffix."""

from __future__ import annotations

import os

from engines.archive.containment import finish
from engines.archive.extract.naming import name_of
from engines.archive.extract.run import Keeping, Run, member_errors
from engines.archive.extract.streams import open_stream
from engines.archive.extract.writing import write_all
from engines.archive.member import Member
from engines.archive.volumes import Volumes


def extract(run: Run) -> None:
    """Unpack the file into the run's tree; its time is the archive's."""
    name = name_of(run.found.path.name)
    parts = run.parts(name)
    if not run.select.wants(parts):
        return
    run.budget.entry()
    with Volumes(run.found.volumes) as volumes, Keeping(run, name), member_errors(name):
        mtime = os.stat(run.found.volumes[0]).st_mtime
        stream = open_stream(volumes, run.found.codec, threads=run.threads, check=run.job.check, start=run.job.tool)
        descriptor = run.tree.create(parts, 0o644)
        whole = False
        try:
            for block in stream:
                run.job.check()
                run.budget.spend(len(block))
                run.budget.ratio(name, run.budget.written, stream.packed)
                run.progress(min(stream.packed, volumes.size), volumes.size, name)
                write_all(descriptor, block)
            finish(descriptor, None, mtime)
            whole = True
        finally:
            os.close(descriptor)
            stream.close()
            if not whole:
                run.tree.unlink(parts)
        run.wrote()


def test(run: Run) -> None:
    """Decompress without writing."""
    name = name_of(run.found.path.name)
    with Volumes(run.found.volumes) as volumes, Keeping(run, name):
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
    with Volumes(run.found.volumes) as volumes:
        stream = open_stream(volumes, run.found.codec, threads=run.threads, check=run.job.check, start=run.job.tool)
        try:
            for block in stream:
                run.job.check()
                size += len(block)
                run.budget.ratio(name, size, stream.packed)
                run.progress(min(stream.packed, volumes.size), volumes.size, name)
        finally:
            stream.close()
        return Member(name, size=size, packed=volumes.size, mtime=os.stat(run.found.volumes[0]).st_mtime)
