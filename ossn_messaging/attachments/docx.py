"""Whether a DOCX is one, by opening it: a package by the rules of ECMA-376, part 2 (Open Packaging Conventions)."""

import encodings.cp437  # noqa: F401, zipfile needs it, and can't import it where no file may be opened
import posixpath
import re
import stat
import zipfile
from typing import IO
from xml.etree import ElementTree
from xml.parsers import expat

from ossn_messaging.attachments import file_types

CONTENT_TYPES = "[Content_Types].xml"
RELATIONSHIPS = "_rels/.rels"
MAIN_RELATIONSHIPS = {
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument",
    "http://purl.oclc.org/ooxml/officeDocument/relationships/officeDocument",
}
"""Those that lead to the main part (ECMA-376, part 1, 11.3.10, in the transitional and the strict form)."""
MAIN_TYPE = f"{file_types.DOCX.content_type}.main+xml"
"""The content type of a main part without macros (the same place)."""
MAIN_ROOTS = {
    "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}document",
    "{http://purl.oclc.org/ooxml/wordprocessingml/main}document",
}
MACRO_TYPE = re.compile("macroenabled|vba", re.IGNORECASE)
"""What the content types of documents and parts with macros hold ([MS-OFFMACRO2], 2.2)."""
MACRO_PARTS = {"vbaproject.bin", "vbadata.xml"}
CLIMBS_OUT = re.compile(r"/|[a-z]:|.*[\\\0]|(.*/)?\.\.(/|$)", re.DOTALL)
"""The names that would leave the folder into which a package is unpacked, on one system or another."""

MAX_ENTRIES = 5_000
MAX_UNPACKED = 256 * 1024 * 1024
"""In bytes, of all entries together."""
MAX_RATIO = 100
"""How many times its packed size an entry may have, unless it is small."""
SMALL = 1024 * 1024
"""In bytes. No part of more is read into memory whole, nor a longer list of entries."""
MAX_NODES = 3_000_000
"""Elements and attributes of the main part, more than those of a thousand pages."""
MAX_DEPTH = 1_000
"""Of elements within elements, each of which the parser keeps in mind."""
BLOCK_SIZE = 64 * 1024


class CautiousFile(__import__("io").BytesIO):
    """Is not read much of at once: to ``zipfile`` the list of entries is one piece, however long it is."""

    def read(self, size: int = -1) -> bytes:
        if size > SMALL:
            raise ValueError("the list of entries is too long")
        data: bytes = super().read(size)
        return data


class Tree(ElementTree.TreeBuilder):
    """Keeps a part whole, which has no DOCTYPE, and so no entities to blow it up."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("a DOCTYPE has no place here")


class Root:
    """Keeps no more than the name of its root of a part of any size."""

    name = ""
    seen = depth = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.name = self.name or f"{{{tag}"
        self.seen += 1 + len(attributes)
        self.depth += 1
        if self.seen > MAX_NODES or self.depth > MAX_DEPTH:
            raise ValueError("a part has too many elements")

    def end(self, tag: str) -> None:
        self.depth -= 1

    def doctype(self, *args: object) -> None:
        raise ValueError("a DOCTYPE has no place here")


def _root(package: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    """Parse a part and return the name of its root."""
    root, parser, size = Root(), expat.ParserCreate(namespace_separator="}"), 0
    parser.StartElementHandler, parser.EndElementHandler = root.start, root.end
    parser.StartDoctypeDeclHandler = root.doctype
    with package.open(entry) as part:
        while block := part.read(BLOCK_SIZE):
            parser.Parse(block)
            size += len(block)
            if size - parser.CurrentByteIndex > SMALL:  # it is kept in memory, and gone over again with each block
                raise ValueError("a tag or comment is too long")
    parser.Parse(b"", True)
    return root.name


def check(file: IO[bytes]) -> None:
    """Raise ``ValueError`` unless ``file`` is a whole package whose main part is a document without macros.

    Before anything is unpacked, its entries are counted and what they would unpack to is summed up.
    """
    try:
        with zipfile.ZipFile(file) as package:
            entries = package.infolist()
            _check_entries(entries)
            if sum(entry.compress_size for entry in entries) > file.seek(0, 2):
                raise ValueError("its entries overlap")
            _check_parts(package, {entry.filename.lower(): entry for entry in entries})
            for entry in entries:
                _check_whole(package, entry)
    # zipfile answers a broken package with whatever its code ran into: BadZipFile, zlib.error, RuntimeError...
    except Exception as error:
        raise ValueError("not a document") from error


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    """Check what the package says of its entries."""
    names = [entry.orig_filename.lower() for entry in entries]
    # An extra field of an entry may give it another name (APPNOTE 6.3.10, 4.6.9).
    others = [entry.filename.lower() for entry in entries]
    if not 0 < len(entries) <= MAX_ENTRIES or len(set(names)) != len(names) or len(set(others)) != len(names):
        raise ValueError("too many entries, or two under one name")
    if min(entry.header_offset for entry in entries):
        raise ValueError("something stands before the package")
    for name in (*names, *others):
        _check_name(name)
    for entry in entries:
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise ValueError("an entry is a link")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("an entry is packed as none of a package is")
        if entry.file_size > max(SMALL, MAX_RATIO * entry.compress_size):
            raise ValueError("an entry is packed too tightly")
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED:
        raise ValueError("it would unpack to too much")


def _check_name(name: str) -> None:
    if CLIMBS_OUT.match(name):
        raise ValueError("an entry climbs out")
    if MACRO_PARTS & set(name.split("/")):  # the part itself, or its pieces (9.2.3)
        raise ValueError("it has macros")


def _check_parts(package: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo]) -> None:
    """Check the types of the parts, and that the main one is a document of word processing."""
    types = _parse_small(package, entries[CONTENT_TYPES.lower()])
    if any(MACRO_TYPE.search(part.get("ContentType", "")) for part in types):
        raise ValueError("it has macros")
    relationships = [
        relationship
        for relationship in _parse_small(package, entries[RELATIONSHIPS])
        if relationship.get("Type") in MAIN_RELATIONSHIPS
    ]
    if len(relationships) != 1 or relationships[0].get("TargetMode", "Internal") != "Internal":
        raise ValueError("no main part, or more than one, or one elsewhere")
    main = posixpath.normpath(posixpath.join("/", relationships[0].get("Target", "").lower()))
    by_name = {name.lower(): part.get("ContentType") for part in types if (name := part.get("PartName"))}
    by_suffix = {f".{suffix.lower()}": part.get("ContentType") for part in types if (suffix := part.get("Extension"))}
    if by_name.get(main, by_suffix.get(posixpath.splitext(main)[1])) != MAIN_TYPE:
        raise ValueError("the main part is not a document of word processing")
    if _root(package, entries[main[1:]]) not in MAIN_ROOTS:
        raise ValueError("the main part is not what its type says")


def _check_whole(package: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Check that an entry has its checksum, which ``zipfile`` sees to, and its size."""
    size = 0
    with package.open(entry) as part:
        while block := part.read(BLOCK_SIZE):
            size += len(block)
    if size != entry.file_size:
        raise ValueError("an entry has another size")


def _parse_small(package: zipfile.ZipFile, entry: zipfile.ZipInfo) -> ElementTree.Element:
    if entry.file_size > SMALL:
        raise ValueError("a part that is read whole is too large")
    parser = ElementTree.XMLParser(target=Tree())  # noqa: S314
    parser.feed(package.read(entry))
    element: ElementTree.Element = parser.close()
    return element


def is_password_protected(content: bytes) -> bool:
    return False
