"""The preview of a thumbnail in half blocks."""

from __future__ import annotations

import base64

import pytest

from engines.model import Kind, TaskState
from tests.support.fake_tasks import make_view
from tests.tui.conftest import deck
from widgets.half_blocks import half_blocks
from widgets.spans import Span


def test_two_pixels_share_a_cell_and_equal_neighbours_a_span() -> None:
    red, blue = bytes((255, 0, 0)), bytes((0, 0, 255))
    rows = half_blocks(red * 3 + blue * 2 + red + red * 3, 3)
    assert rows == [[Span("▀▀", "#ff0000 on #0000ff"), Span("▀", "#ff0000 on #ff0000")]], "the odd line is left out"


@pytest.mark.parametrize("theme", ["taskdeck-dark", "taskdeck-ansi"])
async def test_the_details_of_a_thumbnail_show_it(theme: str) -> None:
    done = make_view("t1", op="thumbnail", kind=Kind.INFO, title="a", state=TaskState.COMPLETED,
                     output="/out/a\ufffd.jpg")  # fmt: skip
    async with deck([done]) as d:
        d.app.theme = theme
        d.tasks.results["thumbnail"] = {"path": "file:///out/a%FF.jpg"}
        d.tasks.looks["picture"] = {"width": 24, "height": 24, "rgb": base64.b64encode(bytes(24 * 24 * 3)).decode()}
        await d.press("enter")
        await d.until(lambda: d.screen.detail.detail is not None)
        if theme == "taskdeck-dark":
            await d.until(lambda: "▀▀▀▀▀▀▀▀" in d.text())
        await d.settle()
        assert ("▀▀▀▀▀▀▀▀" in d.text()) == (theme == "taskdeck-dark"), "16 colours are too few"
        if theme == "taskdeck-dark":
            asked = d.asked("look")[-1][1]
            assert isinstance(asked, dict) and asked["path"] == "file:///out/a%FF.jpg", "the exact path"
