"""What a JPEG is built of, and which segments are the picture and nothing about its maker (ITU T.81, annex B)."""

import re
from typing import IO

from ossn_messaging.attachments.images.kept import BLOCK_SIZE, EXIF, Kept, read_exactly


def keep(file: IO[bytes]) -> Kept:
    """Keep a JPEG, the first where there are more, without the segments that hold metadata (ITU T.81, annex B)."""
    kept = Kept()
    kept.count_frame()
    kept.add(0, 2)
    at, marker = 2, 0
    while marker != 0xD9:
        kept.count_piece()
        prefix, marker = read_exactly(file, at, 2)
        if prefix != 0xFF:
            raise ValueError("no marker where one must stand")
        if marker == 0xFF:  # a byte of filling
            at += 1
            continue
        end = at + 2
        if marker != 0xD9:
            end += int.from_bytes(read_exactly(file, end, 2), "big")
        if marker == 0xDA:
            kept.count_scan()
            end = _end_of_scan(file, end)
        _keep_segment(file, marker, at, end, kept)
        at = end
    return kept


PICTURE = {*range(0xC0, 0xD0), 0xD9, 0xDA, 0xDB, 0xDD} - {0xC8}
"""The markers of tables, sizes and scans (ITU T.81, table B.1)."""
PASSED_OVER = {0xDC, 0xFE}
"""The number of lines, which decoders pass over, and comments."""
PROFILE = b"ICC_PROFILE\0"


def _keep_segment(file: IO[bytes], marker: int, at: int, end: int, kept: Kept) -> None:
    """Keep what is the picture's of a segment, or of a scan, from ``at`` up to ``end``."""
    # One that is shorter is none of those below. Made longer, it would swallow the beginning of what follows, and
    # decoders would find other segments, and more scans, than are counted here.
    beginning = read_exactly(file, at + 4, 12) if end - at >= 16 else b""
    if marker in PICTURE or (marker == 0xE2 and beginning == PROFILE):
        kept.add(at, end)
    elif marker == 0xE0 and beginning.startswith(b"JFIF\0"):
        kept.put(b"\xff\xe0\x00\x10" + beginning + b"\0\0")  # without its thumbnail
    elif marker == 0xEE and beginning.startswith(b"Adobe"):
        kept.put(b"\xff\xee\x00\x0e" + beginning)
    elif marker == 0xE1 and beginning.startswith(EXIF):
        kept.note_exif(file, at + 4, end)
    elif not (0xE0 <= marker <= 0xEF or marker in PASSED_OVER):
        raise ValueError("a marker that has no place here")


MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7]", re.DOTALL)
"""What ends a scan: any marker but those of its restarts."""


def _end_of_scan(file: IO[bytes], at: int) -> int:
    while True:
        file.seek(at)
        block = file.read(BLOCK_SIZE)
        found = MARKER.search(block)
        if found:
            return at + found.start()
        if len(block) < 2:
            raise ValueError("the file ends too early")
        at += len(block) - 1  # which may be the first byte of a marker
