"""Tables for a terminal."""

from collections.abc import Iterator, Sequence


def printable(text: str) -> str:
    """Return ``text``, or its ASCII representation if it is not printable and might move the cursor of a terminal."""
    return text if text.isprintable() else ascii(text)


def lines_of(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
