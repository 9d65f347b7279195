"""Images of every kind, good and bad, in one table with the verdict on each."""

import io
import random
import struct
import traceback
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from ossn_messaging.attachments.images import PIXELS_PER_BYTE
from ossn_messaging.attachments.images.png import chunks
from ossn_messaging.exceptions import AttachmentRefused
from tests.files import (
    ICC,
    PAGE,
    PDF,
    SAMPLES,
    assert_same_picture,
    docx,
    exif,
    frames,
    gif,
    gif_frame,
    kept,
    photo,
    picture,
    png,
    png_chunk,
    riff,
    segment,
)

FOLDER = Path(__file__).parent / "samples"
TAKEN = "taken"

# What is wrong with many of them.
CUT = "the file ends too early"
NO_MARKER = "no marker where one must stand"
NO_BLOCK = "no block where one must stand"
NO_HEADER = "no header"
BROKEN_PNG = "not a whole PNG picture"
BROKEN_JPEG = "not a whole JPEG picture"
BROKEN_GIF = "not a whole GIF picture"
BROKEN_WEBP = "not a whole WEBP picture"
PIXELS = "too many pixels"
OUTSIDE = "a frame is not within the picture"
MISSING_PIECE = "a piece of the animation is missing"
NO_FILTER = "a row is filtered in no known way"
FOLLOWED = "something follows the picture"

JPEG, PNG, GIF, WEBP = (SAMPLES[f"photo.{extension}"] for extension in ("jpg", "png", "gif", "webp"))
MULTI_SCAN = picture("JPEG", progressive=True)
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
PHP = b"<?php system($_GET['c']); ?>"
SCRIPT = b"alert(document.cookie)"
MANY = 1024 * 1024
"""Of what a bomb is filled with, in bytes."""


def changed(content: bytes, at: int, new: bytes) -> bytes:
    """Return a file with other bytes at a place, counted from the end where it is negative."""
    at %= len(content)
    return content[:at] + new + content[at + len(new) :]


def jpeg_size(width: int, height: int) -> bytes:
    """Return a JPEG that says that it has so many pixels."""
    return changed(JPEG, JPEG.index(b"\xff\xc0") + 5, struct.pack(">HH", height, width))


def with_chunk(content: bytes, name: bytes, number: int, change: Callable[[bytes], bytes]) -> bytes:
    """Return a PNG in which the data of the chunk with this name and number is changed."""
    built, seen = content[:8], 0
    for found, start, end in chunks(io.BytesIO(content)):
        data = content[start + 8 : end - 4]
        if found == name:
            data, seen = (change(data) if seen == number else data), seen + 1
        built += png_chunk(found, data)
    return built


def scans(count: int) -> bytes:
    """Return a JPEG with so many scans, most of them its last."""
    last = MULTI_SCAN[MULTI_SCAN.rindex(b"\xff\xda") : -2]
    return MULTI_SCAN[:-2] + last * (count - MULTI_SCAN.count(b"\xff\xda")) + b"\xff\xd9"


def long_scan(length: int) -> bytes:
    """Return a JPEG whose scan has so many bytes, most of which mean nothing."""
    header, scan = JPEG[:-2].split(b"\xff\xda")
    return header + b"\xff\xda" + scan[:12] + scan[12:].ljust(length, b"\0") + b"\xff\xd9"


MOVING = frames("PNG")


def moving(number: int, change: Callable[[bytes], bytes]) -> bytes:
    """Return a moving PNG in which what one of its frames says of itself is changed."""
    return with_chunk(MOVING, b"fcTL", number, change)


def frame_at(left: int, top: int, width: int, height: int, number: int = 1) -> bytes:
    """Return a moving PNG whose second frame, or another, is somewhere else."""
    return moving(number, lambda data: data[:4] + struct.pack(">IIII", width, height, left, top) + data[20:])


def frames_in_data() -> bytes:
    """Return a moving PNG all of whose frames say that they are the picture itself."""
    built, number = MOVING[:8], 0
    for name, start, end in chunks(io.BytesIO(MOVING)):
        data = MOVING[start + 8 : end - 4]
        if name == b"fcTL":
            data, number = struct.pack(">I", number) + data[4:], number + 1
        built += png_chunk(b"IDAT", data[4:]) if name == b"fdAT" else png_chunk(name, data)
    return built


def pieces(*lengths: int) -> bytes:
    """Return a PNG whose data are in chunks of these lengths, and the rest in a last one."""
    row = b"\0" + random.Random(1).randbytes(sum(lengths) // 16)
    data = io.BytesIO(zlib.compress(row * 16, 0))
    whole = png(8 * (len(row) - 1), 16, b"")
    chunks = [png_chunk(b"IDAT", data.read(length)) for length in (*lengths, None)]
    return whole.replace(png_chunk(b"IDAT"), b"".join(chunks))


OTHER_KIND = {
    "jpg": NO_MARKER,
    "png": CUT,
    "gif": NO_BLOCK,
    "webp": NO_HEADER,
}
"""What is wrong with a file that is something else."""

Content = bytes | Callable[[], bytes] | None
"""Of a file; ``None`` where it stands in the folder of samples."""

TABLE: dict[str, tuple[str, Content]] = {
    # samples of real programs
    **dict.fromkeys(
        (
            *("anim-ffmpeg.gif", "anim-local.gif", "anim-once.gif", "anim-pillow.gif", "anim.gif", "comment.gif"),
            *("gif87a.gif", "interlaced.gif", "one-pixel.gif", "transparent.gif", "xmp.gif"),
            *("baseline.jpg", "cmyk-adobe.jpg", "cmyk-pillow.jpg", "exif-first.jpg", "ffmpeg.jpg"),
            *("google-motion.jpg", "gray.jpg", "icc.jpg", "imagemagick.jpg", "jpegtran-rot.jpg", "mpo.jpg"),
            *("multiscan.jpg", "noapp.jpg", "one-pixel.jpg", "phone.jpg", "pillow-exif6.jpg", "progressive.jpg"),
            *("restart-progressive.jpg", "restart.jpg", "rgb-adobe.jpg", "s411.jpg", "s422.jpg", "s440.jpg"),
            *("s444.jpg", "samsung-motion.jpg"),
            *("apng-apngasm.png", "apng-default.png", "apng-ffmpeg.png", "apng-pillow.png", "ffmpeg.png"),
            *("gray-alpha.png", "gray16.png", "gray8.png", "imagemagick-text.png", "interlaced.png"),
            *("interlaced16.png", "metadata.png", "mono1.png", "one-pixel.png", "palette-trns.png", "palette2.png"),
            *("palette4.png", "rgb-trns.png", "rgb16.png", "rgba.png", "xmp.png"),
            *("anim-ffmpeg.webp", "anim-lossless.webp", "anim-lossy.webp", "anim-mixed.webp", "anim-pillow.webp"),
            *("exif-prefix.webp", "exiftool-exif6.webp", "gif2webp.webp", "icc.webp", "lossless-alpha.webp"),
            *("lossless.webp", "lossy-alpha-raw.webp", "lossy-alpha.webp", "lossy.webp", "metadata.webp"),
            *("pillow.webp", "webpmux-anim.webp", "webpmux-exif.webp"),
        ),
        (TAKEN, None),
    ),
    # good pictures, made
    "photo.jpg": (TAKEN, JPEG),
    "photo.jpeg": (TAKEN, JPEG),
    "photo.jfif": (TAKEN, JPEG),
    "photo.png": (TAKEN, PNG),
    "photo.gif": (TAKEN, GIF),
    "photo.webp": (TAKEN, WEBP),
    "SHOUT.PNG": (TAKEN, PNG),
    "grey.jpg": (TAKEN, picture("JPEG", photo(mode="L"))),
    "cmyk.jpg": (TAKEN, picture("JPEG", photo(mode="CMYK"))),
    "many-scans.jpg": (TAKEN, MULTI_SCAN),
    "profile.jpg": (TAKEN, picture("JPEG", icc_profile=ICC)),
    "two-pictures.jpg": (
        TAKEN,
        picture("MPO", photo(), save_all=True, append_images=[photo((24, 16))], exif=exif(6)),
    ),
    "filled.jpg": (TAKEN, JPEG[:20] + b"\xff\xff" + JPEG[20:]),
    "trailer.jpg": (TAKEN, JPEG + PAGE),
    "trailer.png": (TAKEN, PNG + PAGE),
    "trailer.webp": (TAKEN, WEBP + PAGE),
    "zeros-behind.gif": (TAKEN, GIF + bytes(9)),
    "palette.png": (TAKEN, picture("PNG", photo(mode="P"))),
    "deep.png": (TAKEN, picture("PNG", photo(mode="I;16"))),
    "made.png": (TAKEN, png(8, 1, zlib.compress(b"\0\xaa"))),
    "made.gif": (TAKEN, gif(1, 1, gif_frame(1, 1))),
    "moving.png": (TAKEN, frames("PNG")),
    "moving.gif": (TAKEN, frames("GIF")),
    "moving.webp": (TAKEN, frames("WEBP", lossless=True)),
    "see-through.webp": (TAKEN, picture("WEBP", photo(mode="RGBA"), lossless=True)),
    "large.jpg": (TAKEN, lambda: picture("JPEG", photo((4000, 3000)))),
    "large.png": (TAKEN, lambda: picture("PNG", photo((4000, 3000)), compress_level=1)),
    # one kind under the extension of another
    **{
        f"{kind}.{extension}": (verdict, content)
        for kind, content in {
            "zeros": bytes(100),
            "html": PAGE,
            "svg": SVG,
            "php": PHP,
            "script": SCRIPT,
            "bmp": picture("BMP"),
            "tiff": picture("TIFF"),
            "jpeg": JPEG,
            "png": PNG,
            "gif": GIF,
            "webp": WEBP,
            "pdf": PDF,
            "docx": docx(),
        }.items()
        for extension, verdict in OTHER_KIND.items()
        if extension != {"jpeg": "jpg"}.get(kind, kind)
    },
    **{f"nothing.{extension}": (CUT, b"") for extension in ("jpg", "png", "gif", "webp")},
    "animation.png": (CUT, frames("GIF")),
    "script-in-its-head.gif": (NO_BLOCK, b"GIF89a/*" + SCRIPT + b"*/"),
    "script-in-its-head.jpg": (CUT, b"\xff\xd8\xff\xe0/*" + SCRIPT + b"*/"),
    "html-after-a-signature.png": (CUT, PNG[:8] + PAGE),
    "html-after-a-signature.webp": ("a chunk is too long", WEBP[:12] + PAGE),
    # JPEG
    "before-it.jpg": (NO_MARKER, PAGE + JPEG),
    "cut-in-its-tables.jpg": (CUT, JPEG[:100]),
    "cut-before-its-data.jpg": (CUT, JPEG[: JPEG.index(b"\xff\xda")]),
    "cut-in-its-data.jpg": (CUT, picture("JPEG", photo((200, 200)))[:-200]),
    "cut-before-its-end.jpg": (CUT, JPEG[:-2]),
    "cut-in-its-end.jpg": (CUT, JPEG[:-1]),
    "cut-in-its-second-scan.jpg": (CUT, MULTI_SCAN[: MULTI_SCAN.index(b"\xff\xda") + 60]),
    "its-end-too-early.jpg": (BROKEN_JPEG, JPEG[: JPEG.index(b"\xff\xda")] + b"\xff\xd9"),
    "strewn.jpg": (NO_MARKER, JPEG[:20] + b"\0\0" + JPEG[20:]),
    "without-size.jpg": (BROKEN_JPEG, JPEG.replace(b"\xff\xc0", b"\xff\xe5")),
    "without-quantization.jpg": (BROKEN_JPEG, JPEG.replace(b"\xff\xdb", b"\xff\xe5")),
    "segment-of-no-length.jpg": (NO_MARKER, JPEG[:2] + b"\xff\xe1\0\0" + JPEG[2:]),
    "segment-too-long.jpg": (CUT, JPEG[:2] + b"\xff\xe1\xff\xff" + JPEG[2:]),
    "reserved-marker.jpg": ("a marker that has no place here", JPEG[:2] + segment(0xF0, SCRIPT) + JPEG[2:]),
    "bmp-in-a-segment.jpg": (BROKEN_JPEG, b"BM" + segment(0xDB, picture("BMP")[6:]) + b"\xff\xd9"),
    "lossless.jpg": (BROKEN_JPEG, JPEG.replace(b"\xff\xc0", b"\xff\xc3")),
    "no-pixels.jpg": (BROKEN_JPEG, jpeg_size(0, 32)),
    "too-many-pixels.jpg": (PIXELS, jpeg_size(7072, 7072)),
    "declares-a-bomb.jpg": (BROKEN_JPEG, jpeg_size(65_500, 65_500)),
    "a-bomb.jpg": (PIXELS, lambda: picture("JPEG", Image.new("L", (7100, 7100)))),
    "many-segments.jpg": ("too many pieces", lambda: JPEG[:2] + segment(0xFE, b"") * 100_000 + JPEG[2:]),
    "as-many-scans-as-can-be.jpg": (TAKEN, scans(50)),
    "scans-again-and-again.jpg": ("too many scans", scans(51)),
    "marker-across-blocks.jpg": (TAKEN, long_scan(64 * 1024 - 1)),
    "as-many-pixels-as-its-data.jpg": (TAKEN, jpeg_size(PIXELS_PER_BYTE, len(JPEG))),
    "more-pixels-than-its-data.jpg": (
        "more pixels than its data can stand for",
        jpeg_size(PIXELS_PER_BYTE, len(JPEG) + 1),
    ),
    "exif-of-no-order.jpg": (TAKEN, JPEG[:2] + segment(0xE1, b"Exif\0\0??") + JPEG[2:]),
    "number-of-lines.jpg": (TAKEN, JPEG[:2] + segment(0xDC, SCRIPT) + JPEG[2:]),
    # PNG
    "before-it.png": (CUT, PAGE + PNG),
    "cut-in-its-header.png": (CUT, PNG[:20]),
    "cut-in-its-data.png": (CUT, PNG[:-60]),
    "cut-before-its-end.png": (CUT, PNG[:-12]),
    "cut-in-its-end.png": (CUT, PNG[:-3]),
    "signature-in-text-mode.png": (CUT, PNG.replace(b"\r\n", b"\n", 1)),
    "header-damaged.png": (BROKEN_PNG, changed(PNG, 18, b"\1")),
    "data-damaged.png": (BROKEN_PNG, changed(PNG, 60, b"\xff\xff\xff")),
    "header-crc.png": (BROKEN_PNG, changed(PNG, 29, b"\0\0\0\0")),
    "data-crc.png": ("a checksum is wrong", changed(PNG, -16, b"\0\0\0\0")),
    "chunk-too-long.png": (CUT, changed(PNG, 33, b"\x7f")),
    "chunk-as-long-as-can-be.png": (CUT, changed(PNG, 33, b"\xff")),
    "without-header.png": (BROKEN_PNG, PNG[:8] + PNG[33:]),
    "without-data.png": ("rows are missing", PNG[:33] + png_chunk(b"IEND")),
    "without-palette.png": (BROKEN_PNG, changed(png(8, 1, zlib.compress(b"\0\0")), 25, b"\3")),
    "not-packed.png": (BROKEN_PNG, png(8, 1, b"\0\xaa")),
    "rows-missing.png": ("rows are missing", png(8, 9, zlib.compress(b"\0\xaa" * 8))),
    "data-checksum.png": (BROKEN_PNG, png(8, 8, zlib.compress(b"\0\xaa" * 8)[:-4] + b"\0\0\0\0")),
    "no-pixels.png": (BROKEN_PNG, png(0, 1, zlib.compress(b"\0"))),
    "too-many-pixels.png": (PIXELS, png(7072, 7072, zlib.compress(b"\0"))),
    "declares-a-bomb.png": (BROKEN_PNG, png(2**31 - 1, 2**31 - 1, zlib.compress(b"\0"))),
    "a-bomb.png": (BROKEN_PNG, lambda: png(20_000, 20_000, zlib.compress(bytes(2501 * 20_000)))),
    "a-bomb-in-its-profile.png": (
        BROKEN_PNG,
        lambda: png(8, 1, zlib.compress(b"\0\0"), png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(100 * MANY)))),
    ),
    "frames-in-the-data.png": ("rows are missing", frames_in_data()),
    "frames-not-announced.png": (
        "there are other frames than are announced",
        frames("PNG").replace(b"acTL\0\0\0\3", b"acTL\0\0\0\2"),
    ),
    "too-many-frames.png": (
        "too many frames",
        lambda: png(
            1,
            1,
            zlib.compress(b"\0\0"),
            png_chunk(b"acTL", struct.pack(">II", 10_001, 0)),
        ).replace(
            png_chunk(b"IEND"), png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 1, 1, 0, 0, 1, 1, 0, 0)) * 10_001
        ),
    ),
    "too-many-pixels-together.png": (
        PIXELS,
        frames("PNG").replace(
            png_chunk(b"IHDR", struct.pack(">IIBBBBB", 48, 32, 8, 2, 0, 0, 0)),
            png_chunk(b"IHDR", struct.pack(">IIBBBBB", 4100, 4100, 8, 2, 0, 0, 0)),
        ),
    ),
    "data-in-pieces.png": (TAKEN, pieces(0, 1, *(64 * 1024 + more for more in range(-9, 4)))),
    "row-longer-than-a-block.png": (TAKEN, png(8 * 70_000, 2, zlib.compress(bytes(2 * 70_001)))),
    "rows-too-many.png": ("more data than rows", png(8, 7, zlib.compress(b"\0\xaa" * 8))),
    "text-after-the-rows.png": ("something follows the rows", png(8, 8, zlib.compress(b"\0\xaa" * 8) + SCRIPT)),
    "colours-too-long.png": ("a chunk is too long", png(8, 1, zlib.compress(b"\0\0"), png_chunk(b"gAMA", bytes(5)))),
    "frame-too-wide.png": (OUTSIDE, frame_at(0, 0, 49, 32)),
    "frame-too-high.png": (OUTSIDE, frame_at(0, 0, 48, 33)),
    "frame-too-far-right.png": (OUTSIDE, frame_at(1, 0, 48, 32)),
    "frame-too-far-down.png": (OUTSIDE, frame_at(0, 1, 48, 32)),
    "frame-of-no-width.png": (OUTSIDE, frame_at(0, 0, 0, 32)),
    "frame-of-no-height.png": (OUTSIDE, frame_at(0, 0, 48, 0)),
    "frame-of-negative-width.png": (OUTSIDE, frame_at(0, 0, 2**32 - 48, 32)),
    "first-frame-smaller.png": ("the first frame is not all of the picture", frame_at(0, 0, 8, 8, number=0)),
    "frame-out-of-order.png": (MISSING_PIECE, moving(1, lambda data: struct.pack(">I", 9) + data[4:])),
    "data-out-of-order.png": (
        MISSING_PIECE,
        with_chunk(MOVING, b"fdAT", 0, lambda data: struct.pack(">I", 9) + data[4:]),
    ),
    "colours-of-no-palette.png": (
        "its colours are nowhere",
        with_chunk(png(8, 1, zlib.compress(b"\0\0")), b"IHDR", 0, lambda data: data[:9] + b"\3" + data[10:]),
    ),
    "last-filter.png": (TAKEN, png(8, 1, zlib.compress(b"\4\0"))),
    "filter-that-there-is-not.png": (NO_FILTER, png(8, 1, zlib.compress(b"\5\0"))),
    "filter-that-there-is-not-in-a-later-row.png": (NO_FILTER, png(8, 3, zlib.compress(b"\0\0\4\0\5\0"))),
    "text-in-its-end.png": (TAKEN, PNG[:-12] + png_chunk(b"IEND", SCRIPT)),
    # GIF
    "before-it.gif": (NO_BLOCK, PAGE + GIF),
    "html-behind.gif": (FOLLOWED, GIF + PAGE),
    "script-behind.gif": (FOLLOWED, GIF + b"=1;" + SCRIPT),
    "one-byte-behind.gif": (FOLLOWED, GIF + b"X"),
    "script-after-zeros.gif": (FOLLOWED, GIF + bytes(9) + SCRIPT),
    "zip-behind.gif": (FOLLOWED, GIF + docx()),
    "another-behind.gif": (FOLLOWED, GIF + GIF),
    "cut-in-its-header.gif": (CUT, GIF[:9]),
    "cut-in-its-palette.gif": (CUT, GIF[:40]),
    "cut-in-its-data.gif": (CUT, GIF[:-60]),
    "cut-between-its-blocks.gif": (CUT, gif(1, 1, gif_frame(1, 1))[:-2]),
    "cut-before-its-end.gif": (CUT, GIF[:-1]),
    "cut-in-its-second-frame.gif": (CUT, frames("GIF")[:-80]),
    "strewn.gif": (NO_BLOCK, GIF[:-1] + b"\0\0" + GIF[-1:]),
    "no-frame.gif": (BROKEN_GIF, gif(1, 1)),
    "data-missing.gif": (BROKEN_GIF, gif(9, 9, gif_frame(9, 9))),
    "code-size.gif": (BROKEN_GIF, gif(1, 1, gif_frame(1, 1, b"\x0d\x02\x4c\x01\0"))),
    "other-version.gif": (BROKEN_GIF, changed(GIF, 3, b"90a")),
    "too-many-pixels.gif": (PIXELS, gif(7072, 7072, gif_frame(1, 1))),
    "declares-a-bomb.gif": (BROKEN_GIF, gif(65_535, 65_535, gif_frame(65_535, 65_535))),
    "first-frame-is-a-bomb.gif": (PIXELS, gif(1, 1, gif_frame(9000, 9000))),
    "second-frame-is-a-bomb.gif": (PIXELS, gif(1, 1, gif_frame(1, 1), gif_frame(9000, 9000))),
    "second-frame-is-wide.gif": (PIXELS, gif(1, 1, gif_frame(1, 1), gif_frame(0x8000, 2000))),
    "too-many-frames.gif": ("too many frames", lambda: gif(1, 1, gif_frame(1, 1) * 10_001)),
    "too-many-pixels-together.gif": (PIXELS, lambda: gif(1000, 1000, gif_frame(1, 1) * 51)),
    # WebP
    "before-it.webp": (NO_HEADER, PAGE + WEBP),
    "cut-in-its-header.webp": (CUT, WEBP[:25]),
    "cut-in-its-data.webp": (CUT, WEBP[:-60]),
    "size-too-large.webp": (CUT, changed(WEBP, 4, (len(WEBP) + 92).to_bytes(4, "little"))),
    "size-as-large-as-can-be.webp": (CUT, changed(WEBP, 4, b"\xff\xff\xff\xff")),
    "size-one-too-small.webp": ("a chunk is too long", changed(WEBP, 4, (len(WEBP) - 9).to_bytes(4, "little"))),
    "size-too-small.webp": ("a chunk is too long", changed(WEBP, 4, (40).to_bytes(4, "little"))),
    "chunk-too-long.webp": ("a chunk is too long", changed(WEBP, 16, b"\xff\xff\xff\x7f")),
    "chunk-as-long-as-can-be.webp": ("a chunk is too long", changed(WEBP, 16, b"\xf8\xff\xff\xff")),
    "signature-damaged.webp": (BROKEN_WEBP, changed(WEBP, 23, b"\0\0\0")),
    "header-alone.webp": (BROKEN_WEBP, riff((b"VP8X", bytes(10)))),
    "without-picture.webp": (BROKEN_WEBP, riff((b"EXIF", exif().tobytes()))),
    "sound.webp": (NO_HEADER, WEBP.replace(b"WEBP", b"WAVE", 1)),
    "declares-a-bomb.webp": (BROKEN_WEBP, riff((b"VP8X", bytes(4) + b"\xff" * 6), (b"VP8L", b"\x2f" + b"\xff" * 9))),
    "too-many-pixels.webp": (PIXELS, lambda: picture("WEBP", Image.new("L", (7100, 7100)), lossless=True, method=0)),
    "cut-in-its-second-frame.webp": (CUT, frames("WEBP", lossless=True)[:-300]),
    "too-many-frames.webp": (
        "too many frames",
        lambda: riff((b"VP8X", b"\2" + bytes(9)), (b"ANIM", bytes(6)), *[(b"ANMF", bytes(16) + riff()[12:])] * 10_001),
    ),
    "too-many-pixels-together.webp": (
        PIXELS,
        lambda: frames("WEBP", 4, size=(3600, 3600), lossless=True, method=0, quality=0),
    ),
    "chunk-twice.webp": (TAKEN, riff((b"VP8 ", WEBP[WEBP.index(b"VP8 ") + 8 :]), (b"VP8 ", SCRIPT))),
    "as-many-chunks-as-can-be.webp": (TAKEN, lambda: riff((b"VP8 ", WEBP[20:]), *[(b"abcd", b"")] * 99_999)),
    "many-chunks.webp": ("too many pieces", lambda: riff(*[(b"abcd", b"")] * 100_001)),
}


def reason(refused: AttachmentRefused) -> str:
    """Return what the app itself found wrong first, beneath what it made of that."""
    found, error = str(refused.reason), refused.__cause__
    while error:
        *_outer, (frame, _line) = traceback.walk_tb(error.__traceback__)
        if isinstance(error, ValueError) and frame.f_globals["__name__"].startswith("ossn_messaging."):
            found = str(error)
        error = error.__cause__
    return found


@pytest.mark.parametrize("name", TABLE)
def test_the_verdict_on_a_file(name: str) -> None:
    verdict, content = TABLE[name]
    sent = (FOLDER / name).read_bytes() if content is None else content() if callable(content) else content
    if verdict != TAKEN:
        with pytest.raises(AttachmentRefused) as refused:
            kept(name, sent)
        assert reason(refused.value) == verdict
        return
    stored = kept(name, sent)
    with Image.open(io.BytesIO(sent)) as right, Image.open(io.BytesIO(stored)) as left:
        is_upright = right.format == "GIF" or right.getexif().get(0x0112, 1) == 1
        assert left.size == (right if is_upright else ImageOps.exif_transpose(right)).size
    if is_upright:
        assert_same_picture(stored, sent)


def test_each_sample_stands_in_the_table() -> None:
    samples = {name for name, (_verdict, content) in TABLE.items() if content is None}
    assert samples == {path.name for path in FOLDER.iterdir() if path.suffix not in (".docx", ".md", ".pdf")}
