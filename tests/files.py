"""Small files of every kind that the protocol takes, made when they are asked for."""

import io
import random
import zipfile
from typing import Any

from PIL import Image, PngImagePlugin

CONTENT_TYPES = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Override PartName="/word/document.xml"
 ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>"""
DOCUMENT = (
    """<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body/></w:document>"""
)


def pdf(*objects: bytes) -> bytes:
    """Return a PDF of one empty page, with ``objects`` after its own three."""
    own = (b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>", b"<</Type/Page/Parent 2 0 R>>")
    file, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(own + objects, 1):
        offsets.append(len(file))
        file += b"%d 0 obj%sendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(offsets) + 1
    end = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (size, len(file))
    return file + b"xref\n0 %d\n0000000000 65535 f \n" % size + table + end


PDF = pdf()


RELATIONSHIPS = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1"
 Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
 Target="word/document.xml"/></Relationships>"""


def docx(
    content_types: str | bytes = CONTENT_TYPES,
    relationships: str = RELATIONSHIPS,
    document: str | None = DOCUMENT,
    **others: str | bytes,
) -> bytes:
    """Return a package; ``others`` are parts by their names, such as ``**{"word/media/a.png": b"..."}``."""
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


def frames(picture_format: str, count: int = 3, **options: Any) -> bytes:
    images = [photo().rotate(40 * number) for number in range(count)]
    return picture(
        picture_format, images[0], save_all=True, append_images=images[1:], duration=[70, 80, 90], loop=3, **options
    )


def text_chunks() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "Secret Photographer")
    return info


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
