"""Every key of the TUI in ONE table: bindings, hints, help, the key-map editor and the docs are made from it.

The keys of the tasks screen come with its actions (`tui_app.actions`), those of lists and the command line with
their widgets; the rest stands here. All are changed in the settings by id: `[tui.keymap]` `"archive.mark" = "m"`.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

from tui_app.actions import ACTIONS
from widgets.keys import PROMPT_KEYS, ROW_KEYS, KeySpec
from widgets.keys import bindings as made_from

if TYPE_CHECKING:
    from textual.binding import BindingType

_APP, _DIALOG, _CONFIRM, _PICK = "Application", "Dialogs", "Questions", "File picker"
_FORM, _ARCHIVE, _MEDIA, _DETAIL = "New task", "Archive browser", "Media table", "Details dialog"
_HISTORY, _PLANNED, _SETTINGS, _FACES = "History", "Planned", "Settings", "Dashboard and Telegram"
_KEYS, _TEXT = "Key-map editor", "Help text"

# fmt: off
_SCREENS: Final = (
    KeySpec("app.interrupt", "ctrl+c", "how to leave", "Say how to leave and how to cancel; it ends nothing.", _APP,
            action="interrupted", priority=True),
    KeySpec("app.force_quit", "ctrl+q", "quit", "Leave from anywhere; tasks go on in the background.", _APP,
            action="leave", priority=True),
    KeySpec("dialog.leave", "escape", "close", "Close without an answer.", _DIALOG, action="leave"),
    KeySpec("dialog.close", "q", "close", "Close, where no text is typed.", _DIALOG, action="leave"),
    KeySpec("confirm.yes", "y,Y", "yes", "Do it.", _CONFIRM, action="answer(True)"),
    KeySpec("confirm.no", "n,N,q", "no", "Leave it as it is.", _CONFIRM, action="answer(False)"),
    KeySpec("confirm.switch", "left,h,right,l", "other button", "Go to the other button.", _CONFIRM, action="switch"),
    KeySpec("form.start", "ctrl+s", "start", "Start the task.", _FORM, action="start", priority=True),
    KeySpec("form.browse", "ctrl+o", "browse", "Choose paths in the allowed folders.", _FORM, action="browse",
            priority=True),
    KeySpec("form.more", "ctrl+e", "more options", "Show all options, or the usual ones.", _FORM, action="more",
            priority=True),
    KeySpec("pick.mark", "space", "mark", "Mark the path; several may be marked, also in several folders.", _PICK,
            action="mark"),
    KeySpec("pick.open", "l,right", "open", "Open the folder, or take the file.", _PICK, action="enter"),
    KeySpec("pick.up", "h,left,backspace", "up", "To the folder above.", _PICK, action="up"),
    KeySpec("pick.hidden", "full_stop", "hidden", "Show names that begin with a dot, or hide them.", _PICK,
            action="hidden"),
    KeySpec("pick.accept", "a", "take", "Take what is marked, or what is under the cursor.", _PICK, action="accept"),
    KeySpec("pick.roots", "r", "roots", "To the list of allowed folders.", _PICK, action="roots"),
    KeySpec("archive.mark", "space", "mark", "Mark the member or the whole folder.", _ARCHIVE, action="mark"),
    KeySpec("archive.open", "l,right", "open", "Open the folder.", _ARCHIVE, action="open(True)"),
    KeySpec("archive.shut", "h,left", "shut", "Shut it, or go to its folder.", _ARCHIVE, action="open(False)"),
    KeySpec("archive.unpack", "x,u", "unpack", "Unpack the marked, or all.", _ARCHIVE, action="unpack"),
    KeySpec("media.mark", "space", "mark", "Mark the file.", _MEDIA, action="mark"),
    KeySpec("media.mark_all", "asterisk", "mark all", "Mark every file that can be read, or none.", _MEDIA,
            action="mark_all"),
    KeySpec("media.sort", "s", "sort", "Sort by the next column.", _MEDIA, action="sort"),
    KeySpec("media.reverse", "S", "reverse", "Turn the order round.", _MEDIA, action="reverse"),
    KeySpec("media.transcode", "t", "transcode", "Transcode the marked files, or this one.", _MEDIA,
            action="make('transcode')"),
    KeySpec("media.thumbnail", "i", "pictures", "Take pictures of the marked files, or this one.", _MEDIA,
            action="make('thumbnail')"),
    KeySpec("detail.close", "q,enter", "close", "Close the details.", _DETAIL, action="leave"),
    KeySpec("detail.down", "j,down", "down", "One row down.", _DETAIL, action="scroll(1)"),
    KeySpec("detail.up", "k,up", "up", "One row up.", _DETAIL, action="scroll(-1)"),
    KeySpec("detail.page_down", "ctrl+f,pagedown,space", "page down", "Ten rows down.", _DETAIL,
            action="scroll(10)"),
    KeySpec("detail.page_up", "ctrl+b,pageup", "page up", "Ten rows up.", _DETAIL, action="scroll(-10)"),
    KeySpec("detail.copy", "y", "copy command", "Copy the task as a shell command, without secrets.", _DETAIL,
            action="copy"),
    KeySpec("history.filter", "slash", "filter", "Filter: status:failed kind:zip since:1d words.", _HISTORY,
            action="filter", priority=True),
    KeySpec("history.sort", "s", "sort", "Sort by the next column.", _HISTORY, action="sort"),
    KeySpec("history.reverse", "S", "reverse", "Turn the order round.", _HISTORY, action="reverse"),
    KeySpec("history.again", "a", "run again", "Submit the same operation as a new task.", _HISTORY, action="again"),
    KeySpec("history.remove", "d,delete", "remove", "Take the task out of the history; its files stay.", _HISTORY,
            action="remove"),
    KeySpec("history.export", "e", "export", "Write what the filter shows as CSV, JSON, Markdown or HTML.", _HISTORY,
            action="export"),
    KeySpec("history.reload", "r", "reload", "Ask the engine again.", _HISTORY, action="reload"),
    KeySpec("history.back", "escape,q,H", "back", "Back to the tasks.", _HISTORY, action="back"),
    KeySpec("planned.reload", "r", "look again", "Ask the engine again.", _PLANNED, action="reload"),
    KeySpec("planned.back", "escape,q,L", "back", "Back to the tasks.", _PLANNED, action="back"),
    KeySpec("settings.back", "escape,q", "back", "Back to the tasks.", _SETTINGS, action="back"),
    KeySpec("faces.switch", "w", "dashboard on/off", "Switch the dashboard on or off, in the settings.", _FACES,
            action="switch"),
    KeySpec("faces.link", "l", "login link", "Make a link that signs one browser in, once.", _FACES, action="link"),
    KeySpec("faces.copy", "y", "copy", "Copy the link.", _FACES, action="copy"),
    KeySpec("faces.look", "r", "look again", "Ask the daemon again.", _FACES, action="look"),
    KeySpec("keys.add", "a", "add", "Press one more key for the action.", _KEYS, action="add"),
    KeySpec("keys.default", "backspace,delete", "default", "Bring the default keys back.", _KEYS, action="default"),
    KeySpec("text.down", "j,down", "down", "One row down.", _TEXT, action="scroll_down"),
    KeySpec("text.up", "k,up", "up", "One row up.", _TEXT, action="scroll_up"),
    KeySpec("text.top", "g,home", "top", "To the beginning.", _TEXT, action="scroll_home"),
    KeySpec("text.bottom", "G,end", "bottom", "To the end.", _TEXT, action="scroll_end"),
    KeySpec("text.page_down", "ctrl+f,pagedown,space", "page down", "One page down.", _TEXT, action="page_down"),
    KeySpec("text.page_up", "ctrl+b,pageup", "page up", "One page up.", _TEXT, action="page_up"),
)
# fmt: on

KEYS: Final[dict[str, KeySpec]] = {
    spec.id: spec for spec in chain(ACTIONS.values(), _SCREENS[:2], ROW_KEYS, PROMPT_KEYS, _SCREENS[2:])
}
"""Every row, in the order of help, editor and docs."""

_EVERYWHERE: Final = ("app.interrupt", "app.force_quit")
_ROOMS: Final = (
    ("task", "all", "list", "view", "app"),
    ("prompt",),
    ("confirm", "dialog.leave", "app.help"),
    ("form", "dialog.leave", "app.help"),
    ("detail", "dialog.leave", "app.help"),
    ("faces", "dialog", "app.help"),
    ("text", "dialog", "app.help"),
    *((name, "rows", "dialog", "app.help") for name in ("pick", "archive", "media", "keys")),
    *((name, "rows", "app.help") for name in ("history", "planned", "settings")),
)
"""Keys that work at the same time, by id or by the first word of the id."""


def bindings(*names: str) -> list[BindingType]:
    """The bindings of rows given by id, or by the first word of their ids."""
    return made_from(spec for spec in KEYS.values() if within(spec.id, names))


def rooms_of(name: str) -> list[tuple[str, ...]]:
    """The rooms in which a row's key works, with what works everywhere."""
    return [room + _EVERYWHERE for room in _ROOMS if name in _EVERYWHERE or within(name, room)]


def within(name: str, room: tuple[str, ...]) -> bool:
    """Whether a row is one of those named by id, or by the first word of their ids."""
    return name in room or name.partition(".")[0] in room


KEY_WORDS: Final = {
    "slash": "/",
    "colon": ":",
    "question_mark": "?",
    "plus": "+",
    "minus": "-",
    "asterisk": "*",
    "percent_sign": "%",
    "full_stop": ".",
    "escape": "esc",
    "pagedown": "pgdn",
    "pageup": "pgup",
    "comma": ",",
}
"""How people write keys that Textual names otherwise."""


def key_words(keys: str) -> list[str]:
    """Keys as people write them: "ctrl+p,slash" gives ["^p", "/"]."""
    return [KEY_WORDS.get(key, key).replace("ctrl+", "^") for key in keys.split(",") if key]


def by_group() -> dict[str, list[KeySpec]]:
    """The rows under their headings."""
    groups: dict[str, list[KeySpec]] = {}
    for spec in KEYS.values():
        groups.setdefault(spec.group, []).append(spec)
    return groups


def key_table() -> str:
    """The keys as a Markdown table, for docs/tui.md."""
    lines = ["| key | what it does | id |", "|---|---|---|"]
    for group, specs in by_group().items():
        lines.append(f"| **{group}** | | |")
        for spec in specs:
            keys = " ".join(f"`{key}`" for key in key_words(spec.keys))
            lines.append(f"| {keys} | {spec.tooltip} | `{spec.id}` |")
    return "\n".join(lines)
