"""A small picture of an image file for the details pane, decoded by ffmpeg in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import stat
from pathlib import Path
from typing import Final

_PATIENCE: Final = 5.0
_LARGEST: Final = 50_000_000


async def decode(path: str, width: int, height: int, *, ffmpeg: str = "ffmpeg") -> tuple[bytes, int]:
    """The image as packed RGB, at most `width` by `height` pixels with its shape kept, and its width.

    Returns (b"", 0) for what is no picture of reasonable size, and where there is no ffmpeg.
    """
    with contextlib.suppress(OSError, TimeoutError):
        status = await asyncio.to_thread(Path(path).stat)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
            return b"", 0
        fit = f"scale={width}:{height}:force_original_aspect_ratio=decrease:force_divisible_by=2"
        process = await asyncio.create_subprocess_exec(
            ffmpeg, "-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe", "-i", f"file:{path}",
            "-frames:v", "1", "-vf", fit, "-f", "image2pipe", "-c:v", "ppm", "-",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(_PATIENCE):
                picture, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return _portable_pixmap(picture)
    return b"", 0


def _portable_pixmap(data: bytes) -> tuple[bytes, int]:
    """Pixels and width of a binary PPM (netpbm, ppm(5)) of 8 bits a channel, as ffmpeg writes it."""
    parts = data.split(maxsplit=3)
    if len(parts) < 4 or parts[0] != b"P6":
        return b"", 0
    width, height = int(parts[1]), int(parts[2])
    pixels = data[len(data) - 3 * width * height :]
    return (pixels, width) if len(pixels) == 3 * width * height else (b"", 0)
