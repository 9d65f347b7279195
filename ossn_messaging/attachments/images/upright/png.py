"""How a PNG is turned: each of its frames by itself, all samples as they are (PNG, third edition)."""

import io
import struct
import zlib

from PIL import Image, ImageChops

from ossn_messaging.attachments.images.png import chunks as png_chunks
from ossn_messaging.attachments.images.rows import CHANNELS
from ossn_messaging.attachments.images.upright.turns import TRANSPOSES, TURNS, Box, turned_box

CARRIERS = {1: "P;1", 2: "P;2", 4: "P;4", 8: "L", 16: "LA", 24: "RGB", 32: "RGBA", 48: "RGB;16", 64: "RGBA;16"}
"""By its size in bits, what Pillow takes a pixel for, whatever it is: its bytes are moved, not understood."""


def turned(data: bytes, orientation: int) -> bytes:
    """Return the PNG upright, with all else that it has."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">2I5B", data[16:29])
    canvas = size = width, height
    chunks: list[tuple[bytes, bytes]] = []
    pixels = bytearray()
    has_data, number = False, 0
    for name, start, end in png_chunks(io.BytesIO(data)):
        content = data[start + 8 : end - 4]
        if name in {b"IDAT", b"fdAT"}:
            pixels += content if name == b"IDAT" else content[4:]
            continue
        if pixels and name in {b"fcTL", b"IEND"}:
            frame = _turned_pixels(bytes(pixels), size, depth * CHANNELS[colour], interlaced, TURNS[orientation])
            if has_data:
                chunks.append((b"fdAT", struct.pack(">I", number) + frame))
                number += 1
            else:
                chunks.append((b"IDAT", frame))
            has_data = True
            pixels.clear()
        if name == b"IHDR":
            upright = canvas[:: -1 if orientation in TRANSPOSES else 1]
            content = struct.pack(">2I", *upright) + content[8:12] + b"\0"  # not interlaced
        elif name == b"fcTL":
            frame_width, frame_height, left, top = struct.unpack(">4I", content[4:20])
            size = frame_width, frame_height
            box = turned_box(Box(left, top, *size), canvas, orientation)
            content = struct.pack(">5I", number, box.width, box.height, box.left, box.top) + content[20:]
            number += 1
        elif name == b"pHYs" and orientation in TRANSPOSES:
            content = content[4:8] + content[:4] + content[8:]
        chunks.append((name, content))
    return data[:8] + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def _turned_pixels(data: bytes, size: tuple[int, int], bits: int, interlaced: int, turn: Image.Transpose) -> bytes:
    carrier = CARRIERS[bits]
    mode = carrier.partition(";")[0]
    if bits <= 32:
        image = Image.frombytes(mode, size, data, "zip", (carrier, interlaced)).transpose(turn)
        return image.tobytes("zip", (carrier, False, -1, -1, b""))
    # Pillow reads one byte of the two of a sample, the first or the second, and writes neither.
    first, second = (
        Image.frombytes(mode, size, data, "zip", (carrier + order, interlaced)).transpose(turn) for order in "BL"
    )
    row = first.width * bits // 8
    samples = bytearray(row * first.height)
    samples[::2], samples[1::2] = first.tobytes(), second.tobytes()
    image = Image.frombytes("L", (row, first.height), bytes(samples))
    above = Image.new("L", image.size)
    above.paste(image, (0, 1))
    changes = ImageChops.subtract_modulo(image, above).tobytes()
    return zlib.compress(b"".join(b"\2" + changes[at : at + row] for at in range(0, len(changes), row)))
