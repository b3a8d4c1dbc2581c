"""The one error type: a stable code, one sentence with what, why and what to do, and an exit status."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from engines.names import display


class Exit(IntEnum):
    """Exit statuses of the command line: an interface promise."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CANCELLED = 3
    NOT_FOUND = 4
    NO_DAEMON = 5
    CONFLICT = 6
    REFUSED = 7
    NO_SPACE = 8
    PASSWORD = 9
    DAMAGED = 10
    DETACHED = 11


class CodeInfo(msgspec.Struct, frozen=True):
    """What a code means to a shell (exit status), to an HTTP client (status) and to a reader."""

    exit: Exit
    http: int
    meaning: str


CODES: Final[dict[str, CodeInfo]] = {
    "internal": CodeInfo(Exit.FAILED, 500, "A fault of Taskdeck itself; the log has the details."),
    "usage": CodeInfo(Exit.USAGE, 400, "The command or request is not of the right form."),
    "value": CodeInfo(Exit.USAGE, 422, "A parameter has a value outside its range."),
    "unsupported": CodeInfo(Exit.USAGE, 422, "The format, codec or combination is not supported."),
    "path.missing": CodeInfo(Exit.NOT_FOUND, 404, "The path does not exist."),
    "path.outside_roots": CodeInfo(Exit.REFUSED, 403, "The path lies outside the allowed roots."),
    "path.unreadable": CodeInfo(Exit.REFUSED, 403, "The path may not be read or written by this user."),
    "path.kind": CodeInfo(Exit.USAGE, 422, "The path is a file where a folder is needed, or the reverse."),
    "path.exists": CodeInfo(Exit.CONFLICT, 409, "The target exists and the conflict policy is `fail`."),
    "path.changed": CodeInfo(Exit.FAILED, 409, "A file changed or vanished while it was read."),
    "path.nested": CodeInfo(Exit.USAGE, 422, "The output would replace its own source."),
    "disk.full": CodeInfo(Exit.NO_SPACE, 507, "There is not enough free space."),
    "disk.io": CodeInfo(Exit.FAILED, 500, "The disk refused to read or write."),
    "archive.damaged": CodeInfo(Exit.DAMAGED, 422, "The archive is damaged or truncated."),
    "archive.not_archive": CodeInfo(Exit.USAGE, 422, "The file is not an archive of a known format."),
    "archive.escape": CodeInfo(Exit.REFUSED, 422, "A member would be written outside the destination."),
    "archive.limit": CodeInfo(Exit.REFUSED, 422, "The archive exceeds a safety limit."),
    "archive.member": CodeInfo(Exit.NOT_FOUND, 404, "No member matches."),
    "archive.volume": CodeInfo(Exit.NOT_FOUND, 422, "A volume of a multi-part archive is missing."),
    "password.needed": CodeInfo(Exit.PASSWORD, 422, "The archive is encrypted and no password was given."),
    "password.wrong": CodeInfo(Exit.PASSWORD, 422, "The password is wrong."),
    "media.unreadable": CodeInfo(Exit.DAMAGED, 422, "The file has no readable audio or video."),
    "media.lacking": CodeInfo(Exit.USAGE, 422, "The file has no track of the kind this operation works on."),
    "media.damaged": CodeInfo(Exit.DAMAGED, 422, "The media file is damaged or truncated."),
    "media.failed": CodeInfo(Exit.FAILED, 500, "ffmpeg could not finish."),
    "media.not_smaller": CodeInfo(Exit.CONFLICT, 409, "The result would not be smaller than its source."),
    "tool.missing": CodeInfo(Exit.FAILED, 503, "An external program is not installed."),
    "tool.failed": CodeInfo(Exit.FAILED, 500, "An external program failed."),
    "task.missing": CodeInfo(Exit.NOT_FOUND, 404, "No task has this id."),
    "task.ambiguous": CodeInfo(Exit.USAGE, 409, "The id fits more than one task."),
    "task.state": CodeInfo(Exit.CONFLICT, 409, "The task's state does not allow this."),
    "task.cancelled": CodeInfo(Exit.CANCELLED, 409, "The task was cancelled."),
    "task.crashed": CodeInfo(Exit.FAILED, 500, "The job process died."),
    "task.timeout": CodeInfo(Exit.FAILED, 504, "The task made no progress in the time allowed."),
    "task.dependency": CodeInfo(Exit.FAILED, 409, "A task this one waits for did not succeed."),
    "task.key_reused": CodeInfo(Exit.CONFLICT, 422, "The idempotency key was used for another request."),
    "face.off": CodeInfo(Exit.CONFLICT, 409, "The face this needs is switched off."),
    "daemon.absent": CodeInfo(Exit.NO_DAEMON, 503, "No daemon answers on the socket."),
    "daemon.running": CodeInfo(Exit.CONFLICT, 409, "Another daemon owns this state directory."),
    "daemon.version": CodeInfo(Exit.CONFLICT, 409, "Client and daemon are of different versions."),
    "store.damaged": CodeInfo(Exit.FAILED, 500, "The task database is damaged."),
    "store.newer": CodeInfo(Exit.FAILED, 500, "The task database was written by a newer version."),
    "settings.invalid": CodeInfo(Exit.USAGE, 422, "A setting has an invalid value."),
    "access.login": CodeInfo(Exit.REFUSED, 401, "A login or token is needed."),
    "access.denied": CodeInfo(Exit.REFUSED, 403, "This user or token may not do this."),
    "access.host": CodeInfo(Exit.REFUSED, 421, "The Host header is not one of the allowed names."),
    "access.origin": CodeInfo(Exit.REFUSED, 403, "The request comes from another site."),
    "access.missing": CodeInfo(Exit.NOT_FOUND, 404, "There is no such token or session."),
    "access.rate": CodeInfo(Exit.REFUSED, 429, "Too many attempts."),
    "query.cursor": CodeInfo(
        Exit.NOT_FOUND, 404, "A cursor names no place in this list, or belongs to another filter or order."
    ),
    "http.route": CodeInfo(Exit.NOT_FOUND, 404, "There is nothing at this address."),
    "http.method": CodeInfo(Exit.USAGE, 405, "This address does not take this method."),
    "http.timeout": CodeInfo(Exit.FAILED, 408, "The request did not arrive in time."),
    "http.upgrade": CodeInfo(Exit.USAGE, 426, "This address speaks WebSocket only."),
    "http.too_large": CodeInfo(Exit.USAGE, 413, "The request body is larger than allowed."),
    "http.range": CodeInfo(Exit.USAGE, 416, "The file has no such part."),
    "http.media_type": CodeInfo(Exit.USAGE, 415, "The request body is not JSON."),
    "network": CodeInfo(Exit.FAILED, 502, "The other side could not be reached."),
}


class ErrorInfo(msgspec.Struct, frozen=True):
    """An error as it is stored, sent and shown. `message` is one sentence, safe for display."""

    code: str
    message: str
    detail: str = ""
    """Technical lines for the log and the task page: the tail of a tool's output. Safe for display."""

    @property
    def coded(self) -> str:
        """The sentence and the code one can look up: how people see errors on every text face."""
        return f"{self.message} [{self.code}]"

    @property
    def exit(self) -> Exit:
        """The exit status of a command that ends with this error."""
        return CODES.get(self.code, CODES["internal"]).exit

    @property
    def http(self) -> int:
        """The HTTP status of a response that carries this error."""
        return CODES.get(self.code, CODES["internal"]).http


class TaskdeckError(Exception):
    """Something a user can understand and mend.

    Args:
        code: A key of `CODES`.
        what: What was attempted, without a full stop: "cannot pack 'a b'".
        why: The cause: "it does not exist".
        fix: What the user can do: "check the spelling".
        detail: Technical lines (a tool's output), for the log.
        result: What was done all the same, as a job would have returned it: kept and shown beside the error.
    """

    def __init__(
        self,
        code: str,
        what: str,
        why: str = "",
        fix: str = "",
        *,
        detail: str = "",
        result: msgspec.Struct | None = None,
    ) -> None:
        if code not in CODES:
            raise KeyError(code)
        self.code, self.result = code, result
        self.why = display(why, limit=1000)
        sentence = ": ".join(part for part in (what, why) if part)
        if fix:
            sentence = f"{sentence}; {fix}"
        self.message = display(sentence.strip().removesuffix(".") + ".", limit=1000)
        self.detail = "\n".join(display(line, limit=2000) for line in detail.splitlines()[-50:])
        super().__init__(self.message)

    @classmethod
    def from_info(cls, info: ErrorInfo) -> TaskdeckError:
        """The error another process reported."""
        error = cls(info.code if info.code in CODES else "internal", info.message, detail=info.detail)
        error.message = info.message
        return error

    @property
    def info(self) -> ErrorInfo:
        """The error in its wire form."""
        return ErrorInfo(self.code, self.message, self.detail)

    @property
    def coded(self) -> str:
        """See `ErrorInfo.coded`."""
        return self.info.coded

    def __reduce__(self) -> tuple[object, ...]:
        return (TaskdeckError.from_info, (self.info,))
