"""Places in a list of tasks: what `Query.cursor` and `Page.next_cursor` hold.

A cursor names the last task of a page by its sort key, not by a number of rows, so that tasks which come or go
meanwhile neither repeat nor hide others. It also carries the moment the walk began, so that `since:1d` means the
same on every page, and a mark of the question it belongs to. To clients it is opaque text.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

import msgspec

from engines.errors import TaskdeckError
from engines.model import TaskView
from engines.query import Query, sort_key
from engines.tasks import history

Key = tuple[float | int | str | None, ...]


class Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A place in a list.

    Attributes:
        mark: Stands for filter, sort and order.
        at: Seconds since the epoch from which ages in the filter count.
        live: Whether the place is among the live tasks of an order that lists them first.
        key: Sort key of the last task before the place.
    """

    mark: str
    at: float
    live: bool
    key: Key


_DECODER = msgspec.msgpack.Decoder(Cursor)


def behind(view: TaskView, query: Query, at: float) -> str:
    """The text of the place behind a task."""
    live = query.sort in history.LIVE_FIRST and not view.terminal
    key: Key = (*sort_key(view, query.sort), view.id) if live else history.key_of(view, query.sort)
    raw = msgspec.msgpack.encode(Cursor(_mark(query), at, live, key))
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def place(query: Query) -> Cursor:
    """The place that a query's cursor names.

    Raises:
        TaskdeckError: `query.cursor` when it is not one of ours, or belongs to another filter or order.
    """
    text = query.cursor
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        found = _DECODER.decode(raw)
    except (UnicodeEncodeError, binascii.Error, msgspec.MsgspecError):
        raise invalid("it is not one that this list gave") from None
    if found.mark != _mark(query) or (found.live and query.sort not in history.LIVE_FIRST):
        raise invalid("it belongs to another filter or order")
    if query.offset:
        raise invalid("it cannot be combined with an offset")
    return found


def invalid(why: str) -> TaskdeckError:
    """The refusal of a cursor."""
    return TaskdeckError("query.cursor", "cannot go on in the list", why, "begin again without a cursor")


def _mark(query: Query) -> str:
    asked = f"{query.sort.value}\0{int(query.reverse)}\0{query.filter}"
    return hashlib.blake2s(asked.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
