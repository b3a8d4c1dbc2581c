"""SHA-256 manifests in the format of sha256sum(1)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

SUFFIX = ".sha256"


def lines(sums: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """Lines of (name, digest); names with a backslash or line break are escaped as sha256sum does."""
    for name, digest in sums:
        escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
        mark = b"\\" if escaped != name else b""
        yield mark + digest.hex().encode() + b"  " + escaped + b"\n"


def write(path: Path, sums: Iterable[tuple[bytes, bytes]]) -> None:
    """Write a manifest durably; `path` must not exist or be ours.

    Raises:
        OSError: It cannot be written.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    with open(fd, "wb") as file:
        file.writelines(lines(sums))
        file.flush()
        os.fsync(fd)


def read(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """The (name, digest) pairs of a manifest; lines that are none are passed over."""
    with open(path, "rb") as file:
        for line in file:
            escaped = line.startswith(b"\\")
            digest, separator, name = line[1 if escaped else 0 :].rstrip(b"\n").partition(b"  ")
            if not separator or len(digest) != 64:
                continue
            if escaped:
                name = name.replace(b"\\\\", b"\0").replace(b"\\n", b"\n").replace(b"\\r", b"\r").replace(b"\0", b"\\")
            yield name, bytes.fromhex(digest.decode())
