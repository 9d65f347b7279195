"""Whether a picture is one, by decoding it, and what of its file is kept: the picture, and nothing about its maker."""

import io
import struct
from collections.abc import Callable, Iterator
from typing import IO, Any

from PIL import Image, ImageOps, JpegImagePlugin

ORIENTATION = 0x0112
"""The tag of EXIF that says how to turn the picture (Exif 2.32, 4.6.4 A)."""
TURNED = range(2, 9)
"""Its values that turn or mirror the picture."""
PILLOW_FORMATS = {"JPEG": ("JPEG", "MPO"), "PNG": ("PNG",), "GIF": ("GIF",), "WEBP": ("WEBP",)}


def clean(file: IO[bytes], cleaned: IO[bytes], picture_format: str, max_pixels: int) -> None:
    """Write the picture of ``file`` to ``cleaned``, upright and without metadata.

    The pixels, frames, timing, transparency and colour profile stay to the bit; only a picture that its metadata turns
    is written anew. Raises ``ValueError`` where ``file`` is not whole, is not of ``picture_format`` (Pillow's name for
    it), or has more than ``max_pixels`` pixels in all of its frames.
    """
    try:
        file.seek(0)
        with Image.open(file, formats=PILLOW_FORMATS[picture_format]) as image:
            _decode(image, max_pixels)
            still = picture_format == "JPEG" or getattr(image, "n_frames", 1) == 1
            if still and image.getexif().get(ORIENTATION) in TURNED:
                data = _turn(image, picture_format)
            else:
                file.seek(0)
                data = file.read()
        for part in KEEPERS[picture_format](data):
            cleaned.write(part)
    # A decoder answers a broken file with whatever its code ran into: OSError, SyntaxError, struct.error...
    except Exception as error:
        raise ValueError(f"not a whole {picture_format} picture") from error


def _decode(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    frames = 0
    while True:
        frames += 1
        if width * height * frames > max_pixels:
            raise ValueError("too many pixels")
        image.load()
        try:
            image.seek(frames)
        except EOFError:
            break
    image.seek(0)


def _turn(image: Image.Image, picture_format: str) -> bytes:
    options: dict[str, Any] = {"icc_profile": image.info.get("icc_profile")}
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        options |= {
            "qtables": image.quantization,
            "subsampling": JpegImagePlugin.get_sampling(image),
            "progressive": "progression" in image.info,
        }
    elif picture_format == "WEBP":
        options |= {"lossless": True, "exact": True}
    turned = io.BytesIO()
    ImageOps.exif_transpose(image).save(turned, picture_format, **options)
    return turned.getvalue()


def _keep_jpeg(data: bytes) -> Iterator[bytes]:
    """Yield a JPEG up to its end without the segments that hold metadata (ITU T.81, annex B)."""
    yield data[:2]
    at, marker = 2, 0
    while marker != 0xD9:
        while data[at : at + 2] == b"\xff\xff":
            at += 1
        if data[at] != 0xFF:
            raise ValueError("no marker where one must stand")
        marker = data[at + 1]
        end = at + 2
        if marker != 0xD9:
            end += int.from_bytes(data[end : end + 2], "big")
        if marker == 0xDA:
            end = _end_of_scan(data, end)
        if marker == 0xE0 and data.startswith(b"JFIF\0", at + 4):
            yield b"\xff\xe0\x00\x10" + data[at + 4 : at + 16] + b"\0\0"  # without its thumbnail
        elif not (0xE0 <= marker <= 0xEF or marker == 0xFE) or data.startswith(JPEG_KEPT.get(marker, b"-"), at + 4):
            yield data[at:end]
        at = end


JPEG_KEPT = {0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
"""The application segments, and how they begin, that say how the colours are meant."""


def _end_of_scan(data: bytes, at: int) -> int:
    while True:
        at = data.index(b"\xff", at)
        if data[at + 1] not in (0x00, *range(0xD0, 0xD8)):
            return at
        at += 2


PNG_CHUNKS = {
    *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"bKGD", b"hIST", b"pHYs", b"sPLT", b"sBIT"),
    *(b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"mDCV", b"cLLI", b"acTL", b"fcTL", b"fdAT"),
}
"""What a picture consists of and how its colours are meant (PNG, third edition, 11)."""


def _keep_png(data: bytes) -> Iterator[bytes]:
    """Yield a PNG up to its end with only the chunks of ``PNG_CHUNKS``."""
    yield data[:8]
    at, name = 8, b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if name in PNG_CHUNKS:
            yield data[at:end]
        at = end


def _keep_gif(data: bytes) -> Iterator[bytes]:
    """Yield a GIF up to its end without comments, plain text and foreign application blocks (GIF89a)."""
    at = 13 + _colour_table(data[10])
    yield data[:at]
    while data[at] != 0x3B:
        if data[at] == 0x2C:
            end = _end_of_blocks(data, at + 10 + _colour_table(data[at + 9]) + 1)
            yield data[at:end]
        elif data[at] == 0x21:
            end = _end_of_blocks(data, at + 2)
            looping = data[at + 3 : at + 14] in (b"NETSCAPE2.0", b"ANIMEXTS1.0")
            if data[at + 1] == 0xF9 or (data[at + 1] == 0xFF and looping):
                yield data[at:end]
        else:
            raise ValueError("no block where one must stand")
        at = end
    yield b"\x3b"


def _colour_table(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _end_of_blocks(data: bytes, at: int) -> int:
    while data[at]:
        at += 1 + data[at]
    return at + 1


WEBP_CHUNKS = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"}
"""The chunks of a picture, of its frames and its colour profile (RFC 9649)."""
WEBP_METADATA_FLAGS = 0x08 | 0x04


def _keep_webp(data: bytes) -> Iterator[bytes]:
    """Yield a WebP with only the chunks of ``WEBP_CHUNKS``, its header and its flags made to fit."""
    end_of_file = 8 + int.from_bytes(data[4:8], "little")
    chunks, at = [], 12
    while at + 8 <= end_of_file:
        name, length = struct.unpack_from("<4sI", data, at)
        end = at + 8 + length + length % 2
        chunk = data[at:end]
        if name == b"VP8X":
            chunk = chunk[:8] + bytes([chunk[8] & ~WEBP_METADATA_FLAGS]) + chunk[9:]
        if name in WEBP_CHUNKS:
            chunks.append(chunk)
        at = end
    yield b"RIFF" + (4 + sum(map(len, chunks))).to_bytes(4, "little") + b"WEBP"
    yield from chunks


KEEPERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "JPEG": _keep_jpeg,
    "PNG": _keep_png,
    "GIF": _keep_gif,
    "WEBP": _keep_webp,
}
