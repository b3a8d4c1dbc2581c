"""Files to and from a Telegram chat: work that the daemon hosts."""

from __future__ import annotations

from typing import Annotated, Final

from engines.model import Kind
from engines.operations.schema import Accepts, Operation, OperationSpec, arg


class Send(Operation, frozen=True, kw_only=True, tag="send"):
    """Send a file to a Telegram chat."""

    path: Annotated[str, arg("File to send.", positional=True, accepts=Accepts.SOURCE)]
    chat: Annotated[
        int | None, arg("Chat id of an allowed user or group (default: the first allowed user).", positional=True)
    ] = None
    topic: Annotated[int | None, arg("Id of a topic of the group.", advanced=True)] = None
    caption: Annotated[str, arg("Text under the file.")] = ""


class Receive(Operation, frozen=True, kw_only=True, tag="receive"):
    """Save a file that was sent to the Telegram bot."""

    name: Annotated[str, arg("Name to save it under (default: its own).")] = ""
    chat: Annotated[int, arg("Chat id.", positional=True)]
    message: Annotated[int, arg("Id of the message that holds the file.", positional=True)]
    destination: Annotated[
        str | None, arg("Folder to save it in (default: the inbox).", positional=True, accepts=Accepts.FOLDER)
    ] = None


CHAT: Final = (
    OperationSpec(
        Send,
        Kind.UPLOAD,
        run="",
        reply="engines.transfer.chat:send_reply",
        check="engines.transfer.chat:check_send",
        resumable=True,
        hosted=True,
        examples=("send /downloads/movies.zip", "send /downloads/movies.zip -1001234567890"),
    ),
    OperationSpec(
        Receive,
        Kind.DOWNLOAD,
        run="",
        reply="engines.transfer.chat:receive_reply",
        check="engines.transfer.chat:check_receive",
        resumable=True,
        writes=True,
        output="output",
        hosted=True,
        examples=("receive 12345678 42 /downloads",),
    ),
)
