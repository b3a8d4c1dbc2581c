"""Dynamic HDR metadata written by hand, since no free encoder at hand writes it: HDR10+ and Dolby Vision.

Sources: ITU-T H.265 7.3 and D.2.6 (SEI), ITU-T T.35 with SMPTE ST 2094-40 (HDR10+), ETSI TS 103 572 and the Dolby
Vision streams specification for ISO base media (`dvvC`, NAL unit type 62).
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

_PREFIX_SEI = 39
_DOLBY = 62
_SLICES = range(32)


def _bits(*fields: tuple[int, int]) -> bytes:
    """Values of so many bits each, padded with zeros."""
    word = "".join(f"{value:0{width}b}" for value, width in fields)
    word += "0" * (-len(word) % 8)
    return bytes(int(word[at : at + 8], 2) for at in range(0, len(word), 8))


def _nal(kind: int, payload: bytes) -> bytes:
    """A NAL unit in Annex B form, with emulation prevention bytes."""
    escaped = re.sub(b"\0\0(?=[\0-\3])", b"\0\0\3", payload)
    return b"\0\0\0\1" + struct.pack(">H", kind << 9 | 1) + escaped


def hdr10_plus() -> bytes:
    """An SEI message with one window of ST 2094-40 metadata: brightest 400 nits, no tone mapping curve."""
    head = bytes.fromhex("b5 003c 0001 04 01")  # country, provider, its code, application 4 version 1
    window = _bits(
        *((1, 2), (400, 27), (0, 1)),  # one window, target luminance, no actual peak
        *((20000, 17), (20000, 17), (20000, 17), (5000, 17)),  # maxscl of R, G, B; mean of the brightest
        *((1, 4), (99, 7), (15000, 17)),  # one percentile
        *((10, 10), (0, 1), (0, 1), (0, 1)),  # bright share; no actual peak, tone mapping, saturation mapping
    )
    message = head + window
    return _nal(_PREFIX_SEI, bytes([4, len(message)]) + message + b"\x80")


def dolby_vision() -> bytes:
    """A reference processing unit as it stands behind each picture: the identity for each colour."""
    head = ((0x19, 8), (2, 6), (18, 11), (1, 4), (0, 4), (1, 1), (0, 1), (0, 2), _ue(23), (1, 2), (0, 1))
    depths = (_ue(2), _ue(2), _ue(4), (0, 1), (0, 3), (0, 1), (1, 1))  # 10, 10 and 12 bits, no residual
    start = ((1, 1), (0, 1), _ue(0), _ue(0), _ue(0))  # colour data follows, mapping 0 is new
    pivots = (_ue(0), (0, 10), (1023, 10)) * 3
    line = (_ue(0), _ue(0), (0, 1), _ue(0), (0, 23), _ue(1), (0, 23)) * 3  # 0 + 1.0 * x
    color = (_ue(0), _ue(0), _ue(1), *((8192, 16),) * 9, *((0, 32),) * 3, *((8192, 16),) * 9)
    signal = ((65535, 16), (0, 16), (0, 16), (0, 32), (12, 5), (0, 2), (0, 2), (0, 2), (7, 12), (3079, 12), (42, 10))
    body = _bits(*head, *depths, *start, *pivots, _ue(0), _ue(0), *line, *color, *signal, _ue(0))
    return _nal(_DOLBY, body + _crc(body[1:]).to_bytes(4, "big") + b"\x80")


def _ue(value: int) -> tuple[int, int]:
    """An Exp-Golomb code word."""
    return value + 1, 2 * (value + 1).bit_length() - 1


def _crc(data: bytes) -> int:
    """CRC-32/MPEG-2."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc


def with_units(stream: bytes, *, before: bytes = b"", behind: bytes = b"") -> bytes:
    """An H.265 Annex B stream with NAL units before and behind each picture (of one slice)."""
    out = b""
    for unit in re.split(b"(?=\0\0\0\1|(?<!\0)\0\0\1)", stream):
        head = unit.lstrip(b"\0")[1:2]
        picture = bool(head) and head[0] >> 1 & 63 in _SLICES
        out += before + unit + behind if picture else unit
    return out


def add_configuration(path: Path, *, profile: int = 8, level: int = 3, compatible: int = 1) -> None:
    """Put a `dvvC` box into the `hvc1` entry of an MP4 whose `moov` is at its end, so that no offset changes."""
    flags = 1 << 2 | 0 << 1 | 1  # RPU, no enhancement layer, base layer
    record = struct.pack(">BBHB19x", 1, 0, profile << 9 | level << 3 | flags, compatible << 4)
    box = struct.pack(">I4s", 8 + len(record), b"dvvC") + record
    data = bytearray(path.read_bytes())
    at = data.index(b"moov") - 4
    assert data.index(b"mdat") < at, "the index must be at the end"
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hvc1"):
        at = data.index(name, at) - 4
        size = int.from_bytes(data[at : at + 4], "big")
        data[at : at + 4] = (size + len(box)).to_bytes(4, "big")
        entry, at = at, at + 4
    end = entry + int.from_bytes(data[entry : entry + 4], "big") - len(box)
    data[end:end] = box
    path.write_bytes(data)
