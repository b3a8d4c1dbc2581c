"""Member names as text: archives of other systems and times hold them in code pages they do not name.

Order of trust: the Info-ZIP Unicode path field 0x7075 (it carries a checksum of the raw name), then whatever is
valid UTF-8 - flagged or not -, then a detector over all of the archive's names together, then cp437, which the
ZIP specification (APPNOTE appendix D) names. A user's choice comes before all of that.
"""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from isal import isal_zlib

from engines.errors import TaskdeckError
from engines.names import display

CANDIDATES: Final = ("cp932", "cp936", "cp949", "cp950", "cp1251", "cp866", "cp1252", "cp850", "cp437", "euc_jp")
"""Code pages the detector may choose between."""

_ASKED_FOR: Final = ("cp437", "cp932", "cp936", "cp949", "cp1251", "cp866")
_ENOUGH: Final = 24
"""Bytes above 127 from which on the letters of all names together tell code pages apart."""
SAMPLE: Final = 64_000
"""Bytes of names the detector looks at; more change nothing."""


def known(name: str) -> str:
    """One name for an encoding a user asked for ("sjis", "gbk", "CP866"): a code page's number where it has one.

    Raises:
        TaskdeckError: `value` when there is no such encoding.
    """
    try:
        found = codecs.lookup(name).name
        b"a/b".decode(found)
    except (LookupError, UnicodeError, ValueError):
        raise TaskdeckError(
            "value",
            f"cannot read names as '{display(name)}'",
            "there is no such encoding",
            "use one such as cp437, cp932, cp936, cp949, cp1251 or cp866",
        ) from None
    return next((page for page in CANDIDATES if codecs.lookup(page).name == found), found)


def detect(names: Sequence[bytes]) -> str:
    """The code page that fits these raw names best; "utf-8" when they are valid UTF-8.

    Only names with bytes above 127 tell anything; the detector sees them joined, since one name is too short.
    """
    telling = [name for name in names if not name.isascii()]
    if all(_is_utf8(name) for name in telling):
        return "utf-8"
    sample = b"\n".join(name for name in telling if not _is_utf8(name))[:SAMPLE]
    if _mostly_isolated(sample):
        return max(_WESTERN, key=lambda codec: _plausible(sample, codec))
    possible = [codec for codec in CANDIDATES if _decodes(sample, codec)]
    from charset_normalizer import from_bytes  # 60 ms to import: only for archives that need it

    best = from_bytes(sample, cp_isolation=possible, threshold=0.9).best() if possible else None
    guess = best.encoding if best is not None else "cp437"
    return _correct(sample, guess)


_WESTERN: Final = ("cp437", "cp850", "cp1252")


def _mostly_isolated(sample: bytes) -> bool:
    """Whether foreign letters stand nearly singly between ASCII ones, as in "Größe": a Western language.

    Katakana in cp932 looks the same (every second byte is ASCII), but decodes to kana there.
    """
    runs = re.findall(rb"[\x80-\xff]+", sample)
    if not runs or sum(map(len, runs)) > 1.6 * len(runs):
        return False
    kana = sum(0x3040 <= ord(char) <= 0x30FF for char in sample.decode("cp932", "ignore"))
    return kana < 0.3 * len(runs)


def _correct(sample: bytes, guess: str) -> str:
    """Mend the detector's usual mistakes on short names by counting letters in each candidate's script."""
    scores = {codec: _plausible(sample, codec) for codec in CANDIDATES}
    top = max(scores.values())
    return guess if scores.get(guess, 0.0) >= top - 0.05 else max(scores, key=lambda codec: scores[codec])


_SCRIPTS: Final[dict[str, tuple[tuple[int, int], ...]]] = {
    "cp932": ((0x3040, 0x30FF), (0x4E00, 0x9FFF)),
    "euc_jp": ((0x3040, 0x30FF), (0x4E00, 0x9FFF)),
    "cp936": ((0x4E00, 0x9FFF),),
    "cp950": ((0x4E00, 0x9FFF),),
    "cp949": ((0xAC00, 0xD7AF),),
    "cp1251": ((0x0430, 0x044F), (0x0410, 0x042F)),
    "cp866": ((0x0430, 0x044F), (0x0410, 0x042F)),
    "cp1252": ((0x00C0, 0x00FF),),
    "cp850": ((0x00C0, 0x00FF),),
    "cp437": ((0x00C0, 0x00FF),),
}


def _plausible(sample: bytes, codec: str) -> float:
    """Share of the non-ASCII characters that are letters of the code page's own script; -1 when it cannot decode."""
    try:
        text = sample.decode(codec)
    except UnicodeDecodeError:
        return -1.0
    foreign = [ord(char) for char in text if ord(char) > 127]
    if not foreign:
        return 0.0
    ranges = _SCRIPTS[codec]
    hits = sum(any(low <= char <= high for low, high in ranges) for char in foreign)
    score = hits / len(foreign)
    if codec in _COMMON:
        score -= 0.4 * _rare(foreign, codec)
    if codec in ("cp932", "euc_jp") and not any(0x3040 <= char <= 0x30FF for char in foreign):
        score -= 0.1  # Japanese without a single kana is more likely Chinese
    if codec in ("cp1251", "cp866"):
        score -= 0.3 * _odd_case(text) + 0.6 * _amid_ascii(text, len(foreign))
    return score


_COMMON: Final = {
    "cp936": (b"\xb0\xa1", b"\xd7\xfe"),
    "cp949": (b"\xb0\xa1", b"\xc8\xfe"),
    "cp950": (b"\xa4\x40", b"\xc6\x7e"),
}
"""First and last code of the common characters: level 1 of GB 2312 (3,755 hanzi), the 2,350 syllables of KS X 1001,
level 1 of Big5 (5,401 hanzi)."""


def _rare(foreign: Sequence[int], codec: str) -> float:
    """Share of characters beyond the common ones: bytes of another code page mostly make such, as two small Cyrillic
    letters of cp1251 do."""
    first, last = _COMMON[codec]
    pairs = [chr(char).encode(codec) for char in foreign]
    common = sum(first <= pair <= last and (codec == "cp950" or pair[-1] >= 0xA1) for pair in pairs)
    return 1 - common / len(pairs)


def _odd_case(text: str) -> float:
    """Share of capitals that follow a small letter: Cyrillic read in the wrong code page is full of them."""
    pairs = list(pairwise(text))
    odd = sum(a.islower() and b.isupper() for a, b in pairs if ord(a) > 127 and ord(b) > 127)
    return min(1.0, 4 * odd / max(1, len(pairs)))


def _amid_ascii(text: str, foreign: int) -> float:
    """Share of foreign letters beside ASCII ones: words of two alphabets are those of a Western language."""
    mixed = sum(a.isalpha() and b.isalpha() and a.isascii() is not b.isascii() for a, b in pairwise(text))
    return min(1.0, mixed / max(1, foreign))


class Decoder:
    """Turns the raw names of one archive into text.

    Args:
        override: A codec name the user chose, or None to detect.
        exact: Whether names are whatever bytes a Unix system had: a mere guess leaves them as they are.
    """

    def __init__(self, override: str | None = None, *, exact: bool = False) -> None:
        self._exact = exact
        self.override = known(override) if override else None
        self.chosen = self.override or "utf-8"
        self._learned = False
        self.guessed = False
        """Whether too few letters spoke for the chosen code page to be sure of it."""

    def learn(self, names: Sequence[bytes]) -> None:
        """Choose the code page for names that are no UTF-8; a user's choice stays."""
        self._learned = True
        if self.override is None:
            self.chosen = detect(names)
            few = sum(byte > 127 for name in names if not _is_utf8(name) for byte in name) < _ENOUGH
            self.guessed = few and self.chosen != "utf-8"
            if self.guessed and self._exact:
                self.chosen = "utf-8"

    def asks(self, raw: bytes) -> bool:
        """Whether this name is a reason to `learn` from all of them: neither UTF-8 nor decided about yet."""
        return not self._learned and self.override is None and not raw.isascii() and not _is_utf8(raw)

    @property
    def hint(self) -> str:
        """What to tell the user about a guess."""
        others = ", ".join(page for page in _ASKED_FOR if page != self.chosen)
        if self._exact:
            return (
                "some member names are no UTF-8, with too few letters to tell their code page: their bytes are kept; "
                f"choose it with --encoding ({others})"
            )
        return (
            f"member names are read as {self.chosen}, a guess from very few letters; "
            f"if they look wrong, choose with --encoding ({others})"
        )

    def decode(self, raw: bytes, extra: bytes = b"") -> str:
        """The name; bytes that fit no rule become surrogates, so nothing is lost."""
        if raw.isascii():
            return raw.decode("ascii")
        if self.override is None:
            unicode_path = info_zip_unicode(raw, extra) if extra else None
            if unicode_path is not None:
                return unicode_path
            try:
                return raw.decode("utf-8")
            except UnicodeDecodeError:
                pass
        try:
            return raw.decode(self.chosen)
        except UnicodeDecodeError:
            return raw.decode("utf-8", "surrogateescape")


def info_zip_unicode(raw: bytes, extra: bytes) -> str | None:
    """The name of the Info-ZIP Unicode Path extra field (APPNOTE 4.6.9), if it belongs to this raw name."""
    position = 0
    while position + 4 <= len(extra):
        tag, length = struct.unpack_from("<HH", extra, position)
        body = extra[position + 4 : position + 4 + length]
        position += 4 + length
        if tag == 0x7075 and len(body) > 5 and body[0] == 1:
            if int.from_bytes(body[1:5], "little") != isal_zlib.crc32(raw):
                return None  # the name was changed by a tool that does not know the field
            try:
                return body[5:].decode("utf-8")
            except UnicodeDecodeError:
                return None
    return None


def _is_utf8(raw: bytes) -> bool:
    return _decodes(raw, "utf-8")


def _decodes(raw: bytes, codec: str) -> bool:
    try:
        raw.decode(codec)
    except UnicodeDecodeError:
        return False
    return True
