"""Commands as people type them on phones: quotes of every shape, spaces in paths, `@botname`, line breaks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from engines.errors import TaskdeckError

_CLOSING: Final = {
    '"': '"”“„',
    "'": "'’‘",
    "“": '”"“',
    "”": '”"',
    "„": '“”"',
    "‘": "’'",
    "’": "’'",
    "‚": "‘’'",
    "«": "»",
    "»": "«",
    "‹": "›",
}
"""Opening quotes and what may close them: keyboards pair them in many ways."""

_BLANK: Final = " \t\r\n"  # not U+00A0: it is a legal part of a name
_DASHES: Final = ("—", "–")  # what phones make of "--"
_COMMAND: Final = re.compile(r"/([A-Za-z][A-Za-z0-9_]{0,31})(?:@([A-Za-z0-9_]{1,64}))?(?=[ \t\r\n]|$)")


@dataclass(frozen=True, slots=True)
class Token:
    """One word: `text` without its quotes, and where it stood."""

    text: str
    start: int
    end: int
    quoted: bool = False

    @property
    def option(self) -> bool:
        """Whether it is an option such as "--level"."""
        return not self.quoted and self.text.startswith("--") and len(self.text) > 2


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a message: `name` in lower case, the text after it and its words."""

    name: str
    rest: str
    tokens: tuple[Token, ...]

    def joined(self, first: int, last: int) -> str:
        """The text from one word to another as it was typed, for paths with spaces."""
        return self.rest[self.tokens[first].start : self.tokens[last].end]


def parse_command(text: str, *, bot: str) -> Command | None:
    """The command at the start of a message; None when there is none or it is meant for another bot.

    Args:
        bot: This bot's user name, without "@".

    Raises:
        TaskdeckError: `usage` for a quote that is not closed.
    """
    text = text.lstrip(_BLANK)
    match = _COMMAND.match(text)
    if match is None or (match[2] and match[2].casefold() != bot.casefold()):
        return None
    rest = text[match.end() :]
    return Command(match[1].lower(), rest, tuple(tokenize(rest)))


def tokenize(text: str) -> list[Token]:
    """The words of a text. Quotes count only at the start of a word, so `don't` is one word; "\\" keeps a blank or
    quote that follows it.

    Raises:
        TaskdeckError: `usage` for a quote that is not closed.
    """
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        if text[position] in _BLANK:
            position += 1
        else:
            token = (_quoted(text, position) if text[position] in _CLOSING else None) or _plain(text, position)
            tokens.append(token)
            position = token.end
    return tokens


def _quoted(text: str, start: int) -> Token | None:
    """The quoted word that starts here; None when the quote is just a character of a name: “a”.zip."""
    closing = _CLOSING[text[start]]
    word = []
    inner = False
    position = start + 1
    while position < len(text):
        char = text[position]
        follower = text[position + 1 : position + 2]
        if char == "\\" and follower and (follower in closing or follower == "\\"):
            word.append(follower)
            position += 2
            continue
        if char in closing and (not follower or follower in _BLANK):
            return Token("".join(word), start, position + 1, quoted=True)
        inner = inner or char in closing
        word.append(char)
        position += 1
    if text[start] in "\"'" and not inner:
        # The text itself is not repeated: it may be a password.
        raise TaskdeckError("usage", "cannot read the command", "a quote is not closed", "close it or leave it out")
    return None


def _plain(text: str, start: int) -> Token:
    word = []
    position = start
    while position < len(text) and text[position] not in _BLANK:
        follower = text[position + 1 : position + 2]
        if text[position] == "\\" and follower and (follower in _BLANK or follower in _CLOSING or follower == "\\"):
            word.append(follower)
            position += 2
        else:
            word.append(text[position])
            position += 1
    return Token(_dashes("".join(word)), start, position)


def _dashes(word: str) -> str:
    for dash in _DASHES:
        if word.startswith(dash) and word[1:2].isalpha():
            return "--" + word[1:]
    return word
