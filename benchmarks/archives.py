"""Taskdeck's archives beside the native tools and the standard library, in one run, on a corpus made here.

`python -m benchmarks.archives [--rows zip6,untar,...] [--repeat 3] [--work DIR] [--disk DIR]`. Every command is a
process of its own with its start included, ours is `taskdeck ... --foreground`. Commands of one row alternate and
the fastest run of each counts, so that other load on the machine falls on all of them alike; processor seconds are
steadier than wall time on a busy machine, and stand beside it. The work folder should be on a tmpfs: nobody syncs
there. The durable time is ours alone, written to and synced on `--disk`. Python programs run from compiled modules,
as installed ones do. Sizes are of the archive; ratio = the peer's time / ours.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PYTHON = sys.executable
_TEXT_BYTES = 130_000_000
_TIMEOUT = 900


@dataclass
class Peer:
    """A command to compare with. `least` is the ratio promised, None for information only."""

    label: str
    command: str
    least: float | None


@dataclass
class Row:
    """One kind of work. Commands are shell lines; {src} the tree, {name} its name, {out} a fresh path."""

    key: str
    title: str
    ours: str
    peers: list[Peer]
    small: bool = False
    archive: str = ""
    """Made once, before: what extraction reads ({archive})."""
    sizes: bool = True


@dataclass
class Measured:
    """Seconds of each run; size of the output and largest resident size of one process in bytes."""

    times: list[float] = field(default_factory=list)
    cpu: float = 0.0
    """Processor seconds of the cheapest run, all processes."""
    size: int = 0
    rss: int = 0


def _words(chance: random.Random, count: int) -> list[str]:
    return ["".join(chance.choices("etaoinshrdlucmfwypvbgk", k=chance.randint(2, 11))) for _ in range(count)]


def make_corpus(root: Path) -> None:
    """13,000 small text files (sources of this Python and its packages), logs, tables, noise, one large mixed file."""
    chance = random.Random(1)
    texts = root / "text"
    texts.mkdir(parents=True)
    total = number = 0
    sources = list(_source_files())
    chance.shuffle(sources)
    for path in sources:
        data = path.read_bytes()
        folder = texts / f"{number % 97:02d}" / f"{number % 13:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:05d}-{path.name}").write_bytes(data)
        total += len(data)
        number += 1
        if total > _TEXT_BYTES or number >= 14_000:
            break
    words = _words(chance, 4000)
    while total < _TEXT_BYTES // 2:  # a machine with few sources
        data = " ".join(chance.choices(words, k=2000)).encode()
        (texts / f"made-{number}.txt").write_bytes(data)
        total, number = total + len(data), number + 1
    with open(root / "service.log", "w") as log:
        for second in range(620_000):
            day, hour = second // 86400 + 1, second // 3600 % 24
            level = chance.choice(("INFO", "INFO", "INFO", "WARN", "DEBUG"))
            log.write(
                f"2026-01-{day:02d}T{hour:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z"
                f" {level} worker-{chance.randrange(16)} request id={chance.randrange(10**9):09d}"
                f" path=/{chance.choice(words)}/{chance.choice(words)} ms={chance.expovariate(0.02):.1f}\n"
            )
    with open(root / "table.tsv", "w") as table:
        for line in range(700_000):
            table.write(f"{line}\t{chance.choice(words)}\t{chance.random():.6f}\t{chance.randrange(1000)}\n")
    media = root / "media"
    media.mkdir()
    for clip in range(11):
        (media / f"clip{clip:02d}.mp4").write_bytes(chance.randbytes(6_000_000))
    with open(root / "image.bin", "wb") as image:
        for part in range(85):
            kind = part % 3
            if kind == 0:
                image.write(chance.randbytes(1_000_000))
            elif kind == 1:
                image.write(" ".join(chance.choices(words, k=180_000)).encode()[:1_000_000])
            else:
                image.write(bytes(400_000) + chance.randbytes(16) * 37_500)


def _source_files() -> Iterator[Path]:
    """In a fixed order; without the thousands of nearly empty modules that some packages have."""
    for name in ("stdlib", "purelib"):
        for folder, folders, names in os.walk(sysconfig.get_paths()[name]):
            folders.sort()
            for file in sorted(names):
                path = Path(folder) / file
                if file.endswith((".py", ".pyi", ".h", ".txt", ".md", ".rst")) and 512 <= path.stat().st_size < 400_000:
                    yield path


def make_small(corpus: Path, root: Path) -> None:
    """A mixed subset of 60 MB for the slow packers."""
    root.mkdir()
    total = 0
    for path in sorted((corpus / "text").rglob("*")):
        if path.is_file() and total < 30_000_000:
            place = root / "text" / path.parent.name
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place / path.name)
            total += path.stat().st_size
    for name, start, length in (
        ("service.log", 0, 12_000_000),
        ("table.tsv", 0, 8_000_000),
        ("image.bin", 0, 10_000_000),
    ):
        with open(corpus / name, "rb") as source:
            source.seek(start)
            (root / name).write_bytes(source.read(length))


def _taskdeck(arguments: str) -> str:
    return f"{shlex.quote(PYTHON)} -m tui_app {arguments} --foreground"


def _zip(form: str, level: int, more: str = "") -> str:
    return _taskdeck(f"zip {{src}} {form} {level} --output {{out}} {more}")


def _unzip() -> str:
    return _taskdeck("unzip {archive} {out}")


def _python(code: str) -> str:
    return f"{shlex.quote(PYTHON)} -c {shlex.quote(code)}"


_ZIPFILE = (
    "import os,sys,zipfile;src,out,lv=sys.argv[1:];z=zipfile.ZipFile(out,'w',8,compresslevel=int(lv));"
    "[z.write(os.path.join(d,f),os.path.relpath(os.path.join(d,f),os.path.dirname(src))) "
    "for d,_,fs in os.walk(src) for f in fs];z.close()"
)
_UNZIPFILE = "import sys,zipfile;zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])"
_TARFILE = (
    "import os,sys,tarfile;src,out,mode=sys.argv[1:4];k=dict(compresslevel=6) if mode=='w:gz' else dict();"
    "t=tarfile.open(out,mode,**k);t.add(src,os.path.basename(src));t.close()"
)
_UNTARFILE = "import sys,tarfile;tarfile.open(sys.argv[1]).extractall(sys.argv[2],filter='data')"
_PY7ZR = (
    "import os,sys,py7zr;z=py7zr.SevenZipFile(sys.argv[2],'w');z.writeall(sys.argv[1],os.path.basename(sys.argv[1]));"
    "z.close()"
)
_UNPY7ZR = "import sys,py7zr;py7zr.SevenZipFile(sys.argv[1]).extractall(sys.argv[2])"
_CD = "cd {src}/.. && "
_INTO = "mkdir {out} && cd {out} && "


def rows() -> list[Row]:
    """The table of the project's promises."""
    seven = "7zz a -bso0 -bsp0"
    return [
        Row("zip6", "zip level 6", _zip("zip", 6), [
            Peer("zipfile", f"{_python(_ZIPFILE)} {{src}} {{out}} 6", 3.5),
            Peer("zip -6", _CD + "zip -qr6 {out} {name}", 3.5),
            Peer("7zz -tzip -mx5", _CD + f"{seven} -tzip -mx5 {{out}} {{name}}", 5),
        ]),
        Row("zip1", "zip level 1", _zip("zip", 1), [
            Peer("zip -1", _CD + "zip -qr1 {out} {name}", 5),
            Peer("zipfile", f"{_python(_ZIPFILE)} {{src}} {{out}} 1", 5),
        ]),
        Row("zip9", "zip level 9", _zip("zip", 9), [
            Peer("zip -9", _CD + "zip -qr9 {out} {name}", 4),
            Peer("zipfile", f"{_python(_ZIPFILE)} {{src}} {{out}} 9", 4),
        ]),
        Row("zip0", "zip level 0", _zip("zip", 0), [
            Peer("bsdtar store", _CD + "bsdtar --format zip --options zip:compression=store -cf {out} {name}", 0.85),
        ]),
        Row("unzip", "unzip", _unzip(), [
            Peer("7zz x", "7zz x -bso0 -bsp0 -o{out} {archive}", 2),
            Peer("unzip", "unzip -q {archive} -d {out}", 3),
            Peer("zipfile", f"{_python(_UNZIPFILE)} {{archive}} {{out}}", 1.8),
        ], archive=_CD + "zip -qr6 {out} {name}"),
        Row("tgz", "tar.gz level 6", _zip("tar.gz", 6), [
            Peer("tarfile", f"{_python(_TARFILE)} {{src}} {{out}} w:gz", 4),
            Peer("tar | pigz -6", _CD + "tar -cf - {name} | pigz -6 > {out}", 2.2),
        ]),
        Row("tgz1m", "tar.gz level 6, one member", _zip("tar.gz", 6, "--single-member"), [
            Peer("tarfile", f"{_python(_TARFILE)} {{src}} {{out}} w:gz", 3),
            Peer("tar | pigz -6", _CD + "tar -cf - {name} | pigz -6 > {out}", 1.5),
        ]),
        Row("untgz", "tar.gz extract", _unzip(), [
            Peer("tarfile", f"{_python(_UNTARFILE)} {{archive}} {{out}}", 3.5),
            Peer("pigz -dc | tar x", _INTO + "pigz -dc {archive} | tar -xf -", 1.5),
            Peer("tar xzf", _INTO + "tar -xzf {archive}", 2),
        ], archive=_CD + "tar -czf {out} {name}"),
        Row("tar", "tar create", _zip("tar", 0), [
            Peer("GNU tar", _CD + "tar -cf {out} {name} && true", 0.8),
            Peer("tarfile", f"{_python(_TARFILE)} {{src}} {{out}} w", 2.5),
        ]),
        Row("untar", "tar extract", _unzip(), [
            Peer("GNU tar", _INTO + "tar -xf {archive}", 0.7),
            Peer("tarfile", f"{_python(_UNTARFILE)} {{archive}} {{out}}", 3.5),
        ], archive=_CD + "tar -cf {out} {name}"),
        Row("tzst", "tar.zst level 3", _zip("tar.zst", 3), [
            Peer("tar | zstd -T0", _CD + "tar -cf - {name} | zstd -q -T0 -3 > {out}", 1.1),
        ]),
        Row("untzst", "tar.zst extract", _unzip(), [
            Peer("tar --zstd", _INTO + "tar --zstd -xf {archive}", 0.8),
        ], archive=_CD + "tar -cf - {name} | zstd -q -T0 -3 > {out}"),
        Row("tbz", "tar.bz2 level 9", _zip("tar.bz2", 9), [
            Peer("tar | lbzip2", _CD + "tar -cf - {name} | lbzip2 -9 > {out}", 0.7),
            Peer("tar cjf", _CD + "tar -cjf {out} {name}", 2),
        ]),
        Row("untbz", "tar.bz2 extract", _unzip(), [
            Peer("lbzip2 | tar x", _INTO + "lbzip2 -dc {archive} | tar -xf -", 0.8),
            Peer("tar xjf", _INTO + "tar -xjf {archive}", 2),
        ], archive=_CD + "tar -cjf {out} {name}"),
        Row("txz", "tar.xz level 6", _zip("tar.xz", 6), [
            Peer("tar | xz -T0", _CD + "tar -cf - {name} | xz -6 -T0 > {out}", 1.1),
        ], small=True),
        Row("7z", "7z level 5", _zip("7z", 5), [
            Peer("7zz -mx5", _CD + f"{seven} -mx5 {{out}} {{name}}", 1.0),
            Peer("py7zr", f"{_python(_PY7ZR)} {{src}} {{out}}", 2.3),
        ], small=True),
        Row("7z1", "7z level 1", _zip("7z", 1), [
            Peer("7zz -mx1", _CD + f"{seven} -mx1 {{out}} {{name}}", None),
        ], small=True),
        Row("un7z", "7z extract", _unzip(), [
            Peer("py7zr", f"{_python(_UNPY7ZR)} {{archive}} {{out}}", 3),
            Peer("7zz x", "7zz x -bso0 -bsp0 -o{out} {archive}", None),
        ], small=True, archive=_CD + f"{seven} -mx5 {{out}} {{name}}"),
        Row("un7zown", "7z extract, our own", _unzip(), [
            Peer("py7zr", f"{_python(_UNPY7ZR)} {{archive}} {{out}}", 3),
            Peer("7zz x", "7zz x -bso0 -bsp0 -o{out} {archive}", None),
        ], small=True, archive=_zip("7z", 5)),
    ]  # fmt: skip


_SUFFIX = {"zip": ".zip", "tgz": ".tar.gz", "tar": ".tar", "tzst": ".tar.zst", "tbz": ".tar.bz2", "txz": ".tar.xz"}


def _suffix(key: str) -> str:
    plain = key.removeprefix("un")
    if plain.startswith("7z"):
        return ".7z"
    return next(suffix for name, suffix in _SUFFIX.items() if plain.startswith(name))


def _run(command: str, out: Path, environment: dict[str, str], measured: Measured) -> None:
    start = time.perf_counter()
    process = subprocess.Popen(
        ["/bin/sh", "-c", command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    measured.times.append(time.perf_counter() - start)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        raise SystemExit(f"{command}\nfailed with {process.returncode}: {errors.decode(errors='replace')[-2000:]}")
    spent = usage.ru_utime + usage.ru_stime
    measured.cpu = min(measured.cpu or spent, spent)
    measured.rss = max(measured.rss, usage.ru_maxrss * 1024)
    measured.size = out.stat().st_size if out.is_file() else 0
    if out.is_dir():
        shutil.rmtree(out)
    else:
        out.unlink(missing_ok=True)


def _warm_up(row: Row, work: Path, environment: dict[str, str]) -> None:
    """Run each command once on next to nothing: modules are compiled and read before anything is timed."""
    tiny = work / "tiny"
    tiny.mkdir(exist_ok=True)
    (tiny / "file").write_text("something to pack\n" * 10)
    archive = work / f"tiny-{row.key}{_suffix(row.key)}"
    values = {"src": shlex.quote(str(tiny)), "name": "tiny", "archive": shlex.quote(str(archive))}
    out = work / ("warm" + ("" if row.archive else _suffix(row.key)))
    if row.archive:
        _run(row.archive.format(**values | {"out": shlex.quote(str(archive))}), out, environment, Measured())
    for command in (row.ours, *(peer.command for peer in row.peers)):
        _run(command.format(**values | {"out": shlex.quote(str(out))}), out, environment, Measured())
    archive.unlink(missing_ok=True)


def measure(
    row: Row, corpus: Path, work: Path, repeat: int, environment: dict[str, str], disk: Path | None
) -> list[str]:
    """Run a row; its lines of the table."""
    values = {"src": shlex.quote(str(corpus)), "name": shlex.quote(corpus.name), "archive": ""}
    _warm_up(row, work, environment)
    if row.archive:
        archive = work / f"read-{row.key}{_suffix(row.key)}"
        subprocess.run(
            ["/bin/sh", "-c", row.archive.format(**values | {"out": shlex.quote(str(archive))})],
            check=True,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT,
        )
        values["archive"] = shlex.quote(str(archive))
    commands = [("taskdeck", row.ours, None), *((peer.label, peer.command, peer.least) for peer in row.peers)]
    results = [Measured() for _ in commands]
    for turn in range(repeat):
        for (label, command, _), result in zip(commands, results, strict=True):
            out = work / (f"out-{turn}" + ("" if row.archive else _suffix(row.key)))
            line = command.format(**values | {"out": shlex.quote(str(out))})
            _run(line, out, environment, result)
            print(f"  {row.title}: {label} {result.times[-1]:.2f} s", file=sys.stderr, flush=True)
    durable = Measured()
    if disk is not None:
        out = disk / ("out" + ("" if row.archive else _suffix(row.key)))
        _run(row.ours.format(**values | {"out": shlex.quote(str(out))}), out, environment, durable)
    if row.archive:
        archive.unlink()
    ours = min(results[0].times)
    volume = sum(path.stat().st_size for path in corpus.rglob("*") if path.is_file())
    lines = []
    for (label, _, least), result in zip(commands[1:], results[1:], strict=True):
        ratio = min(result.times) / ours
        verdict = "" if least is None else ("yes" if ratio >= least else "**no**")
        sizes = f"{results[0].size / result.size:.4f}" if result.size and results[0].size else ""
        lines.append(
            f"| {row.title} | {label.replace('|', chr(92) + '|')} | {ratio:.2f} | {result.cpu / results[0].cpu:.2f} |"
            f" {least or ''} | {verdict} | {ours:.2f} s ({volume / ours / 1e6:.0f} MB/s) | {min(result.times):.2f} s |"
            f" {f'{durable.times[0]:.2f} s' if durable.times else ''} | {sizes} | {results[0].rss / 2**20:.0f} MiB |"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="", help="comma separated keys; default all")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--disk", type=Path, help="folder on a real disk for the durable time (default: not measured)")
    parser.add_argument("--work", type=Path, help="folder for corpus and archives (default: a new one in /dev/shm)")
    given = parser.parse_args(arguments)
    wanted = [key for key in given.rows.split(",") if key]
    with tempfile.TemporaryDirectory(
        prefix="taskdeck-bench-", dir="/dev/shm" if given.work is None else given.work
    ) as name:
        work = Path(name)
        corpus, small = work / "corpus", work / "small"
        make_corpus(corpus)
        make_small(corpus, small)
        roots = [work] if given.disk is None else [work, given.disk.resolve()]
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "PYTHONPYCACHEPREFIX": str(work / "compiled"),
            "TASKDECK_ROOTS": ":".join(map(str, roots)),
            "XDG_STATE_HOME": str(work / "state"),
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": str(Path(__file__).parent.parent),
        }
        (work / "state").mkdir()
        files = [path for path in corpus.rglob("*") if path.is_file()]
        total = sum(path.stat().st_size for path in files)
        print(f"Corpus: {total / 1e6:.0f} MB in {len(files):,} files; {len(os.sched_getaffinity(0))} cores,")
        print(f"load {os.getloadavg()[0]:.1f}, best of {given.repeat}.\n")
        print(
            "| work | peer | wall: peer / ours | CPU: peer / ours | promised | kept (wall) | ours | peer's"
            " | ours, durable on disk | size ours / peer's | peak RSS |"
        )
        print("|---|---|---:|---:|---:|---|---:|---:|---:|---:|---:|", flush=True)
        for row in rows():
            if not wanted or row.key in wanted:
                chosen = small if row.small else corpus
                for line in measure(row, chosen, work, given.repeat, environment, given.disk):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
