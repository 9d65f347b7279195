"""What the files of pictures are built of, and which pieces are the picture and nothing about its maker.

Each function of ``READERS`` reads how a file is built, up to its end, and returns what to keep of it. All of them raise
``ValueError`` where it is not built as it must be, or has more than ``MAX_FRAMES`` frames.
"""

import re
import struct
from collections.abc import Callable, Iterator
from typing import IO

MAX_FRAMES = 10_000
"""No picture of the real world has more, and each of them costs time, however small it is."""
BLOCK_SIZE = 64 * 1024
"""In bytes, how much of a file is in memory at once."""


class Kept:
    """What to keep of a file: pieces of it, and bytes in the place of others."""

    def __init__(self) -> None:
        self.pieces: list[range | bytes] = []
        self.frames = 0

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
                target.write(_read(file, at, min(BLOCK_SIZE, piece.stop - at)))


def _read(file: IO[bytes], at: int, size: int) -> bytes:
    file.seek(at)
    data = file.read(size)
    if len(data) != size:
        raise ValueError("the file ends too early")
    return data


def _jpeg(file: IO[bytes]) -> Kept:
    """Keep a JPEG, the first where there are more, without the segments that hold metadata (ITU T.81, annex B)."""
    kept = Kept()
    kept.count_frame()
    kept.add(0, 2)
    at, marker = 2, 0
    while marker != 0xD9:
        prefix, marker = _read(file, at, 2)
        if prefix != 0xFF:
            raise ValueError("no marker where one must stand")
        if marker == 0xFF:  # a byte of filling
            at += 1
            continue
        end = at + 2
        if marker != 0xD9:
            end += int.from_bytes(_read(file, end, 2), "big")
        if marker == 0xDA:
            end = _end_of_scan(file, end)
        if marker == 0xE0 and _read(file, at + 4, 5) == b"JFIF\0":
            kept.put(b"\xff\xe0\x00\x10" + _read(file, at + 4, 12) + b"\0\0")  # without its thumbnail
        elif marker in JPEG_KEPT:
            if _read(file, at + 4, len(JPEG_KEPT[marker])) == JPEG_KEPT[marker]:
                kept.add(at, end)
        elif not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.add(at, end)
        at = end
    return kept


JPEG_KEPT = {0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
"""The application segments, and how they begin, that say how the colours are meant."""
JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7]", re.DOTALL)
"""What ends a scan: any marker but those of its restarts."""


def _end_of_scan(file: IO[bytes], at: int) -> int:
    while True:
        file.seek(at)
        block = file.read(BLOCK_SIZE)
        found = JPEG_MARKER.search(block)
        if found:
            return at + found.start()
        if len(block) < 2:
            raise ValueError("the file ends too early")
        at += len(block) - 1  # which may be the first byte of a marker


PNG_CHUNKS = {
    *(b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"sBIT"),
    *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"bKGD", b"hIST", b"pHYs", b"sPLT", b"iCCP"),
    *(b"acTL", b"fcTL", b"fdAT"),
}


def png_chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each chunk up to the last, and where in the file it begins and ends."""
    at, name = 8, b""
    while name != b"IEND":
        length, name = struct.unpack(">I4s", _read(file, at, 8))
        yield name, at, at + 12 + length
        at += 12 + length


def _png(file: IO[bytes]) -> Kept:
    """Keep a PNG with only the chunks of ``PNG_CHUNKS``."""
    kept = Kept()
    kept.add(0, 8)
    kept.count_frame()
    announced = controls = 0
    has_data = False
    for name, start, end in png_chunks(file):
        if name in PNG_CHUNKS:
            kept.add(start, end)
        if name == b"acTL":
            announced = int.from_bytes(_read(file, start + 8, 4), "big")
        elif name == b"IDAT":
            has_data = True
        elif name == b"fcTL":
            controls += 1
            if has_data:  # else it is about the picture that those see who see no animation
                kept.count_frame()
    if controls != announced:
        raise ValueError("there are other frames than are announced")
    return kept


GIF_APPLICATIONS = {b"NETSCAPE2.0", b"ANIMEXTS1.0"}
"""Those whose block says how often an animation is repeated."""
GIF_PROFILE = b"ICCRGBG1012"


def _gif(file: IO[bytes]) -> Kept:
    """Keep a GIF without comments, plain text and foreign applications (GIF89a); nothing may follow it."""
    kept = Kept()
    at = 13 + _colour_table(_read(file, 10, 1)[0])
    kept.add(0, at)
    while (introducer := _read(file, at, 1)) != b"\x3b":
        if introducer == b"\x2c":
            kept.count_frame()
            end = _end_of_blocks(file, at + 10 + _colour_table(_read(file, at + 9, 1)[0]) + 1)
            kept.add(at, end)
        elif introducer == b"\x21":
            end = _gif_extension(file, at, kept)
        else:
            raise ValueError("no block where one must stand")
        at = end
    kept.add(at, at + 1)
    file.seek(at + 1)
    while block := file.read(BLOCK_SIZE):
        if block.strip(b"\0"):
            raise ValueError("something follows the picture")
    return kept


def _gif_extension(file: IO[bytes], at: int, kept: Kept) -> int:
    """Keep what is the picture's of an extension, and return where it ends."""
    label, size = _read(file, at + 1, 2)
    end = _end_of_blocks(file, at + 2)
    if label == 0xF9 and size == 4:
        kept.add(at, at + 7)
        kept.put(b"\0")
    elif label == 0xFF and size == 11:
        application = _read(file, at + 3, 11)
        if application in GIF_APPLICATIONS and _read(file, at + 14, 2) == b"\x03\x01":
            kept.add(at, at + 18)
            kept.put(b"\0")
        elif application == GIF_PROFILE:
            kept.add(at, end)
    return end


def _colour_table(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _end_of_blocks(file: IO[bytes], at: int) -> int:
    while size := _read(file, at, 1)[0]:
        at += 1 + size
    return at + 1


WEBP_LOSSY = b"VP8 "
WEBP_FRAME = {b"ALPH", WEBP_LOSSY, b"VP8L"}
WEBP_CHUNKS = WEBP_FRAME | {b"VP8X", b"ANIM", b"ANMF", b"ICCP"}
"""The chunks of a picture, of its frames and its colour profile (RFC 9649)."""
WEBP_METADATA = 0x08 | 0x04
"""The flags that announce EXIF and XMP."""


def webp_chunks(file: IO[bytes], at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each chunk from ``at`` up to ``end``, and where in the file it begins and ends."""
    while at + 8 <= end:
        name, length = struct.unpack("<4sI", _read(file, at, 8))
        yield name, at, at + 8 + length + length % 2
        at += 8 + length + length % 2


def _webp(file: IO[bytes]) -> Kept:
    """Keep a WebP with only the chunks of ``WEBP_CHUNKS``, its header and its flags made to fit."""
    content = Kept()
    for name, start, end in webp_chunks(file, 12, 8 + int.from_bytes(_read(file, 4, 4), "little")):
        if name == b"VP8X":
            content.add(start, start + 8)
            content.put(bytes([_read(file, start + 8, 1)[0] & ~WEBP_METADATA]))
            content.add(start + 9, end)
        elif name == b"ANMF":
            content.count_frame()
            frame = Kept()
            frame.add(start + 8, start + 24)
            for inner, inner_start, inner_end in webp_chunks(file, start + 24, end):
                if inner in WEBP_FRAME:
                    frame.add(inner_start, inner_end)
            content.put(struct.pack("<4sI", name, frame.size))
            content.pieces += frame.pieces
        elif name in WEBP_CHUNKS:
            content.add(start, end)
    content.frames = content.frames or 1
    content.pieces.insert(0, b"RIFF" + (4 + content.size).to_bytes(4, "little") + b"WEBP")
    return content


READERS: dict[str, Callable[[IO[bytes]], Kept]] = {"JPEG": _jpeg, "PNG": _png, "GIF": _gif, "WEBP": _webp}
"""By Pillow's name of the format."""
