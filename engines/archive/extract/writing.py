"""Bytes into files: all of them, or no file."""

from __future__ import annotations

import os

from engines.archive.containment import Parts, Tree, cannot_make, file_mode, finish
from engines.filecopy import write_all


def write_file(
    tree: Tree, parts: Parts, data: bytes | bytearray | memoryview, mode: int | None, mtime_ns: int | None
) -> None:
    """A new file with this content; none is left when it cannot be written whole.

    Raises:
        TaskdeckError: see `containment.Tree.create` and `containment.cannot_make`.
    """
    descriptor = tree.create(parts, file_mode(mode))
    whole = False
    try:
        if data:
            write_all(descriptor, data)
        finish(descriptor, mode, mtime_ns)
        whole = True
    except OSError as error:
        raise cannot_make(parts, error) from None
    finally:
        os.close(descriptor)
        if not whole:
            tree.unlink(parts)
