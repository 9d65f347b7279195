"""What is kept of the file of a picture, and the limits of what it may consist of."""

from typing import IO

MAX_FRAMES = 10_000
"""No picture of the real world has more, and each of them costs time, however small it is."""
MAX_PIECES = 100_000
"""Segments, chunks or blocks, of all kinds: each costs time, and a picture of 25 MiB needs far fewer."""
MAX_SCANS = 50
"""Of a JPEG. Each goes over the whole picture, however few bytes it has; libjpeg itself writes ten."""
EXIF_SIZE = 64 * 1024
"""In bytes, how much of a picture's EXIF is looked at: as much as a JPEG can hold."""
BLOCK_SIZE = 64 * 1024
"""In bytes, how much of a file is in memory at once."""
EXIF = b"Exif\0\0"
"""How EXIF begins in a JPEG, and with some writers in other files too."""


class Kept:
    """What to keep of a file: pieces of it, and bytes in the place of others."""

    def __init__(self) -> None:
        self.pieces: list[range | bytes] = []
        self.frames = self.scans = self.seen = 0
        self.width = self.height = 0
        """How far the frames of a GIF reach."""
        self.exif = b""
        """How its EXIF begins, which is not kept."""

    def add(self, start: int, end: int) -> None:
        """Keep the bytes of the file from ``start`` up to ``end``."""
        if self.pieces and isinstance(last := self.pieces[-1], range) and last.stop == start:
            self.pieces[-1] = range(last.start, end)
        else:
            self.pieces.append(range(start, end))

    def put(self, data: bytes) -> None:
        """Put bytes that the file does not have."""
        self.pieces.append(data)

    def count_frame(self) -> None:
        self.frames += 1
        if self.frames > MAX_FRAMES:
            raise ValueError("too many frames")

    def count_piece(self) -> None:
        self.seen += 1
        if self.seen > MAX_PIECES:
            raise ValueError("too many pieces")

    def count_scan(self) -> None:
        self.scans += 1
        if self.scans > MAX_SCANS:
            raise ValueError("too many scans")

    def note_exif(self, file: IO[bytes], start: int, end: int) -> None:
        """Look at the EXIF that stands from ``start`` up to ``end``, where it is the first."""
        self.exif = self.exif or read_exactly(file, start, min(end - start, EXIF_SIZE)).removeprefix(EXIF)

    @property
    def size(self) -> int:
        """How many bytes are kept."""
        return sum(map(len, self.pieces))

    def write(self, file: IO[bytes], target: IO[bytes]) -> None:
        """Copy what is kept of ``file`` to ``target``; raises ``ValueError`` where ``file`` ends within it."""
        for piece in self.pieces:
            if isinstance(piece, bytes):
                target.write(piece)
                continue
            for at in range(piece.start, piece.stop, BLOCK_SIZE):
                target.write(read_exactly(file, at, min(BLOCK_SIZE, piece.stop - at)))


def read_exactly(file: IO[bytes], at: int, size: int) -> bytes:
    """Return so many bytes of ``file`` from ``at``; raises ``ValueError`` where it ends before."""
    file.seek(at)
    data = file.read(size)
    if len(data) != size:
        raise ValueError("the file ends too early")
    return data
