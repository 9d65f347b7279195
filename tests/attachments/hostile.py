"""Small files that took seconds of a processor, or gigabytes, before inspections had limits."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache

from PIL import Image

from tests.support.files import SAMPLES

MEGAPIXELS_50 = 8000, 6250
Build = Callable[[], bytes]
FILES: dict[str, tuple[str, Build]] = {}
"""The file name and the content of each, by what it is."""


def hostile(what: str, name: str) -> Callable[[Build], Build]:
    def add(build: Build) -> Build:
        FILES[what] = name, cache(build)
        return build

    return add


def turned_to_the_right() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def saved(image: Image.Image, image_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, exif=turned_to_the_right(), **options)
    return file.getvalue()


def repacked(part: str, change: Callable[[bytes], bytes]) -> bytes:
    """Return a DOCX one part of which is changed."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(SAMPLES["letter.docx"])) as letter,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as package,
    ):
        for entry in letter.infolist():
            content = letter.read(entry)
            package.writestr(entry.filename, change(content) if entry.filename == part else content)
    return file.getvalue()


@hostile("DOCX, a long namespace over 100,000 content types", "types.docx")
def docx_types() -> bytes:
    types = b'<Types xmlns="%s">%s</Types>' % (500_000 * b"x", 100_000 * b"<a/>")
    return repacked("[Content_Types].xml", lambda content: types)


@hostile("DOCX, a long namespace over 16,000 elements of its main part", "document.docx")
def docx_main_part() -> bytes:
    word = b"http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    elements = b'<a xmlns="%s">%s</a>' % (500_000 * b"x", 16_000 * b"<b/>")
    document = b'<w:document xmlns:w="%s">%s</w:document>' % (word, elements)
    return repacked("word/document.xml", lambda content: document)


@hostile("PDF, 60 objects that all begin before one long array", "objects.pdf")
def pdf_objects() -> bytes:
    count, spaces = 60, 2_000
    index = b" ".join(b"%d %d" % (number, number) for number in range(10, 10 + count)) + b" "
    data = zlib.compress(index + spaces * b" " + b"[" + 99_000 * b"1 " + b"]", 9)
    out = bytearray(b"%PDF-1.7\n")
    places = {}
    for number, content in {
        1: b"<</Type/Catalog/Pages 2 0 R/Names 10 0 R>>",
        2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Annots 11 0 R>>",
        4: b"<</Type/ObjStm/N %d/First %d/Filter/FlateDecode/Length %d>>stream\n%s\nendstream"
        % (count, len(index), len(data), data),
    }.items():
        places[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    places[5] = len(out)
    rows = [struct.pack(">BIH", 0, 0, 0)]
    rows += [struct.pack(">BIH", 1, places[number], 0) for number in range(1, 6)]
    rows += [struct.pack(">BIH", 0, 0, 0)] * 4
    rows += [struct.pack(">BIH", 2, 4, place) for place in range(count)]
    table = zlib.compress(b"".join(rows), 9)
    out += (
        b"5 0 obj\n<</Type/XRef/Size %d/W[1 4 2]/Root 1 0 R/Filter/FlateDecode/Length %d>>stream\n%s\nendstream\n"
        % (
            10 + count,
            len(table),
            table,
        )
    )
    return bytes(out) + b"endobj\nstartxref\n%d\n%%%%EOF\n" % places[5]


@hostile("PNG, 50 megapixels of 16 bits, turned", "zeros.png")
def png_of_16_bits() -> bytes:
    width, height = MEGAPIXELS_50

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    pack = zlib.compressobj(1)
    row = bytes(1 + 8 * width)
    data = b"".join(pack.compress(row) for _ in range(height)) + pack.flush()
    header = struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, 0)
    exif = turned_to_the_right().removeprefix(b"Exif\0\0")
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"eXIf", exif)
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )


@hostile("WebP of 36 bytes, 50 megapixels", "one-color.webp")
def webp_of_36_bytes() -> bytes:
    return bytes.fromhex("524946461c000000574542505650384c0f0000002f9e9be7060710fd8ffe0722a2ff0100")


@hostile("WebP, 600 frames, turned", "animation.webp")
def webp_animation() -> bytes:
    frames = [Image.effect_noise((70, 70), 99).convert("RGB") for _ in range(600)]
    return saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=40, quality=10, method=0)


@hostile("WebP, 50 megapixels of noise, turned", "noise.webp")
def webp_noise() -> bytes:
    tile = Image.effect_noise((1000, 625), 99).convert("RGB")
    image = Image.new("RGB", MEGAPIXELS_50)
    for number in range(80):
        image.paste(tile, (number % 8 * 1000, number // 8 * 625))
    return saved(image, "WEBP", quality=5, method=0)


@hostile("JPEG, CMYK, progressive, turned", "cmyk.jpg")
def jpeg_progressive() -> bytes:
    image = Image.effect_noise((2000, 1500), 99).resize(MEGAPIXELS_50).convert("CMYK")
    return saved(image, "JPEG", quality=60, progressive=True)
