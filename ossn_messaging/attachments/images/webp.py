"""What a WebP is built of, and which chunks are the picture and nothing about its maker (RFC 9649)."""

import struct
from collections.abc import Iterator
from typing import IO

from ossn_messaging.attachments.images.kept import Kept, read_exactly

LOSSY = b"VP8 "
FRAME = {b"ALPH", LOSSY, b"VP8L"}
CHUNKS = FRAME | {b"VP8X", b"ANIM", b"ICCP"}
"""The chunks of a picture, of its frames and its colour profile (RFC 9649). Each stands once, or once in a frame."""
METADATA = 0x08 | 0x04
"""The flags that announce EXIF and XMP."""


def chunks(file: IO[bytes], at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each chunk from ``at`` up to ``end``, and where in the file it begins and ends."""
    while at + 8 <= end:
        name, length = struct.unpack("<4sI", read_exactly(file, at, 8))
        if at + 8 + length > end:
            raise ValueError("a chunk is too long")
        yield name, at, at + 8 + length + length % 2
        at += 8 + length + length % 2


def keep(file: IO[bytes]) -> Kept:
    """Keep a WebP with only the chunks of ``CHUNKS``, its header and its flags made to fit."""
    content = Kept()
    once: set[bytes] = set()
    form, size, kind = struct.unpack("<4sI4s", read_exactly(file, 0, 12))
    if (form, kind) != (b"RIFF", b"WEBP"):
        raise ValueError("no header")
    for name, start, end in chunks(file, 12, 8 + size):
        content.count_piece()
        if name == b"ANMF":
            content.count_frame()
            _keep_frame(file, start, end, content)
        elif name == b"EXIF":
            content.note_exif(file, start + 8, end)
        elif name in once or name not in CHUNKS:
            continue
        elif name == b"VP8X":
            content.add(start, start + 8)
            content.put(bytes([read_exactly(file, start + 8, 1)[0] & ~METADATA]))
            content.add(start + 9, end)
        elif name == b"ANIM":
            content.put(struct.pack("<4sI", name, 6) + read_exactly(file, start + 8, 6))
        else:
            content.add(start, end)
        once.add(name)
    content.frames = content.frames or 1
    content.pieces.insert(0, b"RIFF" + (4 + content.size).to_bytes(4, "little") + b"WEBP")
    return content


def _keep_frame(file: IO[bytes], start: int, end: int, content: Kept) -> None:
    """Keep a frame of an animation with only the chunks of ``FRAME``."""
    frame = Kept()
    frame.add(start + 8, start + 24)
    once: set[bytes] = set()
    for name, inner_start, inner_end in chunks(file, start + 24, end):
        content.count_piece()
        if name in FRAME - once:
            frame.add(inner_start, inner_end)
            once.add(name)
    content.put(struct.pack("<4sI", b"ANMF", frame.size))
    content.pieces += frame.pieces
