"""The worker of `convert`: unpacks beside the new archive, packs, tests and publishes; goes on after a crash."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path

import msgspec

from engines import files, text
from engines.archive.create.job import Packing, tell_whole
from engines.archive.create.plan import Plan, convert_target, options_of
from engines.archive.create.result import ZipResult
from engines.archive.volumes import gather
from engines.errors import TaskdeckError
from engines.job import Job, Part, Stopped
from engines.model import Json
from engines.names import display
from engines.operations import ArchiveFormat, Convert, Unzip, Zip
from engines.paths import from_uri, to_uri


class _Phase(StrEnum):
    """What a conversion is at."""

    UNPACK = "unpack"
    PACK = "pack"
    TIDY = "tidy"
    """Removing what is not needed any more."""


class _State(msgspec.Struct, kw_only=True):
    """The checkpoint of a conversion.

    Attributes:
        target: The new archive as it was decided, and `volumes` the old one's: some of them may be gone later.
        source: Bytes of the old archive.
        seconds: Time spent up to it.
        part: The checkpoint of the phase's own work.
    """

    target: str
    volumes: list[str]
    source: int
    phase: _Phase = _Phase.UNPACK
    seconds: float = 0.0
    part: Json | None = None
    result: ZipResult | None = None


def run(op: Convert, job: Job) -> ZipResult:
    """Turn one archive into another.

    Raises:
        TaskdeckError: As unpacking and packing do; nothing is left behind then.
    """
    return _Conversion(op, job).run()


def resumes(op: Convert) -> bool:
    """Whether the conversion goes on after a crash: if the unpacking and the packing both do."""
    from engines.archive.extract.checks import resumes as unpacking_resumes

    return op.format is not ArchiveFormat.SEVENZIP and unpacking_resumes(Unzip(path=op.path))


class _Conversion:
    def __init__(self, op: Convert, job: Job) -> None:
        self._op = op
        self._job = job
        self._state = msgspec.convert(job.checkpoint, _State) if job.checkpoint else self._planned()
        self._target = Path(from_uri(self._state.target))
        self._staging = files.staged_path(job, self._target, kind="tree")
        started = time.monotonic() - self._state.seconds
        self._elapsed: Callable[[], float] = lambda: time.monotonic() - started

    def _planned(self) -> _State:
        volumes = gather(Path(self._op.path))
        source = sum(volume.stat().st_size for volume in volumes)
        target = convert_target(self._op, self._job.settings)
        return _State(target=to_uri(str(target)), volumes=[to_uri(str(path)) for path in volumes], source=source)

    def run(self) -> ZipResult:
        try:
            return self._run()
        except Stopped:
            if not self._job.keep_partial():
                self._discard()
            raise
        except BaseException:
            self._discard()
            raise

    def _run(self) -> ZipResult:
        secrets = self._job.secrets if _encrypts(self._packing(self._op.path), self._job) else {}
        if self._state.phase is _Phase.UNPACK:
            self._unpack()
        if self._state.phase is _Phase.PACK:
            self._pack(secrets)
        result = self._state.result
        assert result is not None
        if self._op.delete_source and result.written:
            for volume in self._state.volumes:
                files.remove(from_uri(volume))
            result.deleted = len(self._state.volumes)
        self._discard()
        tell_whole(result, self._job)
        return result

    def _unpack(self) -> None:
        part = self._part(_Phase.UNPACK)
        if part.checkpoint is None:
            files.remove(self._staging)  # of an attempt that was killed
        from engines.archive.extract.job import run as unpack

        unpack(Unzip(path=self._op.path, destination=str(self._staging)), part)
        self._state.phase, self._state.part = _Phase.PACK, None

    def _pack(self, secrets: Mapping[str, str]) -> None:
        op, job, state = self._op, self._job, self._state
        roots = tuple(sorted(self._staging.iterdir()))
        if not roots:
            raise TaskdeckError("value", f"cannot convert '{display(Path(op.path).name)}'", "it holds nothing")
        packing = self._packing(str(roots[0]))
        options = options_of(packing, job.settings, secrets)
        result = Packing(packing, options, Plan(roots, self._target), self._part(_Phase.PACK)).run()
        if result.written:
            result.source = state.source
        result.seconds = self._elapsed()
        result.speed = result.original / result.seconds if result.seconds else 0.0
        result.ratio = text.saved(result.original, result.packed)
        state.phase, state.result = _Phase.TIDY, result
        self._save(_Phase.TIDY, None)
        job.claim(self._staging)  # again: the checkpoint is durable with it

    def _packing(self, root: str) -> Zip:
        op = self._op
        return Zip(
            path=root,
            format=op.format,
            level=op.level,
            output=str(self._target),
            on_conflict=op.on_conflict,
            test=op.test or op.delete_source,
            manifest=op.delete_source,
        )

    def _part(self, phase: _Phase) -> Part:
        return Part(self._job, checkpoint=self._state.part, save=partial(self._save, phase))

    def _save(self, phase: _Phase, part: Json | None) -> None:
        state = msgspec.structs.replace(self._state, phase=phase, part=part, seconds=self._elapsed())
        self._job.save(msgspec.to_builtins(state))

    def _discard(self) -> None:
        files.remove(self._staging)
        self._job.release(self._staging)


def _encrypts(op: Zip, job: Job) -> bool:
    """Whether the new archive is encrypted too: when its format can be, and a password was given.

    Raises:
        TaskdeckError: `unsupported` when the password would be lost silently.
    """
    if not job.secrets.get("password"):
        return False
    options_of(op, job.settings, job.secrets)
    return True
