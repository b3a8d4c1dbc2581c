"""The operation `compare`: how much a conversion lost, by SSIM, PSNR and, when there is libvmaf, VMAF."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec

from engines.errors import TaskdeckError
from engines.job import Job
from engines.media import batch
from engines.media import tools as programs
from engines.media.facts import Hdr, VideoFacts
from engines.media.ffmpeg import argv, discard, library, source
from engines.media.folder import media_files
from engines.media.pictures import to_sdr
from engines.media.place import tools_of
from engines.media.probe import probe
from engines.media.runner import Step, failure, transform
from engines.media.tools import Tools, filters
from engines.model import Json
from engines.names import display
from engines.operations import Compare
from engines.reply import Line, Reply


class CompareResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """SSIM 0-1, PSNR in dB (100 for identical), VMAF 0-100 or None when no ffmpeg here has it."""

    source: str
    reference: str
    ssim: float
    psnr: float
    vmaf: float | None = None
    frames: int = 0


def run(op: Compare, job: Job) -> CompareResult | batch.FolderResult:
    """Compare two files, or each file of a folder with the one of its name in another folder."""
    if not os.path.isdir(op.path):
        return _one(op, job)
    references = _by_name(Path(op.reference))

    def work(part: Job, path: Path) -> CompareResult:
        found = _partner(path.relative_to(op.path), references)
        if found is None:
            raise TaskdeckError(
                "path.missing", f"cannot compare '{display(path.name)}'", "no file of its name is in the other folder"
            )
        return _one(msgspec.structs.replace(op, path=str(path), reference=str(found)), part)

    rows = batch.run(job, Path(op.path), work, most=batch.abreast(job.settings.media, encodes=True))
    return batch.settled(batch.FolderResult(folder=display(op.path), files=rows), rows)


def _by_name(folder: Path) -> dict[Path, Path]:
    """The media files of a folder by their place in it, without extension."""
    return {path.relative_to(folder).with_suffix(""): path for path in media_files(folder)}


def _partner(place: Path, references: dict[Path, Path]) -> Path | None:
    """What "film.h264.mp4" was made from: "film.h264" with any extension, else "film"."""
    stem = place.with_suffix("")
    return references.get(stem) or references.get(stem.with_suffix(""))


def _one(op: Compare, job: Job) -> CompareResult:
    """Decode both and compare frame by frame, at the reference's size."""
    tools = tools_of(job)
    made, original = (probe(job, tools, Path(path)) for path in (op.path, op.reference))
    left, right = made.main_video, original.main_video
    if left is None or right is None:
        raise TaskdeckError("media.lacking", "cannot compare these files", "both must have video")
    total = max(1, round(original.duration)) if original.duration else None

    def step(step: Step) -> None:
        job.progress(int(step.seconds or 0), total, item=made.name, stage="comparing", unit="seconds")

    best = _with_vmaf(tools)
    # A file may be compared with itself: ffmpeg-python takes equal inputs for one, so the second gets an option.
    second = source(Path(op.reference), thread_queue_size=16)
    half = 0.5 / (right.fps_peak or right.fps or 25.0)
    pair = [_square(source(Path(op.path)), left, right, tools), _square(second, right, left, tools, early=half)]
    measures = ["ssim", "psnr"] + (["libvmaf"] if best else [])
    copies = [stream.filter_multi_output("split", len(measures)) for stream in pair]
    outputs = [
        discard(library().filter([copies[0][number], copies[1][number]], name)) for number, name in enumerate(measures)
    ]
    finished = transform(job, argv(best or tools, *outputs, verbosity="info"), step)

    def value(pattern: str) -> float | None:
        found = re.search(pattern, finished.errors)
        return float(found[1]) if found else None

    ssim, psnr = value(r"SSIM .*All:([\d.]+)"), value(r"PSNR .*average:([\d.]+|inf)")
    if finished.status or ssim is None or psnr is None:
        raise failure(finished, "cannot compare these files")
    vmaf = value(r"VMAF score: ([\d.]+)")
    return CompareResult(
        source=made.name, reference=original.name, ssim=ssim, psnr=min(psnr, 100.0), vmaf=vmaf, frames=finished.frames
    )


def _square(opened: Any, video: VideoFacts, other: VideoFacts, tools: Tools, *, early: float = 0.0) -> Any:
    """The picture at the reference's size; HDR as its standard-range counterpart when the other has no HDR.

    Each frame is compared with the last one of the reference that is not later. Matroska rounds times to milliseconds,
    so a reference that comes half a frame `early` is what makes that the nearest one.
    """
    stream = opened[str(video.index)].filter("setpts", f"PTS-STARTPTS-{early:.6f}/TB")
    if video.hdr is not Hdr.NONE and other.hdr is Hdr.NONE:
        stream = to_sdr(stream, tools)
    to = other if not early else video
    return stream.filter("scale", to.width, to.height, flags="bicubic").filter("setsar", 1).filter("format", "yuv420p")


def _with_vmaf(tools: Tools) -> Tools | None:
    """The ffmpeg in use when it has libvmaf, else the bundled one."""
    if "libvmaf" in filters(tools.ffmpeg):
        return tools
    other = programs.bundled()
    return Tools(other, tools.ffprobe) if other and "libvmaf" in filters(other) else None


def reply(op: Compare, result: Json) -> Reply:
    """The scores in words."""
    if "folder" in result:
        return batch.reply("Video comparison", result, _in_short)
    found = msgspec.convert(result, CompareResult)
    lines = [
        Line("File", found.source, icon="file"),
        Line("Reference", found.reference, icon="file"),
        Line("SSIM", f"{found.ssim:.4f}", icon="chart"),
        Line("PSNR", f"{found.psnr:.1f} dB", icon="chart"),
    ]
    if found.vmaf is not None:
        lines.append(Line("VMAF", f"{found.vmaf:.1f} ({_word(found.vmaf)})", icon="star"))
    else:
        lines.append(Line("VMAF needs an ffmpeg with libvmaf: pip install 'taskdeck[bundled]'", icon="info"))
    return Reply("Video comparison", lines, icon="video")


def _word(vmaf: float) -> str:
    return next(w for least, w in ((93, "looks the same"), (80, "good"), (60, "fair"), (0, "poor")) if vmaf >= least)


def _in_short(row: Json) -> str:
    found = msgspec.convert(row, CompareResult)
    vmaf = "" if found.vmaf is None else f", VMAF {found.vmaf:.1f} ({_word(found.vmaf)})"
    return f"SSIM {found.ssim:.4f}, PSNR {found.psnr:.1f} dB{vmaf}"
