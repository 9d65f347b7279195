"""Whether the data of a PNG is whole: its checksums, and its rows up to the last, a block at a time."""

import struct
import zlib
from collections.abc import Iterator
from typing import IO

from ossn_messaging.attachments.images.kept import BLOCK_SIZE
from ossn_messaging.attachments.images.png import chunks as png_chunks

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By the type of colour (PNG, third edition, table 8)."""
PALETTE = 3
"""The type that is none without a palette."""
WHOLE = ((0, 0, 1, 1),)
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of each pass, the first column and row and the steps between them (the same, 8.1)."""
MAX_FILTER = 4
"""The last of the filters with which a row may begin (the same, 9.2)."""


class Rows:
    """The rows of one frame, as they are unpacked: how many there are, and that each begins with a filter."""

    def __init__(self, width: int, height: int, depth: int, colour: int, interlace: int) -> None:
        self.packed = zlib.decompressobj()
        self.passes: list[tuple[int, int]] = []
        """Of each pass that is not yet complete, the size of a row and of what is missing, in bytes."""
        for left, top, across, down in reversed(ADAM7 if interlace else WHOLE):
            columns, rows = -(-(width - left) // across), -(-(height - top) // down)
            if columns > 0 and rows > 0:
                size = 1 + (columns * CHANNELS[colour] * depth + 7) // 8
                self.passes.append((size, rows * size))

    def add(self, data: bytes) -> None:
        while data and not self.packed.eof:
            self._take(self.packed.decompress(data, BLOCK_SIZE))
            data = self.packed.unconsumed_tail
        if self.packed.unused_data or data:
            raise ValueError("something follows the rows")

    def _take(self, unpacked: bytes) -> None:
        while unpacked:
            if not self.passes:
                raise ValueError("more data than rows")
            size, missing = self.passes.pop()
            part, unpacked = unpacked[:missing], unpacked[missing:]
            if max(part[missing % size :: size], default=0) > MAX_FILTER:
                raise ValueError("a row is filtered in no known way")
            if missing > len(part):
                self.passes.append((size, missing - len(part)))

    def end(self) -> None:
        if self.passes or not self.packed.eof:
            raise ValueError("rows are missing")


def check(file: IO[bytes]) -> None:
    """Raise ``ValueError`` unless all checksums of a PNG are right, and its data are the rows of its frames."""
    chunks = png_chunks(file)
    _name, start, end = next(chunks)
    width, height, depth, colour, interlace = struct.unpack(">4xIIBB2xB", b"".join(_blocks(file, start + 4, end)))
    rows, has_data, has_palette, number = Rows(width, height, depth, colour, interlace), False, colour != PALETTE, 0
    for name, start, end in chunks:
        blocks = _blocks(file, start + 4, end)
        if name == b"fcTL":
            control = next(blocks)
            size = _frame_size(control, number, (width, height), is_first=not has_data)
            number += 1
            if has_data:
                rows.end()
                rows = Rows(*size, depth, colour, interlace)
        elif name in {b"IDAT", b"fdAT"}:
            data = next(blocks)[4:]
            if name == b"fdAT":
                _check_number(data, number)
                data, number = data[4:], number + 1
            has_data = True
            rows.add(data)
            for block in blocks:
                rows.add(block)
        has_palette = has_palette or name == b"PLTE"
        for _block in blocks:  # up to its checksum
            pass
    rows.end()
    if not has_palette:
        raise ValueError("its colours are nowhere")


def _check_number(data: bytes, number: int) -> None:
    """Check that a piece of an animation is the one that follows (the same, 11.3.6)."""
    if int.from_bytes(data[:4], "big") != number:
        raise ValueError("a piece of the animation is missing")


def _frame_size(control: bytes, number: int, canvas: tuple[int, int], *, is_first: bool) -> tuple[int, int]:
    """Return the width and height of a frame, which must be within the picture; the first is all of it."""
    _check_number(control[4:], number)
    width, height, left, top = struct.unpack_from(">IIII", control, 8)
    if left + width > canvas[0] or top + height > canvas[1] or not (width and height):
        raise ValueError("a frame is not within the picture")
    if is_first and (width, height) != canvas:
        raise ValueError("the first frame is not all of the picture")
    return width, height


def _blocks(file: IO[bytes], start: int, end: int) -> Iterator[bytes]:
    """Yield a chunk's name and data, and look at its checksum."""
    checksum = 0
    for at in range(start, end - 4, BLOCK_SIZE):
        file.seek(at)
        block = file.read(min(BLOCK_SIZE, end - 4 - at))
        checksum = zlib.crc32(block, checksum)
        yield block
    file.seek(end - 4)
    if file.read(4) != checksum.to_bytes(4, "big"):
        raise ValueError("a checksum is wrong")
