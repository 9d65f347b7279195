"""WebP: what is stored of its chunks."""

import pytest
from PIL import Image

from ossn_messaging.attachments.rules import Reason, Rejected
from tests.support.files import (
    ICC,
    PAGE,
    SAMPLES,
    archive,
    assert_same_picture,
    exif,
    frames,
    photo,
    picture,
    riff,
    sanitized,
)

WEBP = SAMPLES["photo.webp"]
TRANSPARENT = photo()
TRANSPARENT.putalpha(photo(mode="L"))
ALPHA = picture("WEBP", TRANSPARENT)
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
def test_what_is_kept_of_chunks(name: str) -> None:
    sent, stays = WEBP_CHUNKS[name]
    assert sanitized(riff(*sent)) == riff(*stays)


def resized(size: int) -> bytes:
    return WEBP[:4] + size.to_bytes(4, "little") + WEBP[8:]


BROKEN = {
    "a second frame that is cut": frames("WEBP", lossless=True)[:-300],
    "a size that is too small": resized(40),
    "a chunk that is too long": WEBP[:16] + b"\xff\xff\xff\x7f" + WEBP[20:],
    "a wrong signature": WEBP[:23] + bytes(3) + WEBP[26:],
    "a header alone": riff((b"VP8X", bytes(10))),
    "a missing image": riff((b"EXIF", exif().tobytes())),
    "HTML after its signature": WEBP[:12] + PAGE,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_webp_is_damaged_by(name: str) -> None:
    with pytest.raises(Rejected) as refused:
        sanitized(BROKEN[name])
    assert refused.value.reason is Reason.DAMAGED


@pytest.mark.parametrize(
    "sent",
    [
        riff((b"VP8X", bytes(4) + b"\xff" * 6)),
        riff((b"VP8L", b"\x2f" + b"\xff" * 9)),
        riff((b"VP8 ", bytes(6) + b"\xff" * 4)),
    ],
)
def test_a_size_is_refused_before_memory_is_taken(sent: bytes) -> None:
    with pytest.raises(Rejected) as refused:
        sanitized(sent)
    assert refused.value.reason is Reason.TOO_MANY_PIXELS


def chunk_of(content: bytes, name: bytes) -> bytes:
    at = content.index(name) + 4
    return content[at + 4 : at + 4 + int.from_bytes(content[at : at + 4], "little")]


HIDDEN = {
    "lossy": riff((b"VP8 ", LOSSY[1] + archive())),
    "lossless": riff((b"VP8L", PIXELS[1] + archive())),
    "raw transparency": riff(extended(ALPHA_FLAG), (b"ALPH", SEE_THROUGH[1] + archive()), LOSSY),
    "compressed transparency": riff(
        extended(ALPHA_FLAG), (b"ALPH", chunk_of(ALPHA, b"ALPH") + archive()), (b"VP8 ", chunk_of(ALPHA, b"VP8 "))
    ),
    "a frame": riff(extended(MOVING_FLAG), REPEATED, webp_frame(PIXELS), webp_frame((b"VP8 ", LOSSY[1] + archive()))),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_an_archive_behind_the_data_goes(name: str) -> None:
    stored = sanitized(HIDDEN[name])
    assert b"secret" in HIDDEN[name]
    assert b"secret" not in stored
    assert_same_picture(stored, HIDDEN[name])


def test_an_image_that_can_not_be_encoded_takes_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise ValueError("encoding error 1")

    sent = picture("WEBP", exif=exif(6))
    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(Rejected) as refused:
        sanitized(sent)
    assert refused.value.reason is Reason.TAKES_TOO_MUCH
