"""What a PNG is built of, and which chunks are the picture and nothing about its maker (PNG, third edition)."""

import struct
from collections.abc import Iterator
from typing import IO

from ossn_messaging.attachments.images.kept import Kept, read_exactly

ONCE = {
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
END = b"\0\0\0\0IEND\xaeB`\x82"


def chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each chunk up to the last, and where in the file it begins and ends."""
    at, name = 8, b""
    while name != b"IEND":
        length, name = struct.unpack(">I4s", read_exactly(file, at, 8))
        read_exactly(file, at + 11 + length, 1)
        yield name, at, at + 12 + length
        at += 12 + length


def keep(file: IO[bytes]) -> Kept:
    """Keep a PNG with only the chunks of its picture, of its frames and of ``ONCE``."""
    kept = Kept()
    kept.add(0, 8)
    kept.count_frame()
    once: set[bytes] = set()
    announced = controls = 0
    has_data = False
    for name, start, end in chunks(file):
        kept.count_piece()
        if name in ONCE and name not in once and not has_data:
            if end - start - 12 > ONCE[name]:
                raise ValueError("a chunk is too long")
            once.add(name)
            kept.add(start, end)
            if name == b"acTL":
                announced = int.from_bytes(read_exactly(file, start + 8, 4), "big")
        elif name == b"eXIf":
            kept.note_exif(file, start + 8, end - 4)
        elif name == b"fcTL":
            controls += 1
            kept.add(start, end)
            if has_data:  # else it is about the picture that those see who see no animation
                kept.count_frame()
        elif name == (b"fdAT" if kept.frames > 1 else b"IDAT"):
            has_data = True
            kept.add(start, end)
    kept.put(END)
    if controls != announced:
        raise ValueError("there are other frames than are announced")
    return kept
