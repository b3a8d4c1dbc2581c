"""A small picture of a file as packed RGB, for terminals that draw it in half blocks."""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec

from engines.errors import TaskdeckError
from engines.job import Job
from engines.looks import Picture
from engines.media.ffmpeg import argv, output, source
from engines.media.tools import find
from engines.names import display


class PictureResult(msgspec.Struct, kw_only=True):
    """Rows of `width` pixels, 24 bits each, the top one first."""

    width: int
    height: int
    rgb: str
    """Base64."""


def run(op: Picture, job: Job) -> PictureResult:
    """Decode the first picture of a file, made to fit with its shape kept.

    Raises:
        TaskdeckError: `tool.missing`; `media.unreadable` for what ffmpeg makes no picture of.
    """
    path = Path(op.path)
    tools = find(job.settings.media)
    fitted = source(path).filter(
        "scale", op.width, op.height, force_original_aspect_ratio="decrease", force_divisible_by=2
    )
    out = output(fitted, "pipe:1", vframes=1, format="image2pipe", vcodec="ppm")
    tool = job.tool(argv(tools, out, progress=False, verbosity="error"))
    picture = tool.stdout.read()
    tool.wait()
    width, height, pixels = _portable_pixmap(picture)
    if not pixels:
        raise TaskdeckError("media.unreadable", f"cannot show '{display(path.name)}'", "it holds no picture")
    return PictureResult(width=width, height=height, rgb=base64.b64encode(pixels).decode("ascii"))


def _portable_pixmap(data: bytes) -> tuple[int, int, bytes]:
    """Width, height and pixels of a binary PPM (netpbm, ppm(5)) of 8 bits a channel, as ffmpeg writes it."""
    parts = data.split(maxsplit=3)
    if len(parts) < 4 or parts[0] != b"P6":
        return 0, 0, b""
    width, height = int(parts[1]), int(parts[2])
    pixels = data[len(data) - 3 * width * height :]
    return (width, height, pixels) if len(pixels) == 3 * width * height else (0, 0, b"")
