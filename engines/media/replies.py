"""Replies of the media operations other than reports."""

from __future__ import annotations

import msgspec

from engines import text
from engines.media.thumbnail import ThumbnailResult
from engines.model import Json
from engines.names import display
from engines.operations import Thumbnail
from engines.paths import from_uri
from engines.reply import Line, Reply


def thumbnail_reply(op: Thumbnail, result: Json) -> Reply:
    """The guide's answer to `/thumbnail`, with the picture."""
    found = msgspec.convert(result, ThumbnailResult)
    if found.files:
        return _folder(found)
    times = found.timestamps
    shown = text.clock(found.timestamp)
    if len(times) > 1:
        shown = f"{text.clock(times[0])} - {text.clock(times[-1])} ({len(times)} pictures)"
    elif abs(found.timestamp - found.asked) >= 1:
        shown += f" (nearest key frame to {text.clock(found.asked)})"
    lines = [
        Line("Source", found.source, icon="file"),
        Line("Timestamp", shown, icon="time"),
        Line("Size", text.size(found.size, digits=0), icon="disk"),
        Line(""),
        Line("Location", display(from_uri(found.path)), icon="file"),
    ]
    if found.index:
        lines.append(Line("Index", display(from_uri(found.index)), icon="file"))
    many = len(found.pictures) > 1
    title = f"{len(found.pictures)} thumbnails extracted successfully!" if many else "Thumbnail extracted successfully!"
    return Reply(title, lines, icon="done", image=from_uri(found.path))


def _folder(found: ThumbnailResult) -> Reply:
    lines = [Line("Folder", found.source, icon="file"), Line("")]
    lines += [Line(row.error or row.name, icon="failed" if row.error else "done") for row in found.files]
    return Reply(
        f"{text.plural(len(found.pictures), 'thumbnail')} extracted!", lines, icon="done", image=from_uri(found.path)
    )
