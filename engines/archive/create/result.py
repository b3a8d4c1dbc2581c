"""What a finished job says, and how people read it."""

from __future__ import annotations

import msgspec

from engines import text
from engines.model import Json
from engines.operations import Convert, Zip
from engines.reply import Line, Reply


class ZipResult(msgspec.Struct, kw_only=True):
    """An archive that was made. Sizes in bytes; `ratio` is the percentage saved; names are display-safe.

    `path` is the archive as a program needs it: a path, or a file: URI when it is no UTF-8. For volumes it is
    the one to open.
    """

    format: str
    name: str
    path: str
    location: str
    original: int
    packed: int
    ratio: float
    seconds: float
    speed: float
    """Bytes of source a second."""
    files: int
    folders: int
    skipped: int = 0
    """Things that could not be read and are missing."""
    changed: int = 0
    """Files that changed while they were read."""
    source: int | None = None
    """With `convert`: the size of the archive it was made from, all its volumes; None when nothing was written."""
    volumes: list[str] = []
    encrypted: bool = False
    tested: bool = False
    manifest: str = ""
    deleted: int = 0
    """Sources removed."""
    resumed: bool = False
    written: bool = True
    """False: the archive existed and the policy was `skip`."""
    warnings: list[str] = []
    more_warnings: int = 0
    archives: list[ZipResult] = []
    """With `--each` the single archives; the other fields are then their sum."""


def combined(results: list[ZipResult], folder: str) -> ZipResult:
    """The sum of several archives."""
    original, packed = sum(one.original for one in results), sum(one.packed for one in results)
    seconds = sum(one.seconds for one in results)
    return ZipResult(
        format=results[0].format if results else "",
        name=text.plural(len(results), "archive"),
        path=folder,
        location=folder,
        original=original,
        packed=packed,
        ratio=text.saved(original, packed),
        seconds=seconds,
        speed=original / seconds if seconds else 0.0,
        files=sum(one.files for one in results),
        folders=sum(one.folders for one in results),
        skipped=sum(one.skipped for one in results),
        changed=sum(one.changed for one in results),
        encrypted=any(one.encrypted for one in results),
        tested=bool(results) and all(one.tested for one in results),
        deleted=sum(one.deleted for one in results),
        resumed=any(one.resumed for one in results),
        warnings=[warning for one in results for warning in one.warnings][:100],
        archives=results,
    )


def zip_reply(op: Zip, result: Json) -> Reply:
    """The result in the guide's layout, with what else is worth knowing below."""
    del op
    done = msgspec.convert(result, ZipResult)
    if not done.written:
        return Reply("Archive Exists Already", [Line("Location", done.location, icon="file")], icon="info")
    lines = [
        Line("Format", done.format, icon="archive"),
        Line("Filename", done.name, icon="file"),
        Line("Original Size", text.size(done.original), icon="disk"),
        Line("Compressed Size", text.size(done.packed), icon="archive"),
        Line("Compression Ratio", text.ratio(done.ratio), icon="chart"),
        Line("Time Taken", text.elapsed(done.seconds), icon="time"),
        Line("Speed", text.rate(done.speed), icon="speed"),
        Line(""),
        Line("Location", done.location, icon="file"),
    ]
    lines += [Line(volume, icon="", indent=1, bullet=True) for volume in done.volumes[:20]]
    if done.manifest:
        lines.append(Line("Checksums", done.manifest, icon="file"))
    if done.tested:
        lines.append(Line("Every checksum was verified", icon="done"))
    if done.encrypted:
        lines.append(Line("Encrypted with AES-256", icon="lock"))
    if done.deleted:
        lines.append(Line("Sources removed", str(done.deleted), icon="info"))
    if done.warnings:
        shown = done.warnings[:5]
        hidden = len(done.warnings) - len(shown) + done.more_warnings
        lines += [Line(""), *(Line(warning, icon="warning") for warning in shown)]
        if hidden:
            lines.append(Line(f"and {text.plural(hidden, 'more warning')}; see the log", icon="warning"))
    return Reply("Archive Created Successfully!", lines, icon="done")


def convert_reply(op: Convert, result: Json) -> Reply:
    """The new archive in the guide's layout."""
    return zip_reply(Zip(path=op.path), result)
