"""PNG and APNG (PNG specification, third edition)."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from PIL import Image, ImageChops

from ossn_messaging.attachments.images.orientation import (
    SWAPS_AXES,
    TRANSFORMS,
    check_canvas,
    read_orientation,
    transform_box,
)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
"""By the type of colour (table 8)."""
INDEXED = 3
"""The type of colour that needs a palette."""
MAX_LENGTHS = {
    b"PLTE": 768,
    b"tRNS": 256,
    b"bKGD": 6,
    b"hIST": 512,
    b"pHYs": 9,
    b"gAMA": 4,
    b"cHRM": 32,
    b"sRGB": 1,
    b"cICP": 4,
    b"mDCV": 24,
    b"cLLI": 8,
    b"sBIT": 4,
    b"iCCP": 2**32,
    b"acTL": 8,
}
"""In bytes, of the chunks that are kept. They stand before the data (chapter 11)."""
MAX_PROFILE_BYTES = 16 * 1024 * 1024
"""Of an unpacked colour profile."""
WHOLE = ((0, 0, 1, 1),)
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of each pass, the first column and row, and the steps between columns and rows (8.1)."""
MAX_FILTER = 4
RAW_MODES = {1: "P;1", 2: "P;2", 4: "P;4", 8: "L", 16: "LA", 24: "RGB", 32: "RGBA", 48: "RGB;16", 64: "RGBA;16"}
"""By the bits of a pixel, a mode in which Pillow moves pixels of this size. It need not know their colours."""
COMPRESSION_LEVEL = 3


@dataclass
class Frame:
    """The image itself, or a frame of the animation."""

    width: int
    height: int
    left: int = 0
    top: int = 0
    control: bytes = b""
    """The rest of its fcTL chunk. Empty if the frame is not part of the animation."""
    data: bytes | bytearray = field(default_factory=bytearray)

    @property
    def box(self) -> tuple[int, int, int, int]:
        return self.width, self.height, self.left, self.top


@dataclass
class PNG:
    """The parts of a PNG that belong to the image."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: int
    chunks: dict[bytes, bytes] = field(default_factory=dict)
    """Those that stand once, before the data."""
    frames: list[Frame] = field(default_factory=list)
    exif: bytes = b""

    @property
    def pixel_bits(self) -> int:
        return self.depth * CHANNELS[self.colour]

    def add_to_animation(self, name: bytes, data: bytes, number: int, *, is_first: bool) -> None:
        """Add a chunk fcTL or fdAT. A frame must be within the canvas, and the first must fill it."""
        if int.from_bytes(data[:4], "big") != number:
            raise ValueError("a chunk of the animation is missing")
        if name == b"fdAT":
            self.frames[-1].data += data[4:]
            return
        width, height, left, top = struct.unpack(">IIII", data[4:20])
        if left + width > self.width or top + height > self.height or not (width and height):
            raise ValueError("a frame is not within the canvas")
        if is_first and (width, height) != (self.width, self.height):
            raise ValueError("the first frame does not fill the canvas")
        self.frames.append(Frame(width, height, left, top, data[20:26]))

    def to_bytes(self) -> bytes:
        header = struct.pack(">IIBBBBB", self.width, self.height, self.depth, self.colour, 0, 0, self.interlaced)
        parts, number = [SIGNATURE, _chunk(b"IHDR", header)], 0
        parts += [_chunk(name, data) for name, data in self.chunks.items()]
        for index, frame in enumerate(self.frames):
            if frame.control:
                parts.append(_chunk(b"fcTL", struct.pack(">5I", number, *frame.box) + frame.control))
                number += 1
            if index:
                parts.append(_chunk(b"fdAT", struct.pack(">I", number) + frame.data))
                number += 1
            else:
                parts.append(_chunk(b"IDAT", frame.data))
        return b"".join([*parts, _chunk(b"IEND", b"")])


def sanitize(content: bytes, max_pixels: int) -> bytes:
    """Return a PNG with only the chunks of its image, its animation and ``MAX_LENGTHS``."""
    png = select_chunks(content, max_pixels)
    for frame in png.frames:
        frame.data = _check_rows(png, frame)
    orientation = read_orientation(png.exif)
    if orientation in TRANSFORMS:
        apply_orientation(png, orientation)
    return png.to_bytes()


def select_chunks(content: bytes, max_pixels: int) -> PNG:
    """Return what belongs to the image. Without an acTL chunk it is a still image, and the chunks of frames go."""
    chunks = _read_chunks(content)
    _name, header = next(chunks)
    png = _read_header(header, max_pixels)
    has_data, number, previous = False, 0, b""
    for name, data in chunks:
        if name == b"IDAT":
            if has_data and previous != b"IDAT":
                raise ValueError("IDAT chunks are not consecutive")
            if not png.frames:
                png.frames.append(Frame(png.width, png.height))  # not part of the animation
            png.frames[0].data += data
            has_data = True
        elif name in {b"fcTL", b"fdAT"} and b"acTL" in png.chunks:
            png.add_to_animation(name, data, number, is_first=not has_data)
            number += 1
        elif name == b"eXIf":
            png.exif = png.exif or data
        elif name not in png.chunks and len(data) <= MAX_LENGTHS.get(name, -1) and not has_data:
            png.chunks[name] = _trim_profile(data) if name == b"iCCP" else data
        previous = name
    announced = int.from_bytes(png.chunks.get(b"acTL", b"")[:4], "big")
    if sum(bool(frame.control) for frame in png.frames) != announced or not has_data:
        raise ValueError("frames are missing")
    if png.colour == INDEXED and len(png.chunks[b"PLTE"]) % 3:
        raise ValueError("the palette is damaged")
    return png


def _read_header(data: bytes, max_pixels: int) -> PNG:
    width, height, depth, colour, compression, filtering, interlaced = struct.unpack(">IIBBBBB", data)
    check_canvas(width, height, max_pixels)
    if not (width and height) or depth not in DEPTHS[colour] or compression or filtering or interlaced > 1:
        raise ValueError("unknown header")
    return PNG(width, height, depth, colour, interlaced)


def _read_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and data of each chunk up to IEND, without optional chunks with a wrong checksum."""
    at, name = len(SIGNATURE), b""
    while name != b"IEND" and at + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        end = at + 8 + length
        if content[end : end + 4] == zlib.crc32(content[at + 4 : end]).to_bytes(4, "big"):
            yield name, content[at + 8 : end]
        elif name[:1].isupper():
            raise ValueError("a checksum is wrong")
        at = end + 4


def _chunk(name: bytes, data: bytes | bytearray) -> bytes:
    return struct.pack(">I4s", len(data), name) + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))


def _trim_profile(data: bytes) -> bytes:
    """Return an iCCP chunk without what follows its compressed data."""
    unpacker = zlib.decompressobj()
    unpacker.decompress(data[data.index(b"\0") + 2 :], MAX_PROFILE_BYTES)
    if not unpacker.eof:
        raise ValueError("the colour profile is damaged, or too large")
    return data[: len(data) - len(unpacker.unused_data)]


def _check_rows(png: PNG, frame: Frame) -> bytes:
    """Return the compressed rows of a frame. What follows them, compressed or not, is removed."""
    passes = []
    for left, top, across, down in ADAM7 if png.interlaced else WHOLE:
        columns, rows = -(-(frame.width - left) // across), -(-(frame.height - top) // down)
        if columns > 0 and rows > 0:
            passes.append((1 + (columns * png.pixel_bits + 7) // 8, rows))
    unpacker = zlib.decompressobj()
    size = sum(row_size * rows for row_size, rows in passes)
    unpacked = unpacker.decompress(frame.data, size)
    if len(unpacked) < size:
        raise ValueError("rows are missing")
    at = 0
    for row_size, rows in passes:
        if max(unpacked[at : at + row_size * rows : row_size]) > MAX_FILTER:
            raise ValueError("unknown filter")
        at += row_size * rows
    if unpacker.decompress(unpacker.unconsumed_tail, 1) or not unpacker.eof:
        return zlib.compress(unpacked)
    return bytes(frame.data[: len(frame.data) - len(unpacker.unused_data)])


def apply_orientation(png: PNG, orientation: int) -> None:
    """Turn each frame, and where it stands."""
    swaps = orientation in SWAPS_AXES
    canvas = png.width, png.height
    for frame in png.frames:
        frame.data = _transform(png, frame, TRANSFORMS[orientation])
        frame.width, frame.height, frame.left, frame.top = transform_box(frame.box, canvas, orientation)
    png.interlaced = 0
    if swaps:
        png.height, png.width = canvas
        if density := png.chunks.get(b"pHYs"):
            png.chunks[b"pHYs"] = density[4:8] + density[:4] + density[8:]


def _transform(png: PNG, frame: Frame, transform: Image.Transpose) -> bytes:
    raw_mode = RAW_MODES[png.pixel_bits]
    mode = raw_mode.partition(";")[0]
    size = frame.width, frame.height

    def read(raw_mode: str) -> Image.Image:
        return Image.frombytes(mode, size, frame.data, "zip", (raw_mode, png.interlaced)).transpose(transform)

    if png.pixel_bits <= 32:
        return read(raw_mode).tobytes("zip", (raw_mode, False, COMPRESSION_LEVEL, -1, b""))
    # Of each sample of two bytes, Pillow reads one, the first or the second, and writes neither.
    first, second = read(raw_mode + "B"), read(raw_mode + "L")
    row = first.width * png.pixel_bits // 8
    samples = bytearray(row * first.height)
    samples[::2], samples[1::2] = first.tobytes(), second.tobytes()
    image = Image.frombytes("L", (row, first.height), bytes(samples))
    above = Image.new("L", image.size)
    above.paste(image, (0, 1))
    changes = ImageChops.subtract_modulo(image, above).tobytes()
    rows = (changes[at : at + row] for at in range(0, len(changes), row))
    return zlib.compress(b"".join(b"\2" + each for each in rows), COMPRESSION_LEVEL)
