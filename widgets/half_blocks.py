"""Pictures in half blocks: two pixels a cell, the upper as foreground of "▀", the lower as background. Pure."""

from __future__ import annotations

from widgets.spans import Row, Span


def half_blocks(pixels: bytes, width: int) -> list[Row]:
    """Rows of a picture of packed RGB (24 bits a pixel) that is `width` pixels wide; a last odd line is left out.

    Colours are kept to 5 bits a channel and equal neighbours share a span: a picture is sent over slow lines too.
    """
    rows: list[Row] = []
    line = 3 * width
    for top in range(0, len(pixels) - 2 * line + 1, 2 * line):
        row: list[Span] = []
        for x in range(0, line, 3):
            upper, lower = top + x, top + line + x
            style = f"{_colour(pixels, upper)} on {_colour(pixels, lower)}"
            if row and row[-1].style == style:
                row[-1] = Span(row[-1].text + "▀", style)
            else:
                row.append(Span("▀", style))
        rows.append(row)
    return rows


def _colour(pixels: bytes, at: int) -> str:
    red, green, blue = (value & 0xF8 | value >> 5 for value in pixels[at : at + 3])
    return f"#{red:02x}{green:02x}{blue:02x}"
