"""GIF: what is stored of its blocks."""

import pytest

from ossn_messaging.attachments.rules import Reason, Rejected
from tests.support.files import (
    PAGE,
    archive,
    assert_same_picture,
    docx,
    frames,
    gif,
    gif_frame,
    photo,
    picture,
    sanitized,
)

GIF = picture("GIF")
FRAME = gif_frame(1, 1)


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
    "its profile": (PROFILE, application(b"ICCRGBG1012", b"a profileof two blocks")),
    "a comment as long as how long it is shown": (b"\x21\xfe\x04Secr\0", b""),
    "a comment like an application": (b"\x21\xfe" + application(b"NETSCAPE2.0", REPEATS)[2:], b""),
    "plain text": (b"\x21\x01\x0c" + bytes(12) + b"\x06Secret\0", b""),
    "an extension of nobody": (b"\x21\x33\x06Secret\0", b""),
}


@pytest.mark.parametrize("name", GIF_EXTENSIONS)
def test_what_is_kept_of_extensions(name: str) -> None:
    sent, stays = GIF_EXTENSIONS[name]
    assert sanitized(gif(1, 1, sent, FRAME, sent)) == gif(1, 1, stays, FRAME, stays)


BEHIND = {"a page": PAGE, "a byte": b"X", "a byte behind zeros": bytes(9) + b"X", "an archive": docx(), "a GIF": GIF}


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_what_follows_the_trailer_goes(behind: bytes) -> None:
    assert sanitized(GIF + behind) == GIF


@pytest.mark.parametrize("cut", [1, 2], ids=["trailer", "end of the data"])
def test_the_end_may_be_missing(cut: int) -> None:
    assert sanitized(GIF[:-cut]) == GIF


def test_bytes_between_blocks_go() -> None:
    assert sanitized(gif(1, 1, b"\0\0", FRAME, b"?")) == gif(1, 1, FRAME)


BROKEN = {
    "no frame": gif(1, 1),
    "data that end too early": gif(9, 9, gif_frame(9, 9)),
    "an unknown size of codes": gif(1, 1, gif_frame(1, 1, b"\x0d\x02\x4c\x01\0")),
    "a cut second frame": frames("GIF")[:-80],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_gif_is_damaged_by(name: str) -> None:
    with pytest.raises(Rejected) as refused:
        sanitized(BROKEN[name])
    assert refused.value.reason is Reason.DAMAGED


@pytest.mark.parametrize(
    "sent",
    [
        gif(1000, 1001, FRAME),
        gif(1, 1, gif_frame(1000, 1001)),
        gif(1, 1, FRAME, gif_frame(1000, 1001)),
        gif(1, 1001, FRAME, b",\xe7\3\0\0" + FRAME[5:]),
    ],
    ids=["screen", "first frame", "second frame", "frame at the right"],
)
def test_a_canvas_is_as_large_as_its_frames(sent: bytes) -> None:
    with pytest.raises(Rejected) as refused:
        sanitized(sent, 1_000_000)
    assert refused.value.reason is Reason.TOO_MANY_PIXELS


def test_frames_are_not_counted_together() -> None:
    sent = gif(100, 100, FRAME * 300)
    assert sanitized(sent, 10_000) == sent


def blocks(data: bytes) -> bytes:
    return b"".join(bytes([len(block)]) + block for block in (data[at : at + 255] for at in range(0, len(data), 255)))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_archive_behind_the_data_of_a_frame_goes(number: int) -> None:
    images = [photo().rotate(40 * turn).convert("P") for turn in range(3)]
    sent = picture("GIF", images[0], save_all=True, append_images=images[1:])
    at = -1
    for _ in range(number + 1):
        at = sent.index(b"\0,", at + 1) if b"\0," in sent[at + 1 :] else at
    end = at + 11 + (3 << ((sent[at + 10] & 7) + 1) if sent[at + 10] & 0x80 else 0) + 1
    while sent[end]:
        end += 1 + sent[end]
    hidden = sent[:end] + blocks(archive()) + sent[end:]
    stored = sanitized(hidden)
    assert_same_picture(stored, sent)
    assert b"secret" in hidden
    assert b"secret" not in stored
    assert len(stored) <= len(sent) + 16
