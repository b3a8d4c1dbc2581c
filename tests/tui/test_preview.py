"""The preview of a thumbnail in half blocks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from engines.model import Kind, TaskState
from tests.support.fake_tasks import make_view
from tests.tui.conftest import deck
from tui_app.picture import decode
from widgets.half_blocks import half_blocks
from widgets.spans import Span


def image(path: Path, colour: str, size: str) -> None:
    words = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"color={colour}:s={size}", "-frames:v", "1", str(path)]
    subprocess.run(words, check=True, timeout=30)


def test_two_pixels_share_a_cell_and_equal_neighbours_a_span() -> None:
    red, blue = bytes((255, 0, 0)), bytes((0, 0, 255))
    rows = half_blocks(red * 3 + blue * 2 + red + red * 3, 3)
    assert rows == [[Span("▀▀", "#ff0000 on #0000ff"), Span("▀", "#ff0000 on #ff0000")]], "the odd line is left out"


async def test_a_picture_is_decoded_at_its_shape(tmp_path: Path) -> None:
    image(tmp_path / "a.png", "red", "320x160")
    pixels, width = await decode(str(tmp_path / "a.png"), 40, 24)
    assert (width, len(pixels)) == (40, 40 * 20 * 3)
    assert pixels[0] > 240 and pixels[1] < 10


@pytest.mark.parametrize("content", [b"", b"no picture", b"P6 9999 9999 255\n"])
async def test_what_is_no_picture_gives_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert await decode(str(tmp_path / "a.png"), 40, 24) == (b"", 0)
    assert await decode(str(tmp_path / "missing"), 40, 24) == (b"", 0)
    assert await decode(str(tmp_path), 40, 24) == (b"", 0)


@pytest.mark.parametrize("theme", ["taskdeck-dark", "taskdeck-ansi"])
async def test_the_details_of_a_thumbnail_show_it(tmp_path: Path, theme: str) -> None:
    image(tmp_path / "a.jpg", "green", "64x64")
    done = make_view("t1", op="thumbnail", kind=Kind.INFO, title="a", state=TaskState.COMPLETED,
                     output=str(tmp_path / "a.jpg"))  # fmt: skip
    async with deck([done], root=tmp_path) as d:
        d.app.theme = theme
        await d.press("enter")
        await d.until(lambda: d.screen.detail.detail is not None)
        if theme == "taskdeck-dark":
            await d.until(lambda: "▀▀▀▀▀▀▀▀" in d.text())
        await d.settle()
        assert ("▀▀▀▀▀▀▀▀" in d.text()) == (theme == "taskdeck-dark"), "16 colours are too few"
