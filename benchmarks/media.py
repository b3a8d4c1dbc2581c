"""Figures of the media engine: `python -m benchmarks.media [PART ...]` prints the table of docs/benchmarks.md.

Parts: films, pictures, sheets, probing, cancelling, chunking. CPU seconds of this process and of all its children, each
pair measured in one run; the ratios are what counts. `--folder` keeps the films between runs.
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
from collections.abc import Callable
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


def films(folder: Path) -> dict[str, tuple[Path, float, float]]:
    """Film, seconds between its key frames and the largest ratio promised, made when they are not there."""
    made = {
        "1080p H.264": ("libx264", "1920x1080", 3600, 10.0, 0.30),
        "4K HEVC": ("libx265", "3840x2160", 600, 5.0, 0.15),
    }
    found = {}
    for name, (codec, size, seconds, period, limit) in made.items():
        film = folder / f"long-{codec}.mkv"
        found[name] = (film if film.exists() else hour(folder, size, codec, seconds), period, limit)
    return found


def thumbnails(folder: Path, tools: Tools) -> None:
    """Key frame thumbnails against `ffmpeg -ss T -i`, from just behind a key frame to just before the next."""
    for name, (film, period, limit) in films(folder).items():
        facts = probe(RUNS, tools, film)
        for behind in (0.2, 0.7, 1.5, period / 2, period - 0.1):
            at = 300 + behind

            def ours(film: Path = film, facts: MediaFacts = facts, at: float = at) -> None:
                take(Film(RUNS, tools, film, facts), at, folder / "o.jpg", Look("jpg", 320))

            def plain(film: Path = film, at: float = at) -> None:
                ffmpeg(
                    "-ss", str(at), "-i", film, "-frames:v", "1", "-vf", "scale=320:-2", "-q:v", "3", folder / "p.jpg"
                )

            mine, naive = cost(ours), cost(plain, 3)
            value = f"{mine:.2f} s / {naive:.2f} s = {mine / naive:.2f}"
            label = f"thumbnail, {name}, {behind:.1f} s behind a key frame: CPU of ours / `ffmpeg -ss T -i`"
            row(label, value, f"<= {limit:.2f}", good=mine / naive <= limit)


def sheets(folder: Path) -> None:
    """A contact sheet of an hour, and a whole command from its start to its end."""
    film, _, _ = films(folder)["1080p H.264"]
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
    parser.add_argument("parts", nargs="*", default=["pictures", "sheets", "probing", "cancelling", "chunking"])
    parser.add_argument("--folder", type=Path, help="where films are made and kept")
    given = parser.parse_args()
    tools = find(MediaSettings())
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        parts: dict[str, Callable[[], None]] = {
            "films": lambda: print(*films(folder), file=sys.stderr),
            "pictures": lambda: thumbnails(folder, tools),
            "sheets": lambda: sheets(folder),
            "probing": lambda: probing(folder, tools),
            "cancelling": lambda: cancelling(folder, films(folder)["1080p H.264"][0]),
            "chunking": lambda: chunking(folder, tools),
        }
        print("| what | measured | target | met |\n|---|---|---|---|")
        for part in given.parts:
            parts[part]()


if __name__ == "__main__":
    main()
