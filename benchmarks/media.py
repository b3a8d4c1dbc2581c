"""Figures of the media engine: `python -m benchmarks.media [PART ...]` prints the table of docs/benchmarks.md.

Parts: films, pictures, pictures-4k, pictures-ts, sheets, probing, cancelling, chunking. CPU seconds of this process and
of all its children, each pair measured in one run; the ratios are what counts. `--folder` keeps the films between runs.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engines.job import Stop, Stopped
from engines.media import thumbnail
from engines.media.compare import run as compare
from engines.media.facts import MediaFacts
from engines.media.probe import packets, probe, probe_many
from engines.media.runner import Runner
from engines.media.shot import Film, Look, take
from engines.media.tools import Tools, find
from engines.media.transcode import job as transcode
from engines.operations import Compare, Speed, Thumbnail, Transcode
from engines.settings import MediaSettings
from tests.support.jobs import RecordingJob

RUNS = Runner()


def cpu() -> float:
    """CPU seconds of this process and its ended children."""
    mine, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime


def cost(work: Callable[[], object], rounds: int = 5) -> float:
    """Median CPU seconds of some work."""
    samples = []
    for _ in range(rounds):
        before = cpu()
        work()
        samples.append(cpu() - before)
    return sorted(samples)[rounds // 2]


def ffmpeg(*words: str | Path) -> None:
    """Run the system's ffmpeg."""
    command = ["ffmpeg", "-hide_banner", "-nostdin", "-v", "fatal", "-y", *map(str, words)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def row(name: str, value: str, target: str, *, good: bool) -> None:
    """One line of the table."""
    print(f"| {name} | {value} | {target} | {'yes' if good else 'NO'} |", flush=True)


@dataclass(frozen=True)
class Sample:
    """A film to take pictures of, the seconds between its key frames, and the largest ratio promised."""

    film: Path
    period: float
    limit: float


# A key frame every 10 s, as both encoders set them when nothing is asked: the generated picture has a scene cut each
# second, which would be one more each.
X264 = ["-c:v", "libx264", "-b:v", "4M", "-g", "240", "-sc_threshold", "0", "-c:a", "aac", "-b:a", "384k"]
X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", "-an"]
X265 += ["-x265-params", "log-level=none:keyint=240:no-scenecut=1"]


def hour(folder: Path, name: str, size: str, options: list[str], clip: int, seconds: int) -> Path:
    """A long video: a clip of noise-like picture and sound, looped without encoding; made when it is not there."""
    short, long = folder / f"short-{name}.mkv", folder / f"long-{name}.mkv"
    if not long.exists():
        picture = f"testsrc2=s={size}:r=24:d={clip},noise=alls=12:allf=t"
        sound = f"sine=r=48000:d={clip},aformat=channel_layouts=5.1"
        ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, *options, short)
        ffmpeg("-stream_loop", str(seconds // clip - 1), "-i", short, "-c", "copy", long)
    return long


def films(folder: Path) -> dict[str, Sample]:
    """The films, made when they are not there."""
    full = hour(folder, "h264", "1920x1080", X264, 20, 3600)
    ultra = hour(folder, "hevc", "3840x2160", X265, 10, 600)
    stream = full.with_suffix(".ts")
    if not stream.exists():
        ffmpeg("-i", full, "-c", "copy", stream)
    return {
        "1080p H.264": Sample(full, 10.0, 0.30),
        "4K HEVC": Sample(ultra, 10.0, 0.15),
        "1080p H.264 in a transport stream": Sample(stream, 10.0, 0.30),
    }


def thumbnails(folder: Path, tools: Tools, name: str) -> None:
    """Key frame thumbnails against `ffmpeg -ss T -i`."""
    sample = films(folder)[name]
    facts = probe(RUNS, tools, sample.film)

    def ours(at: float) -> None:
        take(Film(RUNS, tools, sample.film, facts), at, folder / "o.jpg", Look("jpg", 320))

    def plain(at: float) -> None:
        words = ["-ss", str(at), "-i", str(sample.film), "-frames:v", "1", "-vf", "scale=320:-2", "-q:v", "3"]
        ffmpeg(*words, folder / "p.jpg")

    def line(label: str, moments: Sequence[float], rounds: int = 3) -> None:
        mine = sum(cost(lambda at=at: ours(at), rounds) for at in moments)  # type: ignore[misc]
        naive = sum(cost(lambda at=at: plain(at), rounds) for at in moments)  # type: ignore[misc]
        value = f"{mine:.2f} s / {naive:.2f} s = {mine / naive:.2f}"
        row(f"thumbnail, {name}, {label}", value, f"<= {sample.limit:.2f}", good=mine / naive <= sample.limit)

    for at in (5.0, 303.0):
        line(f"at {at:.0f} s", [at])
    line("six moments spread evenly between two key frames", [300 + sample.period * (n + 0.5) / 6 for n in range(6)], 1)
    for behind in (0.2, 0.5, 0.7, 1.5, sample.period - 0.1):
        line(f"{behind:.1f} s behind a key frame", [300 + behind])


def sheets(folder: Path) -> None:
    """A contact sheet of an hour, and a whole command from its start to its end."""
    film = films(folder)["1080p H.264"].film
    op = Thumbnail(path=str(film), sheet="4x4", output=str(folder / "sheet.jpg"))
    spent = cost(lambda: thumbnail.run(op, RecordingJob(folder)), 3)
    row("contact sheet of 16 tiles, one hour of 1080p", f"{spent:.2f} s CPU", "<= 4 s", good=spent <= 4)
    command = [sys.executable, "-m", "tui_app", "thumbnail", str(film), "305", "--foreground"]
    command += ["--output", str(folder / "o.jpg"), "--on-conflict", "overwrite"]
    environ = {**os.environ, "TASKDECK_ROOTS": str(folder)}

    def whole() -> None:
        subprocess.run(command, check=True, capture_output=True, env=environ)

    def anew() -> None:
        shutil.rmtree(Path(os.environ["XDG_CACHE_HOME"], "taskdeck"), ignore_errors=True)
        whole()

    first, again = cost(anew, 3), cost(whole, 3)
    row("the whole command `taskdeck thumbnail`, Python and ffprobe counted", f"{first:.2f} s CPU", "", good=True)
    row("the same with the facts known", f"{again:.2f} s CPU", "", good=True)


def probing(folder: Path, tools: Tools) -> None:
    """A hundred files by the PyAV worker against one ffprobe each."""
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=320x180:r=25:d=2",
        "-f",
        "lavfi",
        "-i",
        "sine=d=2",
        "-c:v",
        "libx264",
        folder / "p0.mp4",
    )
    files = [folder / f"p{n}.mp4" for n in range(100)]
    for path in files[1:]:
        shutil.copy(files[0], path)

    def each() -> None:
        for path in files:
            words = ["ffprobe", "-v", "error", "-show_format", "-show_streams", "-of", "json", str(path)]
            subprocess.run(words, check=True, capture_output=True)

    def batch() -> None:
        shutil.rmtree(Path(os.environ["XDG_CACHE_HOME"], "taskdeck"), ignore_errors=True)
        assert all(isinstance(facts, MediaFacts) for _, facts in probe_many(RUNS, tools, files))

    def plain() -> None:  # what a folder costs without PyAV
        shutil.rmtree(Path(os.environ["XDG_CACHE_HOME"], "taskdeck"), ignore_errors=True)
        for path in files:
            probe(RUNS, tools, path)

    mine, naive, alone = cost(batch, 3), cost(each, 1), cost(plain, 1)
    value = f"{mine:.2f} s / {naive:.2f} s = {mine / naive:.3f}"
    row("facts of 100 files, extra `fast`: CPU of ours / one ffprobe each", value, "<= 0.10", good=mine / naive <= 0.10)
    value = f"{alone:.2f} s / {naive:.2f} s = {alone / naive:.2f}"
    row("the same without the extra, by our ffprobe runs", value, "<= 1.20", good=alone / naive <= 1.2)
    before = time.perf_counter()
    for path in files:
        probe(RUNS, tools, path)
    again = (time.perf_counter() - before) / len(files)
    row("the same file a second time (cache)", f"{again * 1000:.2f} ms", "< 1 ms", good=again < 0.001)


def chunking(folder: Path, tools: Tools) -> None:
    """Chunks against one shot: size, SSIM, frames, and twenty kills."""
    film = folder / "film.mkv"
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "mandelbrot=s=640x360:r=25",
        "-t",
        "60",
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-g",
        "50",
        film,
    )
    op = Transcode(path=str(film), speed=Speed.FAST, chunk=5)
    chunked = Path(transcode.run(op, RecordingJob(folder)).path)
    single = folder / "single.mp4"
    ffmpeg(
        "-i",
        film,
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-crf",
        "21",
        "-profile:v",
        "high",
        "-pix_fmt",
        "yuv420p",
        single,
    )
    ratio = chunked.stat().st_size / single.stat().st_size
    row(
        "chunked transcode, size against one shot",
        f"{(ratio - 1) * 100:+.2f} %",
        "within 1 %",
        good=abs(ratio - 1) <= 0.01,
    )
    scores = [
        msgspec.to_builtins(compare(Compare(path=str(path), reference=str(film)), RecordingJob(folder)))["ssim"]
        for path in (chunked, single)
    ]
    value = f"{scores[0]:.4f} / {scores[1]:.4f}"
    row("its SSIM against that of one shot", value, "within 0.001", good=abs(scores[0] - scores[1]) <= 0.001)
    kills, frames = _killed(folder, film)
    whole = len(list(packets(RUNS, tools, film, stream=0)))
    row(f"frames after {kills} random SIGKILLs", f"{frames} of {whole}", "equal", good=frames == whole)


def _killed(folder: Path, film: Path, wanted: int = 20) -> tuple[int, int]:
    chance, kills, kept = random.Random(11), 0, folder / "kept.json"
    while True:
        command = [sys.executable, "-m", "tests.support.transcode_child", str(folder), str(film), str(kept)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, process_group=0)
        try:
            said, _ = child.communicate(timeout=chance.uniform(0.6, 1.4) if kills < wanted else 600)
            break
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            kills += 1
    made = Path(said.decode().strip())
    return kills, len(list(packets(RUNS, find(MediaSettings()), made, stream=0)))


def cancelling(folder: Path, film: Path) -> None:
    """From the request to the end of the job, with ffmpeg running and with ffmpeg frozen."""
    for name, frozen in (("running", False), ("frozen (paused)", True)):
        asked = [0.0]

        def stop(job: RecordingJob, frozen: bool = frozen, asked: list[float] = asked) -> Stop | None:
            if len(job.seen) < 6 or job.seen[-1].stage != "converting":
                return None
            if frozen:
                for child in _children():
                    os.kill(child, signal.SIGSTOP)
            asked[0] = time.perf_counter()
            return Stop.CANCEL

        try:
            transcode.run(Transcode(path=str(film), chunk=600), RecordingJob(folder, stop_when=stop))
        except Stopped:
            spent = time.perf_counter() - asked[0]
            row(f"cancel of a transcode, ffmpeg {name}", f"{spent:.2f} s", "<= 0.5 s", good=spent <= 0.5)


def _children() -> list[int]:
    return [int(word) for word in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        default=["pictures", "pictures-4k", "pictures-ts", "sheets", "probing", "cancelling", "chunking"],
    )
    parser.add_argument("--folder", type=Path, help="where films are made and kept")
    parser.add_argument("--system", action="store_true", help="without the ffmpeg of the extra `bundled`")
    given = parser.parse_args()
    tools = find(MediaSettings())
    if given.system:
        tools = msgspec.structs.replace(tools, quick="")
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        parts: dict[str, Callable[[], None]] = {
            "films": lambda: print(*films(folder), file=sys.stderr),
            "pictures": lambda: thumbnails(folder, tools, "1080p H.264"),
            "pictures-4k": lambda: thumbnails(folder, tools, "4K HEVC"),
            "pictures-ts": lambda: thumbnails(folder, tools, "1080p H.264 in a transport stream"),
            "sheets": lambda: sheets(folder),
            "probing": lambda: probing(folder, tools),
            "cancelling": lambda: cancelling(folder, films(folder)["1080p H.264"].film),
            "chunking": lambda: chunking(folder, tools),
        }
        print("| what | measured | target | met |\n|---|---|---|---|")
        for part in given.parts:
            parts[part]()


if __name__ == "__main__":
    main()
