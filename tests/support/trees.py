"""Odd trees to pack, and honest comparison of what came out."""

from __future__ import annotations

import os
import random
import stat
import subprocess
from pathlib import Path


def noise(length: int, seed: int = 1) -> bytes:
    """Bytes that do not shrink, the same in every run."""
    return random.Random(seed).randbytes(length)


def prose(length: int, seed: int = 1) -> bytes:
    """Bytes that shrink like text."""
    chance = random.Random(seed)
    words = [bytes(chance.choices(b"abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 10))) for _ in range(800)]
    return b" ".join(chance.choices(words, k=length // 4))[:length]


def odd_tree(root: Path, *, raw_names: bool = True, large: int = 1_300_000) -> Path:
    """A folder with everything that is easily lost: links, holes, empty things, names of every kind, modes."""
    root.mkdir()
    (root / "empty folder").mkdir()
    (root / "deep" / "er" / "still").mkdir(parents=True)
    (root / "deep" / "er" / "still" / "leaf.txt").write_bytes(prose(3000))
    (root / "empty").touch()
    (root / "naïve – 日本語.txt").write_text("unicode")
    (root / "-rf --force").write_text("leading dash")
    (root / "a\\b:c*?").write_text("hostile to others")
    (root / "new\nline").write_text("newline")
    (root / ("n" * 250)).write_text("long component")
    long = root / ("d" * 120) / ("e" * 120)
    long.mkdir(parents=True)
    (long / ("f" * 120)).write_text("path beyond ustar")
    if raw_names:
        Path(os.fsdecode(os.fsencode(root) + b"/raw\xff\xfe")).write_text("not UTF-8")
    (root / "tiny").write_bytes(b"x")
    (root / "text").write_bytes(prose(200_000))
    (root / "noise").write_bytes(noise(150_000))
    (root / "large").write_bytes(prose(large // 2) + noise(large // 2))
    (root / "link").symlink_to("text")
    (root / "dangling").symlink_to("nowhere/at all")
    (root / "folder link").symlink_to("deep")
    os.link(root / "text", root / "twin of text")
    os.link(root / "large", root / "twin of large")
    with open(root / "holes", "wb") as file:
        for number in range(12):
            file.seek(number * 300_000)
            file.write(noise(5000, number))
        file.truncate(4_000_000)
    with open(root / "all hole", "wb") as file:
        file.truncate(2_000_000)
    (root / "script").write_text("#!/bin/sh\n")
    (root / "script").chmod(0o755)
    (root / "secret").write_text("private")
    (root / "secret").chmod(0o600)
    for number, path in enumerate(sorted(root.rglob("*"))):
        if not path.is_symlink():
            os.utime(path, (1_500_000_000 + 2 * number, 1_500_000_000 + 2 * number))
    return root


def picture(root: Path, *, modes: bool = True, times: bool = True, links: bool = True) -> dict[bytes, object]:
    """What a tree holds: kind, content or target, mode, time, by relative name."""
    seen: dict[bytes, object] = {}
    for folder, folders, names in os.walk(os.fsencode(root)):
        for name in (*folders, *names):
            path = os.path.join(folder, name)
            info = os.lstat(path)
            what: tuple[object, ...]
            if stat.S_ISLNK(info.st_mode):
                what = ("link", os.readlink(path)) if links else ("link",)
            elif stat.S_ISDIR(info.st_mode):
                what = ("folder", stat.S_IMODE(info.st_mode) if modes else 0)
            else:
                with open(path, "rb") as file:
                    content = file.read()
                what = (
                    "file",
                    stat.S_IMODE(info.st_mode) if modes else 0,
                    int(info.st_mtime) if times else 0,
                    content,
                )
            seen[os.path.relpath(path, os.fsencode(root))] = what
    return seen


def tool(*argv: str | Path, cwd: Path | None = None, stdin: bytes = b"") -> str:
    """Run a foreign tool; its output. Fails the test when the tool does."""
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        timeout=120,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    output = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == 0, f"{argv[0]} failed with {done.returncode}: {output[-2000:]}"
    return output
