"""A corpus of small media files, made with the real ffmpeg: every trap that fooled a prober once.

Made once a machine and ffmpeg version (about ten seconds), shared by all test processes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import shlex
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from tests.support import dynamic_hdr

V = ["-f", "lavfi", "-i", "testsrc2=s=160x90:r=24000/1001:d=2"]
A = ["-f", "lavfi", "-i", "sine=f=440:r=48000:d=2"]
A51 = ["-f", "lavfi", "-i", "sine=f=440:r=48000:d=2,aformat=channel_layouts=5.1"]
X = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-pix_fmt", "yuv420p", "-g", "24"]
HDR = (
    "log-level=none:hdr10=1:repeat-headers=1:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"
)
HLG = "log-level=none:colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc"
SRT = "1\n00:00:00,200 --> 00:00:00,900\nHello, world\n\n2\n00:00:01,000 --> 00:00:01,800\nSecond line\n"
CHAPTERS = (
    ';FFMETADATA1\ntitle=Movie & "Title" <x>\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=Intro\n'
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=1000\nEND=2000\ntitle=Глава 2\n"
)
HOSTILE = {
    "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile://{victim}\n#EXT-X-ENDLIST\n",
    "hls_http.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:{port}/x.ts\n#EXT-X-ENDLIST\n",
    "concat.mkv": "ffconcat version 1.0\nfile {victim_name}\n",
    "concat.txt": "ffconcat version 1.0\nfile '{victim}'\n",
    "sdp.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n",
    "dash.mp4": (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
        "<Representation><BaseURL>http://127.0.0.1:{port}/v.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>"
    ),
    "plain.txt": "this is plain text, not a video\n",
    "notes.nfo": "\x1b[31mred\x1b[0m terminal text\n" * 20,
}
STRANGE_NAMES = (
    "-dash.mp4",
    "http:x.mp4",
    "pipe:0.mp4",
    "concat:a|b.mp4",
    "we ird'näme %d[1]\nnl.mp4",
    os.fsdecode(b"bad\xff\xfebytes.mp4"),
)


class Make(Protocol):
    """Runs ffmpeg in the corpus folder; strings are split into words, lists are taken as they are."""

    def __call__(self, *args: str | Sequence[str]) -> None: ...


def ffmpeg(*args: str | Path, cwd: Path | None = None) -> None:
    """Run the real ffmpeg; it must succeed."""
    command = ["ffmpeg", "-hide_banner", "-nostdin", "-v", "error", "-y", *map(str, args)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-2000:]


def source(size: str, rate: str = "24", seconds: float = 1.0) -> list[str]:
    """lavfi arguments of a test picture."""
    return ["-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}:d={seconds}"]


def build(folder: Path) -> None:
    """Make every file of the corpus."""

    def make(*args: str | Sequence[str]) -> None:
        flat: list[str] = []
        for entry in args:
            flat += shlex.split(entry) if isinstance(entry, str) else entry
        ffmpeg(*flat, cwd=folder)

    _plain(make)
    _audio(make)
    _rich(make, folder)
    _geometry(make, folder)
    _streams(make, folder)
    _damaged(make, folder)
    for name in STRANGE_NAMES:
        shutil.copy(folder / "h264_aac.mp4", folder / name)


def _plain(make: Make) -> None:
    make(V, A, X, "-c:a aac -b:a 128k -movflags +faststart h264_aac.mp4")
    make(V, A, "-c:v libx265 -preset ultrafast -x265-params log-level=none -tag:v hvc1 -c:a aac h265_aac.mp4")
    make(V, A, "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus -b:a 96k vp9_opus.webm")
    make(V, A, "-c:v libsvtav1 -preset 12 -c:a libopus av1_opus.mkv")
    make(V, A51, X, "-c:a ac3 -b:a 448k h264_ac3_51.mkv")


def _audio(make: Make) -> None:
    tags = "-metadata title=Tone -metadata artist=Artist -metadata album=Album -metadata date=2024"
    make(A, "-c:a flac", tags, "audio.flac")
    make(A, "-c:a libmp3lame -b:a 320k", tags, "audio_cbr.mp3")
    make(A, "-c:a libmp3lame -q:a 4 -write_xing 0 audio_vbr_noxing.mp3")
    make(A, "-c:a libopus audio.opus")
    make(A, "-c:a aac -metadata title=M4A audio.m4a")
    make(A, "-c:a aac -f adts audio_raw.aac")
    make(A, "-c:a pcm_s16le audio.wav")
    make("-f lavfi -i color=c=red:s=600x600:d=0.04 -frames:v 1 cover.jpg")
    make("-f lavfi -i color=c=blue:s=600x600:d=0.04 -frames:v 1 image.png")
    make("-f lavfi -i testsrc2=s=64x64:d=1:r=10 anim.gif")
    cover = "-map 0:a -map 1:v -c copy -disposition:v attached_pic"
    make("-i audio_cbr.mp3 -i cover.jpg", cover, "-id3v2_version 3 audio_cover.mp3")
    make("-i audio.m4a -i cover.jpg", cover, "audio_cover.m4a")
    make(
        "-i cover.jpg -i h264_aac.mp4 -map 0:v -map 1:v -map 1:a -c copy -disposition:v:0 attached_pic",
        "-disposition:v:1 default coverfirst.mp4",
    )
    make(
        "-i h264_ac3_51.mkv -map 0 -c copy -attach cover.jpg -metadata:s:t mimetype=image/jpeg",
        "-metadata:s:t filename=cover.jpg cover_attach.mkv",
    )


def _rich(make: Make, folder: Path) -> None:
    (folder / "s_en.srt").write_text(SRT)
    (folder / "s_es.srt").write_text(SRT.replace("Hello, world", "Hola, mundo"))
    (folder / "ch.txt").write_text(CHAPTERS)
    make("-i s_en.srt s_en.ass")
    make(
        "-i h264_aac.mp4",
        A51,
        A,
        "-i s_en.srt -i s_es.srt -i s_en.ass -i ch.txt",
        "-map 0:v -map 1 -map 2 -map 3 -map 4 -map 5 -map_metadata 6 -map_chapters 6 -c:v copy",
        "-c:a:0 aac -b:a:0 320k -c:a:1 aac -ac:a:1 2 -b:a:1 128k -c:s:0 srt -c:s:1 srt -c:s:2 ass",
        ["-metadata:s:a:0", "language=eng", "-metadata:s:a:0", "title=English 5.1", "-metadata:s:a:1", "language=spa"],
        "-metadata:s:a:1 title=Castellano -metadata:s:s:0 language=eng -metadata:s:s:1 language=spa",
        "-metadata:s:s:2 language=eng -disposition:a:0 default -disposition:s:1 forced",
        "-disposition:s:0 0 -disposition:s:2 hearing_impaired multi.mkv",
    )
    make("-i multi.mkv -map 0:v -map 0:a -map 0:s:0 -map 0:s:1 -c copy -c:s mov_text multi.mp4")


def _geometry(make: Make, folder: Path) -> None:
    h265 = "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -colorspace bt2020nc -color_primaries bt2020"
    make(source("160x90"), h265, ["-x265-params", HDR, "-color_trc", "smpte2084", "hdr10.mkv"])
    make(source("160x90", "50"), h265, ["-x265-params", HLG, "-color_trc", "arib-std-b67", "hlg.mp4"])
    _dynamic_range(make, folder, h265)
    make("-i h264_aac.mp4 -c copy -metadata:s:v:0 rotate=90 rotated90.mp4")
    make(
        source("160x90", "60", 4),
        ["-vf", "select='if(lt(t,2),1,not(mod(n,6)))'", "-fps_mode", "vfr"],
        X,
        "vfr.mp4",
    )
    make("-i vfr.mp4 -c copy vfr.mkv")
    make(
        source("720x576", "50"),
        "-vf interlace,setsar=64/45 -c:v mpeg2video -flags +ilme+ildct -b:v 2M -f mpegts interlaced.ts",
    )
    make(source("720x480", "30000/1001"), "-vf setsar=32/27", X, "anamorphic.mp4")
    for size, name in (
        ("1920x800", "scope_1920x800.mp4"),
        ("1080x1920", "vertical_1080x1920.mp4"),
        ("854x480", "wvga_854x480.mp4"),
        ("4096x1716", "dci_scope.mp4"),
        ("3840x2160", "uhd.mp4"),
    ):
        make(source(size, "24", 0.25), X, "-crf 40", name)
    make(source("1440x1080", "25", 0.25), "-vf setsar=4/3", X, "hdv_1440x1080.mp4")


def _dynamic_range(make: Make, folder: Path, h265: str) -> None:
    """HDR10+ in the pictures; Dolby Vision 8.1 in container and pictures, and in the pictures alone."""
    flags = ["-x265-params", HDR + ":bframes=0", "-color_trc", "smpte2084"]
    make(source("160x90", "24", 0.5), h265, flags, "-f hevc plain.hevc")
    plain = (folder / "plain.hevc").read_bytes()
    (folder / "plus.hevc").write_bytes(dynamic_hdr.with_units(plain, before=dynamic_hdr.hdr10_plus()))
    (folder / "dolby.hevc").write_bytes(dynamic_hdr.with_units(plain, behind=dynamic_hdr.dolby_vision()))
    make("-f hevc -r 24 -i plus.hevc -c copy hdr10plus.mkv")
    make("-f hevc -r 24 -i plus.hevc -c copy -tag:v hvc1 hdr10plus.mp4")
    make("-f hevc -r 24 -i dolby.hevc -c copy dolby_unlabelled.mkv")
    make("-f hevc -r 24 -i dolby.hevc -c copy -tag:v hvc1 dolby.mp4")
    dynamic_hdr.add_configuration(folder / "dolby.mp4")
    make("-i dolby.mp4 -c copy -strict unofficial dolby.mkv")
    make("-i dolby.mp4 -c copy -strict unofficial dolby.ts")
    _dolby_only(make, folder)
    for name in ("plain.hevc", "plus.hevc", "dolby.hevc"):
        (folder / name).unlink()


def _dolby_only(make: Make, folder: Path) -> None:
    """Dolby Vision of profile 5: its colours are Dolby's own, and the stream says nothing about them."""
    ten_bits = "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -x265-params log-level=none:bframes=0"
    make(source("160x90", "24", 0.5), ten_bits, "-f hevc own.hevc")
    own = folder / "own.hevc"
    own.write_bytes(dynamic_hdr.with_units(own.read_bytes(), behind=dynamic_hdr.dolby_vision()))
    make("-f hevc -r 24 -i own.hevc -c copy dolby5_unlabelled.mkv")
    make("-f hevc -r 24 -i own.hevc -c copy -tag:v hvc1 dolby5.mp4")
    dynamic_hdr.add_configuration(folder / "dolby5.mp4", profile=5, compatible=0)
    make("-i dolby5.mp4 -c copy -strict unofficial dolby5.mkv")
    own.unlink()


def _streams(make: Make, folder: Path) -> None:
    make("-i h264_aac.mp4 -map 0 -c copy -f mpegts plain.ts")
    make("-i h264_aac.mp4 -c copy plain.flv")
    make("-i h264_aac.mp4 -c copy plain.avi")
    make(source("160x120", "25"), A, "-c:v msmpeg4v2 -c:a wmav2 -shortest plain.wmv")
    make("-i h264_aac.mp4 -an -c copy -bsf:v h264_mp4toannexb raw.h264")
    make(V, A, X, "-c:a aac -movflags +frag_keyframe+empty_moov+default_base_moof fragmented.mp4")
    make(V, A, X, "-c:a aac moov_end.mp4")
    make("-i h264_aac.mp4 -map 0 -c copy -live 1 nodur_live.mkv")
    _forget_lengths(folder / "nodur_live.mkv")


def _forget_lengths(path: Path) -> None:
    """Make a Matroska file look like an aborted live recording: no Segment size, no duration."""
    data = bytearray(path.read_bytes())
    at = data.index(b"\x18\x53\x80\x67")
    data[at + 4 : at + 12] = b"\x01" + b"\xff" * 7
    duration = data.find(b"\x44\x89\x88")
    if duration > 0:
        data[duration : duration + 11] = b"\xec\x89" + b"\0" * 9  # EBML Void of the same length
    for tag in (b"DURATION", b"Duration"):
        while (found := data.find(tag)) > 0:
            data[found : found + 8] = b"XXXXXXXX"
    path.write_bytes(data)


def _damaged(make: Make, folder: Path) -> None:
    for name, cut in (
        ("h264_aac.mp4", "trunc_faststart.mp4"),
        ("moov_end.mp4", "trunc_moovend.mp4"),
        ("multi.mkv", "trunc.mkv"),
        ("audio.wav", "trunc.wav"),
        ("plain.avi", "trunc.avi"),
    ):
        data = (folder / name).read_bytes()
        (folder / cut).write_bytes(data[: len(data) * 6 // 10])
    data = (folder / "plain.ts").read_bytes()
    (folder / "trunc.ts").write_bytes(data[: len(data) * 6 // 10 // 188 * 188 + 100])
    rotten, chance = bytearray((folder / "h264_aac.mp4").read_bytes()), random.Random(1)
    for _ in range(60):
        rotten[chance.randrange(len(rotten) // 4, len(rotten))] ^= 0xFF
    (folder / "bitrot.mp4").write_bytes(rotten)
    (folder / "zero.mp4").write_bytes(b"")
    (folder / "random.mkv").write_bytes(random.Random(2).randbytes(50_000))
    (folder / "huge_16k.png").write_bytes(png(16000, 16000))
    (folder / "huge_60k.png").write_bytes(png(60000, 2000, claimed_height=60000))


def png(width: int, height: int, claimed_height: int | None = None) -> bytes:
    """A grey PNG that packs a huge picture into a few hundred kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(1)
    row = b"\0" * (1 + width)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, claimed_height or height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def _place() -> Path:
    version = subprocess.run(["ffmpeg", "-version"], capture_output=True, timeout=60, check=True).stdout[:60]
    digest = hashlib.sha256(
        version + Path(__file__).read_bytes() + Path(dynamic_hdr.__file__).read_bytes()
    ).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"taskdeck-media-corpus-{os.getuid()}-{digest}"


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The corpus; read-only for tests."""
    place = _place()
    with open(place.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            fresh = place.with_suffix(f".{os.getpid()}")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(mode=0o700)
            build(fresh)
            fresh.rename(place)
    assert place.stat().st_uid == os.getuid()
    return place


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No facts remembered from earlier runs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    yield
