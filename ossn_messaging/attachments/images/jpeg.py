"""JPEG (ITU T.81, annex B)."""

import io
import re
from typing import Any, cast

from PIL import Image, JpegImagePlugin

from ossn_messaging.attachments.images.orientation import (
    EXIF_PREFIX,
    SWAPS_AXES,
    TRANSFORMS,
    check_canvas,
    read_orientation,
)
from ossn_messaging.attachments.images.surplus import trim

IMAGE_MARKERS = {*range(0xC0, 0xD0), 0xDB, 0xDD} - {0xC8}
"""Sizes, tables and intervals (ITU T.81, table B.1)."""
MARKERS_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
START, END = b"\xff\xd8", b"\xff\xd9"
START_OF_SCAN = 0xDA
MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)
MARKER_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
SAMPLING_4_4_4, SAMPLING_4_2_2 = 0, 1
"""As Pillow numbers them. It writes 4:2:2 only with the axes as they are."""


def sanitize(content: bytes, max_pixels: int) -> bytes:
    """Return the first image of a JPEG without metadata."""
    head, scans, exif, end = select_segments(content)
    orientation = read_orientation(exif)
    with _open(head + b"".join(scans) + end) as image:
        check_canvas(image.width, image.height, max_pixels)
        if orientation in TRANSFORMS:
            return apply_orientation(image, orientation)
        _decode(image)
    if len(scans) == 1:
        scans = [trim(scans[0], lambda scan: _is_complete(head + scan))]
    return head + b"".join(scans) + END


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


def select_segments(content: bytes) -> tuple[bytes, list[bytes], bytes, bytes]:
    """Return the segments before the first scan, each scan with what follows it, the EXIF, and the end if there is one.

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
            end = next_marker.start() if next_marker else len(content)
            parts.append(bytearray(found[0] + content[at:end]))
        elif marker == 0xE1 and data.startswith(EXIF_PREFIX):
            exif = exif or data
        else:
            parts[-1] += _select_segment(marker, data)
        at = end
    head, *scans = map(bytes, parts)
    return head, scans, exif, found[0] if found else b""


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
    """Return the image upright, encoded with its own tables, which loses least."""
    swaps = orientation in SWAPS_AXES
    tables = [table for _number, table in sorted(image.quantization.items())]
    if image.mode == "CMYK":
        tables = tables[:1]  # the image may be coded as YCCK, but Pillow writes CMYK
    if swaps:
        tables = [[table[at % 8 * 8 + at // 8] for at in range(64)] for table in tables]
    sampling = JpegImagePlugin.get_sampling(image)
    if sampling < 0 or (swaps and sampling == SAMPLING_4_2_2):
        sampling = SAMPLING_4_4_4
    options: dict[str, Any] = {
        "qtables": tables,
        "subsampling": sampling,
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
