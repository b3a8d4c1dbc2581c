"""Figures of the media engine: `python -m benchmarks.media` prints the table of docs/benchmarks.md.

CPU seconds of child processes, each pair measured in one run; the ratios are what counts.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from engines.job import Stop, Stopped
from engines.media import thumbnail
from engines.media.compare import run as compare
from engines.media.facts import MediaFacts
from engines.media.pictures import Seek
from engines.media.probe import packets, probe, probe_many
from engines.media.runner import Runner
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
    command = ["ffmpeg", "-hide_banner", "-nostdin", "-v", "error", "-y", *map(str, words)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def row(name: str, value: str, target: str, *, good: bool) -> None:
    """One line of the table."""
    print(f"| {name} | {value} | {target} | {'yes' if good else 'NO'} |", flush=True)


def hour(folder: Path, size: str, codec: str, seconds: int) -> Path:
    """A long video: twenty seconds of noise-like picture, looped without encoding."""
    short, long = folder / f"short-{codec}.mkv", folder / f"long-{codec}.mkv"
    options = ["-c:v", codec, "-preset", "ultrafast" if codec == "libx265" else "medium"]
    # A key frame every ten seconds, x264's default: the generated picture has a scene cut each second.
    options += ["-g", "240"]
    options += (
        ["-pix_fmt", "yuv420p10le", "-x265-params", "log-level=none"]
        if codec == "libx265"
        else ["-b:v", "4M", "-sc_threshold", "0"]
    )
    length = 5 if codec == "libx265" else 20
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=s={size}:r=24:d={length},noise=alls=12:allf=t", *options, short)
    ffmpeg("-stream_loop", str(seconds // length - 1), "-i", short, "-c", "copy", long)
    return long


def thumbnails(folder: Path, tools: Tools) -> Path:
    """Key frame thumbnails against `ffmpeg -ss T -i`, and a contact sheet of an hour."""
    films = {
        "1080p H.264": hour(folder, "1920x1080", "libx264", 3600),
        "4K HEVC": hour(folder, "3840x2160", "libx265", 600),
    }
    for name, film in films.items():
        facts, at = probe(RUNS, tools, film), 305.2  # half way between two key frames

        def ours(film: Path = film, facts: MediaFacts = facts, at: float = at) -> None:
            thumbnail.take(RUNS, tools, film, facts, at, folder / "o.jpg", "jpg", 320, -1, Seek.KEY)

        def plain(film: Path = film, at: float = at) -> None:
            ffmpeg("-ss", str(at), "-i", film, "-frames:v", "1", "-vf", "scale=320:-2", "-q:v", "3", folder / "p.jpg")

        mine, naive = cost(ours), cost(plain)
        limit = 0.30 if name.startswith("1080p") else 0.15
        value = f"{mine:.2f} s / {naive:.2f} s = {mine / naive:.2f}"
        row(
            f"thumbnail at {at:.0f} s, {name}: CPU of ours / `ffmpeg -ss T -i`",
            value,
            f"<= {limit:.2f}",
            good=mine / naive <= limit,
        )
    film = films["1080p H.264"]
    op = Thumbnail(path=str(film), sheet="4x4", output=str(folder / "sheet.jpg"))
    spent = cost(lambda: thumbnail.run(op, RecordingJob(folder)), 3)
    row("contact sheet of 16 tiles, one hour of 1080p", f"{spent:.2f} s CPU", "<= 4 s", good=spent <= 4)
    return film


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

    mine, naive = cost(batch, 3), cost(each, 1)
    value = f"{mine:.2f} s / {naive:.2f} s = {mine / naive:.3f}"
    row("facts of 100 files, extra `fast`: CPU of ours / one ffprobe each", value, "<= 0.10", good=mine / naive <= 0.10)
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
        compare(Compare(path=str(path), reference=str(film)), RecordingJob(folder)).ssim for path in (chunked, single)
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
    tools = find(MediaSettings())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        print("| what | measured | target | met |\n|---|---|---|---|")
        film = thumbnails(folder, tools)
        probing(folder, tools)
        cancelling(folder, film)
        chunking(folder, tools)


if __name__ == "__main__":
    main()
