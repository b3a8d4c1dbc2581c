"""The worker of `convert`: unpacks beside the new archive, packs, tests and publishes."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from engines import files, text
from engines.archive.create.job import Packing, tell_whole
from engines.archive.create.plan import Plan, convert_target, options_of
from engines.archive.create.result import ZipResult
from engines.archive.volumes import gather
from engines.errors import TaskdeckError
from engines.job import Job, Part
from engines.names import display
from engines.operations import Convert, Unzip, Zip


def run(op: Convert, job: Job) -> ZipResult:
    """Turn one archive into another; starts anew after a crash.

    Raises:
        TaskdeckError: As unpacking and packing do; nothing is left behind then.
    """
    from engines.archive.extract.job import run as unpack

    started = time.monotonic()
    target = convert_target(op, job.settings)
    zipped = Zip(
        path=op.path,
        format=op.format,
        level=op.level,
        output=str(target),
        on_conflict=op.on_conflict,
        test=op.test or op.delete_source,
        manifest=op.delete_source,
    )
    secrets = job.secrets if _encrypts(zipped, job) else {}
    volumes = gather(Path(op.path))
    source = sum(volume.stat().st_size for volume in volumes)
    staging = files.staged_path(job, target, kind="tree")
    files.remove(staging)  # of an attempt that was killed
    part = Part(job)
    try:
        unpack(Unzip(path=op.path, destination=str(staging)), part)
        roots = tuple(sorted(staging.iterdir()))
        if not roots:
            raise TaskdeckError("value", f"cannot convert '{display(Path(op.path).name)}'", "it holds nothing")
        zipped = msgspec.structs.replace(zipped, path=str(roots[0]))
        packed = Packing(zipped, options_of(zipped, job.settings, secrets), Plan(roots, target), part).run()
    finally:
        files.remove(staging)
        job.release(staging)
    if packed.written:
        packed.source = source
    if op.delete_source and packed.written:
        for volume in volumes:
            files.remove(volume)
        packed.deleted = len(volumes)
    tell_whole(packed, job)
    packed.seconds = time.monotonic() - started
    packed.speed = packed.original / packed.seconds if packed.seconds else 0.0
    packed.ratio = text.saved(packed.original, packed.packed)
    return packed


def _encrypts(op: Zip, job: Job) -> bool:
    """Whether the new archive is encrypted too: when its format can be, and a password was given.

    Raises:
        TaskdeckError: `unsupported` when the password would be lost silently.
    """
    if not job.secrets.get("password"):
        return False
    options_of(op, job.settings, job.secrets)
    return True
