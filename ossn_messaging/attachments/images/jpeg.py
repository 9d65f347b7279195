"""JPEG (ITU T.81, annex B)."""

import functools
import hashlib
import io
import math
import re
from typing import Any, cast

from PIL import Image, JpegImagePlugin

from ossn_messaging.attachments.images.orientation import (
    EXIF_PREFIX,
    FLIPS_HEIGHT,
    FLIPS_WIDTH,
    SWAPS_AXES,
    TRANSFORMS,
    check_canvas,
    read_orientation,
)
from ossn_messaging.attachments.images.surplus import SLACK, trim

IMAGE_MARKERS = {*range(0xC0, 0xD0), 0xDB, 0xDD} - {0xC8}
"""Sizes, tables and intervals (ITU T.81, table B.1)."""
MARKERS_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
START, END = b"\xff\xd8", b"\xff\xd9"
START_OF_SCAN = 0xDA
LOOK_AHEAD = bytes(8)
"""libjpeg reads so far ahead. If the end is missing, these bytes let it decode the last block, but no others."""
MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)
MARKER_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
WRITABLE_SAMPLINGS = {False: {0, 1, 2}, True: {0, 2}}
"""As Pillow numbers 4:4:4, 4:2:2 and 4:2:0. It writes 4:2:2 only with the axes as they are."""
LARGEST_BLOCK = 16
"""In pixels, of the width and height."""
NOISE = bytes(37 * number % 251 for number in range(SLACK))
"""If a decoder reads these bytes in place of its data, the image is another one."""
FINER = 2
"""If blocks do not stay the same, steps are divided by this number. So photographs stay above 38 dB."""


def sanitize(content: bytes, max_pixels: int) -> bytes:
    """Return the first image of a JPEG without metadata."""
    (head, *scans), exif, end = select_segments(content)
    orientation = read_orientation(exif)
    with _open(head + b"".join(scans) + end) as image:
        check_canvas(image.width, image.height, max_pixels)
        if orientation in TRANSFORMS:
            return apply_orientation(image, orientation)
        _decode(image)
    *before, last, _behind = scans  # no decoder reads the segments behind the last scan
    head += b"".join(before)
    if before:
        pixels = functools.cache(lambda: _read_half(head + last + END))
        last = trim(last, lambda scan: _read_half(head + scan + NOISE + END) == pixels())
    else:
        last = trim(last, lambda scan: _is_complete(head + scan))
    return head + last + END


def _open(content: bytes) -> JpegImagePlugin.JpegImageFile:
    return cast("JpegImagePlugin.JpegImageFile", Image.open(io.BytesIO(content), formats=["JPEG"]))


def _decode(image: Image.Image) -> None:
    """Decode all data, but keep only an eighth of the width and height, which takes less memory and time."""
    image.draft(None, (1, 1))
    image.load()


def _is_complete(content: bytes) -> bool:
    """Return whether a JPEG of one scan, without its end, has all blocks."""
    try:
        with _open(content) as image:
            _decode(image)
    except OSError:
        return False
    return True


def _read_half(content: bytes) -> bytes | None:
    """Return a hash of the image at half its width and height, which is quicker and shows what the scan changes.

    Return ``None`` if the content is damaged.
    """
    try:
        with _open(content) as image:
            image.draft(None, (image.width // 2, image.height // 2))
            return hashlib.sha256(image.tobytes()).digest()
    except OSError:
        return None


def select_segments(content: bytes) -> tuple[list[bytes], bytes, bytes]:
    """Return the segments before the first scan, each scan and the segments behind it; the EXIF; and the end.

    Like libjpeg, pass over bytes that stand where a marker is expected.
    """
    parts, exif, at = [bytearray(START)], b"", 2
    while found := MARKER.search(content, at):
        if found[0] == END:
            break
        marker, at = found[1][0], found.end()
        if marker in MARKERS_WITHOUT_LENGTH:
            continue
        end = at + max(2, int.from_bytes(content[at : at + 2], "big"))
        data = content[at + 2 : end]
        if marker == START_OF_SCAN:
            next_marker = MARKER_AFTER_SCAN.search(content, end)
            end = next_marker.start() if next_marker else len(content.rstrip(b"\xff"))
            parts += bytearray(found[0] + content[at:end]), bytearray()
        elif marker == 0xE1 and data.startswith(EXIF_PREFIX):
            exif = exif or data
        else:
            parts[-1] += _select_segment(marker, data)
        at = end
    return list(map(bytes, parts)), exif, END if found else LOOK_AHEAD


def _select_segment(marker: int, data: bytes) -> bytes:
    """Return what belongs to the image of a segment."""
    if marker == 0xE0 and data.startswith(b"JFIF\0") and len(data) >= 14:
        data = data[:12] + b"\0\0"  # without the thumbnail
    elif marker == 0xEE and data.startswith(b"Adobe") and len(data) >= 12:
        data = data[:12]
    elif marker not in IMAGE_MARKERS and not (marker == 0xE2 and data.startswith(b"ICC_PROFILE\0")):
        return b""
    return bytes([0xFF, marker]) + (len(data) + 2).to_bytes(2, "big") + data


def apply_orientation(image: JpegImagePlugin.JpegImageFile, orientation: int) -> bytes:
    """Return the image upright, encoded with its own tables, or with finer ones if its blocks do not stay the same."""
    swaps = orientation in SWAPS_AXES
    sampling = JpegImagePlugin.get_sampling(image) if image.mode == "RGB" else 0
    is_rgb = image.mode == "RGB" and image.info.get("adobe_transform") == 0
    keeps_blocks = not (
        is_rgb
        or (image.width % LARGEST_BLOCK and orientation in FLIPS_WIDTH)
        or (image.height % LARGEST_BLOCK and orientation in FLIPS_HEIGHT)
        or sampling not in WRITABLE_SAMPLINGS[swaps]
    )
    tables = [table for _number, table in sorted(image.quantization.items())]
    if image.mode == "CMYK":
        tables = tables[:1]  # the image may be coded as YCCK, but Pillow writes CMYK
    if not keeps_blocks:
        tables = [[math.ceil(step / FINER) for step in table] for table in tables]
    if swaps:
        tables = [[table[at % 8 * 8 + at // 8] for at in range(64)] for table in tables]
    options: dict[str, Any] = {
        "qtables": tables,
        "subsampling": sampling if keeps_blocks else 0,
        "icc_profile": image.info.get("icc_profile"),
        "dpi": image.info.get("dpi", (0, 0))[:: -1 if swaps else 1],
    }
    progressive = "progressive" in image.info
    upright = image.transpose(TRANSFORMS[orientation])
    try:
        return _save(upright, progressive=progressive, **options)
    except OSError:  # an image that hardly compresses exceeds Pillow's buffer, unless it is written row by row
        return _save(upright, **options)


def _save(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()
