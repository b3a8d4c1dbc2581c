"""Who may do what in the chat: denied unless allowed, for messages, buttons and files alike."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from engines.errors import TaskdeckError
from engines.model import Action, Actor, Kind, TaskView
from engines.names import display
from engines.operations import OperationSpec
from engines.paths import PathPolicy
from engines.settings import TelegramSettings, TelegramUser

FACE: Final = "telegram"


class Role(StrEnum):
    """What a member may do, each role including those before it."""

    READ = "read"
    """Look: status and history of own tasks, operations that only read."""
    CONTROL = "control"
    """Start every operation; pause, resume, cancel and retry own tasks."""
    ADMIN = "admin"
    """See and control the tasks of everybody, on every face."""


_RANK: Final = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class Member:
    """An allowed person."""

    id: int
    role: Role
    policy: PathPolicy
    roots: tuple[str, ...] = ()
    """Folders the member's tasks must stay in, whoever runs them again; empty: those of the daemon."""

    @property
    def owner(self) -> str:
        """The name recorded as the owner of tasks."""
        return f"{FACE}:{self.id}"

    @property
    def actor(self) -> Actor:
        """Who asks, for the task engine."""
        return Actor(self.owner, FACE)

    @property
    def base(self) -> str:
        """The folder relative paths start from."""
        return self.policy.roots[0]

    def at_least(self, role: Role) -> bool:
        """Whether the member has a role or a higher one."""
        return _RANK[self.role] >= _RANK[role]

    def sees(self, view: TaskView) -> bool:
        """Whether a task may be shown to the member."""
        return self.role is Role.ADMIN or view.owner == self.owner

    def require(self, role: Role, what: str) -> None:
        """Raise `access.denied` unless the member has the role."""
        if not self.at_least(role):
            raise TaskdeckError("access.denied", f"cannot {what}", f"that needs the role {role.value}")

    def require_operation(self, spec: OperationSpec) -> None:
        """Raise `access.denied` unless the member may start this operation."""
        if spec.writes or spec.kind in (Kind.UPLOAD, Kind.DOWNLOAD):
            self.require(Role.CONTROL, spec.name)

    def require_task(self, view: TaskView, action: Action) -> None:
        """Raise `access.denied` unless the member may do this to the task; strangers' tasks stay unnamed."""
        if not self.sees(view):
            raise TaskdeckError("access.denied", f"cannot {action.value} this task", "it belongs to somebody else")
        self.require(Role.CONTROL, f"{action.value} a task")


class Access:
    """The allow-list.

    Args:
        settings: Users and chats; `users` adds roles and roots to ids, and allows them.
        policy: The roots of the daemon; a user's roots must lie inside them.

    Raises:
        TaskdeckError: `settings.invalid` for an unknown role, a bad user id or a root outside the daemon's.
    """

    def __init__(self, settings: TelegramSettings, policy: PathPolicy) -> None:
        self.chats = frozenset(settings.allowed_chats)
        self._members: dict[int, Member] = {}
        for number in settings.allowed_users:
            self._members[number] = Member(number, _role(settings.default_role, number), policy)
        for key, user in settings.users.items():
            number = _user_id(key)
            role = _role(user.role or settings.default_role, number)
            narrowed = _narrowed(user, number, policy)
            self._members[number] = Member(number, role, narrowed, narrowed.roots if user.roots else ())

    @property
    def ids(self) -> frozenset[int]:
        """All allowed user ids."""
        return frozenset(self._members)

    def member(self, user: int | None, chat: int) -> Member | None:
        """The member behind a message or button; None for strangers, anonymous senders and foreign chats."""
        if user is None or (chat != user and chat not in self.chats):
            return None
        return self._members.get(user)

    def by_owner(self, owner: str) -> Member | None:
        """The member who owns a task."""
        face, _, number = owner.partition(":")
        return self._members.get(int(number)) if face == FACE and number.isdigit() else None

    def may_receive(self, member: Member, chat: int) -> bool:
        """Whether files may be sent to a chat on the member's behalf: the own one or an allowed group."""
        return chat == member.id or chat in self.chats


def _user_id(key: str) -> int:
    try:
        return int(key)
    except ValueError:
        raise TaskdeckError(
            "settings.invalid", f"cannot use [telegram.users.{display(key)}]", "the name of the table must be a user id"
        ) from None


def _role(name: str, number: int) -> Role:
    try:
        return Role(name)
    except ValueError:
        known = ", ".join(role.value for role in Role)
        raise TaskdeckError(
            "settings.invalid", f"cannot give user {number} the role '{display(name)}'", f"known are {known}"
        ) from None


def _narrowed(user: TelegramUser, number: int, policy: PathPolicy) -> PathPolicy:
    if not user.roots:
        return policy
    narrowed = PathPolicy.of(user.roots)
    for root in narrowed.roots:
        if not policy.allows(root):
            raise TaskdeckError(
                "settings.invalid",
                f"cannot give user {number} the root '{display(root)}'",
                "it lies outside the daemon's roots",
                "add it to `roots` or choose another",
            )
    return narrowed
