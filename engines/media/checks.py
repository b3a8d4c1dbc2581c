"""Cheap refusals of bad input before a task is made: stat calls and parsing only."""

from __future__ import annotations

import os
import stat

from engines import text
from engines.errors import TaskdeckError
from engines.media.compatibility import target_of
from engines.media.metadata import language_of, track_of
from engines.media.thumbnail import moment
from engines.names import display
from engines.operations import (
    Compare,
    Compat,
    Metadata,
    Operation,
    Preset,
    Split,
    Thumbnail,
    Transcode,
)
from engines.paths import PathPolicy, unreadable
from engines.settings import Settings


def readable_file(path: str) -> os.stat_result:
    """The status of a file that can be read.

    Raises:
        TaskdeckError: `path.missing`, `path.unreadable`, `path.kind`, `media.unreadable` for an empty one.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise unreadable(path, error) from None
    name = display(os.path.basename(path))
    if stat.S_ISDIR(status.st_mode):
        raise TaskdeckError("path.kind", f"cannot read '{name}'", "it is a folder", "give a media file")
    if not stat.S_ISREG(status.st_mode):
        raise TaskdeckError("path.kind", f"cannot read '{name}'", "it is not a regular file")
    if not os.access(path, os.R_OK):
        raise TaskdeckError("path.unreadable", f"cannot read '{name}'", "permission denied", "check its owner and mode")
    if status.st_size == 0:
        raise TaskdeckError("media.unreadable", f"cannot read '{name}'", "the file is empty")
    return status


def check_source(op: Operation, policy: PathPolicy, settings: Settings) -> None:
    """A media file, or a folder of them, whose results go into a folder."""
    path, output = str(getattr(op, "path", "")), getattr(op, "output", None)
    if not os.path.isdir(path):
        readable_file(path)
    elif output is not None and not os.path.isdir(output):
        raise TaskdeckError("usage", "cannot write the results of a folder into one file", "", "give a folder")


def check_split(op: Split, policy: PathPolicy, settings: Settings) -> None:
    """A file or folder, and a size."""
    check_source(op, policy, settings)
    size_of(op.size)


def check_compare(op: Compare, policy: PathPolicy, settings: Settings) -> None:
    """Two files, or two folders."""
    if os.path.isdir(op.path) != os.path.isdir(op.reference):
        raise TaskdeckError("usage", "cannot compare a file with a folder", "", "give two files or two folders")
    if not os.path.isdir(op.path):
        readable_file(op.path)
        readable_file(op.reference)


def check_compat(op: Compat, policy: PathPolicy, settings: Settings) -> None:
    """A file or folder, and a known target."""
    check_source(op, policy, settings)
    target_of(op.target)


def check_metadata(op: Metadata, policy: PathPolicy, settings: Settings) -> None:
    """A file or folder, a cover and a chapter list that can be read, tracks that are named right."""
    check_source(op, policy, settings)
    for path in (op.cover, op.chapters):
        if path is not None:
            readable_file(path)
    for spec in (*op.default, *op.forced):
        track_of(spec)
    for pair in op.language:
        language_of(pair)


def check_thumbnail(op: Thumbnail, policy: PathPolicy, settings: Settings) -> None:
    """A file or folder, a moment that can be read, one kind of output."""
    check_source(op, policy, settings)
    if op.timestamp is not None and op.timestamp.strip().lower() != "auto":
        moment(op.timestamp)
    if op.shots > 1 and (op.sheet or op.sprite or op.timestamp):
        raise TaskdeckError("usage", "cannot use --shots with a timestamp, --sheet or --sprite", "", "choose one")


def check_transcode(op: Transcode, policy: PathPolicy, settings: Settings) -> None:
    """A file or folder, a size that is one, options that fit together."""
    check_source(op, policy, settings)
    if op.size is not None:
        size_of(op.size)
        if op.crf is not None:
            raise TaskdeckError("usage", "cannot use --crf with --size", "a size decides the quality", "choose one")
        if op.preset is Preset.AUDIO:
            raise TaskdeckError("usage", "cannot use --size with the audio preset", "", "leave it out")
    if op.replace and op.output is not None:
        raise TaskdeckError("usage", "cannot use --replace with --output", "", "choose one")


def size_of(given: str) -> int:
    """Bytes from "700MB".

    Raises:
        TaskdeckError: `value`.
    """
    try:
        found = text.parse_size(given)
    except ValueError:
        found = 0
    if found <= 0:
        raise TaskdeckError("value", f"cannot use the size '{display(given)}'", "", "write 700MB or 1.5GB")
    return found
