"""Images that their metadata turns."""

import io
import itertools
import math
import random
import struct
import zlib
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageFile, ImageOps, ImageStat, PngImagePlugin

from tests.support import SAMPLES_FOLDER
from tests.support.files import exif, landscape, photo, picture, png_chunk, sanitized

TURNS = range(2, 9)
ICC = b"a profile's bytes, which nobody here reads!" * 4
FORMATS = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}


def opened(content: bytes) -> Any:
    return Image.open(io.BytesIO(content))


def psnr(one: Image.Image, other: Image.Image) -> float:
    """Return the peak signal-to-noise ratio of what can be seen of two images, in dB."""
    if one.mode == "RGBA":
        one, other = (Image.alpha_composite(Image.new("RGBA", each.size, "gray"), each) for each in (one, other))
    statistics = ImageStat.Stat(ImageChops.difference(one, other))
    error = sum(statistics.sum2) / sum(statistics.count)
    return 10 * math.log10(255**2 / error) if error else math.inf


def assert_upright(stored: bytes, sent: bytes, *, exact: bool, at_least: float = 38) -> None:
    """``stored`` is ``sent`` as it was meant to be seen, and nothing else. If not ``exact``, compare in dB."""
    with opened(stored) as left, opened(sent) as right:
        assert not left.getexif()
        assert not {"exif", "xmp", "comment", "XML:com.adobe.xmp", "Author"} & set(left.info)
        assert b"Secret" not in stored
        for key in ("icc_profile", "loop", "background", "gamma", "transparency", "default_image", "progressive"):
            assert left.info.get(key) == right.info.get(key)
        if right.format != "MPO":
            assert getattr(left, "n_frames", 1) == getattr(right, "n_frames", 1)
        for frame in range(getattr(left, "n_frames", 1)):
            left.seek(frame)
            right.seek(frame)
            left.load()
            upright = ImageOps.exif_transpose(right)
            assert left.size == upright.size
            assert left.info.get("duration") == right.info.get("duration")
            if exact:
                assert left.mode == upright.mode
                assert left.tobytes() == upright.tobytes()
            else:
                shown = left.convert(upright.mode)
                assert psnr(shown, upright) >= at_least


def tiff(orientation: int, order: str = "<") -> bytes:
    """EXIF that says this one thing, with the low or the high byte first."""
    start = b"II*\0" if order == "<" else b"MM\0*"
    return start + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def chunks_of(content: bytes) -> list[tuple[bytes, bytes]]:
    """Return the name and data of each chunk of a PNG."""
    chunks, at = [], 8
    while at < len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        chunks.append((name, content[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


def png_of(*chunks: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(itertools.starmap(png_chunk, chunks))


def webp_pieces(content: bytes) -> list[tuple[bytes, bytes]]:
    """Return the name of each chunk of a WebP, and all of its bytes."""
    pieces, at = [], 12
    while at < len(content):
        name, length = struct.unpack_from("<4sI", content, at)
        end = at + 8 + length + length % 2
        pieces.append((name, content[at:end]))
        at = end
    return pieces


def held(content: bytes, metadata: bytes) -> bytes:
    """Return a picture with this EXIF in place of its own."""
    if content.startswith(b"\xff\xd8"):
        segment = b"Exif\0\0" + metadata
        return content[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + content[2:]
    if content.startswith(b"\x89PNG"):
        header, *others = (chunk for chunk in chunks_of(content) if chunk[0] != b"eXIf")
        return png_of(header, (b"eXIf", metadata), *others)
    pieces = [(name, piece) for name, piece in webp_pieces(content) if name not in {b"EXIF", b"XMP "}]
    if pieces[0][0] != b"VP8X":
        with opened(content) as image:
            numbers = b"".join((length - 1).to_bytes(3, "little") for length in image.size)
            flags = bytes([0x10 if image.mode == "RGBA" else 0])
        pieces.insert(0, (b"VP8X", b"VP8X\x0a\0\0\0" + flags + b"\0\0\0" + numbers))
    first = pieces[0][1]
    pieces[0] = b"VP8X", first[:8] + bytes([first[8] & ~0x04 | 0x08]) + first[9:]
    pieces.append((b"EXIF", b"EXIF" + len(metadata).to_bytes(4, "little") + metadata + b"\0" * (len(metadata) % 2)))
    body = b"WEBP" + b"".join(piece for _, piece in pieces)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLES_FOLDER.iterdir() if path.suffix in FORMATS))
def test_pictures_of_other_programs(name: str) -> None:
    content = (SAMPLES_FOLDER / name).read_bytes()
    exact = name.endswith(".png") or (name.endswith(".webp") and b"VP8 " not in content)
    for orientation in TURNS:
        sent = held(content, tiff(orientation))
        assert_upright(sanitized(sent), sent, exact=exact, at_least=30)  # small drawings, some at a low quality


XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>"""


def xmp_chunk() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP)
    return info


PNG = picture("PNG")
WEBP = picture("WEBP", lossless=True)
MAKER = exif(6)
MAKER[0x010F] = "Secret Maker"
HELD = {
    "behind its maker": held(PNG, MAKER.tobytes().removeprefix(b"Exif\0\0")),
    "little endian": held(PNG, tiff(6)),
    "big endian": held(PNG, tiff(6, ">")),
    "after the pixels": PNG[:-12] + png_chunk(b"eXIf", tiff(6)) + PNG[-12:],
    "WebP": held(WEBP, tiff(6, ">")),
    "WebP, as in a JPEG": held(WEBP, b"Exif\0\0" + tiff(6)),
}


@pytest.mark.parametrize("name", HELD)
def test_how_it_was_held_stands_in_many_places(name: str) -> None:
    assert_upright(sanitized(HELD[name]), HELD[name], exact=True)


@pytest.mark.parametrize(
    "sent",
    [
        picture("JPEG", landscape((64, 48)), xmp=XMP.encode()),
        picture("PNG", pnginfo=xmp_chunk()),
        picture("WEBP", lossless=True, xmp=XMP.encode()),
    ],
    ids=["JPEG", "PNG", "WebP"],
)
def test_what_xmp_alone_says_turns_nothing(sent: bytes) -> None:
    """As in a browser."""
    with opened(sanitized(sent)) as left, opened(sent) as right:
        assert left.size == right.size
        assert left.tobytes() == right.tobytes()


EMPTY = tiff(6)[:8] + b"\0\0" + tiff(6)[10:]
"""EXIF whose list has nothing, with something behind it."""


@pytest.mark.parametrize("metadata", [tiff(1), tiff(0), tiff(9), b"no EXIF", tiff(6)[:6], EMPTY])
@pytest.mark.parametrize("content", [picture("JPEG"), PNG, WEBP], ids=["JPEG", "PNG", "WebP"])
def test_what_says_nothing_turns_nothing(content: bytes, metadata: bytes) -> None:
    with opened(sanitized(held(content, metadata))) as left, opened(content) as right:
        assert left.tobytes() == right.tobytes()


QUALITIES = [75, 85, 90, 95, 100]


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("size", [(320, 240), (328, 248), (317, 235)], ids=["whole", "half", "odd"])
def test_a_jpeg_is_as_good_and_as_small(size: tuple[int, int], sampling: str, quality: int) -> None:
    image = landscape(size)
    for orientation in (3, 5, 6, 7):
        sent = picture("JPEG", image, quality=quality, subsampling=sampling, optimize=True, exif=exif(orientation))
        stored = sanitized(sent)
        assert_upright(stored, sent, exact=False)
        assert len(stored) <= 2 * len(sent)


def components(content: bytes) -> list[tuple[tuple[int, int], list[int]]]:
    """How each component of a JPEG is sampled, across and down, and with which steps it is quantized."""
    with opened(content) as image:
        return [((across, down), list(image.quantization[table])) for _, across, down, table in image.layer]


def transposed(table: list[int]) -> list[int]:
    return [table[row + column] for column in range(8) for row in range(0, 64, 8)]


@pytest.mark.parametrize(("mode", "sampling"), [("L", 0), ("RGB", 0), ("RGB", 1), ("RGB", 2), ("CMYK", 0)])
def test_a_jpeg_of_whole_blocks_keeps_its_sampling_and_steps(mode: str, sampling: int) -> None:
    steps = [[factor + factor * (at // 8) + at % 8 for at in range(64)] for factor in (1, 2)]
    steps = steps[:1] if mode == "CMYK" else steps
    sent = picture("JPEG", landscape((64, 48)).convert(mode), qtables=steps, subsampling=sampling)
    assert components(sanitized(held(sent, tiff(3)))) == components(sent)
    lying = [((down, across), transposed(table)) for (across, down), table in components(sent)]
    if sampling == 1:  # Pillow writes it only across
        finer = [transposed([math.ceil(step / 2) for step in table]) for _, table in components(sent)]
        lying = [((1, 1), table) for table in finer]
    assert components(sanitized(held(sent, tiff(6)))) == lying


def test_a_jpeg_that_is_coded_in_rgb_stays_alike() -> None:
    sent = held(picture("JPEG", landscape((64, 48)), keep_rgb=True), tiff(6))
    assert_upright(sanitized(sent), sent, exact=False)


@pytest.mark.parametrize("unit", [1, 2], ids=["inch", "cm"])
def test_a_jpeg_keeps_its_density(unit: int) -> None:
    sent = picture("JPEG", landscape((64, 48)), dpi=(300, 150), exif=exif(6))
    sent = sent.replace(b"JFIF\0\1\1\1", b"JFIF\0\1\1" + bytes([unit]), 1)
    with opened(sanitized(sent)) as left, opened(sent) as right:
        assert left.info["dpi"] == tuple(round(each) for each in right.info["dpi"][::-1])


def test_a_jpeg_of_no_density_gets_none() -> None:
    with opened(sanitized(held(picture("JPEG"), tiff(6)))) as image:
        assert image.info["jfif_unit"] == 0


@pytest.mark.parametrize("quality", [85, 90, 95])
@pytest.mark.parametrize("size", [(320, 240), (317, 235)], ids=["whole", "odd"])
def test_a_lossy_webp_is_as_good_and_as_small(size: tuple[int, int], quality: int) -> None:
    sent = picture("WEBP", landscape(size), quality=quality, exif=exif(6), icc_profile=ICC)
    stored = sanitized(sent)
    assert_upright(stored, sent, exact=False)
    assert len(stored) <= 2 * len(sent)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (5, 3), (8, 8), (9, 7), (16, 16), (37, 29), (1, 300), (700, 9)])
@pytest.mark.parametrize("options", [{"format": "JPEG"}, {"format": "WEBP"}, {"format": "JPEG", "progressive": True}])
def test_a_small_or_narrow_picture(options: dict[str, Any], size: tuple[int, int]) -> None:
    file = io.BytesIO()
    landscape(size).save(file, exif=exif(6), **options)
    assert_upright(sanitized(file.getvalue()), file.getvalue(), exact=False, at_least=36)


def noise(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    """A picture that is harder than any."""
    bands = Image.getmodebands(mode)
    return Image.frombytes(mode, size, random.Random(5).randbytes(size[0] * size[1] * bands))


def test_a_noisy_jpeg_that_fills_pillows_buffer() -> None:
    sent = picture("JPEG", noise((400, 300)), quality=100, subsampling=0, exif=exif(6))
    stored = sanitized(sent)
    assert_upright(stored, sent, exact=False)
    assert len(stored) <= 2 * len(sent)


def test_a_noisy_progressive_jpeg_that_fills_pillows_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(ImageFile, "MAXBLOCK", 1_000_000)
        sent = picture("JPEG", noise((400, 300)), quality=100, subsampling=0, progressive=True, exif=exif(6))
    with opened(sanitized(sent)) as stored, opened(sent) as image:
        assert psnr(stored, ImageOps.exif_transpose(image)) >= 38
        assert "progressive" not in stored.info


def with_transparency(mode: str, transparency: Any) -> bytes:
    return picture("PNG", photo((19, 13), mode), exif=exif(6), transparency=transparency, icc_profile=ICC)


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize(
    "sent",
    [
        with_transparency("1", None),
        with_transparency("L", 127),
        with_transparency("P", bytes(range(200))),
        with_transparency("RGB", (127, 127, 127)),
        with_transparency("I;16", 9),
        picture("PNG", photo((19, 13)).quantize(3), exif=exif(6)),
        picture("PNG", photo((19, 13), "LA"), exif=exif(6)),
        picture("PNG", photo((19, 13), "RGBA"), exif=exif(6)),
    ],
    ids=["1", "L", "P", "RGB", "I;16", "P;2", "LA", "RGBA"],
)
def test_a_png_keeps_its_pixels(sent: bytes, orientation: int) -> None:
    sent = held(sent, tiff(orientation))
    stored = sanitized(sent)
    assert_upright(stored, sent, exact=True)
    left, right = ([name for name, _ in chunks_of(content) if name != b"IDAT"] for content in (stored, sent))
    assert left == [name for name in right if name != b"eXIf"]


@pytest.mark.parametrize(
    "image", [photo((200, 150)).quantize(16), photo((200, 150), "L"), photo((200, 150))], ids=["P;4", "L", "RGB"]
)
def test_a_png_stays_nearly_as_small(image: Image.Image) -> None:
    upright = picture("PNG", image.transpose(Image.Transpose.ROTATE_270))
    assert len(sanitized(held(picture("PNG", image), tiff(6)))) <= 1.4 * len(upright)


def test_a_png_keeps_what_says_how_it_is_meant() -> None:
    header, *others = chunks_of(picture("PNG", photo((20, 10))))
    meant = [
        (b"gAMA", struct.pack(">I", 45455)),
        (b"cHRM", struct.pack(">8I", *range(8))),
        (b"sBIT", b"\5\6\5"),
        (b"bKGD", b"\0\1\0\2\0\3"),
    ]
    sent = png_of(header, *meant, (b"pHYs", b"\0\0\0\1\0\0\0\2\0"), (b"eXIf", tiff(6)), (b"tEXt", b"a\0b"), *others)
    stored = dict(chunks_of(sanitized(sent)))
    assert {name: stored[name] for name, _ in meant} == dict(meant)
    assert stored[b"pHYs"] == b"\0\0\0\2\0\0\0\1\0"
    assert not {b"eXIf", b"tEXt"} & set(stored)


@pytest.mark.parametrize(("colour", "samples"), [(2, 3), (4, 2), (6, 4)], ids=["RGB", "gray, alpha", "RGBA"])
def test_a_png_keeps_sixteen_bits(colour: int, samples: int) -> None:
    width, height, size = 5, 3, samples * 2
    pixels = random.Random(6).randbytes(width * height * size)
    rows = [pixels[row * width * size : (row + 1) * width * size] for row in range(height)]
    sent = png_of(
        (b"IHDR", struct.pack(">2I5B", width, height, 16, colour, 0, 0, 0)),
        (b"eXIf", tiff(6)),
        (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))),
        (b"IEND", b""),
    )
    stored = dict(chunks_of(sanitized(sent)))
    columns = [[rows[row][at * size : (at + 1) * size] for row in reversed(range(height))] for at in range(width)]
    assert stored[b"IHDR"][:10] == struct.pack(">2I2B", height, width, 16, colour)
    assert unfiltered(zlib.decompress(stored[b"IDAT"]), height * size, size) == b"".join(itertools.chain(*columns))


def unfiltered(data: bytes, row_size: int, pixel_size: int) -> bytes:
    """Undo the filters of a PNG's rows (PNG, third edition, 9.2)."""
    found = []
    above = bytes(row_size)
    for start in range(0, len(data), row_size + 1):
        row = bytearray(data[start + 1 : start + 1 + row_size])
        for at in range(row_size):
            left, corner = (line[at - pixel_size] if at >= pixel_size else 0 for line in (row, above))
            up = above[at]
            paeth = min(
                (abs(up - corner), 0, left), (abs(left - corner), 1, up), (abs(left + up - 2 * corner), 2, corner)
            )
            row[at] = row[at] + (0, left, up, (left + up) // 2, paeth[2])[data[start]] & 255
        found.append(above := bytes(row))
    return b"".join(found)


MOVING = [photo((41, 30)).rotate(angle) for angle in (0, 40, 60, 80)]


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("loop", [0, 1, 3])
@pytest.mark.parametrize(
    "options",
    [
        {"disposal": 0, "blend": 0},
        {"disposal": 1, "blend": 1},
        {"disposal": [0, 2, 1, 0], "blend": [0, 1, 1, 0]},
        {"default_image": True},
    ],
)
def test_a_moving_png_stays_the_same(options: dict[str, Any], loop: int, orientation: int) -> None:
    durations = [70, 1001, 80, 33][: 3 if "default_image" in options else 4]
    sent = picture(
        "PNG",
        MOVING[0],
        save_all=True,
        append_images=MOVING[1:],
        duration=durations,
        loop=loop,
        icc_profile=ICC,
        **options,
    )
    sent = held(sent, tiff(orientation))
    stored = sanitized(sent)
    assert_upright(stored, sent, exact=True)
    left, right = ([data[20:] for name, data in chunks_of(content) if name == b"fcTL"] for content in (stored, sent))
    assert left == right


def moving_webp(*frames: tuple[Image.Image, dict[str, Any]], loop: int, offset: int = 0) -> bytes:
    """An animation of frames that are written each in its own way, drawn over each other."""
    canvas = max(image.width for image, _ in frames) + offset, max(image.height for image, _ in frames) + offset
    body = b"WEBP" + b"VP8X\x0a\0\0\0\x1e\0\0\0" + b"".join((length - 1).to_bytes(3, "little") for length in canvas)
    body += b"ANIM\x06\0\0\0" + b"\1\2\3\4" + loop.to_bytes(2, "little")
    for number, (image, options) in enumerate(frames):
        pieces = b"".join(piece for name, piece in webp_pieces(picture("WEBP", image, **options)) if name != b"VP8X")
        numbers = (offset // 2, 0, image.width - 1, image.height - 1, 100 + number)
        content = b"".join(each.to_bytes(3, "little") for each in numbers) + bytes([number % 2]) + pieces
        body += b"ANMF" + len(content).to_bytes(4, "little") + content
    return b"RIFF" + len(body).to_bytes(4, "little") + body


LOSSLESS = {"lossless": True, "exact": True}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("loop", [0, 1, 3])
def test_a_moving_lossless_webp_stays_the_same(loop: int, orientation: int) -> None:
    images = [*MOVING, photo((21, 17), "RGBA"), Image.new("RGBA", (9, 9), "#12345678")]
    sent = held(moving_webp(*((image, LOSSLESS) for image in images), loop=loop, offset=2), tiff(orientation))
    stored = sanitized(sent)
    assert_upright(stored, sent, exact=True)
    assert dict(webp_pieces(stored))[b"ANIM"] == dict(webp_pieces(sent))[b"ANIM"]


@pytest.mark.parametrize("orientation", [2, 6])
def test_a_moving_lossy_webp_stays_like_it_was(orientation: int) -> None:
    images = [landscape((160, 120)).rotate(angle) for angle in (0, 90, 180)]
    sent = held(moving_webp(*((image, {"quality": 90}) for image in images), loop=2), tiff(orientation))
    stored = sanitized(sent)
    assert_upright(stored, sent, exact=False)
    assert len(stored) <= 2 * len(sent)


def test_a_moving_lossy_webp_keeps_its_transparency() -> None:
    image = landscape((160, 120))
    image.putalpha(photo((160, 120), "L"))
    sent = held(moving_webp(*((each, {"quality": 90}) for each in (image, image.rotate(90))), loop=2), tiff(6))
    stored = sanitized(sent)
    assert_upright(stored, sent, exact=False)
    assert len(stored) <= 2 * len(sent)


def test_a_gif_is_never_turned() -> None:
    sent = picture("GIF")
    xmp = b"\x21\xff\x0bXMP DataXMP" + b"".join(
        bytes([len(part)]) + part for part in (XMP.encode()[at : at + 200] for at in range(0, len(XMP), 200))
    )
    sent = sent[:-1] + xmp + b"\0" + sent[-1:]
    with opened(sanitized(sent)) as image:
        assert image.size == (48, 32)


def test_of_a_phones_two_pictures_the_first_is_kept_upright() -> None:
    sent = picture("MPO", landscape((48, 32)), save_all=True, append_images=[photo((24, 16))], exif=exif(6))
    stored = sanitized(sent)
    assert_upright(stored, sent, exact=False)
    with opened(stored) as image:
        assert image.format == "JPEG"
