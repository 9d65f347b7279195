"""How a picture is held, as its metadata says, and what makes it upright."""

import struct
from typing import NamedTuple

from PIL import Image

ORIENTATION = 0x0112
"""The tag of EXIF that says how to turn the picture (Exif 2.32, 4.6.4 A)."""
SHORT = 3
"""The type of its value (TIFF 6.0, section 2)."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What each of its values asks for."""
MIRRORS_WIDTH, MIRRORS_HEIGHT, TRANSPOSES = {2, 3, 7, 8}, {3, 4, 6, 7}, {5, 6, 7, 8}
"""The values that put the left end of the stored rows right, the stored columns upside down, and columns for rows."""


def orientation_of(exif: bytes) -> int:
    """Return how the metadata of a picture says to turn it, 1 for not at all.

    Of the metadata, no more than this one tag is read.
    """
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if not order:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for number in range(count):
            tag, kind, value = struct.unpack_from(f"{order}HH4xH", exif, start + 2 + 12 * number)
            if (tag, kind) == (ORIENTATION, SHORT):
                return int(value)
    except struct.error:  # it ends too early
        pass
    return 1


class Box(NamedTuple):
    """A part of a picture, in pixels from its top left corner."""

    left: int
    top: int
    width: int
    height: int


def turned_box(box: Box, canvas: tuple[int, int], orientation: int) -> Box:
    """Return where a part of a picture of this width and height is once that is upright."""
    left, top, width, height = box
    if orientation in MIRRORS_WIDTH:
        left = canvas[0] - left - width
    if orientation in MIRRORS_HEIGHT:
        top = canvas[1] - top - height
    return Box(top, left, height, width) if orientation in TRANSPOSES else Box(left, top, width, height)
