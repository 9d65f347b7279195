"""Whether a PDF or a DOCX is one, by its content. All functions raise ``ValueError`` where it is not."""

import zipfile
from pathlib import PurePosixPath
from typing import IO
from xml.etree import ElementTree

from ossn_messaging import kinds

PDF_TRAILER_REACH = 1024
"""How far from the end ``%%EOF`` may stand, in bytes (PDF Reference 1.7, appendix H, note 18)."""
CONTENT_TYPES = "[Content_Types].xml"
CONTENT_TYPES_MAX_SIZE = 1024 * 1024
"""In bytes, unpacked; Word's own are of a few thousand."""
MAIN_PART = f"{kinds.DOCX.content_type}.main+xml"
"""The content type of the main part of a document without macros (ECMA-376 part 1, 11.3.10)."""


class NoDoctype(ElementTree.TreeBuilder):
    """A part of a package has no DOCTYPE (ECMA-376 part 2, on the use of XML), and so no entities to blow it up."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("a DOCTYPE has no place here")


def check_pdf(file: IO[bytes]) -> None:
    """Raise ``ValueError`` unless ``file`` begins and ends as a PDF does."""
    file.seek(0)
    begins = file.read(5) == b"%PDF-"
    size = file.seek(0, 2)
    file.seek(max(0, size - PDF_TRAILER_REACH))
    if not begins or b"%%EOF" not in file.read():
        raise ValueError("not a PDF")


def check_docx(file: IO[bytes]) -> None:
    """Raise ``ValueError`` unless ``file`` is a package whose main part is a word-processing document."""
    file.seek(0)
    if file.read(4) != b"PK\x03\x04":
        raise ValueError("not a zip file")
    try:
        with zipfile.ZipFile(file) as package:
            names = [name.lower() for name in package.namelist()]  # part names are compared so (ECMA-376 part 2)
            if package.getinfo(CONTENT_TYPES).file_size > CONTENT_TYPES_MAX_SIZE:
                raise ValueError("the list of content types is too large")
            with package.open(CONTENT_TYPES) as part:
                content_types = part.read(CONTENT_TYPES_MAX_SIZE + 1)
    # zipfile answers a broken package with whatever its code ran into: BadZipFile, zlib.error, RuntimeError...
    except Exception as error:
        raise ValueError("not a readable package") from error
    try:
        parts = ElementTree.fromstring(content_types, ElementTree.XMLParser(target=NoDoctype()))  # noqa: S314
    except ElementTree.ParseError as error:
        raise ValueError("the list of content types is not XML") from error
    overrides = {part.get("PartName", "").lower(): part.get("ContentType") for part in parts}
    defaults = {f".{part.get('Extension', '').lower()}": part.get("ContentType") for part in parts}
    types = (overrides.get(f"/{name}", defaults.get(PurePosixPath(name).suffix)) for name in names)
    if MAIN_PART not in types:
        raise ValueError("no main part of a word-processing document")
