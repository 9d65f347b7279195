"""Small files of every kind that the protocol takes, made when they are asked for."""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

from django.core.files.base import ContentFile
from PIL import Image, PngImagePlugin

from ossn_messaging.attachments.content import sanitize
from ossn_messaging.attachments.file_types import identify
from ossn_messaging.attachments.images import sanitize_image
from ossn_messaging.attachments.rules import Rules
from ossn_messaging.attachments.validation import validate_upload

ICC = b"a profile's bytes, which nobody here reads" * 4
PAGE = b"<html><script>alert(1)</script></html>"

CONTENT_TYPES = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Override PartName="/word/document.xml"
 ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>"""
DOCUMENT = (
    """<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body/></w:document>"""
)


CATALOG, PAGES = b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>"


def pdf(*objects: bytes, catalog: bytes = CATALOG, pages: bytes = PAGES, trailer: bytes = b"/Root 1 0 R") -> bytes:
    """Return a PDF of one empty page, with ``objects`` after its own three."""
    file, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate((catalog, pages, b"<</Type/Page/Parent 2 0 R>>", *objects), 1):
        offsets.append(len(file))
        file += b"%d 0 obj%sendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(offsets) + 1
    end = b"trailer<</Size %d%s>>\nstartxref\n%d\n%%%%EOF\n" % (size, trailer, len(file))
    return file + b"xref\n0 %d\n0000000000 65535 f \n" % size + table + end


PDF = pdf()


RELATIONSHIPS = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1"
 Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
 Target="word/document.xml"/></Relationships>"""


def docx(
    content_types: str | bytes | None = CONTENT_TYPES,
    relationships: str | bytes | None = RELATIONSHIPS,
    document: str | bytes | None = DOCUMENT,
    edit: Callable[[zipfile.ZipFile], object] = lambda package: None,
    **others: Any,
) -> bytes:
    """Return a package; ``others`` are parts by their names, such as ``**{"word/media/a.png": b"..."}``.

    ``edit`` may change it before its list of entries is written.
    """
    file = io.BytesIO()
    parts = {
        "[Content_Types].xml": content_types,
        "_rels/.rels": relationships,
        "word/document.xml": document,
        **others,
    }
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in parts.items():
            if content is not None:
                package.writestr(name, content)
        edit(package)
    return file.getvalue()


def archive() -> bytes:
    """Return a ZIP whose bytes have no marker of a JPEG."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as package:
        package.writestr("secret.txt", "a secret message, " * 9)
    return file.getvalue()


def photo(size: tuple[int, int] = (48, 32), mode: str = "RGB") -> Image.Image:
    """A picture that is different in each of its corners."""
    return Image.radial_gradient("L").resize((size[0] * 2, size[1] * 2)).crop((0, 0, *size)).convert(mode)


def picture(picture_format: str, image: Image.Image | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    (image or photo()).save(file, picture_format, **options)
    return file.getvalue()


def exif(orientation: int = 1) -> Image.Exif:
    """What a camera says of a picture: its maker, where it was, and how it was held."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x013B] = "Secret Photographer"
    tags.get_ifd(0x8825)[1] = "N"
    return tags


def frames(picture_format: str, count: int = 3, size: tuple[int, int] = (48, 32), **options: Any) -> bytes:
    images = [photo(size).rotate(40 * number) for number in range(count)]
    durations = [70 + 10 * number for number in range(count)]
    return picture(
        picture_format, images[0], save_all=True, append_images=images[1:], duration=durations, loop=3, **options
    )


def text_chunks() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "Secret Photographer")
    return info


def segment(marker: int, data: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def png_chunk(name: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I4s", len(data), name) + data + zlib.crc32(name + data).to_bytes(4, "big")


def png(width: int, height: int, data: bytes, *chunks: bytes) -> bytes:
    """Return a PNG in black and white whose rows are ``data``, with ``chunks`` before them."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + png_chunk(b"IDAT", data) + png_chunk(b"IEND")


def gif(width: int, height: int, *blocks: bytes) -> bytes:
    """Return a GIF in black and white."""
    screen = struct.pack("<6sHHBBB", b"GIF89a", width, height, 0x80, 0, 0)
    return screen + b"\0\0\0\xff\xff\xff" + b"".join(blocks) + b";"


def gif_frame(width: int, height: int, data: bytes = b"\x02\x02\x4c\x01\0") -> bytes:
    """Return a frame of a GIF, whose default data is that of one pixel."""
    return struct.pack("<cHHHHB", b",", 0, 0, width, height, 0) + data


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a WebP of these chunks."""
    content = b"".join(struct.pack("<4sI", name, len(data)) + data + bytes(len(data) % 2) for name, data in chunks)
    return struct.pack("<4sI4s", b"RIFF", 4 + len(content), b"WEBP") + content


def kept(name: str, content: bytes) -> bytes:
    """Return what is kept of a file that is taken as an attachment."""
    with validate_upload(ContentFile(content, name)) as attachment:
        data: bytes = attachment.file.read()
        return data


def sanitized(content: bytes, max_pixels: int = 50_000_000) -> bytes:
    """Return what is stored of an image. Unlike ``kept``, inspect it in this process."""
    file_type = identify(content)
    assert file_type
    return sanitize_image(content, file_type.name, max_pixels)


def inspected(content: bytes, file_type: str, active_content: str = "standard") -> bytes | None:
    """Return what is stored in the place of a document, if anything is. Inspect it in this process."""
    rules = Rules(file_type, max_size=25 * 1024 * 1024, max_pixels=1, active_content=active_content)
    return sanitize(content, rules)


def assert_same_picture(stored: bytes, sent: bytes) -> None:
    with Image.open(io.BytesIO(stored)) as left, Image.open(io.BytesIO(sent)) as right:
        assert (left.mode, left.size) == (right.mode, right.size)
        assert left.format == ("JPEG" if right.format == "MPO" else right.format)
        for key in ("icc_profile", "loop", "transparency"):
            assert left.info.get(key) == right.info.get(key)
        for frame in range(getattr(right, "n_frames", 1) if right.format != "MPO" else 1):
            left.seek(frame)
            right.seek(frame)
            assert left.tobytes() == right.tobytes()
            assert left.info.get("duration") == right.info.get("duration")


SAMPLES = {
    "photo.jpg": picture("JPEG"),
    "photo.jpeg": picture("JPEG"),
    "photo.jfif": picture("JPEG"),
    "photo.png": picture("PNG"),
    "photo.gif": picture("GIF"),
    "photo.webp": picture("WEBP"),
    "letter.docx": docx(),
    "dummy.pdf": PDF,
}


def landscape(size: tuple[int, int]) -> Image.Image:
    """A picture with the detail of a photograph, on every scale; the same each time."""
    numbers = random.Random(4)

    def noise(cell: int) -> Image.Image:
        width, height = (max(2, -(-length // cell)) for length in size)
        return Image.frombytes("L", (width, height), numbers.randbytes(width * height)).resize(size)

    def band() -> Image.Image:
        whole = noise(max(size) // 3 + 1)
        for cell, share in ((64, 0.4), (16, 0.2), (6, 0.1), (2, 0.07), (1, 0.03)):
            whole = Image.blend(whole, noise(cell), share)
        return whole

    light = band()
    return Image.merge("RGB", [Image.blend(light, band(), 0.25) for _ in "RGB"])
