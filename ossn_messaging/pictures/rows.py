"""Whether the data of a PNG is whole, which Pillow does not ask: checksums, and rows up to the last."""

import struct
import zlib
from collections.abc import Iterator
from typing import IO

from ossn_messaging.pictures.kept import BLOCK_SIZE
from ossn_messaging.pictures.png import chunks as png_chunks

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By the type of colour (PNG, third edition, table 8)."""
WHOLE = ((0, 0, 1, 1),)
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of each pass, the first column and row and the steps between them (the same, 8.1)."""


class Rows:
    """What the packed rows of one frame come to."""

    def __init__(self, width: int, height: int, depth: int, colour: int, interlace: int) -> None:
        self.packed = zlib.decompressobj()
        self.missing = 0
        for left, top, across, down in ADAM7 if interlace else WHOLE:
            columns, rows = -(-(width - left) // across), -(-(height - top) // down)
            if columns > 0:
                self.missing += max(0, rows) * (1 + (columns * CHANNELS[colour] * depth + 7) // 8)

    def add(self, data: bytes) -> None:
        while data and not self.packed.eof:
            self.missing -= len(self.packed.decompress(data, BLOCK_SIZE))
            if self.missing < 0:
                raise ValueError("more data than rows")
            data = self.packed.unconsumed_tail
        if self.packed.unused_data or data:
            raise ValueError("something follows the rows")

    def end(self) -> None:
        self.missing -= len(self.packed.flush())
        if self.missing or not self.packed.eof:
            raise ValueError("rows are missing")


def check(file: IO[bytes]) -> None:
    """Raise ``ValueError`` unless all checksums of a PNG are right, and its data are the rows of its frames."""
    chunks = png_chunks(file)
    _name, start, end = next(chunks)
    width, height, *kind = struct.unpack(">4xIIBB2xB", b"".join(_blocks(file, start + 4, end)))
    rows, has_data = Rows(width, height, *kind), False
    for name, start, end in chunks:
        blocks = _blocks(file, start + 4, end)
        if name == b"fcTL":
            control = b"".join(blocks)
            if has_data:
                rows.end()
                rows = Rows(*struct.unpack_from(">8xII", control), *kind)
        elif name in {b"IDAT", b"fdAT"}:
            has_data = True
            skipped = 4 if name == b"IDAT" else 8  # the name, and the number of a piece of a frame
            for block in blocks:
                rows.add(block[skipped:])
                skipped = 0
        else:
            for _block in blocks:
                pass
    rows.end()


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
