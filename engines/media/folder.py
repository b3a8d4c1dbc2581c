"""Which files of a folder are media: by name, without opening them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from engines.errors import TaskdeckError
from engines.names import display

_NAMED_LIKE_MEDIA: Final = (
    "3gp 3g2 aac ac3 aif aiff amr ape asf avi caf divx dts dv eac3 f4v flac flv gif ivf m1v m2ts m2v m4a m4b m4v mka "
    "mkv mov mp2 mp3 mp4 mpeg mpg mts mxf obu oga ogg ogm ogv opus ra rm rmvb spx tak tta ts vob wav webm wma wmv wv"
)
EXTENSIONS: Final = frozenset(_NAMED_LIKE_MEDIA.split(" "))
"""Names that are looked into when a folder is given; a single file may have any name."""
_MOST: Final = 20_000


def media_files(folder: Path, *, most: int = _MOST) -> Iterator[Path]:
    """Files below a folder that are named like media, sorted; links are not followed."""
    found = 0
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith(".") or name.rpartition(".")[2].lower() not in EXTENSIONS:
                continue
            path = Path(where, name)
            if path.is_symlink():
                continue
            found += 1
            if found > most:
                raise TaskdeckError(
                    "value", f"cannot look at all of '{display(folder)}'", f"it has over {most:,} media files"
                )
            yield path
