"""Which images are stored, and what is removed from all of them."""

import io

import pytest
from PIL import Image

from ossn_messaging.attachments import content, images
from ossn_messaging.attachments.file_types import identify
from ossn_messaging.attachments.rules import Reason, Rejected, Rules
from tests.support import SAMPLES_FOLDER
from tests.support.files import (
    ICC,
    PAGE,
    PDF,
    SAMPLES,
    assert_same_picture,
    docx,
    exif,
    frames,
    photo,
    picture,
    sanitized,
    text_chunks,
)

IMAGE_SUFFIXES = {".jpg", ".png", ".gif", ".webp"}
MOVING = {"PNG": frames("PNG"), "GIF": frames("GIF"), "WEBP": frames("WEBP", lossless=True)}


@pytest.mark.parametrize(
    "name", sorted(path.name for path in SAMPLES_FOLDER.iterdir() if path.suffix in IMAGE_SUFFIXES)
)
def test_images_of_other_programs(name: str) -> None:
    sent = (SAMPLES_FOLDER / name).read_bytes()
    stored = sanitized(sent)
    with Image.open(io.BytesIO(sent)) as image:
        is_upright = image.format == "GIF" or image.getexif().get(0x0112, 1) == 1
    if is_upright:
        assert_same_picture(stored, sent)
    assert sanitized(stored) == stored


GOOD = {
    "a gray JPEG": picture("JPEG", photo(mode="L")),
    "a JPEG of four colours": picture("JPEG", photo(mode="CMYK")),
    "a progressive JPEG": picture("JPEG", progressive=True),
    "a JPEG with a profile": picture("JPEG", icc_profile=ICC),
    "a PNG with a palette": picture("PNG", photo(mode="P")),
    "a PNG of 16 bits": picture("PNG", photo(mode="I;16")),
    "a moving PNG": MOVING["PNG"],
    "a moving GIF": MOVING["GIF"],
    "a moving WebP": MOVING["WEBP"],
    "a moving lossy WebP": frames("WEBP"),
    "a transparent WebP": picture("WEBP", photo(mode="RGBA"), lossless=True),
    "a transparent lossy WebP": picture("WEBP", photo(mode="RGBA")),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_clean_image_stays_to_the_byte(name: str) -> None:
    assert sanitized(GOOD[name]) == GOOD[name]


WITH_METADATA = {
    "JPEG": picture("JPEG", exif=exif(), comment=b"Secret", icc_profile=ICC, xmp=b"Secret"),
    "PNG": picture("PNG", exif=exif(), pnginfo=text_chunks(), icc_profile=ICC, dpi=(72, 72)),
    "GIF": frames("GIF", comment=b"Secret"),
    "WebP": picture("WEBP", exif=exif(), xmp=b"Secret", icc_profile=ICC, lossless=True),
    "moving WebP": frames("WEBP", exif=exif(), xmp=b"Secret!", lossless=True),
}


@pytest.mark.parametrize("name", WITH_METADATA)
def test_metadata_and_what_follows_the_image_go(name: str) -> None:
    stored = sanitized(WITH_METADATA[name] + PAGE)
    assert b"Secret" in WITH_METADATA[name]
    assert b"Secret" not in stored
    assert b"script" not in stored
    assert_same_picture(stored, WITH_METADATA[name])
    with Image.open(io.BytesIO(stored)) as image:
        assert not image.getexif()
        assert not {"xmp", "comment", "Author"} & set(image.info)


@pytest.mark.parametrize("extension", ["jpg", "png", "gif", "webp"])
def test_an_image_that_is_cut_off_is_damaged(extension: str) -> None:
    sent = SAMPLES[f"photo.{extension}"]
    for size in (13, 30, len(sent) // 2, len(sent) - 60):
        with pytest.raises(Rejected) as refused:
            sanitized(sent[:size])
        assert refused.value.reason is Reason.DAMAGED


@pytest.mark.parametrize("name", [*MOVING, "JPEG", "lossy"])
def test_pixels_are_counted_of_one_canvas(name: str) -> None:
    sent = MOVING.get(name) or picture({"lossy": "WEBP"}.get(name, name))
    assert sanitized(sent, 48 * 32) == sent
    with pytest.raises(Rejected) as refused:
        sanitized(sent, 48 * 32 - 1)
    assert refused.value.reason is Reason.TOO_MANY_PIXELS


def test_pillows_own_limit_of_pixels_does_not_count() -> None:
    sent = picture("JPEG", Image.new("L", (9_500, 9_500)), quality=1)  # Pillow would warn
    assert sanitized(sent, 100_000_000) == sent


def test_a_lack_of_memory_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> bytes:
        raise MemoryError

    monkeypatch.setitem(images.SANITIZERS, "PNG", fail)
    with pytest.raises(MemoryError):
        sanitized(SAMPLES["photo.png"])


OTHERS = {name: SAMPLES[f"photo.{name}"] for name in ("jpg", "png", "gif", "webp")} | {
    "pdf": PDF,
    "docx": docx(),
    "html": PAGE,
    "bmp": picture("BMP"),
    "tiff": picture("TIFF"),
    "zeros": bytes(99),
    "nothing": b"",
    "html before it": PAGE + SAMPLES["photo.png"],
    "sound": SAMPLES["photo.webp"].replace(b"WEBP", b"WAVE", 1),
    "a signature in text mode": SAMPLES["photo.png"].replace(b"\r\n", b"\n", 1),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "WEBP"])
def test_an_image_is_what_its_extension_says(image_format: str, name: str) -> None:
    found = identify(OTHERS[name])
    if found and found.name == image_format:
        return
    with pytest.raises(Rejected) as refused:
        content.sanitize(OTHERS[name], Rules(image_format, 10**6, 10**6, "standard"))
    assert refused.value.reason is Reason.WRONG_TYPE
