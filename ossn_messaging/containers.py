"""What the files of pictures are built of, and which pieces are the picture and nothing about its maker.

Each function of ``READERS`` reads how a file is built, up to its end, and returns what to keep of it. All of them raise
``ValueError`` where it is not built as it must be, or has more than ``MAX_FRAMES`` frames, ``MAX_SCANS`` scans or
``MAX_PIECES`` pieces.
"""

import re
import struct
from collections.abc import Callable, Iterator
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
        self.exif = self.exif or _read(file, start, min(end - start, EXIF_SIZE)).removeprefix(EXIF)

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


EXIF = b"Exif\0\0"
"""How EXIF begins in a JPEG, and with some writers in other files too."""


def _jpeg(file: IO[bytes]) -> Kept:
    """Keep a JPEG, the first where there are more, without the segments that hold metadata (ITU T.81, annex B)."""
    kept = Kept()
    kept.count_frame()
    kept.add(0, 2)
    at, marker = 2, 0
    while marker != 0xD9:
        kept.count_piece()
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
            kept.count_scan()
            end = _end_of_scan(file, end)
        _jpeg_segment(file, marker, at, end, kept)
        at = end
    return kept


JPEG_PICTURE = {*range(0xC0, 0xD0), 0xD9, 0xDA, 0xDB, 0xDD} - {0xC8}
"""The markers of tables, sizes and scans (ITU T.81, table B.1)."""
JPEG_PASSED_OVER = {0xDC, 0xFE}
"""The number of lines, which decoders pass over, and comments."""
JPEG_PROFILE = b"ICC_PROFILE\0"


def _jpeg_segment(file: IO[bytes], marker: int, at: int, end: int, kept: Kept) -> None:
    """Keep what is the picture's of a segment, or of a scan, from ``at`` up to ``end``."""
    beginning = _read(file, at + 4, min(12, max(0, end - at - 4)))
    if marker in JPEG_PICTURE or (marker == 0xE2 and beginning == JPEG_PROFILE):
        kept.add(at, end)
    elif marker == 0xE0 and beginning.startswith(b"JFIF\0"):
        kept.put(b"\xff\xe0\x00\x10" + beginning + b"\0\0")  # without its thumbnail
    elif marker == 0xEE and beginning.startswith(b"Adobe"):
        kept.put(b"\xff\xee\x00\x0e" + beginning)
    elif marker == 0xE1 and beginning.startswith(EXIF):
        kept.note_exif(file, at + 4, end)
    elif not (0xE0 <= marker <= 0xEF or marker in JPEG_PASSED_OVER):
        raise ValueError("a marker that has no place here")


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


PNG_ONCE = {
    b"IHDR": 13,
    b"PLTE": 768,
    b"tRNS": 256,
    b"bKGD": 6,
    b"hIST": 512,
    b"pHYs": 9,
    b"acTL": 8,
    b"gAMA": 4,
    b"cHRM": 32,
    b"sRGB": 1,
    b"cICP": 4,
    b"mDCV": 24,
    b"cLLI": 8,
    b"sBIT": 4,
    b"iCCP": 4 * 1024 * 1024,
}
"""The chunks that stand once, before the data, and their greatest length (PNG, 3rd ed., 11): no profile is longer."""
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


def png_chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each chunk up to the last, and where in the file it begins and ends."""
    at, name = 8, b""
    while name != b"IEND":
        length, name = struct.unpack(">I4s", _read(file, at, 8))
        _read(file, at + 11 + length, 1)
        yield name, at, at + 12 + length
        at += 12 + length


def _png(file: IO[bytes]) -> Kept:
    """Keep a PNG with only the chunks of its picture, of its frames and of ``PNG_ONCE``."""
    kept = Kept()
    kept.add(0, 8)
    kept.count_frame()
    once: dict[bytes, bytes] = {}
    controls, has_data = 0, False
    for name, start, end in png_chunks(file):
        kept.count_piece()
        if name in PNG_ONCE and name not in once and not has_data:
            if end - start - 12 > PNG_ONCE[name]:
                raise ValueError("a chunk is too long")
            once[name] = _read(file, start + 8, end - start - 12)
            kept.add(start, end)
        elif name == b"eXIf":
            kept.note_exif(file, start + 8, end - 4)
        elif name == b"fcTL":
            controls += 1
            kept.add(start, end)
            if has_data:  # else it is about the picture that those see who see no animation
                kept.count_frame()
        elif name == b"IDAT" or (name == b"fdAT" and kept.frames > 1):
            has_data = True
            kept.add(start, end)
    kept.put(PNG_END)
    if controls != int.from_bytes(once.get(b"acTL", b"")[:4], "big"):
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
        kept.count_piece()
        if introducer == b"\x2c":
            kept.count_frame()
            left, top, width, height = struct.unpack("<HHHH", _read(file, at + 1, 8))
            kept.width, kept.height = max(kept.width, left + width), max(kept.height, top + height)
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
    while True:
        file.seek(at)
        block = file.read(BLOCK_SIZE)
        if not block:
            raise ValueError("the file ends too early")
        size, position = 1, 0
        while position < len(block) and (size := block[position]):
            position += 1 + size
        at += position
        if not size:
            return at + 1


WEBP_LOSSY = b"VP8 "
WEBP_FRAME = {b"ALPH", WEBP_LOSSY, b"VP8L"}
WEBP_CHUNKS = WEBP_FRAME | {b"VP8X", b"ANIM", b"ICCP"}
"""The chunks of a picture, of its frames and its colour profile (RFC 9649). Each stands once, or once in a frame."""
WEBP_METADATA = 0x08 | 0x04
"""The flags that announce EXIF and XMP."""


def webp_chunks(file: IO[bytes], at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each chunk from ``at`` up to ``end``, and where in the file it begins and ends."""
    while at + 8 <= end:
        name, length = struct.unpack("<4sI", _read(file, at, 8))
        if at + 8 + length > end:
            raise ValueError("a chunk is too long")
        yield name, at, at + 8 + length + length % 2
        at += 8 + length + length % 2


def _webp(file: IO[bytes]) -> Kept:
    """Keep a WebP with only the chunks of ``WEBP_CHUNKS``, its header and its flags made to fit."""
    content = Kept()
    once: set[bytes] = set()
    form, size, kind = struct.unpack("<4sI4s", _read(file, 0, 12))
    if (form, kind) != (b"RIFF", b"WEBP"):
        raise ValueError("no header")
    for name, start, end in webp_chunks(file, 12, 8 + size):
        content.count_piece()
        if name == b"ANMF":
            content.count_frame()
            _webp_frame(file, start, end, content)
        elif name == b"EXIF":
            content.note_exif(file, start + 8, end)
        elif name in once or name not in WEBP_CHUNKS:
            continue
        elif name == b"VP8X":
            content.add(start, start + 8)
            content.put(bytes([_read(file, start + 8, 1)[0] & ~WEBP_METADATA]))
            content.add(start + 9, end)
        elif name == b"ANIM":
            content.put(struct.pack("<4sI", name, 6) + _read(file, start + 8, 6))
        else:
            content.add(start, end)
        once.add(name)
    content.frames = content.frames or 1
    content.pieces.insert(0, b"RIFF" + (4 + content.size).to_bytes(4, "little") + b"WEBP")
    return content


def _webp_frame(file: IO[bytes], start: int, end: int, content: Kept) -> None:
    """Keep a frame of an animation with only the chunks of ``WEBP_FRAME``."""
    frame = Kept()
    frame.add(start + 8, start + 24)
    once: set[bytes] = set()
    for name, inner_start, inner_end in webp_chunks(file, start + 24, end):
        content.count_piece()
        if name in WEBP_FRAME - once:
            frame.add(inner_start, inner_end)
            once.add(name)
    content.put(struct.pack("<4sI", b"ANMF", frame.size))
    content.pieces += frame.pieces


READERS: dict[str, Callable[[IO[bytes]], Kept]] = {"JPEG": _jpeg, "PNG": _png, "GIF": _gif, "WEBP": _webp}
"""By Pillow's name of the format."""
