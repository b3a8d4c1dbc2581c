"""The operation `framehash`: hashes that stay the same when only container or tags change."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from engines import files
from engines.job import Job
from engines.media import batch
from engines.media.ffmpeg import argv, library, output, source
from engines.media.place import beside, staged, tools_of
from engines.media.probe import probe
from engines.media.runner import Finished as Run
from engines.media.runner import Limits, attempt, failure, transform
from engines.model import Json
from engines.names import display
from engines.operations import Conflict, FrameHash
from engines.paths import from_uri, to_uri
from engines.reply import Line, Reply


class FrameHashResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """SHA-256 of each stream by "video 0", "audio 1"; the file of frame hashes when it was wanted."""

    source: str
    decoded: bool
    streams: dict[str, str]
    path: str = ""


def run(op: FrameHash, job: Job) -> FrameHashResult | batch.FolderResult:
    """Hash packets, or decoded frames."""
    return batch.file_or_folder(op, job, _one)


def _one(op: FrameHash, job: Job) -> FrameHashResult:
    tools, path = tools_of(job), Path(op.path)
    facts = probe(job, tools, path, timeout=job.settings.media.probe_timeout)
    opened = source(path)
    kinds = [("video", video.index) for video in facts.video] + [("audio", track.index) for track in facts.audio]
    streams = [opened[str(index)] for _, index in kinds]
    options: dict[str, Any] = {} if op.decoded else {"c": "copy"}
    job.progress(0, None, item=facts.name, stage="hashing", unit="seconds")
    out = library().output(*streams, "pipe:1", format="streamhash", hash="sha256", **options)
    status, said, errors = attempt(job, argv(tools, out, progress=False), timeout=24 * 3600, limits=Limits())
    if status:
        raise failure(Run(status, errors, 0, 0, 0), f"cannot hash '{facts.name}'")
    digests = re.findall(r"SHA256=([0-9a-f]{64})", said.decode("ascii", "replace"))
    named = {f"{kind} {index}": digest for (kind, index), digest in zip(kinds, digests, strict=True)}
    result = FrameHashResult(source=facts.name, decoded=op.decoded, streams=named)
    if op.frames:
        target = beside(path, None, ".framehash", "txt")
        with staged(job, target) as part:
            listing = output(streams, part, format="framehash", hash="sha256", **options)
            finished = transform(job, argv(tools, listing))
            if finished.status:
                raise failure(finished, f"cannot hash '{facts.name}'")
            result.path = to_uri(str(files.publish(job, part, target, Conflict.RENAME) or target))
    return result


def reply(op: FrameHash, result: Json) -> Reply:
    """A line a stream."""
    if "folder" in result:
        return batch.reply("SHA-256 of streams", result, _in_short)
    found = msgspec.convert(result, FrameHashResult)
    lines = [Line("File", found.source, icon="file"), Line("")]
    lines += [Line(name, digest) for name, digest in found.streams.items()]
    if found.path:
        lines += [Line(""), Line("Location", display(from_uri(found.path)), icon="file")]
    return Reply(f"SHA-256 of {'decoded frames' if found.decoded else 'packets'}", lines, icon="done")


def _in_short(row: Json) -> str:
    found = msgspec.convert(row, FrameHashResult)
    return ", ".join(f"{name} {digest[:16]}" for name, digest in found.streams.items())
