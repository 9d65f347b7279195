"""WebP (RFC 9649)."""

import functools
import hashlib
import io
import struct
from collections.abc import Iterator

from PIL import Image, ImageSequence

from ossn_messaging.attachments.images.orientation import TRANSFORMS, check_canvas, read_orientation
from ossn_messaging.attachments.images.surplus import trim

Chunks = dict[bytes, bytes]
"""The data of chunks by their names."""

LOSSY = b"VP8 "
FRAME_CHUNKS = {b"ALPH", LOSSY, b"VP8L"}
IMAGE_CHUNKS = FRAME_CHUNKS | {b"VP8X", b"ANIM", b"ICCP"}
ALPHA_FLAG, METADATA_FLAGS = 0x10, 0x08 | 0x04
FRAME_HEADER_SIZE = 16
LOSSY_QUALITY, LOSSLESS_EFFORT, METHOD = 90, 20, 1
"""Of the encoder. More effort takes seconds for a photograph, and saves little."""


def sanitize(content: bytes, max_pixels: int) -> bytes:
    """Return a WebP with only the chunks of its image, its frames and its colour profile."""
    chunks, frames, exif = select_chunks(content)
    orientation = read_orientation(exif)
    with Image.open(io.BytesIO(_file(chunks, frames)), formats=["WEBP"]) as image:
        check_canvas(image.width, image.height, max_pixels)
        if orientation in TRANSFORMS:
            is_lossless = not any(LOSSY in each for each in (chunks, *(frame for _, frame in frames)))
            return apply_orientation(image, orientation, is_lossless=is_lossless)
        canvas = image.size
        for number in range(len(frames) or 1):
            image.seek(number)
            image.load()
    del image  # it takes much memory, and so do those that are decoded below
    _trim_frame(chunks, canvas)
    for header, frame in frames:
        width, height = (int.from_bytes(header[at : at + 3], "little") + 1 for at in (6, 9))
        _trim_frame(frame, (width, height))
    return _file(chunks, frames)


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

    frame = {name: chunks[name] for name in FRAME_CHUNKS & chunks.keys()}
    original = functools.cache(lambda: decode({}))
    for name, data in frame.items():

        def is_enough(data: bytes, name: bytes = name) -> bool:
            found = decode({name: data})
            return found is not None and found == original()

        chunks[name] = trim(data, is_enough)


def apply_orientation(image: Image.Image, orientation: int, *, is_lossless: bool) -> bytes:
    """Return the image upright, encoded once."""
    frames, durations = [], []
    for frame in ImageSequence.Iterator(image):
        frames.append(frame.transpose(TRANSFORMS[orientation]))
        durations.append(frame.info["duration"])
    file = io.BytesIO()
    frames[0].save(
        file,
        "WEBP",
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=image.info["loop"],
        background=image.info["background"],
        icc_profile=image.info.get("icc_profile"),
        lossless=is_lossless,
        exact=True,
        quality=LOSSLESS_EFFORT if is_lossless else LOSSY_QUALITY,
        method=METHOD,
    )
    return file.getvalue()
