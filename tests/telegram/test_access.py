"""The access matrix: who may do what, denied by default."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.errors import TaskdeckError
from engines.model import Action
from engines.operations import OPERATIONS
from engines.paths import PathPolicy
from engines.settings import TelegramSettings, TelegramUser
from tests.support.fake_tasks import make_view
from tui_app.telegram.access import Access, Member, Role

GROUP = -1001


def access(root: Path, **settings: object) -> Access:
    made = TelegramSettings(**{"allowed_users": (1, 2), "allowed_chats": (GROUP,), **settings})  # type: ignore[arg-type]
    return Access(made, PathPolicy.of((str(root),)))


@pytest.mark.parametrize(
    ("user", "chat", "allowed"),
    [
        (1, 1, True),
        (1, GROUP, True),
        (3, 3, False),
        (3, GROUP, False),
        (1, -999, False),
        (1, 2, False),
        (None, GROUP, False),
        (None, 1, False),
        (GROUP, GROUP, False),
    ],
)
def test_only_allowed_users_in_allowed_chats_are_members(
    tmp_path: Path, user: int | None, chat: int, allowed: bool
) -> None:
    assert (access(tmp_path).member(user, chat) is not None) is allowed


def test_nobody_is_allowed_by_default(tmp_path: Path) -> None:
    nobody = access(tmp_path, allowed_users=(), allowed_chats=())
    assert nobody.member(1, 1) is None
    assert nobody.member(0, 0) is None


MATRIX = [
    ("read", "zipinfo", True),
    ("read", "mediainfo", True),
    ("read", "ziptest", True),
    ("read", "zip", False),
    ("read", "unzip", False),
    ("read", "thumbnail", False),
    ("read", "send", False),
    ("read", "receive", False),
    ("control", "zip", True),
    ("control", "send", True),
    ("admin", "receive", True),
]


@pytest.mark.parametrize(("role", "operation", "allowed"), MATRIX)
def test_roles_decide_which_operations_start(tmp_path: Path, role: str, operation: str, allowed: bool) -> None:
    member = Member(1, Role(role), PathPolicy.of((str(tmp_path),)))
    if allowed:
        member.require_operation(OPERATIONS[operation])
    else:
        with pytest.raises(TaskdeckError, match="role control"):
            member.require_operation(OPERATIONS[operation])


@pytest.mark.parametrize(
    ("role", "owner", "sees", "controls"),
    [
        ("read", "telegram:1", True, False),
        ("read", "local", False, False),
        ("control", "telegram:1", True, True),
        ("control", "telegram:11", False, False),
        ("control", "local", False, False),
        ("admin", "local", True, True),
        ("admin", "telegram:2", True, True),
    ],
)
def test_roles_decide_whose_tasks_are_seen_and_controlled(
    tmp_path: Path, role: str, owner: str, sees: bool, controls: bool
) -> None:
    member = Member(1, Role(role), PathPolicy.of((str(tmp_path),)))
    view = make_view("t1", owner=owner)
    assert member.sees(view) is sees
    try:
        member.require_task(view, Action.CANCEL)
    except TaskdeckError:
        assert not controls
    else:
        assert controls


def test_users_of_the_table_are_allowed_with_their_own_role_and_roots(tmp_path: Path) -> None:
    (tmp_path / "ben").mkdir()
    users = {"7": TelegramUser(role="control", roots=(str(tmp_path / "ben"),)), "8": TelegramUser()}
    found = access(tmp_path, users=users, default_role="read")
    ben = found.member(7, 7)
    assert ben is not None
    assert (ben.role, ben.base) == (Role.CONTROL, str(tmp_path / "ben"))
    with pytest.raises(TaskdeckError, match="outside"):
        ben.policy.source(str(tmp_path))
    zoe = found.member(8, GROUP)
    assert zoe is not None
    assert zoe.role is Role.READ


@pytest.mark.parametrize(
    "users",
    [
        {"seven": TelegramUser()},
        {"7": TelegramUser(role="god")},
        {"7": TelegramUser(roots=("/",))},
        {"7": TelegramUser(roots=("relative",))},
    ],
)
def test_bad_entries_are_refused_at_the_start(tmp_path: Path, users: dict[str, TelegramUser]) -> None:
    with pytest.raises(TaskdeckError) as refused:
        access(tmp_path, users=users)
    assert refused.value.code == "settings.invalid"


def test_files_go_only_to_the_own_chat_or_an_allowed_group(tmp_path: Path) -> None:
    found = access(tmp_path)
    ann = found.member(1, 1)
    assert ann is not None
    assert [chat for chat in (1, 2, GROUP, -5, 99) if found.may_receive(ann, chat)] == [1, GROUP]
