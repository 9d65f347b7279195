"""GIF (GIF89a specification)."""

import io
import struct
from dataclasses import dataclass

from PIL import Image

from ossn_messaging.attachments.images.orientation import check_canvas
from ossn_messaging.attachments.images.surplus import trim

LOOP_EXTENSIONS = {b"NETSCAPE2.0", b"ANIMEXTS1.0"}
PROFILE_EXTENSION = b"ICCRGBG1012"
TRAILER = b";"


@dataclass
class Frame:
    """An image of a GIF, as it is stored."""

    position: bytes
    """Left, top, width and height."""
    flags: int
    palette: bytes
    code_size: bytes
    data: bytes
    """Without its division into blocks."""

    def to_bytes(self) -> bytes:
        head = b"," + self.position + bytes([self.flags]) + self.palette + self.code_size
        return head + _to_blocks(self.data)

    def is_complete(self, data: bytes, palette: bytes) -> bool:
        """Return whether so much of the data has all pixels."""
        size = self.position[4:]
        screen = b"GIF89a" + size + struct.pack("BBB", 0x87 if palette else 0, 0, 0) + palette
        alone = Frame(bytes(4) + size, self.flags, self.palette, self.code_size, data)
        try:
            with Image.open(io.BytesIO(screen + alone.to_bytes() + TRAILER), formats=["GIF"]) as image:
                image.load()
        except OSError:
            return False
        return True


def sanitize(content: bytes, max_pixels: int) -> bytes:
    """Return a GIF without comments, text, extensions of other programs, and what follows it."""
    pieces = select_blocks(content)
    frames = [piece for piece in pieces if isinstance(piece, Frame)]
    width, height = struct.unpack_from("<HH", content, 6)
    for frame in frames:  # Pillow makes the canvas larger for frames that go beyond it
        left, top, frame_width, frame_height = struct.unpack("<HHHH", frame.position)
        width, height = max(width, left + frame_width), max(height, top + frame_height)
    check_canvas(width, height, max_pixels)
    with Image.open(io.BytesIO(_join(pieces)), formats=["GIF"]) as image:
        for number in range(len(frames)):
            image.seek(number)
            image.load()
    palette = bytes(768)
    for frame in frames:
        frame.data = trim(frame.data, lambda data, frame=frame: frame.is_complete(data, palette))  # type: ignore[misc]
    return _join(pieces)


def select_blocks(content: bytes) -> list[bytes | Frame]:
    """Return what belongs to the image. Like Pillow, pass over bytes that start no block."""
    at = 13 + _palette_size(content[10])
    pieces: list[bytes | Frame] = [content[:at]]
    while at < len(content) and (introducer := content[at : at + 1]) != TRAILER:
        at += 1
        if introducer == b",":
            flags = content[at + 8]
            start = at + 9 + _palette_size(flags)
            data, end = _read_blocks(content, start + 1)
            palette, code_size = content[at + 9 : start], content[start : start + 1]
            pieces.append(Frame(content[at : at + 8], flags, palette, code_size, b"".join(data)))
            at = end
        elif introducer == b"!":
            blocks, end = _read_blocks(content, at + 1)
            pieces.append(_select_extension(content[at], blocks))
            at = end
    return pieces


def _select_extension(label: int, blocks: list[bytes]) -> bytes:
    first = blocks[0] if blocks else b""
    if label == 0xF9 and len(first) == 4:
        return b"!\xf9" + _to_blocks(first)
    if label == 0xFF and first in LOOP_EXTENSIONS and len(blocks) > 1 and len(blocks[1]) == 3 and blocks[1][0] == 1:
        return b"!\xff\x0b" + first + _to_blocks(blocks[1])
    if label == 0xFF and first == PROFILE_EXTENSION:
        return b"!\xff\x0b" + first + _to_blocks(b"".join(blocks[1:]))
    return b""


def _palette_size(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _read_blocks(content: bytes, at: int) -> tuple[list[bytes], int]:
    """Return the blocks from ``at``, and the position behind them. The last may be cut off at the end of the file."""
    blocks = []
    while at < len(content) and (size := content[at]):
        blocks.append(content[at + 1 : at + 1 + size])
        at += 1 + size
    return blocks, at + 1


def _to_blocks(data: bytes) -> bytes:
    blocks = (data[at : at + 255] for at in range(0, len(data), 255))
    return b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def _join(pieces: list[bytes | Frame]) -> bytes:
    return b"".join(piece if isinstance(piece, bytes) else piece.to_bytes() for piece in pieces) + TRAILER
