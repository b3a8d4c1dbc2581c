"""What the chat shows: escaped, within Telegram's limits, true to the guide's layouts. Without any connection."""

from __future__ import annotations

import html
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import ErrorInfo, TaskdeckError
from engines.model import Action, Kind, TaskState
from engines.operations import OPERATIONS, fields
from tests.support.fake_tasks import make_view, seeded
from tui_app.telegram import cards, commands, notices
from tui_app.telegram.commands import read_request
from tui_app.telegram.gateway import BUTTON_LIMIT, TEXT_LIMIT, Document, utf16
from tui_app.telegram.inbox import offers
from tui_app.telegram.tokenizer import parse_command

HOSTILE = [
    "<b>x</b>",
    "a & b",
    "[bold]x[/]",
    "my__init__.py",
    "x\x1b[31m\u202e",
    "\ud83d",
    "\U0001f4e6" * 300,
    "`a` *b*",
]


def shown(markup: str) -> str:
    """What is left of HTML once Telegram has read it: that is what the limits count."""
    return html.unescape(re.sub(r"</?[a-z]+>", "", markup))


@pytest.mark.parametrize("title", HOSTILE)
def test_foreign_names_are_escaped_and_printable(title: str) -> None:
    view = make_view("t1", title=title, state=TaskState.FAILED, error=ErrorInfo("internal", f"why {title}"))
    for markup in (cards.card(view), cards.failure(view)):
        markup.encode()
        assert "<b>x</b>" not in markup
        assert "\x1b" not in markup
        assert "\u202e" not in markup


def test_a_card_has_what_the_guides_card_has() -> None:
    view = make_view(
        "ab12",
        title="video.mp4",
        op="download",
        kind=Kind.DOWNLOAD,
        done=500_000_000,
        total=1_100_000_000,
        speed=5.2e6,
        eta=330.0,
    )
    assert cards.card(view) == (
        "🟢 <b>video.mp4</b>\n"
        "Downloading · download · <code>ab12</code>\n"
        "[████████░░░░░░░░░░] 45%\n"
        "Speed: 5.20 MB/s · ETA: 00:05:30 · Size: 500.00 MB / 1.10 GB"
    )


def test_a_card_says_what_the_task_is_at_when_its_bar_cannot() -> None:
    view = make_view("ab12", done=0, total=None, speed=0.0, eta=None, stage="2 of 4, <listing>")
    assert cards.card(view).splitlines()[2:] == ["2 of 4, &lt;listing&gt;"]
    done = make_view("ab12", state=TaskState.COMPLETED, stage="testing")
    assert "esting" not in cards.card(done)


@pytest.mark.parametrize("count", [0, 1, 5, 6, 60])
@pytest.mark.parametrize("page", [0, 1, 99, -3])
@pytest.mark.parametrize("character", ["&", "\U0001f4e6"])
def test_boards_fit_telegrams_limits(count: int, page: int, character: str) -> None:
    long = character * 1000
    views = [make_view(f"t{n}", title=long, note=long, stage=long) for n in range(count)]
    rendered = cards.board(views, page=page)
    assert utf16(shown(rendered.board.html)) <= TEXT_LIMIT
    assert all(len(button.data.encode()) <= BUTTON_LIMIT for row in rendered.board.buttons for button in row)
    assert 0 <= rendered.page <= max(0, -(-count // cards.CARDS_A_PAGE) - 1)


@pytest.mark.parametrize("character", ["&", "/", "\U0001f4e6"])
def test_errors_about_very_long_paths_fit_one_message(character: str) -> None:
    why = ErrorInfo("path.missing", f"cannot find '{character * 4090}': it does not exist")
    view = make_view("t1", title=character * 300, note=character * 1000, state=TaskState.FAILED, error=why)
    for markup in (
        cards.error(TaskdeckError(why.code, why.message)),
        cards.failure(view),
        cards.details(view, [character * 4096] * 10),
    ):
        assert utf16(shown(markup)) <= TEXT_LIMIT
        assert "it does not exist" in markup


def test_buttons_are_those_the_state_allows() -> None:
    for view in seeded(8):
        labels = str(cards.board([view]).board.buttons)
        for action, word in ((Action.PAUSE, "Pause"), (Action.RESUME, "Resume"), (Action.CANCEL, "Cancel")):
            assert (word in labels) is (action in view.actions)


def test_button_data_comes_back_as_it_went() -> None:
    for action in (Action.PAUSE, Action.RESUME, Action.CANCEL, Action.RETRY):
        assert cards.pressed_action(cards.press_data(action, "ab12cd")) == (action, "ab12cd")
    assert cards.pressed_action("f") is None
    assert cards.pressed_action("p:") is None
    assert cards.pressed_action("zz:x") is None


@given(st.text(max_size=20_000))
def test_pages_lose_nothing_and_fit(text: str) -> None:
    pages = cards.pages(text, limit=500)
    assert all(utf16(page) <= 500 for page in pages)
    assert "".join(pages).replace("\n", "") == text.replace("\n", "")


def test_the_menu_is_what_telegram_accepts() -> None:
    menu = commands.menu()
    names = [name for name, _ in menu]
    assert len(set(names)) == len(names) <= 100
    assert {commands.chat_name(name) for name in OPERATIONS} <= set(names)
    for name, text in menu:
        assert name == name.lower()
        assert name.replace("_", "").isalnum()
        assert 1 <= len(name) <= 32
        assert 1 <= len(text) <= 256


def test_every_command_has_help() -> None:
    everything = commands.help_text()
    for name, _ in commands.menu():
        assert f"/{name}" in everything
        assert commands.help_text(name)
    with pytest.raises(TaskdeckError):
        commands.help_text("nonsense")


EXISTING = {"/a/my movies", "/a/my movies 2", "/a/out dir", "file.zip", "with --dash"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("/zip /a/my movies", {"path": "/a/my movies"}),
        ("/zip /a/my movies 2", {"path": "/a/my movies 2"}),
        ("/zip /a/my movies zip 9", {"path": "/a/my movies", "format": "zip", "level": 9}),
        ("/zip '/a/my movies' tar.gz", {"path": "/a/my movies", "format": "tar.gz"}),
        ("/zip x --exclude '*.tmp' —exclude y z9", None),
        ("/zip /a/my movies --level 3", {"path": "/a/my movies", "level": 3}),
        ("/zip --level=3 /a/my movies", {"path": "/a/my movies", "level": 3}),
        ("/zip -x", {"path": "-x"}),
        ("/zip '--x'", {"path": "--x"}),
        ("/unzip file.zip /a/out dir", {"path": "file.zip", "destination": "/a/out dir"}),
        ("/unzip file.zip new pass", {"path": "file.zip", "destination": "new", "password": "pass"}),
        ("/zip --test /a/my movies", {"path": "/a/my movies", "test": True}),
    ],
)
def test_commands_become_operations(text: str, wanted: dict[str, object] | None) -> None:
    command = parse_command(text, bot="b")
    assert command is not None
    spec = commands.operation_spec(command.name)
    assert spec is not None
    if wanted is None:
        with pytest.raises(TaskdeckError):
            read_request(command, spec, exists=EXISTING.__contains__)
        return
    request = read_request(command, spec, exists=EXISTING.__contains__)
    assert request.op == {"op": spec.name, **wanted}
    assert request.secret is ("password" in wanted)


def test_where_the_result_goes_is_no_parameter_of_the_operation() -> None:
    command = parse_command("/zip /a/my movies 7z --send-to -100", bot="b")
    assert command is not None
    request = read_request(command, OPERATIONS["zip"], exists=EXISTING.__contains__)
    assert request.send_to == "-100"
    assert request.op == {"op": "zip", "path": "/a/my movies", "format": "7z"}


def test_a_command_about_a_file_takes_it_as_its_first_parameter() -> None:
    command = parse_command("/zip 7z 9", bot="b")
    assert command is not None
    request = read_request(command, OPERATIONS["zip"], exists=EXISTING.__contains__, source="/inbox")
    assert request.op == {"op": "zip", "path": "/inbox", "format": "7z", "level": 9}


def test_offers_fit_buttons_and_name_what_exists() -> None:
    for name in ("a.zip", "b.mkv", "c.txt", "d.tar.gz"):
        found = offers([Document("id", name, 1)], 2**31)
        assert all(len(data.encode()) <= BUTTON_LIMIT for _, data in found)
        assert found[-1][1].startswith("o:save:")


@pytest.mark.parametrize(
    ("hours", "at", "quiet"),
    [
        ("22:00-07:00", (23, 0), True),
        ("22:00-07:00", (6, 59), True),
        ("22:00-07:00", (7, 0), False),
        ("22:00-07:00", (12, 0), False),
        ("13:00–14:30", (14, 29), True),
        ("13:00-14:30", (14, 30), False),
        ("off", (3, 0), False),
        ("", (3, 0), False),
    ],
)
def test_quiet_hours(hours: str, at: tuple[int, int], quiet: bool) -> None:
    now = time.mktime((2026, 1, 30, *at, 0, 0, 0, -1))
    assert notices.is_quiet(notices.parse_quiet(hours), now) is quiet


@pytest.mark.parametrize("hours", ["25:00-07:00", "22-07", "a", "22:60-07:00"])
def test_bad_quiet_hours_are_refused(hours: str) -> None:
    with pytest.raises(TaskdeckError):
        notices.parse_quiet(hours)


@pytest.mark.parametrize(
    ("level", "state", "own", "told"),
    [
        ("all", TaskState.COMPLETED, False, True),
        ("all", TaskState.CANCELLED, False, False),
        ("own", TaskState.COMPLETED, True, True),
        ("own", TaskState.COMPLETED, False, False),
        ("failed", TaskState.COMPLETED, True, False),
        ("failed", TaskState.FAILED, True, True),
        ("failed", TaskState.FAILED, False, False),
        ("none", TaskState.FAILED, True, False),
    ],
)
def test_levels_decide_which_endings_are_told(level: str, state: TaskState, own: bool, told: bool) -> None:
    assert notices.wants(notices.parse_level(level), make_view("t", state=state), own=own) is told


def test_every_operation_is_in_the_menu_and_has_help_that_names_all_its_parameters() -> None:
    names = {name for name, _ in commands.menu()}
    for spec in OPERATIONS.values():
        assert commands.chat_name(spec.name) in names
        text = commands.help_text("/" + commands.chat_name(spec.name))
        for field in fields(spec.struct):
            assert (field.name.upper() if field.positional else field.flag) in text
        assert all(utf16(page) <= TEXT_LIMIT for page in cards.pages(text))
