"""Which files are taken, and what of a picture is kept."""

import hashlib
import io
import random
import struct
import tracemalloc
import zlib
from typing import Any

import pytest
from django.core.files.base import ContentFile
from PIL import Image, ImageFile

from ossn_messaging.attachments.file_types import BY_EXTENSION
from ossn_messaging.attachments.images import clean
from ossn_messaging.attachments.validation import validate_upload
from ossn_messaging.exceptions import AttachmentRefused, AttachmentTooLarge
from tests.files import (
    ICC,
    PAGE,
    PDF,
    SAMPLES,
    assert_same_picture,
    exif,
    frames,
    gif,
    gif_frame,
    kept,
    picture,
    png,
    png_chunk,
    riff,
    segment,
    text_chunks,
)

MOVING = {"a.png": frames("PNG"), "a.gif": frames("GIF"), "a.webp": frames("WEBP", lossless=True)}


def test_the_size_and_the_digest_of_a_long_file() -> None:
    content = PDF.replace(b"1.4\n", b"1.4\n%" + b"long" * 50_000 + b"\n")
    with validate_upload(ContentFile(content, "a.pdf")) as taken:
        assert taken.file.size == len(content)
        assert taken.digest == hashlib.sha256(content).hexdigest()


def test_a_file_as_large_as_may_be(settings: Any) -> None:
    settings.OSSN_MESSAGING = {"ATTACHMENT_MAX_SIZE": len(PDF)}
    assert kept("a.pdf", PDF) == PDF
    settings.OSSN_MESSAGING = {"ATTACHMENT_MAX_SIZE": len(PDF) - 1}
    with pytest.raises(AttachmentTooLarge):
        kept("a.pdf", PDF)


def test_pixels_are_counted_before_they_are_decoded(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.OSSN_MESSAGING = {"IMAGE_MAX_PIXELS": 48 * 32 * 3}
    for name, content in MOVING.items():
        kept(name, content)
    settings.OSSN_MESSAGING = {"IMAGE_MAX_PIXELS": 48 * 32 * 3 - 1}
    for name, content in MOVING.items():
        with pytest.raises(AttachmentRefused):
            kept(name, content)
    settings.OSSN_MESSAGING = {"IMAGE_MAX_PIXELS": 48 * 32 - 1}
    monkeypatch.setattr(Image.Image, "load", lambda *args: pytest.fail("decoded"))
    with pytest.raises(AttachmentRefused):
        kept("photo.png", SAMPLES["photo.png"])


def test_as_many_frames_as_can_be() -> None:
    content = gif(1, 1, gif_frame(1, 1) * 10_000)
    assert kept("a.gif", content) == content


def test_pixels_are_counted_with_pillows_own_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow itself counts those of one frame alone."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 32 * 3)
    for name, content in MOVING.items():
        kept(name, content)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 32 * 3 - 1)
    for name, content in MOVING.items():
        with pytest.raises(AttachmentRefused):
            kept(name, content)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    for name, content in MOVING.items():
        kept(name, content)


WITH_METADATA = {
    "a.jpg": picture("JPEG", exif=exif(), comment=b"Secret", icc_profile=ICC, xmp=b"Secret"),
    "a.png": picture("PNG", exif=exif(), pnginfo=text_chunks(), icc_profile=ICC, dpi=(72, 72)),
    "a.gif": frames("GIF", comment=b"Secret"),
    "a.webp": picture("WEBP", exif=exif(), xmp=b"Secret", icc_profile=ICC, lossless=True),
    "b.webp": frames("WEBP", exif=exif(), xmp=b"Secret!", lossless=True),
}


@pytest.mark.parametrize("name", WITH_METADATA)
def test_metadata_and_what_follows_the_picture_go(name: str) -> None:
    stored = kept(name, WITH_METADATA[name] + (b"" if name == "a.gif" else PAGE))
    assert b"Secret" in WITH_METADATA[name]
    assert b"Secret" not in stored
    assert b"script" not in stored
    assert_same_picture(stored, WITH_METADATA[name])
    with Image.open(io.BytesIO(stored)) as image:
        assert not image.getexif()
        assert not {"xmp", "comment", "Author"} & set(image.info)


def test_exif_that_ends_too_early_turns_nothing() -> None:
    jpeg = SAMPLES["photo.jpg"]
    exif_segment = b"\xff\xe1\x00\x10Exif\0\0II*\0\xff\0\0\0"
    assert_same_picture(kept("a.jpg", jpeg[:2] + exif_segment + jpeg[2:]), jpeg)


def application(name: bytes, *data: bytes) -> bytes:
    """Return an extension of a GIF."""
    return b"\x21\xff" + b"".join(bytes([len(block)]) + block for block in (name, *data)) + b"\0"


CONTROL = b"\x21\xf9\x04\0\x0a\0\0\0"
REPEATS = b"\x01\0\0"
PROFILE = application(b"ICCRGBG1012", b"a profile", b"of two blocks")
GIF_EXTENSIONS = {
    "how long a frame is shown": (CONTROL, CONTROL),
    "something behind how long it is shown": (CONTROL[:-1] + b"\x06Secret\0", CONTROL),
    "how long it is shown, of another length": (b"\x21\xf9\x05\0\x0a\0\0S\0", b""),
    "how often it is repeated": (application(b"NETSCAPE2.0", REPEATS), application(b"NETSCAPE2.0", REPEATS)),
    "the other name of that": (application(b"ANIMEXTS1.0", REPEATS), application(b"ANIMEXTS1.0", REPEATS)),
    "something behind how often": (
        application(b"NETSCAPE2.0", REPEATS, b"Secret"),
        application(b"NETSCAPE2.0", REPEATS),
    ),
    "something else of the same application": (application(b"NETSCAPE2.0", b"\x02\0\0"), b""),
    "the same of another application": (application(b"FOREIGN 1.0", REPEATS), b""),
    "an application whose name is too short": (
        b"\x21\xff\x0aNETSCAPE2." + b"0\x03\x01" + b"Secret" * 7 + b"Secr\0",
        b"",
    ),
    "its profile": (PROFILE, PROFILE),
    "a comment as long as how long it is shown": (b"\x21\xfe\x04Secr\0", b""),
    "a comment like an application": (b"\x21\xfe" + application(b"NETSCAPE2.0", REPEATS)[2:], b""),
    "plain text": (b"\x21\x01\x0c" + bytes(12) + b"\x06Secret\0", b""),
    "an extension of nobody": (b"\x21\x33\x06Secret\0", b""),
}


@pytest.mark.parametrize("name", GIF_EXTENSIONS)
def test_what_is_kept_of_the_extensions_of_a_gif(name: str) -> None:
    sent, stays = GIF_EXTENSIONS[name]
    assert kept("a.gif", gif(1, 1, sent, gif_frame(1, 1), sent)) == gif(1, 1, stays, gif_frame(1, 1), stays)


JFIF = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
ADOBE = segment(0xEE, b"Adobe\0\x64\0\0\0\0\1")
COLOURS = segment(0xE2, b"ICC_PROFILE\0\1\1" + ICC)
JPEG_SEGMENTS = {
    "its density": (JFIF, JFIF),
    "a thumbnail": (segment(0xE0, JFIF[4:-2] + b"\x01\x01Sec"), JFIF),
    "a thumbnail of its own": (segment(0xE0, b"JFXX\0\x10Secret"), b""),
    "its density cut short": (segment(0xE0, JFIF[4:-3]), b""),
    "how its colours are told": (ADOBE, ADOBE),
    "something behind how its colours are told": (segment(0xEE, ADOBE[4:] + b"Secret"), ADOBE),
    "how its colours are told, cut short": (segment(0xEE, ADOBE[4:-1]), b""),
    "its profile": (COLOURS, COLOURS),
    "a name that begins like a profile's": (segment(0xE2, b"ICC_PROFILES Secret"), b""),
    "pictures behind it": (segment(0xE2, b"MPF\0 Secret"), b""),
    "a density under another marker": (segment(0xE3, JFIF[4:]), b""),
    "colours under another marker": (segment(0xED, ADOBE[4:]), b""),
    "a profile under another marker": (segment(0xE1, COLOURS[4:]), b""),
    "metadata under the first marker": (segment(0xE0, b"Exif\0\0II*\0Secret"), b""),
    "the last of its markers": (segment(0xEF, b"Secret"), b""),
    "nothing": (segment(0xE5, b""), b""),
    "a comment": (segment(0xFE, b"Secret"), b""),
    "the number of lines": (segment(0xDC, b"\0\x20"), b""),
    "where it can be restarted": (segment(0xDD, b"\0\0"), segment(0xDD, b"\0\0")),
    "a byte of filling": (b"\xff", b""),
    "bytes of filling": (b"\xff\xff", b""),
}


@pytest.mark.parametrize("name", JPEG_SEGMENTS)
def test_what_is_kept_of_the_segments_of_a_jpeg(name: str) -> None:
    sent, stays = JPEG_SEGMENTS[name]
    jpeg = SAMPLES["photo.jpg"]
    assert kept("a.jpg", jpeg[:2] + sent + jpeg[20:]) == jpeg[:2] + stays + jpeg[20:]


GAMMA, OTHER_GAMMA = png_chunk(b"gAMA", b"\0\1\x86\xa0"), png_chunk(b"gAMA", b"Secr")
PNG_CHUNKS = {
    "what its colours mean": (GAMMA, GAMMA, b""),
    "what they mean, twice": (GAMMA + OTHER_GAMMA, GAMMA, b""),
    "how large its pixels are": (png_chunk(b"pHYs", bytes(9)), png_chunk(b"pHYs", bytes(9)), b""),
    "text": (png_chunk(b"tEXt", b"Author\0Secret"), b"", b""),
    "when it was changed": (png_chunk(b"tIME", bytes(7)), b"", b""),
    "metadata": (png_chunk(b"eXIf", b"II*\0Secret"), b"", b""),
    "a chunk of nobody": (png_chunk(b"seCr", b"Secret"), b"", b""),
    "a piece of a frame that there is not": (png_chunk(b"fdAT", b"\0\0\0\0Secret"), b"", b""),
    "what its colours mean, behind them": (b"", b"", GAMMA),
    "text behind it": (b"", b"", png_chunk(b"tEXt", b"Author\0Secret")),
    "a piece behind it of a frame that there is not": (b"", b"", png_chunk(b"fdAT", b"\0\0\0\0Secret")),
}
"""Before the pixels, what of it is kept, and after them."""


@pytest.mark.parametrize("name", PNG_CHUNKS)
def test_what_is_kept_of_the_chunks_of_a_png(name: str) -> None:
    before, stays, after = PNG_CHUNKS[name]
    rows, end = zlib.compress(b"\0\xaa"), png_chunk(b"IEND")
    assert kept("a.png", png(8, 1, rows, before).removesuffix(end) + after + end) == png(8, 1, rows, stays)


PIXELS = b"VP8L", picture("WEBP", lossless=True)[20:]
SEE_THROUGH = b"ALPH", bytes(1 + 48 * 32)
LOSSY = b"VP8 ", SAMPLES["photo.webp"][20:]
SIZE = b"\x2f\0\0\x1f\0\0"  # 48 columns and 32 rows, less one
SECRET = b"XMP ", b"Secret!"  # of odd length, so that a byte of filling follows it
PROFILE_FLAG, ALPHA_FLAG, EXIF_FLAG, XMP_FLAG, MOVING_FLAG = 0x20, 0x10, 0x08, 0x04, 0x02


def extended(flags: int) -> tuple[bytes, bytes]:
    return b"VP8X", bytes([flags, 0, 0, 0]) + SIZE


def webp_frame(*chunks: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Return a frame of a WebP, which is shown for a tenth of a second."""
    return b"ANMF", bytes(6) + SIZE + b"\x64\0\0\0" + riff(*chunks)[12:]


REPEATED = b"ANIM", b"\xff\xff\xff\xff\3\0"
WEBP_CHUNKS = {
    "its pixels": ([PIXELS], [PIXELS]),
    "its pixels twice": ([PIXELS, (b"VP8L", b"Secret")], [PIXELS]),
    "metadata": (
        [extended(EXIF_FLAG | XMP_FLAG), PIXELS, (b"EXIF", exif().tobytes()), SECRET],
        [extended(0), PIXELS],
    ),
    "its profile": (
        [extended(PROFILE_FLAG | XMP_FLAG), (b"ICCP", ICC + b"!"), PIXELS, SECRET],
        [extended(PROFILE_FLAG), (b"ICCP", ICC + b"!"), PIXELS],
    ),
    "a profile of nothing": ([extended(0), PIXELS, (b"ICCP", b"")], [extended(0), PIXELS, (b"ICCP", b"")]),
    "what can be seen through": (
        [extended(ALPHA_FLAG), SEE_THROUGH, LOSSY],
        [extended(ALPHA_FLAG), SEE_THROUGH, LOSSY],
    ),
    "a chunk of nobody": ([SECRET, extended(0), (b"secr", b"Secret"), PIXELS], [extended(0), PIXELS]),
    "its header twice": ([extended(0), extended(XMP_FLAG), PIXELS], [extended(0), PIXELS]),
    "how often it is repeated, and something behind": (
        [extended(MOVING_FLAG), (b"ANIM", REPEATED[1] + b"Secret"), webp_frame(PIXELS), webp_frame(LOSSY)],
        [extended(MOVING_FLAG), REPEATED, webp_frame(PIXELS), webp_frame(LOSSY)],
    ),
    "a frame with more than its pixels": (
        [
            extended(MOVING_FLAG | ALPHA_FLAG),
            REPEATED,
            webp_frame(SECRET, PIXELS, (b"VP8L", b"Secret"), (b"EXIF", b"Secret")),
            webp_frame(SEE_THROUGH, LOSSY, (b"ICCP", b"Secret")),
            SECRET,
        ],
        [extended(MOVING_FLAG | ALPHA_FLAG), REPEATED, webp_frame(PIXELS), webp_frame(SEE_THROUGH, LOSSY)],
    ),
}


@pytest.mark.parametrize("name", WEBP_CHUNKS)
def test_what_is_kept_of_the_chunks_of_a_webp(name: str) -> None:
    sent, stays = WEBP_CHUNKS[name]
    assert kept("a.webp", riff(*sent)) == riff(*stays)


HELD = struct.pack(">4sIHHHIH", b"MM\0*", 8, 1, 0x0112, 3, 1, 6)
"""EXIF that ends with how the picture was held."""
HELD_ON_ITS_SIDE = {
    "a.jpg": SAMPLES["photo.jpg"][:2] + segment(0xE1, b"Exif\0\0" + HELD) + SAMPLES["photo.jpg"][2:],
    "a.png": png(48, 32, zlib.compress(bytes(7 * 32)), png_chunk(b"eXIf", HELD)),
    "a.webp": riff(extended(EXIF_FLAG), PIXELS, (b"EXIF", HELD)),
}


@pytest.mark.parametrize("name", HELD_ON_ITS_SIDE)
def test_exif_is_read_to_its_end(name: str) -> None:
    with Image.open(io.BytesIO(kept(name, HELD_ON_ITS_SIDE[name]))) as image:
        assert image.size == (32, 48)


def interlaced(content: bytes) -> bytes:
    header = content[12:28] + b"\1"
    return content[:12] + header + zlib.crc32(header).to_bytes(4, "big") + content[33:]


def test_an_interlaced_png_that_is_too_narrow_for_all_passes() -> None:
    narrow = interlaced(png(1, 1, zlib.compress(b"\0\x80")))
    assert kept("a.png", narrow) == narrow


def test_an_interlaced_png_that_moves() -> None:
    """Pillow has no decoder of them."""
    control = struct.pack(">IIIIHHBB", 2, 1, 0, 0, 1, 10, 0, 0)
    rows = zlib.compress(b"\0\x80\0\0")  # of two pixels, each of which is a pass
    still = png(2, 1, rows, png_chunk(b"acTL", struct.pack(">II", 2, 0)), png_chunk(b"fcTL", bytes(4) + control))
    second = png_chunk(b"fcTL", struct.pack(">I", 1) + control) + png_chunk(b"fdAT", struct.pack(">I", 2) + rows)
    sent = interlaced(still[:-12] + second + still[-12:])
    assert kept("a.png", sent) == sent


def test_exif_that_says_nothing_of_how_it_was_held() -> None:
    tags = Image.Exif()
    tags[0x013B] = "Secret Photographer"
    sent = picture("JPEG", exif=tags)
    assert_same_picture(kept("a.jpg", sent), sent)


def test_a_frame_of_a_webp_that_has_its_picture_twice() -> None:
    moving = frames("WEBP", lossless=True)
    at = moving.index(b"ANMF")
    size = int.from_bytes(moving[at + 4 : at + 8], "little")
    again = moving[at + 24 : at + 8 + size]
    longer = moving[: at + 4] + (size + len(again)).to_bytes(4, "little") + moving[at + 8 : at + 8 + size] + again
    whole = longer + moving[at + 8 + size :]
    twice = whole[:4] + (len(whole) - 8).to_bytes(4, "little") + whole[8:]
    assert kept("a.webp", twice) == kept("a.webp", moving)


def test_the_pixels_of_a_png_are_not_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda *args: pytest.fail("decoded"))
    for content in (SAMPLES["photo.png"], MOVING["a.png"]):
        assert kept("a.png", content) == content


def test_the_rows_of_a_png_are_unpacked_by_the_block() -> None:
    rows = bytes(7000 * (1 + 7000 // 8))
    content = png(7000, 7000, zlib.compress(rows))
    tracemalloc.start()
    try:
        assert kept("a.png", content) == content
        _size, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < len(rows) / 8


@pytest.mark.parametrize(("orientation", "size"), [(1, (6, 4)), (6, (48, 32))])
def test_an_eighth_of_a_jpeg_is_held_in_memory(
    orientation: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless all of it is needed, for it is to be turned."""
    sizes, load = [], ImageFile.ImageFile.load

    def loaded(image: ImageFile.ImageFile) -> Any:
        sizes.append(image.size)
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", loaded)
    kept("a.jpg", picture("JPEG", exif=exif(orientation)))
    assert sizes[0] == size


class Blocks(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert 0 <= size <= 64 * 1024
        return super().read(size)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.webp"])
def test_a_file_is_read_by_the_block(name: str) -> None:
    noise = Image.frombytes("L", (512, 512), random.Random(1).randbytes(512 * 512))
    picture_format = BY_EXTENSION[name[2:]].picture_format
    content = picture(picture_format, noise, lossless=True, quality=97)
    behind = bytes(100_000) if name == "a.gif" else b""
    assert len(content) > 200_000
    cleaned = Blocks() if name == "a.png" else io.BytesIO()  # Pillow reads the others from it
    clean(Blocks(content + behind), cleaned, picture_format, 512 * 512)
    assert cleaned.getvalue() == content


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_has_no_more_pixels_than_its_data(progressive: bool) -> None:
    """What is missing, libjpeg would make up: a few bytes would take the memory of all that they claim to be."""
    plain = picture("JPEG", Image.new("L", (3000, 3000)), progressive=progressive, optimize=True)
    kept("plain.jpg", plain)
    size = struct.pack(">HH", 3000, 3000)
    assert plain.count(size) == 1
    with pytest.raises(AttachmentRefused):
        kept("plain.jpg", plain.replace(size, struct.pack(">HH", 7000, 7000)))
