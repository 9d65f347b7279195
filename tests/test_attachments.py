"""Which files are taken, and what of a picture is kept."""

import hashlib
import io
import struct
import sys
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.base import ContentFile
from PIL import Image

from ossn_messaging.attachments import accepted
from ossn_messaging.exceptions import AttachmentRefused
from ossn_messaging.pictures.png import chunks
from tests.files import (
    ICC,
    PAGE,
    PDF,
    SAMPLES,
    assert_same_picture,
    exif,
    frames,
    kept,
    picture,
    png,
    png_chunk,
    text_chunks,
)

MOVING = {"a.png": frames("PNG"), "a.gif": frames("GIF"), "a.webp": frames("WEBP", lossless=True)}


def test_the_size_and_the_digest_of_a_long_file() -> None:
    content = PDF.replace(b"1.4\n", b"1.4\n%" + b"long" * 50_000 + b"\n")
    with accepted(ContentFile(content, "a.pdf")) as taken:
        assert taken.file.size == len(content)
        assert taken.digest == hashlib.sha256(content).hexdigest()


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


def test_an_embedded_thumbnail_goes() -> None:
    jpeg = SAMPLES["photo.jpg"]
    thumbnail = b"\xff\xe0\x00\x13JFIF\0\x01\x01\0\0\x01\0\x01\x01\x01Sec" + b"\xff\xe0\x00\x0cJFXX\0Secre"
    stored = kept("a.jpg", jpeg[:2] + thumbnail + jpeg[20:])
    assert b"Sec" not in stored
    assert_same_picture(stored, jpeg)


def test_names_lose_folders_and_control_characters() -> None:
    for name in ("../../etc/evil.pdf", "/etc/evil.pdf", "C:\\evil.pdf", "ev\r\n\0\x7f\u2028il.pdf", " evil.pdf "):
        file = ContentFile(PDF)
        file.name = name
        with accepted(file) as attachment:
            assert attachment.file.name == "evil.pdf"


def test_exif_that_ends_too_early_turns_nothing() -> None:
    jpeg = SAMPLES["photo.jpg"]
    exif_segment = b"\xff\xe1\x00\x10Exif\0\0II*\0\xff\0\0\0"
    assert_same_picture(kept("a.jpg", jpeg[:2] + exif_segment + jpeg[2:]), jpeg)


def test_a_pdf_where_pypdf_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdf", None)
    assert kept("dummy.pdf", PDF) == PDF
    for bad in (PAGE, b" " + PDF, PDF[:-8]):
        with pytest.raises(AttachmentRefused):
            kept("a.pdf", bad)


def test_a_gif_keeps_its_profile() -> None:
    profile = b"\x21\xff\x0bICCRGBG1012\x07profile\0"
    other = profile.replace(b"ICCRGBG1012", b"FOREIGN 1.0").replace(b"profile", b"Secrets")
    moving = frames("GIF")
    stored = kept("a.gif", moving[:-1] + profile + other + b"\x3b")
    assert profile in stored
    assert b"Secrets" not in stored


def test_an_interlaced_png_that_is_too_narrow_for_all_passes() -> None:
    narrow = bytearray(png(1, 1, zlib.compress(b"\0\x80")))
    narrow[28] = 1
    narrow[29:33] = zlib.crc32(narrow[12:29]).to_bytes(4, "big")
    assert kept("a.png", bytes(narrow)) == narrow


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


def with_chunk(content: bytes, name: bytes, number: int, change: Callable[[bytes], bytes]) -> bytes:
    """Return a PNG in which the data of the chunk with this name and number is changed."""
    built, seen = content[:8], 0
    for found, start, end in chunks(io.BytesIO(content)):
        data = content[start + 8 : end - 4]
        if found == name:
            data, seen = (change(data) if seen == number else data), seen + 1
        built += png_chunk(found, data)
    return built


NUMBERED = struct.pack(">I", 9)
BROKEN_PNGS = {
    "a frame that is too wide": with_chunk(MOVING["a.png"], b"fcTL", 1, lambda data: data[:4] + b"\0\0\1" + data[7:]),
    "a frame of no height": with_chunk(MOVING["a.png"], b"fcTL", 1, lambda data: data[:8] + bytes(4) + data[12:]),
    "a first frame that is smaller": with_chunk(
        MOVING["a.png"], b"fcTL", 0, lambda data: data[:4] + struct.pack(">II", 8, 8) + data[12:]
    ),
    "a control out of order": with_chunk(MOVING["a.png"], b"fcTL", 1, lambda data: NUMBERED + data[4:]),
    "a piece out of order": with_chunk(MOVING["a.png"], b"fdAT", 0, lambda data: NUMBERED + data[4:]),
    "a palette that is not there": with_chunk(
        png(8, 1, zlib.compress(b"\0\0")), b"IHDR", 0, lambda data: data[:9] + b"\3" + data[10:]
    ),
    "a filter that there is not": png(8, 1, zlib.compress(b"\5\0")),
    "a filter that there is not, in a later row": png(8, 3, zlib.compress(b"\0\0\4\0\5\0")),
}


@pytest.mark.parametrize("name", BROKEN_PNGS)
def test_a_png_that_no_decoder_should_be_asked_for(name: str) -> None:
    with pytest.raises(AttachmentRefused):
        kept("a.png", BROKEN_PNGS[name])


def test_the_pixels_of_a_png_are_not_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda *args: pytest.fail("decoded"))
    for content in (SAMPLES["photo.png"], MOVING["a.png"]):
        assert kept("a.png", content) == content


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_has_no_more_pixels_than_its_data(progressive: bool) -> None:
    """What is missing, libjpeg would make up: a few bytes would take the memory of all that they claim to be."""
    plain = picture("JPEG", Image.new("L", (3000, 3000)), progressive=progressive, optimize=True)
    kept("plain.jpg", plain)
    size = struct.pack(">HH", 3000, 3000)
    assert plain.count(size) == 1
    with pytest.raises(AttachmentRefused):
        kept("plain.jpg", plain.replace(size, struct.pack(">HH", 7000, 7000)))
