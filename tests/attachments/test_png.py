"""PNG: what is stored of its chunks."""

import struct
import zlib
from collections.abc import Callable

import pytest

from ossn_messaging.attachments.rules import Reason, Rejected
from tests.attachments.test_orientation import chunks_of
from tests.support.files import SAMPLES, archive, assert_same_picture, frames, png, png_chunk, sanitized

PNG = SAMPLES["photo.png"]
MOVING = frames("PNG")
END = png_chunk(b"IEND")
ROWS = zlib.compress(b"\0\xaa" * 8)


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
def test_what_is_kept_of_chunks(name: str) -> None:
    before, stays, after = PNG_CHUNKS[name]
    assert sanitized(png(8, 8, ROWS, before).removesuffix(END) + after + END) == png(8, 8, ROWS, stays)


def with_chunk(content: bytes, name: bytes, number: int, change: Callable[[bytes], bytes]) -> bytes:
    """Return a PNG in which the data of the chunk with this name and number is changed."""
    built, seen = content[:8], 0
    for found, data in chunks_of(content):
        changed = change(data) if found == name and seen == number else data
        seen += found == name
        built += png_chunk(found, changed)
    return built


def header(width: int = 8, height: int = 8, *rest: int) -> bytes:
    return struct.pack(">IIBBBBB", width, height, *(rest or (1, 0, 0, 0, 0)))


def with_header(*numbers: int) -> bytes:
    return with_chunk(png(8, 8, ROWS), b"IHDR", 0, lambda data: header(8, 8, *numbers))


def frame_at(left: int, top: int, width: int, height: int, number: int = 1) -> bytes:
    """Return a moving PNG of which one frame is somewhere else."""
    box = struct.pack(">IIII", width, height, left, top)
    return with_chunk(MOVING, b"fcTL", number, lambda data: data[:4] + box + data[20:])


def frames_in_data() -> bytes:
    """Return a moving PNG all of whose frames say that they are the image itself."""
    built, number = MOVING[:8], 0
    for name, data in chunks_of(MOVING):
        if name == b"fcTL":
            built, number = built + png_chunk(name, struct.pack(">I", number) + data[4:]), number + 1
        else:
            built += png_chunk(b"IDAT", data[4:]) if name == b"fdAT" else png_chunk(name, data)
    return built


def as_number_nine(data: bytes) -> bytes:
    return struct.pack(">I", 9) + data[4:]


BROKEN = {
    "an unknown compression": with_header(1, 0, 128, 0, 0),
    "an unknown method of filters": with_header(1, 0, 0, 1, 0),
    "an unknown interlacing": with_header(1, 0, 0, 0, 2),
    "an unknown depth": with_header(3, 0, 0, 0, 0),
    "an unknown type of colour": with_header(1, 1, 0, 0, 0),
    "a depth that its colours do not have": with_header(4, 2, 0, 0, 0),
    "a missing palette": with_header(1, 3, 0, 0, 0),
    "a broken palette": with_header(1, 3, 0, 0, 0).replace(
        png_chunk(b"IDAT", ROWS), png_chunk(b"PLTE", bytes(4)) + png_chunk(b"IDAT", ROWS)
    ),
    "no width": png(0, 1, zlib.compress(b"\0")),
    "no height": png(1, 0, zlib.compress(b"\0")),
    "data in two places": png(8, 8, ROWS[:5]).replace(
        END, png_chunk(b"gAMA", bytes(4)) + png_chunk(b"IDAT", ROWS[5:]) + END
    ),
    "a wrong checksum of the header": PNG[:29] + bytes(4) + PNG[33:],
    "a wrong checksum of the data": PNG[:-16] + bytes(4) + PNG[-12:],
    "a missing header": PNG[:8] + PNG[33:],
    "missing data": PNG[:33] + END,
    "data that are not compressed": png(8, 1, b"\0\xaa"),
    "missing rows": png(8, 9, ROWS),
    "a wrong checksum of the rows": png(8, 8, ROWS[:-4] + bytes(4)),
    "an unknown filter": png(8, 1, zlib.compress(b"\5\0")),
    "an unknown filter in a later row": png(8, 3, zlib.compress(b"\0\0\4\0\5\0")),
    "a broken profile": png(8, 8, ROWS, png_chunk(b"iCCP", b"x\0\0" + zlib.compress(b"profile")[:-1])),
    "a profile of too many bytes": png(8, 8, ROWS, png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(2**24 + 1)))),
    "frames in the data": frames_in_data(),
    "frames that are not announced": MOVING.replace(
        png_chunk(b"acTL", struct.pack(">II", 3, 3)), png_chunk(b"acTL", struct.pack(">II", 2, 3))
    ),
    "a frame that is too wide": frame_at(0, 0, 49, 32),
    "a frame that is too high": frame_at(0, 0, 48, 33),
    "a frame that is too far to the right": frame_at(1, 0, 48, 32),
    "a frame that is too far down": frame_at(0, 1, 48, 32),
    "a frame of no width": frame_at(0, 0, 0, 32),
    "a frame of no height": frame_at(0, 0, 48, 0),
    "a first frame that is smaller": frame_at(0, 0, 8, 8, number=0),
    "a frame out of order": with_chunk(MOVING, b"fcTL", 1, as_number_nine),
    "data of a frame out of order": with_chunk(MOVING, b"fdAT", 0, as_number_nine),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_png_is_damaged_by(name: str) -> None:
    with pytest.raises(Rejected) as refused:
        sanitized(BROKEN[name])
    assert refused.value.reason is Reason.DAMAGED


def test_a_size_is_refused_before_rows_are_unpacked() -> None:
    with pytest.raises(Rejected) as refused:
        sanitized(png(2**31 - 1, 2**31 - 1, b""))
    assert refused.value.reason is Reason.TOO_MANY_PIXELS


def test_the_last_filter() -> None:
    sent = png(8, 1, zlib.compress(b"\4\0"))
    assert sanitized(sent) == sent


def test_the_end_may_be_missing() -> None:
    assert sanitized(PNG[:-12]) == PNG
    assert sanitized(PNG[:-3]) == PNG


def test_optional_chunks_with_a_wrong_checksum_go() -> None:
    assert sanitized(png(8, 8, ROWS, png_chunk(b"tEXt", b"a\0b")[:-1] + b"?")) == png(8, 8, ROWS)


def test_a_chunk_that_is_too_long_goes() -> None:
    assert sanitized(png(8, 8, ROWS, png_chunk(b"gAMA", bytes(5)))) == png(8, 8, ROWS)


def test_data_in_pieces() -> None:
    pieces = b"".join(png_chunk(b"IDAT", ROWS[at : at + 1]) for at in range(len(ROWS)))
    assert sanitized(png(8, 8, b"").replace(png_chunk(b"IDAT"), pieces)) == png(8, 8, ROWS)


def test_a_large_profile_stays() -> None:
    profile = png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(range(256)) * 5000))
    assert sanitized(png(8, 8, ROWS, profile)) == png(8, 8, ROWS, profile)


def test_without_acTL_a_png_is_still() -> None:  # noqa: N802
    assert_same_picture(sanitized(MOVING.replace(png_chunk(b"acTL", struct.pack(">II", 3, 3)), b"")), PNG)


def interlaced(content: bytes) -> bytes:
    return with_chunk(content, b"IHDR", 0, lambda data: data[:12] + b"\1")


def test_an_interlaced_png_that_is_too_narrow_for_all_passes() -> None:
    narrow = interlaced(png(1, 1, zlib.compress(b"\0\x80")))
    assert sanitized(narrow) == narrow


def test_an_interlaced_png_that_moves() -> None:
    control = struct.pack(">IIIIHHBB", 2, 1, 0, 0, 1, 10, 0, 0)
    rows = zlib.compress(b"\0\x80\0\0")  # of two pixels, each of which is a pass
    still = png(2, 1, rows, png_chunk(b"acTL", struct.pack(">II", 2, 0)), png_chunk(b"fcTL", bytes(4) + control))
    second = png_chunk(b"fcTL", struct.pack(">I", 1) + control) + png_chunk(b"fdAT", struct.pack(">I", 2) + rows)
    sent = interlaced(still[:-12] + second + still[-12:])
    assert sanitized(sent) == sent


HIDDEN = {
    "the data": png(8, 8, ROWS + archive()),
    "the rows": png(8, 8, zlib.compress(b"\0\xaa" * 8 + archive(), 0)),
    "the profile": png(8, 8, ROWS, png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(b"profile") + archive())),
    "its end": png(8, 8, ROWS) + archive(),
    "rows without a checksum": png(8, 8, ROWS[:-4] + b""),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_an_archive_goes_behind(name: str) -> None:
    stored = sanitized(HIDDEN[name])
    assert b"secret" not in stored
    assert zlib.decompress(dict(chunks_of(stored))[b"IDAT"]) == b"\0\xaa" * 8
    assert dict(chunks_of(stored)).get(b"iCCP", b"icc\0\0" + zlib.compress(b"profile"))[5:] == zlib.compress(b"profile")


def test_an_archive_behind_the_data_of_a_frame_goes() -> None:
    sent = with_chunk(MOVING, b"fdAT", 1, lambda data: data + archive())
    assert sanitized(sent) == MOVING
