"""Reads a file's facts: cache, structure check, then ffprobe or the PyAV worker, then the one normaliser."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from engines.errors import TaskdeckError
from engines.media import cache, rates
from engines.media.facts import BitRate, Hdr, Kind, MediaFacts, VideoFacts
from engines.media.ffmpeg import FORMATS, probe_argv
from engines.media.normalise import Raw, dolby_only, dynamic_range, normalise
from engines.media.rates import Packet
from engines.media.runner import PROBE, Limits, Runs, attempt
from engines.media.structure import State, Structure, image_demuxer, inspect, mp4_rotations, png_size
from engines.media.tools import Tools, has_pyav
from engines.media.worker_pipe import WorkerPipe
from engines.names import display
from engines.paths import unreadable
from engines.process import environment

_BATCH: Final = 4
# From this many files on the PyAV worker (about 150 ms to start) beats a start of ffprobe (70 ms) for each.


def probe(runs: Runs, tools: Tools, path: Path, *, timeout: float = 60.0, deep: bool = False) -> MediaFacts:
    """The facts about one file. `deep` also reads every packet, for what headers do not say.

    Raises:
        TaskdeckError: `path.missing`, `path.unreadable`, `path.kind`, `media.unreadable`, `task.timeout`.
    """
    key = _key(path)
    kept = cache.load(key) if not deep else None
    if kept is not None:
        # The cache knows the file by its inode; it may have been renamed since.
        return msgspec.structs.replace(kept, name=display(path.name))
    structure = _structure(path)
    raw = _read_raw(runs, tools, path, timeout)
    facts = _judge(raw, path, key.size, structure)
    if tools.ffprobe is not None:
        facts = _add_first_frame(runs, tools, path, facts, timeout)
    if deep:
        return _deepen(runs, tools, path, facts)
    if (span := rates.wanted(facts)) is not None:
        facts = rates.with_sample(facts, packets(runs, tools, path, span=span))
    cache.store(key, facts)
    return facts


def probe_many(
    runs: Runs, tools: Tools, paths: Sequence[Path], *, timeout: float = 60.0
) -> Iterator[tuple[Path, MediaFacts | TaskdeckError]]:
    """Facts or the reason of failure for each file, in order; one worker for all when PyAV is installed."""
    worker: PyavWorker | None = None
    quick = tools.ffprobe is None or (has_pyav() and len(paths) >= _BATCH)
    try:
        for path in paths:
            runs.check()
            try:
                if not quick or cache.load(_key(path)) is not None:
                    yield path, probe(runs, tools, path, timeout=timeout)
                    continue
                worker = worker or PyavWorker(runs, timeout)
                structure = _structure(path)
                key = _key(path)
                facts = _judge(worker.facts(path), path, key.size, structure)
                if (span := rates.wanted(facts)) is not None:
                    facts = rates.with_sample(facts, worker.packets(path, None, span))
                cache.store(key, facts)
                yield path, facts
            except TaskdeckError as error:
                yield path, error
    finally:
        if worker is not None:
            worker.close()


def packets(
    runs: Runs, tools: Tools, path: Path, *, stream: int | None = None, span: tuple[float, float] | None = None
) -> Iterable[Packet]:
    """Every packet of a stream (or of all) in file order; of a span (begin and length in seconds), about its own."""
    if tools.ffprobe is None:
        worker = PyavWorker(runs, 600)
        try:
            return worker.packets(path, stream, span)
        finally:
            worker.close()
    chosen = ["-select_streams", str(stream)] if stream is not None else []
    if span is not None:
        chosen += ["-read_intervals", f"{span[0]:.3f}%+{span[1]:.3f}"]
    fields = "packet=stream_index,pts_time,duration_time,flags,size"
    argv = probe_argv(tools, path, *chosen, "-show_entries", fields)
    argv[argv.index("-of") + 1] = "csv=p=0:nk=0"
    _, output, errors = attempt(runs, argv, timeout=600, limits=Limits(PROBE.memory * 2, 0, 600), cap=1 << 31)
    found = [_packet(line) for line in output.decode("ascii", "replace").splitlines() if "=" in line]
    if not found and errors:
        raise _unreadable(path, errors)
    return found


def _packet(line: str) -> Packet:
    cells = dict(cell.partition("=")[::2] for cell in line.split(",") if "=" in cell)
    pts = cells.get("pts_time", "N/A")
    length = cells.get("duration_time", "N/A")
    return Packet(
        int(cells["stream_index"]),
        None if pts in ("N/A", "") else float(pts),
        0.0 if length in ("N/A", "") else float(length),
        "K" in cells.get("flags", ""),
        int(cells.get("size", "0") or 0),
    )


def _key(path: Path) -> cache.Key:
    try:
        status = os.stat(path)
    except OSError as error:
        raise unreadable(path, error) from None
    if not os.path.isfile(path):
        raise TaskdeckError("path.kind", f"cannot read '{display(path.name)}'", "it is not a file")
    return cache.Key(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _structure(path: Path) -> Structure:
    try:
        return inspect(path)
    except OSError as error:
        raise unreadable(path, error) from None


def _read_raw(runs: Runs, tools: Tools, path: Path, timeout: float) -> Raw:
    if tools.ffprobe is None:
        worker = PyavWorker(runs, timeout)
        try:
            return worker.facts(path)
        finally:
            worker.close()
    argv = probe_argv(tools, path, "-show_format", "-show_streams", "-show_chapters", "-show_error")
    status, output, errors = attempt(runs, argv, timeout=timeout)
    try:
        raw: Raw = json.loads(output.decode("utf-8", "replace") or "{}")
    except ValueError:
        raw = {}
    if status and not raw.get("streams"):
        raw["error"] = {"string": (raw.get("error") or {}).get("string") or errors or f"status {status}"}
    return raw


def _judge(raw: Raw, path: Path, size: int, structure: Structure) -> MediaFacts:
    if raw.get("error") or not raw.get("streams"):
        raise _refusal(path, structure, str((raw.get("error") or {}).get("string", "")))
    facts = normalise(_with_size(raw, path), name=path.name, size=size, structure=structure)
    if facts.kind is Kind.NONE and not facts.covers:
        raise _refusal(path, structure, "")
    return facts


def _with_size(raw: Raw, path: Path) -> Raw:
    """Add the size of a picture that FFmpeg finds too large to look at."""
    for stream in raw.get("streams") or []:
        if stream.get("codec_name") == "png" and not stream.get("width") and (size := png_size(path)):
            stream["width"], stream["height"] = size
    return raw


def _refusal(path: Path, structure: Structure, said: str) -> TaskdeckError:
    if structure.state is State.EMPTY:
        return TaskdeckError("media.unreadable", f"cannot read '{display(path.name)}'", "the file is empty")
    if not structure.playable:
        share = f" ({structure.present:.0%} of it is present)" if structure.present else ""
        return TaskdeckError(
            "media.unreadable",
            f"cannot read '{display(path.name)}'",
            f"it is truncated{share}: {structure.note}",
            "fetch it again",
            detail=said,
        )
    return _unreadable(path, said)


def _unreadable(path: Path, said: str) -> TaskdeckError:
    return TaskdeckError(
        "media.unreadable",
        f"cannot read '{display(path.name)}'",
        "it is not audio, video or a picture of a known format, or it is damaged",
        "check the file",
        detail=said,
    )


def _add_first_frame(runs: Runs, tools: Tools, path: Path, facts: MediaFacts, timeout: float) -> MediaFacts:
    """A second look at the first frame of PQ video: mastering data is often there alone, HDR10+ always."""
    video = facts.main_video
    if video is None or not _needs_first_frame(video):
        return facts
    argv = probe_argv(tools, path, "-select_streams", str(video.index), "-show_frames", "-read_intervals", "%+#1")
    _, output, _ = attempt(runs, argv, timeout=timeout, limits=Limits(PROBE.memory * 4, PROBE.cpu, timeout))
    try:
        frames = json.loads(output.decode("utf-8", "replace")).get("frames") or [{}]
    except ValueError:
        return facts
    hdr, mastering, light = dynamic_range({"color_transfer": video.color_transfer}, frames[0])
    better = msgspec.structs.replace(
        video,
        # Dolby Vision may be told by the container alone.
        hdr=video.hdr if video.hdr is Hdr.DOLBY_VISION else hdr,
        dolby_only=video.dolby_only or (video.hdr is Hdr.NONE and dolby_only({}, frames[0])),
        mastering=mastering or video.mastering,
        max_cll=light or video.max_cll,
    )
    return msgspec.structs.replace(facts, video=[better if v.index == video.index else v for v in facts.video])


def _needs_first_frame(video: VideoFacts) -> bool:
    if video.hdr is Hdr.NONE:
        # Dolby Vision that no container tells: its transfer function is left open.
        return video.codec == "hevc" and video.bit_depth > 8 and not video.color_transfer
    return not (video.hdr is Hdr.DOLBY_VISION and video.mastering)


def _deepen(runs: Runs, tools: Tools, path: Path, facts: MediaFacts) -> MediaFacts:
    """Duration, bit rates, frame count and a varying frame rate from every packet of the file."""
    rows: dict[int, list[Packet]] = {}
    for packet in packets(runs, tools, path):
        rows.setdefault(packet.stream, []).append(packet)
    ends = [p.pts + p.length for group in rows.values() for p in group if p.pts is not None]
    begins = [p.pts for group in rows.values() for p in group if p.pts is not None]
    duration = (max(ends) - min(begins)) if ends else facts.duration

    def rate(index: int) -> BitRate | None:
        total = sum(p.size for p in rows.get(index, ()))
        return BitRate(round(total * 8 / duration)) if duration and total else None

    videos = []
    for video in facts.video:
        group = rows.get(video.index, [])
        fps, peak = _measured_rate([p.pts for p in group if p.pts is not None])
        changes: dict[str, Any] = {"bit_rate": rate(video.index) or video.bit_rate, "frames": len(group) or None}
        if peak is not None and not video.interlaced:
            changes |= {"fps": fps, "fps_peak": peak}
        videos.append(msgspec.structs.replace(video, **changes))
    audio = [msgspec.structs.replace(track, bit_rate=rate(track.index) or track.bit_rate) for track in facts.audio]
    whole = BitRate(round(facts.size * 8 / duration)) if duration else facts.bit_rate
    return msgspec.structs.replace(facts, video=videos, audio=audio, duration=duration, bit_rate=whole)


def _measured_rate(times: list[float]) -> tuple[float | None, float | None]:
    """Mean and peak rate of a varying stream; (None, None) for a constant one (within container rounding)."""
    times = sorted(times)
    gaps = [b - a for a, b in pairwise(times) if b > a]
    if len(gaps) < 3:
        return None, None
    mean, least = sum(gaps) / len(gaps), min(gaps)
    if max(gaps) - least < 0.0025 or (mean - least) / mean < 0.02:
        return None, None
    return 1 / mean, min(240.0, round(1 / (least + 0.0005)))


class PyavWorker:
    """PyAV in a process that may crash: it is started again for the next file.

    Args:
        timeout: Seconds one request may take.
    """

    def __init__(self, runs: Runs, timeout: float) -> None:
        self._runs, self._timeout = runs, timeout
        self._pipe = self._start()

    def _start(self) -> WorkerPipe:
        argv = [sys.executable, "-P", "-m", "engines.media.pyav_worker"]
        return WorkerPipe(self._runs, argv, environment(PYTHONPATH=_import_path()))

    def facts(self, path: Path) -> Raw:
        """Facts in the shape of ffprobe's JSON."""
        for answer in self._ask(path, "facts", None):
            return _with_rotation(answer, path)
        raise _unreadable(path, "the reader crashed on it")

    def packets(self, path: Path, stream: int | None, span: tuple[float, float] | None = None) -> list[Packet]:
        """All packets of a file or stream, or those of a span (begin and length in seconds)."""
        found = []
        for answer in self._ask(path, "packets", stream, span):
            if isinstance(answer, list):
                found.append(msgspec.convert(answer, Packet))
            elif "error" in answer and not found:
                raise _unreadable(path, str(answer["error"]))
        return found

    def close(self) -> None:
        """End the process."""
        self._pipe.close()

    def _ask(self, path: Path, want: str, stream: int | None, span: tuple[float, float] | None = None) -> Iterator[Any]:
        options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
        request = {
            "path": os.fsencode(path).hex(),
            "size": path.stat().st_size,
            "want": want,
            "stream": stream,
            "span": span,
            "format": image_demuxer(path),
            "options": options,
        }
        if not self._pipe.alive:
            self._pipe = self._start()
        yield from self._pipe.ask(json.dumps(request), self._timeout)


def _with_rotation(raw: Raw, path: Path) -> Raw:
    """Add the display matrix of MP4 tracks, which PyAV shows on decoded frames only."""
    if "mp4" not in str((raw.get("format") or {}).get("format_name", "")):
        return raw
    try:
        turns = mp4_rotations(path)
    except OSError:
        return raw
    for stream, turn in zip(raw.get("streams") or [], turns, strict=False):
        if turn and stream.get("codec_type") == "video":
            stream.setdefault("side_data_list", []).append({"side_data_type": "Display Matrix", "rotation": -turn})
    return raw


def _import_path() -> str:
    return os.pathsep.join(entry for entry in sys.path if entry)
