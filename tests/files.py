"""Small files of every kind that the protocol takes, made when they are asked for."""

import io
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

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


def docx(content_types: str | bytes = CONTENT_TYPES, document: str | None = DOCUMENT) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("[Content_Types].xml", content_types)
        if document is not None:
            package.writestr("word/document.xml", document)
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
