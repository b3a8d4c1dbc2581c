"""Who tells the truth about the trap files: `python -m benchmarks.media_facts` prints the table of docs/benchmarks.md.

Each file of the tests' corpus is read by us, by ffprobe the way most programs read it (its headers taken at their
word) and by MediaInfo (`apt-get install mediainfo`), and held against the golden table of the tests.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from engines.errors import TaskdeckError
from engines.media.probe import probe
from engines.media.quality import rate
from engines.media.runner import Runner
from engines.media.tools import find
from engines.settings import MediaSettings
from tests.engine.test_media_facts import GOLDEN, REFUSED
from tests.support.media_corpus import build

Said = dict[str, Any]
TRUTH: Final[dict[str, Said]] = {**GOLDEN, "vfr.mkv": {"fps": 37.333}}
ASKED: Final = ("duration", "shown", "fps", "interlaced", "hdr", "damage")


def truth(name: str) -> Said:
    """What is true about a file, as far as the table says it. `damage` is whether a user must be warned."""
    if name in REFUSED:
        return {"damage": True}
    golden = TRUTH[name]
    told: Said = {key: golden[key] for key in ASKED if key in golden}
    if name == "raw.h264":
        del told["duration"]  # not in the file; MediaInfo counts its frames
    warning = golden.get("warning", "")
    return {**told, "damage": "truncated" in warning or "cut" in warning or "unfinished" in warning}


def ours(path: Path) -> Said:
    """Taskdeck's facts."""
    try:
        facts = probe(Runner(), find(MediaSettings()), path)
    except TaskdeckError:
        return {"damage": True}
    video, warnings = facts.main_video, " ".join(rate(facts).warnings)
    return {
        "duration": facts.duration,
        "shown": (video.width, video.height) if video else None,
        "fps": video.fps if video else None,
        "interlaced": video.interlaced if video else None,
        "hdr": video.hdr.value if video else None,
        "damage": any(word in warnings for word in ("truncated", "cut", "unfinished")),
    }


def headers(path: Path) -> Said:
    """The first video stream of ffprobe, as it stands there."""
    words = ["ffprobe", "-v", "error", "-show_format", "-show_streams", "-of", "json", "-i", f"file:{path}"]
    done = subprocess.run(words, capture_output=True, timeout=60)
    raw = json.loads(done.stdout.decode("utf-8", "replace") or "{}")
    video = next((s for s in raw.get("streams", ()) if s.get("codec_type") == "video"), None)
    told = {"duration": _number(raw.get("format", {}).get("duration")), "damage": done.returncode != 0}
    if video is None:
        return told
    kinds = " ".join(str(data.get("side_data_type")) for data in video.get("side_data_list", ()))
    transfer = {"smpte2084": "HDR10", "arib-std-b67": "HLG"}.get(video.get("color_transfer"), "")
    return {
        **told,
        "shown": (video["width"], video["height"]),
        "fps": _ratio(video["r_frame_rate"]),
        "interlaced": video.get("field_order", "progressive") not in ("progressive", "unknown"),
        "hdr": "Dolby Vision" if "DOVI" in kinds else transfer,
    }


def mediainfo(path: Path) -> Said:
    """MediaInfo's facts, read kindly: pixel aspect and rotation are applied for it."""
    done = subprocess.run(["mediainfo", "--Output=JSON", path], capture_output=True, timeout=60)
    tracks = ((json.loads(done.stdout.decode("utf-8", "replace") or "{}") or {}).get("media") or {}).get("track", [])
    general: Said = next((t for t in tracks if t["@type"] == "General"), {})
    video = next((t for t in tracks if t["@type"] in ("Video", "Image")), None)
    told = {
        "duration": _number(general.get("Duration")),
        "damage": general.get("IsTruncated", general.get("extra", {}).get("IsTruncated")) == "Yes" or len(tracks) < 2,
    }
    if video is None:
        return told
    size = (round(float(video["Width"]) * float(video.get("PixelAspectRatio", 1))), int(video["Height"]))
    turned = abs(float(video.get("Rotation", 0))) % 180 == 90
    dynamic = video.get("HDR_Format", "")
    known = {"Dolby": "Dolby Vision", "2094": "HDR10+", "2086": "HDR10"}
    hdr = next((name for word, name in known.items() if word in dynamic), "")
    return {
        **told,
        "shown": size[::-1] if turned else size,
        "fps": _number(video.get("FrameRate")),
        "interlaced": video.get("ScanType", "Progressive") != "Progressive",
        "hdr": hdr or ("HLG" if video.get("transfer_characteristics") == "HLG" else ""),
    }


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


def _ratio(value: str) -> float | None:
    return float(Fraction(value)) if not value.endswith("/0") else None


def _agrees(key: str, true: Any, told: Any) -> bool:
    if key == "duration" and true is not None:
        return told is not None and abs(told - true) < 0.15
    if key == "fps" and true is not None:
        return told is not None and abs(told - true) < 0.01
    if key == "shown" and true and told:
        return all(abs(a - b) <= 1 for a, b in zip(true, told, strict=True))
    return bool(true == told)


def _word(value: Any) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value or "-")


def main() -> None:
    """Print the facts that somebody gets wrong, and how many each gets right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="a corpus that is there already")
    given = parser.parse_args()
    readers: dict[str, Callable[[Path], Said]] = {
        "Taskdeck": ours,
        "ffprobe's headers": headers,
        "MediaInfo": mediainfo,
    }
    right = dict.fromkeys(readers, 0)
    asked = 0
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = name
        folder = given.folder or Path(name, "corpus")
        if not folder.exists():
            folder.mkdir()
            build(folder)
        print("| file | fact | true |", " | ".join(readers), "|\n|---|---|---|", "---|" * len(readers), sep="")
        for name in (*TRUTH, *REFUSED):
            found = {who: read(folder / name) for who, read in readers.items()}
            for key, true in truth(name).items():
                asked += 1
                good = {who: _agrees(key, true, said.get(key)) for who, said in found.items()}
                for who, fine in good.items():
                    right[who] += fine
                if not all(good.values()):
                    cells = [
                        _word(said.get(key)) if good[who] else f"**{_word(said.get(key))}**"
                        for who, said in found.items()
                    ]
                    print(f"| `{ascii(name)[1:-1]}` | {key} | {_word(true)} | {' | '.join(cells)} |")
    print(f"| all | | {asked} facts | {' | '.join(str(count) for count in right.values())} |")


if __name__ == "__main__":
    main()
