"""Validation of DOCX files, and detection of their active content.

A DOCX file is a package as ECMA-376, part 2 (Open Packaging Conventions, OPC), defines it.
"""

import encodings.cp437  # noqa: F401, zipfile needs it, and an inspection may not open the file to import it
import io
import posixpath
import re
import stat
import struct
import zipfile
from collections.abc import Mapping
from xml.parsers import expat

from ossn_messaging.attachments import file_types
from ossn_messaging.attachments.rules import Reason, Rejected
from ossn_messaging.attachments.word_fields import Attributes, check_fields

MAX_UNPACKED_BYTES = 256 * 1024 * 1024

CONTENT_TYPES = "[content_types].xml"
RELATIONSHIPS = "_rels/.rels"
MAIN_RELATIONSHIPS = {
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument",
    "http://purl.oclc.org/ooxml/officeDocument/relationships/officeDocument",
}
"""The types of the relationship to the main part, transitional and strict (ECMA-376, part 1, 11.3.10)."""
MAIN_TYPE = f"{file_types.DOCX.content_type}.main+xml"
"""The content type of a main part without macros (ECMA-376, part 1, 11.3.10)."""
MAIN_NAMESPACES = {
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    "http://purl.oclc.org/ooxml/wordprocessingml/main",
}
LEAVES_FOLDER = re.compile(r"/|[a-z]:|.*[\\\0]|(.*/)?\.\.(/|$)", re.DOTALL)
"""The names that, on some system, would leave the folder into which a program unpacks the package."""
PIECE = re.compile(r"/\[\d+\](\.last)?\.piece$")
"""The end of the name of an entry that holds a piece of a part (OPC, 7.2.5), which Word neither writes nor reads."""

MACRO_TYPE = re.compile("macroenabled|vba")
"""Found in the content types of documents and parts with macros ([MS-OFFMACRO2], 2.2)."""
MACRO_PARTS = {"vbaproject.bin", "vbadata.xml"}
MACRO_RELATIONSHIPS = {"vbaproject", "wordvbadata"}
ACTIVEX_TYPE = re.compile("activex")
ACTIVEX_RELATIONSHIPS = {"control", "activexcontrolbinary"}
EXTERNAL_SOURCES = {"attachedtemplate", "oleobject", "frame"}
"""The relationships to external files that Word loads when it opens or updates a document."""
EMBEDDED_OBJECTS = {"oleobject", "package", "afchunk"}
COMPOUND_FILE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""The first bytes of a compound file ([MS-CFB], 2.2)."""
ENCRYPTED_PACKAGE = re.compile(re.escape("EncryptedPackage\0".encode("utf-16-le")))
"""The name of the stream that a DOCX with a password has ([MS-OFFCRYPTO], 2.3.4.4)."""
DIRECTORY_ENTRY_BYTES = 128


def is_password_protected(content: bytes) -> bool:
    """Return whether this is a DOCX that Word has encrypted, which makes it a compound file."""
    return content.startswith(COMPOUND_FILE) and any(
        found.start() % DIRECTORY_ENTRY_BYTES == 0 for found in ENCRYPTED_PACKAGE.finditer(content)
    )


def check(content: bytes, active_content: str) -> None:
    """Raise ``Rejected`` unless this is a complete package with a word-processing document and without macros.

    ``active_content`` is the rule for other active content: see ``Rules``.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_package(archive, content, active_content)
    except (Rejected, MemoryError):
        raise
    # For a damaged archive, zipfile raises exceptions of many kinds, for example BadZipFile, zlib.error and EOFError.
    except Exception as error:
        raise Rejected(Reason.DAMAGED, str(error)) from error


def _check_package(archive: zipfile.ZipFile, content: bytes, active_content: str) -> None:
    entries = archive.infolist()
    _check_entries(entries)
    _check_layout(entries, content)
    parts = {entry.filename.lower(): entry for entry in entries}
    if CONTENT_TYPES not in parts:
        raise Rejected(Reason.WRONG_TYPE, "ZIP")
    types = _attributes(archive.read(parts[CONTENT_TYPES]))
    relationships = {name: _attributes(archive.read(entry)) for name, entry in parts.items() if name.endswith(".rels")}
    all_relationships = [attributes for part in relationships.values() for attributes in part]
    _check_macros(types, all_relationships)
    _check_main_part(archive, parts, types, relationships[RELATIONSHIPS])
    if active_content != "allow":
        _check_active_content(types, all_relationships, is_strict=active_content == "strict")
    for entry in entries:
        part = archive.read(entry)  # checks the checksum
        if len(part) != entry.file_size:
            raise ValueError("An entry has another size than the archive says.")
        if active_content == "strict":
            check_fields(part)


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    """Check the archive's directory of entries."""
    # An extra field may give an entry a second name (APPNOTE 6.3.10, 4.6.9).
    _check_names([entry.orig_filename.lower() for entry in entries])
    _check_names([entry.filename.lower() for entry in entries])
    for entry in entries:
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise ValueError("An entry is a link.")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("An entry has a compression method that packages do not have.")
        if entry.flag_bits & 1:
            raise Rejected(Reason.PASSWORD_PROTECTED)
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
        raise Rejected(Reason.TAKES_TOO_MUCH, f"more than {MAX_UNPACKED_BYTES} bytes when unpacked")


def _check_names(names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise ValueError("Two entries have the same name.")
    for name in names:
        if LEAVES_FOLDER.match(name):
            raise ValueError("The name of an entry leaves the folder.")
        if PIECE.search(name):
            raise ValueError("A part is in pieces.")
        if posixpath.basename(name) in MACRO_PARTS:
            raise Rejected(Reason.MACROS)


def _check_layout(entries: list[zipfile.ZipInfo], content: bytes) -> None:
    """Check that the file begins with an entry, and that no two entries overlap."""
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if end == 0 < entry.header_offset:
            raise ValueError("Something stands before the archive.")
        if entry.header_offset < end:
            raise ValueError("Entries overlap.")
        name_length, extra_length = struct.unpack_from("<HH", content, entry.header_offset + 26)
        end = entry.header_offset + 30 + name_length + extra_length + entry.compress_size
    if end > len(content):
        raise ValueError("An entry ends behind the file.")


def _attributes(part: bytes) -> list[Attributes]:
    """Return the attributes of all elements of a part."""
    found: list[Attributes] = []
    parser = _parser()
    parser.StartElementHandler = lambda name, attributes: found.append(attributes)
    parser.Parse(part, True)
    return found


def _parser() -> expat.XMLParserType:
    """Return a parser that refuses a DOCTYPE, and therefore entities.

    It does not resolve the prefixes of names, because expat would copy the namespace for each element.
    """
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse_doctype
    return parser


def _refuse_doctype(*args: object) -> None:
    raise ValueError("A part has a DOCTYPE.")


def _check_macros(types: list[Attributes], relationships: list[Attributes]) -> None:
    if any(MACRO_TYPE.search(content_type) for content_type in _content_types(types)) or any(
        _kind(relationship) in MACRO_RELATIONSHIPS for relationship in relationships
    ):
        raise Rejected(Reason.MACROS)


def _content_types(types: list[Attributes]) -> list[str]:
    return [attributes.get("ContentType", "").lower() for attributes in types]


def _kind(relationship: Attributes) -> str:
    """Return the last word of the type of a relationship, which is the same in the transitional and strict form."""
    return relationship.get("Type", "").rpartition("/")[2].strip().lower()


def _is_external(relationship: Attributes) -> bool:
    return relationship.get("TargetMode", "Internal").strip().lower() != "internal"


def _check_main_part(
    archive: zipfile.ZipFile,
    parts: Mapping[str, zipfile.ZipInfo],
    types: list[Attributes],
    relationships: list[Attributes],
) -> None:
    """Check that there is one main part, and that it is a word-processing document."""
    targets = [relationship for relationship in relationships if relationship.get("Type") in MAIN_RELATIONSHIPS]
    if len(targets) != 1 or _is_external(targets[0]):
        raise ValueError("The package has no main part, or more than one.")
    name = posixpath.normpath(posixpath.join("/", targets[0].get("Target", "").lower()))
    by_name = {part["PartName"].lower(): part for part in types if "PartName" in part}
    by_extension = {f".{part['Extension'].lower()}": part for part in types if "Extension" in part}
    element = by_name.get(name) or by_extension.get(posixpath.splitext(name)[1], {})
    if element.get("ContentType", "").lower() != MAIN_TYPE:
        raise Rejected(Reason.WRONG_TYPE)
    namespace, root = _root(archive.read(parts[name[1:]]))
    if namespace not in MAIN_NAMESPACES or root != "document":
        raise Rejected(Reason.WRONG_TYPE)


def _root(part: bytes) -> tuple[str | None, str]:
    """Parse a part, and return the namespace and the name of its root."""
    found: list[tuple[str | None, str]] = []
    parser = _parser()

    def start(name: str, attributes: Attributes) -> None:
        prefix, _colon, local_name = name.rpartition(":")
        found.append((attributes.get(f"xmlns:{prefix}" if prefix else "xmlns"), local_name))
        parser.StartElementHandler = None

    parser.StartElementHandler = start
    parser.Parse(part, True)
    return found[0]


def _check_active_content(types: list[Attributes], relationships: list[Attributes], *, is_strict: bool) -> None:
    """Check the content types and relationships for active content. The list is in docs/explanation/security.md."""
    if any(ACTIVEX_TYPE.search(content_type) for content_type in _content_types(types)):
        raise Rejected(Reason.ACTIVE_CONTENT, "ActiveX")
    for relationship in relationships:
        kind, is_external = _kind(relationship), _is_external(relationship)
        if kind in ACTIVEX_RELATIONSHIPS:
            raise Rejected(Reason.ACTIVE_CONTENT, "ActiveX")
        if is_external and (kind in EXTERNAL_SOURCES or (is_strict and kind != "hyperlink")):
            raise Rejected(Reason.ACTIVE_CONTENT, f"external {kind}")
        if is_strict and kind in EMBEDDED_OBJECTS:
            raise Rejected(Reason.ACTIVE_CONTENT, f"embedded {kind}")
