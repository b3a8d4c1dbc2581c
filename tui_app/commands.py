"""The `:` line and the palette: operations from their table, actions from theirs."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from textual.command import DiscoveryHit, Hit, Hits, Provider

from engines.commandline import Expect, Place, place, takes_path, usage
from engines.names import display
from engines.operations import OPERATIONS, Accepts, Field, fields
from engines.paths import from_uri
from engines.query import KEYS, Sort
from engines.text import size
from tui_app.actions import ACTIONS
from tui_app.places import Places, complete_path
from tui_app.themes import NAMES as THEMES
from widgets.prompt import Suggestion, Suggestions

if TYPE_CHECKING:
    from tui_app.deck import Deck

_MOST = 60
_SPECIAL = frozenset(" \t\"'\\$`!&;()<>|*?[]#{}")

COMMANDS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "sort": ("Sort the list", tuple(sort.value for sort in Sort)),
    "group": ("Group the list", ("state", "kind", "none")),
    "filter": ("Filter the list", ()),
    "browse": ("Look into an archive, or at the media of a folder", ()),
    "theme": ("Choose a colour theme", THEMES),
}
"""Words of the command line that take a value of the screen itself: summary and values."""


def action_words() -> dict[str, str]:
    """Action ids as typed words: "pause" or "pause-all" to "task.pause", "all.pause"."""
    words: dict[str, str] = {}
    for spec in ACTIONS.values():
        if spec.group != "List":
            words[spec.label.replace(" ", "-").replace("/", "-")] = spec.id
    return words


class CommandSuggester:
    """What may stand at the end of a command line."""

    def __init__(self, places: Places) -> None:
        self._places = places

    async def __call__(self, line: str) -> Suggestions:
        """Suggestions for a line."""
        first, _, rest = line.partition(" ")
        if first == "browse" and " " in line:
            return Suggestions(len(first) + 1, await self._paths(unquote(rest)))
        if first in COMMANDS and rest != line and " " in line:
            values = COMMANDS[first][1]
            items = tuple(Suggestion(value) for value in values if value.startswith(rest.strip()))
            return Suggestions(len(first) + 1, items)
        found = place(line)
        match found.expect:
            case Expect.OPERATION:
                return Suggestions(found.start, tuple(_words(found.word)))
            case Expect.OPTION:
                return Suggestions(found.start, tuple(_options(found)), hint=usage(found.operation))
            case Expect.FIELD if found.field is not None:
                return await self._field(found, found.field)
        return Suggestions(len(line))

    async def _paths(self, begun: str, *, folders_only: bool = False) -> tuple[Suggestion, ...]:
        paths = await complete_path(self._places, begun, folders_only=folders_only)
        return tuple(
            Suggestion(quote(text) + ("" if entry.folder else " "), "folder" if entry.folder else size(entry.size))
            for text, entry in paths[:_MOST]
            if display(text) == text
        )

    async def _field(self, found: Place, field: Field) -> Suggestions:
        hint = f"{field.name}: {field.help}"
        if takes_path(field):
            folders = field.accepts is Accepts.FOLDER
            return Suggestions(found.start, await self._paths(found.word, folders_only=folders), hint)
        values = field.choices
        if not values and field.ge is not None and field.le is not None and field.le - field.ge <= 20:
            values = tuple(str(number) for number in range(int(field.ge), int(field.le) + 1))
        return Suggestions(
            found.start, tuple(Suggestion(f"{value} ") for value in values if value.startswith(found.word)), hint
        )


def quote(path: str) -> str:
    """A path as a word of the line, with backslashes: typing goes on inside an open folder without a quote to close."""
    if path == shlex.quote(path):
        return path
    return "".join(f"\\{char}" if char in _SPECIAL else char for char in path)


def unquote(word: str) -> str:
    """What a word of the line stands for."""
    try:
        return " ".join(shlex.split(word))
    except ValueError:
        return word


_PATH_STARTS: Final = ("/", "~", "./", "file:/")


def pasted_paths(text: str) -> list[str]:
    """Paths in a pasted text: whole lines, or words a shell would take, plain or as file: addresses; [] for others."""
    words = [word for line in text.splitlines() if line.strip() for word in _path_words(line.strip())]
    return [from_uri(word) for word in words] if all(word.startswith(_PATH_STARTS) for word in words) else []


def _path_words(line: str) -> list[str]:
    try:
        words = shlex.split(line)
    except ValueError:  # an apostrophe in a name
        return [line]
    return words if words and all(word.startswith(_PATH_STARTS) for word in words) else [line]


def _words(begun: str) -> list[Suggestion]:
    operations = [Suggestion(f"{spec.name} ", spec.summary) for spec in OPERATIONS.values()]
    screen = [Suggestion(f"{name} ", summary) for name, (summary, _) in COMMANDS.items()]
    actions = [Suggestion(word, ACTIONS[action].tooltip) for word, action in action_words().items()]
    return [item for item in (*operations, *screen, *actions) if item.text.startswith(begun)]


def _options(found: Place) -> list[Suggestion]:
    return [
        Suggestion(f"{field.flag} ", field.help)
        for field in fields(OPERATIONS[found.operation].struct)
        if field.flag.startswith(found.word) and (field.repeated or field.name not in found.used)
    ]


async def suggest_filter(line: str) -> Suggestions:
    """What may stand at the end of a filter."""
    head, _, word = line.rpartition(" ")
    start = len(head) + 1 if head or line.startswith(" ") else 0
    sign = word[:1] if word[:1] in "!-" else ""
    key, colon, value = word[len(sign) :].partition(":")
    if not colon:
        helps = {"status": "running, failed, active, ended ...", "kind": "an operation or family",
                 "since": "1d, 90m or 2026-01-30", "before": "an age or a date", "face": "cli, tui, web, telegram",
                 "owner": "who asked", "id": "the beginning of an id"}  # fmt: skip
        items = [Suggestion(f"{sign}{name}:", helps[name]) for name in KEYS if word and name.startswith(key)]
        return Suggestions(start, tuple(items))
    values: tuple[str, ...] = ()
    if key in ("status", "state"):
        values = (
            "running",
            "queued",
            "waiting",
            "paused",
            "completed",
            "failed",
            "cancelled",
            "active",
            "ended",
            "open",
        )
    elif key in ("kind", "type", "op"):
        values = (*OPERATIONS, *dict.fromkeys(spec.kind.value for spec in OPERATIONS.values()))
    elif key in ("since", "before"):
        values = ("1h", "1d", "7d", "30d")
    done, comma, begun = value.rpartition(",")
    lead = f"{sign}{key}:{done}{comma}"
    return Suggestions(
        start, tuple(Suggestion(lead + item) for item in values if item.startswith(begun) and item != begun)
    )


class DeckCommands(Provider):
    """The palette: every action, every operation, every theme."""

    def _all(self) -> list[tuple[str, str, Callable[[], object]]]:
        deck: Deck = self.app  # type: ignore[assignment]
        found: list[tuple[str, str, Callable[[], object]]] = []
        for spec in ACTIONS.values():
            key = deck.key(spec.id)
            found.append((f"{spec.label} ({key})" if key else spec.label, spec.tooltip, partial(deck.act, spec.id)))
        for operation in OPERATIONS.values():
            found.append((f"{operation.name} ...", operation.summary, partial(deck.type_command, f"{operation.name} ")))
        for theme in THEMES:
            found.append((f"theme {theme}", "Colour theme", partial(deck.set_theme, theme)))
        return found

    async def discover(self) -> Hits:
        """Everything, before a word is typed."""
        for name, text, run in self._all():
            yield DiscoveryHit(name, run, help=text)

    async def search(self, query: str) -> Hits:
        """What matches."""
        matcher = self.matcher(query)
        for name, text, run in self._all():
            score = max(matcher.match(name), matcher.match(text) * 0.5)
            if score > 0:
                yield Hit(score, matcher.highlight(name), run, help=text)
