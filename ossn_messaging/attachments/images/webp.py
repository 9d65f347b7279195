"""WebP (RFC 9649)."""

import functools
import hashlib
import io
import struct
from collections.abc import Iterator
from typing import Any

from PIL import Image, ImageSequence

from ossn_messaging.attachments.images.orientation import TRANSFORMS, check_canvas, read_orientation
from ossn_messaging.attachments.images.surplus import trim
from ossn_messaging.attachments.rules import Reason, Rejected

Chunks = dict[bytes, bytes]
"""The data of chunks by their names."""

LOSSY = b"VP8 "
FRAME_CHUNKS = {b"ALPH", LOSSY, b"VP8L"}
IMAGE_CHUNKS = FRAME_CHUNKS | {b"VP8X", b"ANIM", b"ICCP"}
ALPHA_FLAG, METADATA_FLAGS = 0x10, 0x08 | 0x04
FRAME_HEADER_SIZE = 16
LOSSY_QUALITY, LOSSLESS_EFFORT, METHOD = 90, 20, 2
"""Of the encoder. More effort takes seconds for a photograph, and saves little."""


def sanitize(content: bytes, max_pixels: int) -> bytes:
    """Return a WebP with only the chunks of its image, its frames and its colour profile."""
    chunks, frames, exif = select_chunks(content)
    canvas = _read_size(chunks)
    check_canvas(*canvas, max_pixels)
    orientation = read_orientation(exif)
    stripped = _file(chunks, frames)
    if orientation in TRANSFORMS:
        upright, options = apply_orientation(stripped, orientation)
        is_lossless = not any(LOSSY in each for each in (chunks, *(frame for _, frame in frames)))
        return _save(upright, is_lossless=is_lossless, **options)
    _decode(stripped)
    _trim_frame(chunks, canvas)
    for header, frame in frames:
        _trim_frame(frame, _read_lengths(header, 6))
    return _file(chunks, frames)


def _read_lengths(data: bytes, at: int) -> tuple[int, int]:
    """Return the width and height that stand in three bytes each, less one."""
    return int.from_bytes(data[at : at + 3], "little") + 1, int.from_bytes(data[at + 3 : at + 6], "little") + 1


def _read_size(chunks: Chunks) -> tuple[int, int]:
    """Return the width and height of the canvas. Pillow needs much memory to tell them."""
    if b"VP8X" in chunks:
        return _read_lengths(chunks[b"VP8X"], 4)
    if LOSSY in chunks:
        width, height = struct.unpack_from("<HH", chunks[LOSSY], 6)
        return width & 0x3FFF, height & 0x3FFF
    bits = int.from_bytes(chunks[b"VP8L"][1:5], "little")
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _decode(content: bytes) -> None:
    """Decode all frames."""
    with Image.open(io.BytesIO(content), formats=["WEBP"]) as image:
        for frame in ImageSequence.Iterator(image):
            frame.load()


def select_chunks(content: bytes) -> tuple[Chunks, list[tuple[bytes, Chunks]], bytes]:
    """Return what belongs to the image: its chunks, and the header and chunks of each frame. And the EXIF."""
    chunks: Chunks = {}
    frames: list[tuple[bytes, Chunks]] = []
    exif = b""
    for name, data in _read_chunks(content[12 : 8 + int.from_bytes(content[4:8], "little")]):
        if name == b"ANMF":
            inner = _read_chunks(data[FRAME_HEADER_SIZE:])
            frames.append((data[:FRAME_HEADER_SIZE], _first_of_each(inner)))
        elif name == b"EXIF":
            exif = exif or data
        elif name in IMAGE_CHUNKS:
            chunks.setdefault(name, data)
    if b"VP8X" in chunks:
        flags, rest = chunks[b"VP8X"][0], chunks[b"VP8X"][1:10]
        chunks[b"VP8X"] = bytes([flags & ~METADATA_FLAGS]) + rest
    if b"ANIM" in chunks:
        chunks[b"ANIM"] = chunks[b"ANIM"][:6]
    return chunks, frames, exif


def _read_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(content):
        name, length = struct.unpack_from("<4sI", content, at)
        at += 8
        if at + length > len(content):
            raise ValueError("a chunk is cut off")
        yield name, content[at : at + length]
        at += length + length % 2


def _first_of_each(chunks: Iterator[tuple[bytes, bytes]]) -> Chunks:
    found: Chunks = {}
    for name, data in chunks:
        if name in FRAME_CHUNKS:
            found.setdefault(name, data)
    return found


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack("<4sI", name, len(data)) + data + bytes(len(data) % 2)


def _join(chunks: Chunks) -> bytes:
    return b"".join(_chunk(name, data) for name, data in chunks.items())


def _file(chunks: Chunks, frames: list[tuple[bytes, Chunks]]) -> bytes:
    pictures = b"".join(_chunk(b"ANMF", header + _join(frame)) for header, frame in frames)
    return _chunk(b"RIFF", b"WEBP" + _join(chunks) + pictures)


def _trim_frame(chunks: Chunks, size: tuple[int, int]) -> None:
    """Remove what follows the compressed data within the chunks of a frame of this size."""
    flags_and_size = struct.pack("<I", ALPHA_FLAG) + b"".join((length - 1).to_bytes(3, "little") for length in size)

    def decode(changed: Chunks) -> bytes | None:
        file = _file({b"VP8X": flags_and_size, **frame, **changed}, [])
        try:
            with Image.open(io.BytesIO(file), formats=["WEBP"]) as image:
                return hashlib.sha256(image.tobytes()).digest()
        except OSError:
            return None

    frame = {name: data for name, data in chunks.items() if name in FRAME_CHUNKS}
    original = functools.cache(lambda: decode({}))
    for name, data in frame.items():

        def is_enough(data: bytes, name: bytes = name) -> bool:
            found = decode({name: data})
            return found is not None and found == original()

        chunks[name] = trim(data, is_enough)


def apply_orientation(content: bytes, orientation: int) -> tuple[list[Image.Image], dict[str, Any]]:
    """Return the upright frames, and the options with which they are to be saved."""
    with Image.open(io.BytesIO(content), formats=["WEBP"]) as image:
        upright, durations = [], []
        for frame in ImageSequence.Iterator(image):
            upright.append(frame.transpose(TRANSFORMS[orientation]))
            durations.append(frame.info["duration"])
        options = {name: image.info.get(name) for name in ("loop", "background", "icc_profile")}
        return upright, options | {"duration": durations}


def _save(frames: list[Image.Image], *, is_lossless: bool, **options: Any) -> bytes:
    file = io.BytesIO()
    options |= {"lossless": is_lossless, "quality": LOSSLESS_EFFORT if is_lossless else LOSSY_QUALITY}
    try:
        frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:], method=METHOD, exact=True, **options)
    except ValueError as error:  # the encoder lacks memory, or the image does not fit its format
        raise Rejected(Reason.TAKES_TOO_MUCH, "WebP encoder") from error
    return file.getvalue()
