"""Work of which only the latest counts: suggestions for a line, details of the task under the cursor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from textual.dom import DOMNode


def restart(node: DOMNode, group: str, work: Callable[..., Awaitable[None]], *args: Any) -> None:
    """Run `work(*args)` in place of what runs in this group.

    The coroutine is made only when the worker starts: one that is cancelled before would never be awaited.
    """
    node.run_worker(cast("Callable[[], Awaitable[None]]", partial(work, *args)), group=group, exclusive=True)
