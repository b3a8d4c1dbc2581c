"""Tags and covers written by mutagen, format by format."""

from __future__ import annotations

import base64
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from engines.errors import TaskdeckError
from engines.media.facts import MediaFacts
from engines.media.structure import image_demuxer
from engines.names import display
from engines.operations import Metadata


def write(op: Metadata, facts: MediaFacts, changes: dict[str, str], part: Path) -> None:
    """Change tags and cover of a file in place.

    Raises:
        TaskdeckError: `unsupported`, `media.failed`.
    """
    import mutagen
    from mutagen.id3 import ID3FileType

    try:
        opened = mutagen.File(part, easy=True)
        if opened is None:
            raise TaskdeckError("unsupported", f"cannot edit the tags of '{facts.name}'", "its format has no tags")
        if opened.tags is None:
            opened.add_tags()
        if op.clear:
            opened.delete()
            opened = mutagen.File(part, easy=True)
            if opened.tags is None:
                opened.add_tags()
        for name, value in changes.items():
            _set(opened, name, value)
        opened.save()
        if op.cover:
            _COVERS.get("mp3" if isinstance(mutagen.File(part), ID3FileType) else facts.container, _no_cover)(
                part, Path(op.cover)
            )
    except mutagen.MutagenError as error:
        raise TaskdeckError("media.failed", f"cannot edit '{facts.name}'", display(str(error), limit=200)) from error


_ASF: Final = {"title": "Title", "artist": "Author", "album": "WM/AlbumTitle", "date": "WM/Year", "genre": "WM/Genre"}


def _set(opened: Any, name: str, value: str) -> None:
    key = name
    kind = type(opened).__name__
    if kind == "ASF":
        key = _ASF.get(name, "Description")
    elif kind in ("EasyMP3", "AIFF"):
        _set_id3(opened, name, value)
        return
    if value:
        opened.tags[key] = [value]
    else:
        opened.tags.pop(key, None)


def _set_id3(opened: Any, name: str, value: str) -> None:
    id3: Any = importlib.import_module("mutagen.id3")
    tags = opened.tags
    if hasattr(tags, "valid_keys") and name != "comment":  # EasyID3
        if value:
            tags[name] = [value]
        else:
            tags.pop(name, None)
        return
    frames = getattr(tags, "_EasyID3__id3", tags)
    kind = {"title": "TIT2", "artist": "TPE1", "album": "TALB", "date": "TDRC", "genre": "TCON"}.get(name, "COMM")
    frames.delall(kind)
    if value:
        extra = {"lang": "eng", "desc": ""} if kind == "COMM" else {}
        frames.add(getattr(id3, kind)(encoding=3, text=[value], **extra))


def image(cover: Path) -> tuple[bytes, str]:
    """A cover picture and its MIME type.

    Raises:
        TaskdeckError: `value`.
    """
    kinds = {"jpeg_pipe": "image/jpeg", "png_pipe": "image/png"}
    mime = kinds.get(image_demuxer(cover) or "")
    if mime is None or cover.stat().st_size > 16 << 20:
        raise TaskdeckError(
            "value", f"cannot use '{display(cover.name)}' as cover", "it is no JPEG or PNG below 16 MiB"
        )
    return cover.read_bytes(), mime


def _cover_mp4(part: Path, cover: Path) -> None:
    mp4: Any = importlib.import_module("mutagen.mp4")
    data, mime = image(cover)
    opened = mp4.MP4(part)
    form = mp4.MP4Cover.FORMAT_JPEG if mime == "image/jpeg" else mp4.MP4Cover.FORMAT_PNG
    opened["covr"] = [mp4.MP4Cover(data, imageformat=form)]
    opened.save()


def _cover_id3(part: Path, cover: Path) -> None:
    import mutagen

    id3: Any = importlib.import_module("mutagen.id3")
    data, mime = image(cover)
    opened = mutagen.File(part)
    opened.tags.delall("APIC")
    opened.tags.add(id3.APIC(encoding=3, mime=mime, type=3, desc="Cover", data=data))
    opened.save()


def _picture(cover: Path) -> Any:
    flac: Any = importlib.import_module("mutagen.flac")
    data, mime = image(cover)
    picture = flac.Picture()
    picture.type, picture.mime, picture.desc, picture.data = 3, mime, "Cover", data
    return picture


def _cover_flac(part: Path, cover: Path) -> None:
    flac: Any = importlib.import_module("mutagen.flac")
    opened = flac.FLAC(part)
    opened.clear_pictures()
    opened.add_picture(_picture(cover))
    opened.save()


def _cover_ogg(part: Path, cover: Path) -> None:
    import mutagen

    opened = mutagen.File(part)
    opened["metadata_block_picture"] = [base64.b64encode(_picture(cover).write()).decode("ascii")]
    opened.save()


def _no_cover(part: Path, cover: Path) -> None:
    raise TaskdeckError("unsupported", "cannot put a cover into this file", "its format has no place for one")


_COVERS: Final[dict[str, Callable[[Path, Path], None]]] = {
    "mp3": _cover_id3,
    "aiff": _cover_id3,
    "flac": _cover_flac,
    "ogg": _cover_ogg,
    **dict.fromkeys(("m4a", "m4b", "mp4", "m4v"), _cover_mp4),
}
