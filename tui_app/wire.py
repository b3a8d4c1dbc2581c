"""What clients and the daemon say to each other: request and response bodies, WebSocket messages, the handshake."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import socket
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from engines.errors import ErrorInfo, TaskdeckError
from engines.model import Action, Json, Outcome, SubmitOptions
from engines.names import display
from engines.tasks.api import Update, Watch

if TYPE_CHECKING:
    from email.message import Message

PROTOCOL: Final = 2
"""Revision of this protocol; raised by every change that an older side would misunderstand."""
SUBPROTOCOL: Final = "taskdeck.v1"
PROTOCOL_HEADER: Final = "Taskdeck-Protocol"
VERSION_HEADER: Final = "Taskdeck-Version"
BUILD_HEADER: Final = "Taskdeck-Build"
FACE_HEADER: Final = "Taskdeck-Face"


@functools.cache
def program_version() -> str:
    """The installed version of Taskdeck; looked up once (it costs 300 microseconds)."""
    from importlib.metadata import PackageNotFoundError, version  # 6 ms

    try:
        return version("taskdeck")
    except PackageNotFoundError:
        return "0+unknown"


@functools.cache
def build() -> str:
    """A mark of the code as it lies on the disk: names, sizes and times of the modules; 3 ms, looked at once.

    A daemon that has another one than a client of the same machine was started before an upgrade or an edit.
    """
    from zlib import crc32  # hashlib would load OpenSSL

    mark = 0
    here = os.path.dirname(os.path.abspath(__file__))
    for top in (here, os.path.join(os.path.dirname(here), "engines")):
        for folder, below, names in os.walk(top):
            below[:] = sorted(name for name in below if name != "__pycache__")
            for name in sorted(name for name in names if not name.startswith(".")):
                with contextlib.suppress(OSError):
                    info = os.stat(os.path.join(folder, name))
                    mark = crc32(f"{folder}/{name} {info.st_size} {info.st_mtime_ns}\n".encode(), mark)
    return f"{mark:08x}"


def peer_credentials(connection: socket.socket) -> tuple[int, int, int]:
    """Process, user and group id at the other end of a Unix socket (SO_PEERCRED, unix(7))."""
    size = struct.calcsize("3i")
    pid, uid, gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return pid, uid, gid


def check_owner(connection: socket.socket) -> None:
    """Refuse a Unix socket behind which neither this user nor root listens.

    Raises:
        PermissionError: It is someone else's; nothing has been sent.
    """
    _pid, uid, _gid = peer_credentials(connection)
    if uid not in (os.geteuid(), 0):
        raise PermissionError(errno.EACCES, f"the socket belongs to user id {uid}")


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """How a daemon introduces itself."""

    version: str
    protocol: int
    pid: int
    started: float
    rev: int = 0
    server: str = "taskdeck"
    url: str = ""
    """Address of the TCP side, empty while it is off."""
    chat: str = "off"
    """State of the Telegram bot in words."""
    build: str = ""
    """See `build`."""


class Problem(msgspec.Struct, frozen=True):
    """An error response (RFC 9457, application/problem+json)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    """A key of the error codes; stable."""
    instance: str = ""
    technical: str = ""

    @property
    def error(self) -> ErrorInfo:
        """The error in it."""
        return ErrorInfo(self.code, self.detail, self.technical)


class CreateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Queue an operation."""

    operation: Json
    options: SubmitOptions = SubmitOptions()
    base: Annotated[str, Meta(max_length=4096, pattern="^(/|file:///)")] | None = None
    """Directory that relative paths start from; without it they are refused over TCP."""


class LookRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A quick question about files, answered without making a task: `estimate`, `members`, `picture`."""

    look: Json
    """`op` names it; `estimate` takes the parameters of the operation of that name."""
    base: Annotated[str, Meta(max_length=4096, pattern="^(/|file:///)")] | None = None
    """Directory that relative paths start from."""


class LookAnswer(msgspec.Struct, frozen=True):
    """The answer, by the kind of look."""

    answer: Json


Ids = Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(max_length=10_000)]


Moment = Annotated[float, Meta(lt=1e11)]
"""Seconds since the epoch, of this millennium: further away, no calendar can show it."""


class ControlRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Act on one task."""

    action: Action
    task_id: str | None = None
    until: Moment | None = None
    """With `pause`: resume at this time."""
    reason: Annotated[str, Meta(max_length=500)] | None = None


class NamedControlRequest(ControlRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Act on the task named in the body: the guide's second form."""

    task_id: Annotated[str, Meta(min_length=1, max_length=64)]


class BulkRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Act on tasks given by id or by filter."""

    action: Action
    ids: Ids = []
    filter: Annotated[str, Meta(max_length=1000)] | None = None
    until: Moment | None = None


class BulkResponse(msgspec.Struct, frozen=True):
    """One outcome for each task."""

    outcomes: list[Outcome]


class ControlAllRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pause everything and start nothing more, or resume."""

    action: Literal["pause", "resume"]
    finish_current: bool = False
    """With `pause`: running tasks finish, nothing more starts."""


class ReorderRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Change a queued task's place."""

    priority: Annotated[int, Meta(ge=-1000, le=1000)] | None = None
    move: int = 0


SecretName = Annotated[str, Meta(pattern="^password$")]
"""Every secret of today's operations has this name."""


class UnlockRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Secrets for a task that waits for them, by field name."""

    secrets: Annotated[dict[SecretName, Annotated[str, Meta(max_length=4096)]], Meta(min_length=1)]


class StopRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stop the daemon; `drain` lets running tasks finish first."""

    drain: bool = False


class LogPage(msgspec.Struct, frozen=True):
    """Log lines after those already seen."""

    after: int
    lines: list[str]


class FileEntry(msgspec.Struct, frozen=True):
    """One name in a folder, for completion and file pickers."""

    name: str
    """Display-safe; the name itself unless `uri` is set."""
    folder: bool
    size: int = 0
    modified: float = 0.0
    uri: str = ""
    """Set when the name has bytes that are no UTF-8 or that are not safe to show."""


class FilesPage(msgspec.Struct, frozen=True):
    """The content of a folder inside the roots."""

    path: str
    entries: list[FileEntry]
    truncated: bool = False
    roots: list[str] = []


class OperationField(msgspec.Struct, frozen=True):
    """One parameter of an operation, for forms and completion."""

    name: str
    type: str
    required: bool
    repeated: bool
    positional: bool
    accepts: str
    advanced: bool
    help: str
    default: Any = None
    choices: list[str] = []
    minimum: float | None = None
    maximum: float | None = None


class OperationInfo(msgspec.Struct, frozen=True):
    """One row of the operations table."""

    name: str
    kind: str
    summary: str
    fields: list[OperationField]
    examples: list[str] = []
    writes: bool = False


class OpenWatch(msgspec.Struct, frozen=True, tag="watch", forbid_unknown_fields=True):
    """Client: open a subscription, or move the one of this id."""

    id: int
    watch: Watch
    fresh: bool = False
    """Start again with a complete update, even when this id is open."""


class CloseWatch(msgspec.Struct, frozen=True, tag="close", forbid_unknown_fields=True):
    """Client: end a subscription."""

    id: int


class Ping(msgspec.Struct, frozen=True, tag="ping", forbid_unknown_fields=True):
    """Client: are you there?"""


class Updated(msgspec.Struct, frozen=True, tag="update"):
    """Server: what changed in a watched window."""

    id: int
    update: Update


class WatchFailed(msgspec.Struct, frozen=True, tag="error"):
    """Server: the subscription cannot be (a bad filter); it is closed."""

    id: int
    error: ErrorInfo


class Pong(msgspec.Struct, frozen=True, tag="pong"):
    """Server: yes."""


ClientMessage = OpenWatch | CloseWatch | Ping
ServerMessage = Hello | Updated | WatchFailed | Pong


def problem_error(status: int, raw: bytes) -> TaskdeckError:
    """The error in a response that is none of success."""
    try:
        return TaskdeckError.from_info(msgspec.json.decode(raw, type=Problem).error)
    except msgspec.MsgspecError:
        return TaskdeckError("network", f"cannot use the answer of status {status}", "it does not come from Taskdeck")


def check_protocol(headers: Mapping[str, str] | Message) -> None:
    """Refuse a daemon that speaks another revision of the protocol.

    Args:
        headers: Of a response, names in any case or in lower case.

    Raises:
        TaskdeckError: `daemon.version`.
    """
    revision = headers.get(PROTOCOL_HEADER.lower())
    if revision is not None and revision.isdigit():
        check_revision(int(revision), headers.get(VERSION_HEADER.lower(), "?"))


def check_revision(revision: int, version: str) -> None:
    """See `check_protocol`."""
    if revision != PROTOCOL:
        raise TaskdeckError(
            "daemon.version",
            f"cannot talk to the running daemon {display(version, limit=40)}",
            f"it speaks protocol {revision}, this is Taskdeck {program_version()} with protocol {PROTOCOL}",
            "run `taskdeck restart` (tasks are kept)",
        )
