"""The operation `transcode`: a file, or every media file of a folder as one task with a result for each."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from engines import files, text
from engines.errors import TaskdeckError
from engines.job import Job
from engines.media import batch, verify
from engines.media.facts import MediaFacts
from engines.media.ffmpeg import argv, number_of, output, source
from engines.media.place import beside, early_refusal, scratch, staged, tools_of
from engines.media.probe import probe
from engines.media.runner import Finished, Step, disk_full_text, failure, transform
from engines.media.structure import State
from engines.media.tools import Tools
from engines.media.transcode import chunks
from engines.media.transcode import plan as planning
from engines.media.transcode.plan import Plan
from engines.names import display
from engines.operations import Conflict, Transcode
from engines.paths import from_uri, to_uri

_SETTLED = 0.1
# The share that must be done before the projected size is believed.
_TRIES = 4


class TranscodeResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Before and after of one file. `kept` is False when the source was kept because the result is no smaller."""

    source: str
    path: str = ""
    before: MediaFacts | None = None
    after: MediaFacts | None = None
    seconds: float = 0.0
    frames: int = 0
    chunks: int = 0
    resumed: int = 0
    """Chunks that an earlier attempt had finished."""
    notes: list[str] = []
    replaced: bool = False
    files: list[batch.FileOutcome] = []


def run(op: Transcode, job: Job) -> TranscodeResult:
    """Convert a file or a folder.

    Raises:
        TaskdeckError: `media.damaged` when a cut off source would be replaced; as the plan; `media.not_smaller`.
    """
    path = Path(op.path)
    if not path.is_dir():
        return _one(op, job)
    rows = batch.each(op, job, _one, encodes=True)
    return batch.settled(TranscodeResult(source=display(path), files=rows), rows)


class _Made(msgspec.Struct, kw_only=True):
    """The checkpoint of a result that is about to be published: if it has its name already, that was done."""

    mark: files.Mark
    target: str
    result: TranscodeResult


def _one(op: Transcode, job: Job) -> TranscodeResult:
    made = (job.checkpoint or {}).get("made")
    done = _go_on_publishing(op, job, msgspec.convert(made, _Made)) if made else None
    return done or _convert(op, job)


def _convert(op: Transcode, job: Job) -> TranscodeResult:
    started = time.monotonic()
    tools, path = tools_of(job), Path(op.path)
    facts = probe(job, tools, path, timeout=job.settings.media.probe_timeout)
    _refuse_replacing_half(op, facts)
    plan = planning.make(op, facts, tools)
    for note in plan.notes:
        job.log(note)
    target, conflict = _target(op, path, plan)
    if early_refusal(target, conflict):
        return TranscodeResult(source=display(path.name), notes=["the target exists and was left alone"])
    files.require_space(target.parent, plan.limit or min(facts.size, 64 << 20), what=f"convert '{facts.name}'")
    result = TranscodeResult(source=display(path.name), before=facts, notes=list(plan.notes))
    with staged(job, target) as part, _workshop(job, target) as folder:
        if plan.video is None:
            finished, frames = _sound(job, tools, plan, path, part), None
        elif plan.limit:
            finished = _to_size(job, tools, plan, path, part, target)
            frames = finished.frames or None
        else:
            finished, frames = _chunked(job, tools, plan, path, part, folder, result)
        result.after = _verified(job, tools, plan, part, finished, frames)
        if op.keep_if_smaller and result.after.size >= facts.size:
            raise _not_smaller(plan, result.after.size)
        result.seconds, result.frames = time.monotonic() - started, finished.frames
        files.sync_file(part)
        made = _Made(mark=files.mark_of(part), target=to_uri(str(target)), result=result)
        job.save({"made": msgspec.to_builtins(made)})
        job.claim(part)  # again: the checkpoint is durable with it
        placed = files.publish(job, part, target, conflict, sync=False) or target
        return _published(op, path, placed, result)


def _go_on_publishing(op: Transcode, job: Job, made: _Made) -> TranscodeResult | None:
    """The result of an attempt that died while it published; None when what it made is gone."""
    path, target = Path(op.path), Path(from_uri(made.target))
    with staged(job, target) as part, _workshop(job, target):
        found = files.find_marked(target.parent, [made.mark])
        if found is None:
            job.log("what the last attempt made is gone: starting again", level="warning")
            return None
        placed = found[0]
        if placed == part:
            placed = files.publish(job, part, target, _policy(op, path, target), sync=False) or target
        return _published(op, path, placed, made.result)


def _published(op: Transcode, path: Path, placed: Path, result: TranscodeResult) -> TranscodeResult:
    """The result with its place; with `--replace` the source is gone then."""
    if op.replace and placed != path:
        with suppress(FileNotFoundError):
            os.unlink(path)
        files.sync_folder(path.parent)
    result.path, result.replaced = to_uri(str(placed)), op.replace
    if result.after is not None:
        result.after = verify.renamed(result.after, display(placed.name))
    return result


def _target(op: Transcode, path: Path, plan: Plan) -> tuple[Path, Conflict]:
    """Where the result goes. `--replace` takes the source's own place, under the new container's extension."""
    if op.replace:
        target = path.with_name(files.fit_name(path.stem, after="." + plan.extension))
    else:
        target = beside(path, op.output, f".{op.preset.value}", plan.extension)
    return target, _policy(op, path, target)


def _policy(op: Transcode, path: Path, target: Path) -> Conflict:
    return Conflict.OVERWRITE if op.replace and target == path else op.on_conflict


def _verified(job: Job, tools: Tools, plan: Plan, part: Path, finished: Finished, frames: int | None) -> MediaFacts:
    def step(step: Step) -> None:
        job.progress(int(step.seconds or 0), _whole(plan), item=plan.facts.name, stage="verifying", unit="seconds")

    streams = (1 if plan.video else 0) + len(plan.audio) + len(plan.subtitles)
    full = plan.op.verify or plan.op.replace
    # A truncated source lasts as long as what is there of it; without some tracks the rest may be shorter.
    whole = plan.facts.structure.present in (None, 1.0) and streams == _held(plan.facts)
    length = plan.facts.duration if whole else (finished.seconds if plan.video is None else None)
    return verify.result(
        job, tools, part, finished, duration=length, streams=streams, frames=frames, full=full, on_step=step
    )


def _held(facts: MediaFacts) -> int:
    return len(facts.video) + len(facts.audio) + len(facts.subtitles)


def _refuse_replacing_half(op: Transcode, facts: MediaFacts) -> None:
    """What is missing of a file may come yet: the part that is there is not thrown away."""
    state = facts.structure.state
    if op.replace and state in (State.TRUNCATED, State.UNFINISHED, State.DAMAGED):
        share = f", {facts.structure.present:.0%} of it is present" if facts.structure.present else ""
        raise TaskdeckError(
            "media.damaged",
            f"'{facts.name}' is not replaced",
            f"it is {state.value}{share}",
            "fetch it again, or convert it without --replace",
        )


def _whole(plan: Plan) -> int | None:
    return max(1, round(plan.facts.duration)) if plan.facts.duration else None


def _not_smaller(plan: Plan, size: int) -> TaskdeckError:
    return TaskdeckError(
        "media.not_smaller",
        f"'{plan.facts.name}' was kept",
        f"the result would have about {text.size(size)}, the source has {text.size(plan.facts.size)}",
        "choose a higher --crf or another preset",
    )


class _Watch:
    """Reports progress and stops work whose result would exceed the source."""

    def __init__(self, job: Job, plan: Plan, stage: str, *, share: float = 1.0, before: float = 0.0) -> None:
        self._job, self._plan, self._stage = job, plan, stage
        self._share, self._before = share, before

    def __call__(self, seconds: float, size: int) -> None:
        """Seconds of the source and bytes of the result so far."""
        length = self._plan.facts.duration
        if length:
            done = min(1.0, seconds / length)
            if self._plan.op.keep_if_smaller and done > _SETTLED and size / done > self._plan.facts.size * 1.02:
                raise _not_smaller(self._plan, round(size / done))
            seconds = (self._before + done * self._share) * length
        self._job.progress(
            int(seconds), _whole(self._plan), item=self._plan.facts.name, stage=self._stage, unit="seconds"
        )

    def step(self, step: Step) -> None:
        """For runs of ffmpeg on the whole file."""
        self(step.seconds or 0.0, step.size or 0)


def _common(plan: Plan) -> dict[str, Any]:
    audio, _ = planning.audio_options(plan)
    return {**audio, **planning.subtitle_options(plan), **planning.container_options(plan), "map_chapters": 0}


def _tracks(plan: Plan, opened: Any) -> list[Any]:
    indexes = [*(track.index for track in plan.audio), *(track.index for track in plan.subtitles)]
    return [opened[str(index)] for index in indexes]


def _checked(finished: Finished, plan: Plan) -> Finished:
    if finished.status or disk_full_text(finished.errors):
        raise failure(finished, f"cannot convert '{plan.facts.name}'")
    return finished


def _sound(job: Job, tools: Tools, plan: Plan, path: Path, part: Path) -> Finished:
    """The audio alone, with its cover."""
    opened = source(path)
    streams, options = [opened[str(track.index)] for track in plan.audio], _common(plan)
    if plan.facts.cover_index is not None:
        streams.append(opened[str(plan.facts.cover_index)])
        options |= {"c:v": "copy", "disposition:v:0": "attached_pic"}
    out = output(streams, part, map_metadata=0, **options)
    return _checked(transform(job, argv(tools, out), _Watch(job, plan, "converting").step), plan)


def _whole_file(
    job: Job, tools: Tools, plan: Plan, path: Path, part: Path, bits: int | None, number: int, folder: Path
) -> Finished:
    """One run over everything; pass 1 makes statistics only."""
    opened = source(path)
    assert plan.video is not None
    shown = planning.picture(plan, opened[str(plan.video.index)], tools)
    options = planning.video_options(plan, bits=bits, number=number)
    # Every frame as it comes, as in chunks: a fixed rate would add one where the picture starts after the sound, and
    # dropping by time could make the passes disagree, on which ffmpeg 5.1 crashes.
    options |= planning.timing(tools, "passthrough" if number and not plan.video.variable else "vfr")
    if number == 1:
        out = output(shown, Path(os.devnull), format="mp4", **options)
        watch = _Watch(job, plan, "pass 1 of 2", share=0.4)
    else:
        out = output([shown, *_tracks(plan, opened)], part, map_metadata=0, **options, **_common(plan))
        watch = _Watch(job, plan, "pass 2 of 2", share=0.6, before=0.4) if number else _Watch(job, plan, "converting")
    return _checked(transform(job, argv(tools, out, extra=chunks.device(plan)), watch.step, cwd=folder), plan)


def _to_size(job: Job, tools: Tools, plan: Plan, path: Path, part: Path, target: Path) -> Finished:
    """Two passes for a size; the second is repeated with fewer bits until the file is not above it."""
    bits = planning.video_bits(plan)
    assert plan.encoder is not None
    two = plan.encoder.name in ("libx264", "libx265")
    with scratch(job, target) as folder:
        if two:
            _whole_file(job, tools, plan, path, part, bits, 1, folder)
        for _ in range(_TRIES):
            finished = _whole_file(job, tools, plan, path, part, bits, 2 if two else 0, folder)
            size = part.stat().st_size
            if size <= plan.limit:
                return finished
            job.log(f"{text.size(size)} is above {text.size(plan.limit)}: once more with fewer bits", level="warning")
            bits = max(1000, int(bits * plan.limit / size * 0.97) - 1000)
    raise TaskdeckError(
        "value", f"cannot fit '{plan.facts.name}' into {text.size(plan.limit)}", "the encoder needs more", "allow more"
    )


def _chunked(
    job: Job, tools: Tools, plan: Plan, path: Path, part: Path, folder: Path, result: TranscodeResult
) -> tuple[Finished, int | None]:
    """Encode by chunks, then put everything together; one run when the source cannot be entered at key frames."""
    if job.checkpoint is None:
        files.remove(folder)
    folder.mkdir(mode=0o700, exist_ok=True)
    job.save({"work": to_uri(str(folder))})
    chosen = chunks.load(job, folder, path, plan)
    if chosen is None:
        job.log("this container cannot be cut into chunks: after a crash the conversion starts over")
        return _whole_file(job, tools, plan, path, part, None, 0, folder), None
    result.chunks = len(chosen.chunks)
    result.resumed = len(list(folder.glob("c_*.frames")))
    if result.resumed:
        job.log(f"going on after {result.resumed} of {result.chunks} chunks")
    sound = _encode_sound(job, tools, plan, path, folder)
    held = sound.stat().st_size if sound else 0
    watch = _Watch(job, plan, "converting")
    encoded = chunks.encode(job, tools, plan, path, folder, chosen, lambda s, n: watch(s, n + held))
    finished = _join(job, tools, plan, path, part, folder, chosen, sound)
    if chosen.frames != encoded.frames:
        result.notes.append(f"{abs(chosen.frames - encoded.frames)} frames of the source could not be decoded")
    return Finished(0, finished.errors, finished.seconds, encoded.frames, finished.size), encoded.frames


@contextmanager
def _workshop(job: Job, target: Path) -> Iterator[Path]:
    """The folder of the chunks, which stays until the result has its name: the earlier attempt's when there is one."""
    folder = files.staged_path(job, target, kind="chunks")
    try:
        yield folder
    finally:
        if not job.keep_partial():
            with suppress(OSError):
                files.remove(folder)
            job.release(folder)


def _encode_sound(job: Job, tools: Tools, plan: Plan, path: Path, folder: Path) -> Path | None:
    """The audio tracks, encoded once and kept beside the chunks; None when they are copied at the end."""
    options, encoded = planning.audio_options(plan)
    if not encoded:
        return None
    place = folder / "sound.mka"
    if not place.exists():
        part = place.with_suffix(".part")
        opened = source(path)
        streams = [opened[str(track.index)] for track in plan.audio]
        out = output(streams, part, format="matroska", **options)
        watch = _Watch(job, plan, "converting the sound", share=0.0)
        _checked(transform(job, argv(tools, out), watch.step), plan)
        files.sync_file(part)
        os.replace(part, place)
        files.sync_folder(folder)
    return place


def _join(
    job: Job, tools: Tools, plan: Plan, path: Path, part: Path, folder: Path, chosen: chunks.Cut, sound: Path | None
) -> Finished:
    """Chunks, sound, subtitles, chapters and attachments into one file; nothing is encoded any more."""
    job.progress(_whole(plan) or 0, _whole(plan), item=plan.facts.name, stage="joining", unit="seconds")
    opened = source(path)
    streams = [chunks.joined(folder, chosen, plan.facts)["v:0"]]
    options = {**planning.subtitle_options(plan), **planning.container_options(plan), "c:v": "copy", "c:a": "copy"}
    if sound is not None:
        start = probe(job, tools, sound).start
        from_sound = source(sound, itsoffset=f"{start:.6f}")
        streams += [from_sound[f"a:{number}"] for number in range(len(plan.audio))]
    else:
        streams += [opened[str(track.index)] for track in plan.audio]
    streams += [opened[str(track.index)] for track in plan.subtitles]
    if plan.recipe.container == "mkv" and plan.facts.attachments:
        streams.append(opened["t"])
        options["c:t"] = "copy"
    assert plan.video is not None
    if plan.recipe.family == "hevc" and plan.recipe.container == "mp4":
        options["tag:v"] = "hvc1"
    if plan.video.title:
        options["metadata:s:v:0"] = f"title={plan.video.title}"
    # An optional stream that is never there makes the source an input, for its tags and chapters.
    streams.append(opened["d:99?"])
    options |= {"map_metadata": number_of(path), "map_chapters": number_of(path)}
    return _checked(transform(job, argv(tools, output(streams, part, **options))), plan)
