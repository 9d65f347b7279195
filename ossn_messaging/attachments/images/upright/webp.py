"""How a WebP is turned: each of its frames by itself, what is lossless to the bit (RFC 9649)."""

import io
from collections.abc import Iterator

from PIL import Image, ImageChops, ImageSequence

from ossn_messaging.attachments.images.upright.likeness import file_of, first_like_enough
from ossn_messaging.attachments.images.upright.turns import TRANSPOSES, TURNS
from ossn_messaging.attachments.images.webp import FRAME, LOSSY
from ossn_messaging.attachments.images.webp import chunks as webp_chunks

QUALITIES = range(75, 101)
"""How finely a lossy frame is quantized, until it is like enough; else it becomes lossless."""


def turned(image: Image.Image, data: bytes, orientation: int) -> bytes:
    """Return the WebP upright, its frames as what each of them changes."""
    uprights = (frame.transpose(TURNS[orientation]) for frame in ImageSequence.Iterator(image))
    chunks = list(_chunks(data, 12))
    names = [name for name, _ in chunks]
    if b"ANMF" not in names:
        return _file(next(uprights), LOSSY not in names, image.info.get("icc_profile"))
    shown = None
    for at, (name, chunk) in enumerate(chunks):
        if name == b"VP8X":
            width, height = image.size[:: -1 if orientation in TRANSPOSES else 1]
            chunks[at] = name, chunk[:12] + _numbers(width - 1, height - 1)
        elif name == b"ANMF":
            upright = next(uprights)
            left, top, part = _changed(upright, shown)
            shown = upright
            numbers = _numbers(left // 2, top // 2, part.width - 1, part.height - 1)
            coded = _file(part, LOSSY not in (inner for inner, _ in _chunks(chunk, 24)), None)
            pieces = b"".join(piece for inner, piece in _chunks(coded, 12) if inner in FRAME)
            # The part takes the place of what was there, and stays.
            content = numbers + chunk[20:23] + b"\2" + pieces
            chunks[at] = name, name + len(content).to_bytes(4, "little") + content
    content = b"WEBP" + b"".join(chunk for _, chunk in chunks)
    return b"RIFF" + len(content).to_bytes(4, "little") + content


def _chunks(data: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name of each chunk from ``at``, and all of its bytes."""
    return ((name, data[start:end]) for name, start, end in webp_chunks(io.BytesIO(data), at, len(data)))


def _numbers(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(3, "little") for number in numbers)


def _changed(image: Image.Image, shown: Image.Image | None) -> tuple[int, int, Image.Image]:
    """Return what must be drawn to make ``image`` of what is ``shown``, and where, which must be even."""
    if shown is None:
        return 0, 0, image
    left, top, right, bottom = ImageChops.difference(image, shown).getbbox(alpha_only=False) or (0, 0, 1, 1)
    left, top = left // 2 * 2, top // 2 * 2
    return left, top, image.crop((left, top, right, bottom))


def _file(image: Image.Image, lossless: bool, profile: bytes | None) -> bytes:
    options = {"icc_profile": profile, "exact": True}
    exact = options | {"lossless": True}
    if lossless:
        return file_of(image, "WEBP", exact)
    ways = [options | {"quality": quality} for quality in QUALITIES]
    return file_of(image, "WEBP", first_like_enough(image, "WEBP", ways, [exact]))
