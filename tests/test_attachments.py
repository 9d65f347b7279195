"""Which files are taken, and what of a picture is kept."""

import io
from typing import Any

import pytest
from django.core.files.base import ContentFile
from PIL import Image

from ossn_messaging.attachments import accepted
from ossn_messaging.exceptions import AttachmentRefused
from tests.files import CONTENT_TYPES, PDF, SAMPLES, docx, exif, frames, photo, picture, text_chunks

ICC = b"a profile's bytes, which nobody here reads" * 4
PAGE = b"<html><script>alert(1)</script></html>"
MPO = picture("MPO", photo(), save_all=True, append_images=[photo((24, 16))], exif=exif(6))


def kept(name: str, content: bytes) -> bytes:
    with accepted(ContentFile(content, name)) as attachment:
        data: bytes = attachment.file.read()
        return data


GOOD = {
    **SAMPLES,
    "default.docx": docx(
        content_types=CONTENT_TYPES.replace('<Override PartName="/word/document.xml"', '<Default Extension="XML"')
    ),
    "case.docx": docx(content_types=CONTENT_TYPES.replace("/word/document", "/Word/Document")),
    "SHOUT.PNG": SAMPLES["photo.png"],
    "report.tar.pdf": PDF,
    "grey.jpg": picture("JPEG", photo(mode="L")),
    "cmyk.jpg": picture("JPEG", photo(mode="CMYK")),
    "progressive.jpg": picture("JPEG", progressive=True),
    "profile.jpg": picture("JPEG", icc_profile=ICC),
    "phone.jpg": MPO,
    "filled.jpg": SAMPLES["photo.jpg"][:20] + b"\xff\xff" + SAMPLES["photo.jpg"][20:],
    "palette.png": picture("PNG", photo(mode="P")),
    "deep.png": picture("PNG", photo(mode="I;16")),
    "moving.png": frames("PNG"),
    "moving.gif": frames("GIF"),
    "moving.webp": frames("WEBP", lossless=True),
    "see-through.webp": picture("WEBP", photo(mode="RGBA"), lossless=True),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file(name: str) -> None:
    stored = kept(name, GOOD[name])
    if name.endswith((".pdf", ".docx")):
        assert stored == GOOD[name]
    elif name != "phone.jpg":
        assert_same_picture(stored, GOOD[name])


def assert_same_picture(stored: bytes, sent: bytes) -> None:
    with Image.open(io.BytesIO(stored)) as left, Image.open(io.BytesIO(sent)) as right:
        assert (left.format, left.mode, left.size) == (right.format, right.mode, right.size)
        for key in ("icc_profile", "loop", "transparency"):
            assert left.info.get(key) == right.info.get(key)
        for frame in range(getattr(right, "n_frames", 1)):
            left.seek(frame)
            right.seek(frame)
            assert left.tobytes() == right.tobytes()
            assert left.info.get("duration") == right.info.get("duration")


BAD = {
    "page.html": PAGE,
    "script.php": b"<?php",
    "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "no extension": PDF,
    "pdf": PDF,
    ".pdf": PDF,
    "": PDF,
    "name.": PDF,
    "a.pdf.exe": PDF,
    "page.jpg": PAGE,
    "page.png": PAGE,
    "page.gif": PAGE,
    "page.webp": PAGE,
    "page.pdf": PAGE,
    "page.docx": PAGE,
    "empty.pdf": b"",
    "empty.docx": b"",
    "empty.png": b"",
    "pdf.png": PDF,
    "png.pdf": SAMPLES["photo.png"],
    "png.jpg": SAMPLES["photo.png"],
    "jpeg.png": SAMPLES["photo.jpg"],
    "bmp.png": picture("BMP"),
    "late.pdf": b"\n" + PDF,
    "cut.pdf": PDF[:-8],
    "cut.jpg": picture("JPEG", photo((200, 200)))[:-200],
    "cut.png": SAMPLES["photo.png"][:-60],
    "cut.gif": SAMPLES["photo.gif"][:-60],
    "cut.webp": SAMPLES["photo.webp"][:-60],
    "strewn.jpg": SAMPLES["photo.jpg"][:20] + b"\0\0" + SAMPLES["photo.jpg"][20:],
    "strewn.gif": SAMPLES["photo.gif"][:-1] + b"\0\0" + SAMPLES["photo.gif"][-1:],
    "damaged.png": SAMPLES["photo.png"][:40] + b"\xff\xff" + SAMPLES["photo.png"][42:],
    "archive.docx": docx(content_types=CONTENT_TYPES.replace("wordprocessingml", "spreadsheetml")),
    "macros.docx": docx(
        content_types=CONTENT_TYPES.replace(
            "openxmlformats-officedocument.wordprocessingml.document.main", "ms-word.document.macroEnabled.main"
        )
    ),
    "without.docx": docx(document=None),
    "not-xml.docx": docx(content_types="<Types"),
    "entities.docx": docx(content_types=CONTENT_TYPES.replace("<Types", "<!DOCTYPE Types [<!ENTITY a 'b'>]><Types")),
    "utf-16.docx": docx(
        content_types=CONTENT_TYPES.replace("UTF-8", "UTF-16")
        .replace("<Types", "<!DOCTYPE Types><Types")
        .encode("utf-16")
    ),
    "large.docx": docx(content_types=CONTENT_TYPES + " " * 1024 * 1024),
    "damaged.docx": docx()[:60] + b"\0\0\0" + docx()[63:],
    "prefixed.docx": b"MZ" + docx(),
    "cut.docx": docx()[:-30],
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file(name: str) -> None:
    with pytest.raises(AttachmentRefused):
        kept(name, BAD[name])


def test_pixels_are_counted_before_they_are_decoded(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.OSSN_MESSAGING = {"IMAGE_MAX_PIXELS": 48 * 32 * 3}
    for name in ("moving.gif", "moving.png", "moving.webp"):
        kept(name, GOOD[name])
    settings.OSSN_MESSAGING = {"IMAGE_MAX_PIXELS": 48 * 32 * 3 - 1}
    for name in ("moving.gif", "moving.png", "moving.webp"):
        with pytest.raises(AttachmentRefused):
            kept(name, GOOD[name])
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
