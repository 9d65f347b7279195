"""What a GIF is built of, and which blocks are the picture and nothing about its maker (GIF89a)."""

import struct
from typing import IO

from ossn_messaging.attachments.images.kept import BLOCK_SIZE, Kept, read_exactly

APPLICATIONS = {b"NETSCAPE2.0", b"ANIMEXTS1.0"}
"""Those whose block says how often an animation is repeated."""
PROFILE = b"ICCRGBG1012"


def keep(file: IO[bytes]) -> Kept:
    """Keep a GIF without comments, plain text and foreign applications (GIF89a); nothing may follow it."""
    kept = Kept()
    at = 13 + _colour_table(read_exactly(file, 10, 1)[0])
    kept.add(0, at)
    while (introducer := read_exactly(file, at, 1)) != b"\x3b":
        kept.count_piece()
        if introducer == b"\x2c":
            kept.count_frame()
            left, top, width, height = struct.unpack("<HHHH", read_exactly(file, at + 1, 8))
            kept.width, kept.height = max(kept.width, left + width), max(kept.height, top + height)
            end = _end_of_blocks(file, at + 10 + _colour_table(read_exactly(file, at + 9, 1)[0]) + 1)
            kept.add(at, end)
        elif introducer == b"\x21":
            end = _keep_extension(file, at, kept)
        else:
            raise ValueError("no block where one must stand")
        at = end
    kept.add(at, at + 1)
    file.seek(at + 1)
    while block := file.read(BLOCK_SIZE):
        if block.strip(b"\0"):
            raise ValueError("something follows the picture")
    return kept


def _keep_extension(file: IO[bytes], at: int, kept: Kept) -> int:
    """Keep what is the picture's of an extension, and return where it ends."""
    label, size = read_exactly(file, at + 1, 2)
    end = _end_of_blocks(file, at + 2)
    if label == 0xF9 and size == 4:
        kept.add(at, at + 7)
        kept.put(b"\0")
    elif label == 0xFF and size == 11:
        application = read_exactly(file, at + 3, 11)
        if application in APPLICATIONS and read_exactly(file, at + 14, 2) == b"\x03\x01":
            kept.add(at, at + 18)
            kept.put(b"\0")
        elif application == PROFILE:
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
        position = 0
        while position < len(block) and (size := block[position]):
            position += 1 + size
        at += position
        if not size:
            return at + 1
