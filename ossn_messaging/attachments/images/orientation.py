"""The limit of a canvas, and the orientation of an image."""

import struct

from PIL import Image

from ossn_messaging.attachments.rules import Reason, Rejected

EXIF_PREFIX = b"Exif\0\0"
"""The start of EXIF in a JPEG. Some programs write it in other formats too."""
ORIENTATION_TAG, SHORT = 0x0112, 3
TRANSFORMS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by its orientation (Exif 2.32, 4.6.4 A)."""
FLIPS_WIDTH, FLIPS_HEIGHT, SWAPS_AXES = {2, 3, 7, 8}, {3, 4, 6, 7}, {5, 6, 7, 8}
"""The orientations of which the transform flips or swaps the axes of the stored image."""


def check_canvas(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise Rejected(Reason.TOO_MANY_PIXELS)


def read_orientation(exif: bytes) -> int:
    """Return the orientation that EXIF names, 1 if it names none that turns an image. No other tag is read."""
    exif = exif.removeprefix(EXIF_PREFIX)
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if not order:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, value = struct.unpack_from(f"{order}HH4xH", exif, at)
            if (tag, kind) == (ORIENTATION_TAG, SHORT):
                return int(value) if value in TRANSFORMS else 1
    except struct.error:  # EXIF is cut off
        pass
    return 1


def transform_box(box: tuple[int, int, int, int], canvas: tuple[int, int], orientation: int) -> tuple[int, ...]:
    """Return the width, height, left and top that a part of the canvas has in the upright image."""
    width, height, left, top = box
    if orientation in FLIPS_WIDTH:
        left = canvas[0] - left - width
    if orientation in FLIPS_HEIGHT:
        top = canvas[1] - top - height
    return (height, width, top, left) if orientation in SWAPS_AXES else (width, height, left, top)
