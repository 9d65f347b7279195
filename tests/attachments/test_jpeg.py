"""JPEG: what is stored of its segments."""

import io

import pytest
from PIL import Image

from ossn_messaging.attachments.images import jpeg
from ossn_messaging.attachments.rules import Reason, Rejected
from tests.support import SAMPLES_FOLDER
from tests.support.files import (
    ICC,
    SAMPLES,
    archive,
    assert_same_picture,
    exif,
    landscape,
    photo,
    picture,
    sanitized,
    segment,
)

JPEG = SAMPLES["photo.jpg"]
PROGRESSIVE = picture("JPEG", progressive=True)


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
def test_what_is_kept_of_segments(name: str) -> None:
    sent, stays = JPEG_SEGMENTS[name]
    assert sanitized(JPEG[:2] + sent + JPEG[20:]) == JPEG[:2] + stays + JPEG[20:]


TABLES = JPEG.index(b"\xff\xdb")
STRAY = {
    "two bytes between segments": JPEG[:TABLES] + b"?>" + JPEG[TABLES:],
    "a segment that is longer than it says": JPEG[:2] + b"\xff\xee\x00\x0dAdobe\0\x64\0\0\0\0\1" + JPEG[2:],
    "a segment without its marker": JPEG[:TABLES] + b"\0\x0eAdobe\0\x64\x80\0\0\0" + JPEG[TABLES:],
    "a segment of no length": JPEG[:2] + b"\xff\xe1\0\0" + JPEG[2:],
    "a reserved segment": JPEG[:2] + segment(0xF0, b"Secret") + JPEG[2:],
    "markers without a length": JPEG[:2] + b"\xff\x01\xff\xd0\xff\xd8" + JPEG[2:],
    "a zero after a byte of filling": JPEG[:2] + b"\xff\0\xff\xff" + JPEG[2:],
}


@pytest.mark.parametrize("name", STRAY)
def test_stray_bytes_go(name: str) -> None:
    assert sanitized(STRAY[name]) == JPEG


def test_the_end_may_be_missing() -> None:
    assert sanitized(JPEG[:-2]) == JPEG
    assert sanitized(JPEG[:-1]) == JPEG


def test_segments_behind_the_only_scan_go() -> None:
    assert sanitized(JPEG[:-2] + segment(0xDB, bytes(65)) + JPEG[-2:]) == JPEG


def size(width: int, height: int) -> bytes:
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + JPEG[at + 4 :]


BROKEN = {
    "blocks that are missing at the end": picture("JPEG", photo((200, 200)))[:-200],
    "a missing scan": JPEG[: JPEG.index(b"\xff\xda")] + b"\xff\xd9",
    "a cut second scan": PROGRESSIVE[: PROGRESSIVE.index(b"\xff\xda") + 60],
    "a missing size": JPEG.replace(b"\xff\xc0", b"\xff\xe5"),
    "missing tables": JPEG.replace(b"\xff\xdb", b"\xff\xe5"),
    "a segment that goes beyond the end": JPEG[:2] + b"\xff\xe1\xff\xff" + JPEG[2:],
    "lossless coding": JPEG.replace(b"\xff\xc0", b"\xff\xc3"),
    "no height": size(48, 0),
    "a script in its head": b"\xff\xd8\xff\xe0/*alert(1)*/",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_jpeg_is_damaged_by(name: str) -> None:
    with pytest.raises(Rejected) as refused:
        sanitized(BROKEN[name])
    assert refused.value.reason is Reason.DAMAGED


def test_the_first_of_two_images_is_kept() -> None:
    sent = picture("MPO", photo(), save_all=True, append_images=[photo((24, 16))], exif=exif())
    stored = sanitized(sent)
    assert_same_picture(stored, sent)
    assert len(stored) <= len(picture("JPEG"))


MULTI_SCAN = (SAMPLES_FOLDER / "multiscan.jpg").read_bytes()


@pytest.mark.parametrize(
    "clean", [JPEG, PROGRESSIVE, MULTI_SCAN, picture("JPEG", landscape((200, 150)), progressive=True, quality=95)]
)
def test_an_archive_behind_the_last_block_goes(clean: bytes) -> None:
    assert sanitized(clean) == clean
    hidden = clean[:-2] + archive() + clean[-2:]
    stored = sanitized(hidden)
    assert_same_picture(stored, clean)
    assert b"secret" in hidden
    assert b"secret" not in stored
    assert len(stored) <= len(clean) + 16


def test_an_eighth_of_a_jpeg_is_held_in_memory() -> None:
    with Image.open(io.BytesIO(picture("JPEG", photo((480, 320))))) as image:
        jpeg._decode(image)
        assert image.size == (60, 40)
