"""From an operation to archives to make: sources, targets and options, checked before anything is written."""

from __future__ import annotations

import importlib.util
import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from engines.archive.create.pipeline import thread_count
from engines.archive.create.select import Filter, parse_bytes, parse_moment
from engines.archive.create.session import Options
from engines.archive.formats import FORMATS, TAR_FAMILY, format_of_name, strip_suffix
from engines.archive.volumes import gather
from engines.errors import TaskdeckError
from engines.names import display
from engines.operations import ArchiveFormat, Conflict, Convert, Estimate, Zip, with_defaults
from engines.paths import unreadable
from engines.settings import Settings

_VOLUME_MIN: Final = 64 << 10
_VOLUMES_MAX: Final = 999
_PASSWORD_LIMIT: Final = 4096
_VOLUME: Final = re.compile(r"\.\d{3}$|\.part\d+(?=\.rar$)", re.IGNORECASE)


class Plan(msgspec.Struct, frozen=True):
    """One archive to make."""

    sources: tuple[Path, ...]
    target: Path


def options_of(op: Zip, settings: Settings, secrets: Mapping[str, str]) -> Options:
    """How the archive is made.

    Raises:
        TaskdeckError: `unsupported` or `value` for what does not go together.
    """
    op = _complete(op, settings)
    assert op.format is not None
    assert op.level is not None
    info = FORMATS[op.format]
    password = secrets.get("password") or op.password or _password_of(op.password_file)
    if password and not info.encrypts:
        raise _cannot(info.label, "a password", "it has no encryption", "use zip or 7z")
    if op.encrypt_names and not info.hides_names:
        raise _cannot(info.label, "encrypted names", "only 7z has them", "use 7z")
    if op.encrypt_names and not password:
        raise TaskdeckError("password.needed", "cannot encrypt names", "no password was given", "give a password")
    if op.single_member and op.format is not ArchiveFormat.TAR_GZ:
        raise _cannot(info.label, "--single-member", "only tar.gz has members", "leave it out")
    if op.format is ArchiveFormat.TAR_ZST and importlib.util.find_spec("zstandard") is None:
        raise _cannot(info.label, "compression", "the package zstandard is not installed", "install it with pip")
    if password:
        from engines.archive.create.encryption import require_aes

        require_aes()
    volume = None
    if op.volume is not None:
        volume = parse_bytes(op.volume, what="--volume")
        if volume < _VOLUME_MIN:
            raise TaskdeckError("value", "cannot make such small volumes", "each needs at least 64 KiB")
    return Options(
        format=op.format,
        level=op.level,
        threads=thread_count(settings.archive.threads),
        password=password.encode("utf-8", "surrogateescape") if password else None,
        encrypt_names=op.encrypt_names,
        volume=volume,
        reproducible=op.reproducible,
        single_member=op.single_member,
        store_compressed=op.store_compressed,
        hardlinks=op.hardlinks,
        sparse=op.sparse,
        xattrs=op.xattrs,
        owner=op.owner,
        hashed=op.manifest or op.delete_source or (op.test and op.format in TAR_FAMILY),
    )


def filter_of(op: Zip) -> Filter:
    """What of the sources is packed.

    Raises:
        TaskdeckError: `value` for a date or size that is none.
    """
    return Filter(
        exclude=op.exclude,
        include=op.include,
        gitignore=op.gitignore,
        newer=None if op.newer is None else parse_moment(op.newer, what="--newer"),
        older=None if op.older is None else parse_moment(op.older, what="--older"),
        min_size=None if op.min_size is None else parse_bytes(op.min_size, what="--min-size"),
        max_size=None if op.max_size is None else parse_bytes(op.max_size, what="--max-size"),
    )


def plans_of(op: Zip, settings: Settings, listed: Sequence[Path] | None = None) -> list[Plan]:
    """The archives the operation asks for.

    Args:
        listed: With `each`, the items an earlier attempt found.

    Raises:
        TaskdeckError: `path.nested` when an archive would replace its own source, `path.kind`, `path.missing`
            or `value` for an output that cannot be.
    """
    op = _complete(op, settings)
    assert op.format is not None
    suffix = FORMATS[op.format].suffix
    sources = tuple(Path(source) for source in (op.path, *op.add))
    if not op.each:
        return [Plan(sources, _target(op, sources, suffix))]
    items = list(listed or sources)
    if not listed and len(items) == 1 and items[0].is_dir() and not items[0].is_symlink():
        try:
            items = sorted(items[0] / name for name in os.listdir(items[0]))
        except OSError as error:
            raise unreadable(items[0], error) from None
    folder = None if op.output is None else Path(op.output)
    if folder is not None and not folder.is_dir():
        _demand_new_folder(folder)
    return [Plan((item,), (folder or item.parent) / (item.name + suffix)) for item in items]


def _demand_new_folder(folder: Path) -> None:
    """Refuse a folder that cannot be made."""
    if os.path.lexists(folder):
        raise TaskdeckError(
            "path.kind", f"cannot write to '{display(folder)}'", "it is no folder", "--each needs a folder"
        )
    _demand_parent(folder)


def _demand_parent(output: Path) -> None:
    if not output.parent.is_dir():
        raise TaskdeckError(
            "path.missing", f"cannot write '{display(output)}'", "its folder does not exist", "make the folder first"
        )


def convert_target(op: Convert, settings: Settings) -> Path:
    """The archive that a conversion writes.

    Raises:
        TaskdeckError: As `plans_of`; `value` when old and new archive would be the same file.
    """
    done = with_defaults(op, settings)
    assert isinstance(done, Convert)
    assert done.format is not None
    source = Path(op.path)
    if op.output is None:
        target = source.with_name(strip_suffix(_set_name(source)) + FORMATS[done.format].suffix)
    else:
        zipped = Zip(path=op.path, format=done.format, output=op.output)
        target = _target(zipped, (source,), FORMATS[done.format].suffix)
    if target == source and op.on_conflict is Conflict.OVERWRITE:
        raise TaskdeckError(
            "path.nested", f"cannot write '{display(target)}'", "it is what is to be converted", "choose another name"
        )
    return target


def _set_name(source: Path) -> str:
    """The name of an archive without the number of a volume: "old.7z" for old.7z.002."""
    volumes = gather(source)
    if len(volumes) == 1:
        return source.name
    last = volumes[-1].name
    return last if last.lower().endswith(".zip") else _VOLUME.sub("", volumes[0].name)


def as_zip(op: Estimate) -> Zip:
    """The packing that an estimate is about."""
    return Zip(
        path=op.path,
        format=op.format,
        level=op.level,
        add=op.add,
        exclude=op.exclude,
        include=op.include,
        gitignore=op.gitignore,
        newer=op.newer,
        older=op.older,
        min_size=op.min_size,
        max_size=op.max_size,
        links=op.links,
    )


def _complete(op: Zip, settings: Settings) -> Zip:
    done = with_defaults(op, settings)
    assert isinstance(done, Zip)
    return done


def _target(op: Zip, sources: tuple[Path, ...], suffix: str) -> Path:
    first = sources[0]
    name = (first.name or "root") + suffix
    if op.output is None:
        return first.parent / name
    output = Path(op.output)
    if output.is_dir():
        return output / name
    asked = format_of_name(output.name)
    if asked is None and not output.suffix:
        output = output.with_name(output.name + suffix)
    elif asked is not None and asked is not op.format:
        raise TaskdeckError(
            "value",
            f"cannot write {FORMATS[op.format].label if op.format else ''} to '{display(output.name)}'",
            f"its name says {FORMATS[asked].label}",
            "change the name or the format",
        )
    _demand_parent(output)
    if output in sources:
        raise TaskdeckError(
            "path.nested", f"cannot write '{display(output)}'", "it is what is to be packed", "choose another name"
        )
    return output


def _password_of(file: str | None) -> str:
    """The first line of a password file."""
    if file is None:
        return ""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if os.fstat(fd).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise TaskdeckError(
                    "path.unreadable",
                    f"cannot use the password file '{display(file)}'",
                    "other users may read it",
                    "run chmod 600 on it",
                )
            text = os.read(fd, _PASSWORD_LIMIT)
        finally:
            os.close(fd)
    except OSError as error:
        raise unreadable(file, error) from None
    line = text.split(b"\n", 1)[0].rstrip(b"\r").decode("utf-8", "surrogateescape")
    if not line:
        raise TaskdeckError("password.needed", f"cannot use '{display(file)}'", "its first line is empty")
    return line


def _cannot(label: str, what: str, why: str, fix: str) -> TaskdeckError:
    return TaskdeckError("unsupported", f"cannot make {label} with {what}", why, fix)
