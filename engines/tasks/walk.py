"""Everything that a query finds, however much it is, in pages of the size that every face may ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from engines.model import TaskView
from engines.query import MAX_LIMIT, Query
from engines.tasks.api import Tasks


async def pages(tasks: Tasks, query: Query) -> AsyncIterator[list[TaskView]]:
    """The pages of a query from its beginning; its own offset, limit and cursor do not count.

    In the orders by creation, name and kind nothing moves, so that no task is missed or met twice.

    Raises:
        TaskdeckError: As `Tasks.query`.
    """
    cursor: str | None = ""
    while cursor is not None:
        page = await tasks.query(msgspec.structs.replace(query, offset=0, limit=MAX_LIMIT, cursor=cursor))
        if page.items:
            yield page.items
        cursor = page.next_cursor
