"""Which DOCX are taken, and what active content they may have."""

import copy
import io
import random
import re
import stat
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from ossn_messaging.attachments import docx
from ossn_messaging.attachments.rules import Reason, Rejected
from tests.support.files import CONTENT_TYPES, DOCUMENT, PAGE, PDF, RELATIONSHIPS, SAMPLES, inspected
from tests.support.files import docx as package

MIB = 1024 * 1024
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
STRICT_OFFICE = "http://purl.oclc.org/ooxml/officeDocument/relationships"
MICROSOFT = "http://schemas.microsoft.com/office/2006/relationships"
MACROS = CONTENT_TYPES.replace(
    "openxmlformats-officedocument.wordprocessingml.document.main", "ms-word.document.macroEnabled.main"
)
DOCTYPE = "<!DOCTYPE x [<!ENTITY a 'b'>]>"

Content = bytes | Callable[[], bytes]


def changed(sent: bytes, at: int, new: bytes) -> bytes:
    """Return a file with other bytes at a position, which counts from the end if it is negative."""
    at %= len(sent)
    return sent[:at] + new + sent[at + len(new) :]


def with_body(body: str) -> str:
    return DOCUMENT.replace("<w:body/>", f"<w:body>{body}</w:body>")


def with_doctype(part: str, encoding: str = "utf-8") -> bytes:
    """Return a part with a DOCTYPE before its root."""
    body = part.partition("?>")[2] if part.startswith("<?") else part
    return f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>{DOCTYPE}{body}'.encode(encoding)


def with_parts(parts: dict[str, Any]) -> bytes:
    return package(**parts)


def with_types(*elements: str) -> str:
    return CONTENT_TYPES.replace("</Types>", "".join(elements) + "</Types>")


def with_entry(name: str, **attributes: int) -> bytes:
    """Return a package with one more entry, of which the list of entries says ``attributes``."""

    def edit(archive: zipfile.ZipFile) -> None:
        archive.writestr(zipfile.ZipInfo(name), b"x" * 100)
        for attribute, value in attributes.items():
            setattr(archive.filelist[-1], attribute, value)

    return package(edit=edit)


def compressed(method: int) -> bytes:
    return package(edit=lambda archive: archive.writestr("a", bytes(9), method))


def unpacks_to(size: int) -> bytes:
    """Return a package whose list of entries says that it has so many bytes when it is unpacked."""

    def edit(archive: zipfile.ZipFile) -> None:
        archive.writestr("a", b"")
        archive.filelist[-1].file_size = size - sum(entry.file_size for entry in archive.filelist)

    return package(edit=edit)


def overlapping(extra: bytes = b"") -> bytes:
    """Return a package with two entries that share their data, the second within the extra field of the first."""

    def edit(archive: zipfile.ZipFile) -> None:
        archive.writestr("0", b"x" * 100, zipfile.ZIP_STORED)
        entry = copy.copy(archive.filelist[-1])
        entry.filename = entry.orig_filename = "1"
        entry.header_offset += len(extra)
        archive.filelist.append(entry)

    return package(edit=edit)


def renamed(name: str, extra: str) -> bytes:
    """Return a package in which an entry has a second name in an extra field (APPNOTE 6.3.10, 4.6.9)."""

    def edit(archive: zipfile.ZipFile) -> None:
        entry = zipfile.ZipInfo(name)
        data = b"\1" + zlib.crc32(name.encode()).to_bytes(4, "little") + extra.encode()
        entry.extra = struct.pack("<HH", 0x7075, len(data)) + data
        archive.writestr(entry, b"x")

    return package(edit=edit)


def encrypted_entries() -> bytes:
    """Return a package whose entries say that they are encrypted."""
    sent = package()
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        for found in re.finditer(signature, sent):
            sent = changed(sent, found.start() + at, b"\1")
    return sent


def archive_of(name: str, data: str = "<x/>") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, data)
    return file.getvalue()


def compound_file(stream: str, at: int = 512) -> bytes:
    """Return the head of a compound file, whose directory names a stream at a position."""
    return (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".ljust(at, b"\0") + stream.encode("utf-16-le")).ljust(1536, b"\0")


def crowded(part: str, elements: int) -> str:
    """Return a part whose namespace is long, and in force for many elements."""
    root = re.sub(r"xmlns(:w)?=", f'xmlns="{"x" * 100_000}" xmlns:w=', part, count=1)
    return root.replace("</", "<a/>" * elements + "</", 1) if "</" in root else root


def table_of(rows: int) -> str:
    cell = '<w:tc><w:tcPr><w:tcW w:type="dxa" w:w="278"/></w:tcPr><w:p/></w:tc>'
    return with_body(f"<w:tbl><w:tblPr/>{f'<w:tr>{cell * 31}</w:tr>' * rows}</w:tbl>")


TAKEN: dict[str, Content] = {
    "letter": package,
    "content type by extension": package(
        CONTENT_TYPES.replace('<Override PartName="/word/document.xml"', '<Default Extension="XML"')
    ),
    "part name in other case": package(CONTENT_TYPES.replace("/word/document", "/Word/Document")),
    "content type in other case": package(CONTENT_TYPES.replace(".document.main+xml", ".Document.MAIN+xml")),
    "UTF-16": package(CONTENT_TYPES.replace("UTF-8", "UTF-16").encode("utf-16")),
    "byte order mark": package(document=DOCUMENT.encode("utf-8-sig")),
    "absolute target": package(relationships=RELATIONSHIPS.replace('"word/', '"/word/')),
    "default namespace": package(document=DOCUMENT.replace("w:", "").replace("xmlns:w", "xmlns")),
    "Default without a content type": package(with_types('<Default Extension="x"/>')),
    "target mode": package(relationships=RELATIONSHIPS.replace("Id=", 'TargetMode="Internal" Id=')),
    "stored image of 20 MiB": lambda: package(
        edit=lambda archive: archive.writestr("image", bytes(20 * MIB), zipfile.ZIP_STORED)
    ),
    "preview at 1000:1": lambda: with_parts({"word/media/image1.emf": b"\1\0\0\0" + b"\xff" * 1_445_332}),
    "large table": lambda: package(document=table_of(100)),
    "6,000 entries": lambda: with_parts(dict.fromkeys(map(str, range(6_000)), b"")),
    "deep elements": package(document=with_body("<a>" * 5_000 + "</a>" * 5_000)),
    "long comment": lambda: package(document=DOCUMENT + f"<!--{random.Random(1).randbytes(MIB).hex()}-->"),
    "long namespace over many content types": lambda: package(crowded(CONTENT_TYPES, 20_000)),
    "long namespace over many elements": lambda: package(document=crowded(with_body("<a/>"), 20_000)),
}

CLIMBS = "The name of an entry leaves the folder."
TWICE = "Two entries have the same name."
NO_MAIN = "The package has no main part, or more than one."
NO_DOCTYPE = "A part has a DOCTYPE."
METHOD = "An entry has a compression method that packages do not have."
SECOND_NAMES = sys.version_info >= (3, 12)
"""Whether zipfile knows of the second name of an entry."""

REFUSED: dict[str, tuple[Reason, str | None, Content]] = {
    # another type
    "nothing": (Reason.WRONG_TYPE, "", b""),
    "text": (Reason.WRONG_TYPE, "", PAGE),
    "image": (Reason.WRONG_TYPE, "PNG", SAMPLES["photo.png"]),
    "PDF": (Reason.WRONG_TYPE, "PDF", PDF),
    "before it": (Reason.WRONG_TYPE, "", b"MZ" + package()),
    "DOC": (Reason.WRONG_TYPE, "", compound_file("WordDocument\0")),
    "DOC that names the stream in its text": (Reason.WRONG_TYPE, "", compound_file("EncryptedPackage\0", at=514)),
    "password": (Reason.PASSWORD_PROTECTED, "", compound_file("EncryptedPackage\0")),
    "OpenDocument": (Reason.WRONG_TYPE, "ZIP", archive_of("mimetype", "application/vnd.oasis.opendocument.text")),
    "JAR": (Reason.WRONG_TYPE, "ZIP", archive_of("META-INF/MANIFEST.MF")),
    "no content types": (Reason.WRONG_TYPE, "ZIP", package(None)),
    "XLSX": (Reason.WRONG_TYPE, "", package(CONTENT_TYPES.replace("wordprocessingml.document", "spreadsheetml.sheet"))),
    "DOTX": (Reason.WRONG_TYPE, "", package(CONTENT_TYPES.replace("ml.document", "ml.template"))),
    "content type of nothing": (
        Reason.WRONG_TYPE,
        "",
        package(CONTENT_TYPES.replace("Override", "Over").replace("Part", "P")),
    ),
    "content type of another part": (
        Reason.WRONG_TYPE,
        "",
        package(
            relationships=RELATIONSHIPS.replace("document.xml", "other."),
            document=None,
            edit=lambda archive: archive.writestr("word/other.", DOCUMENT),
        ),
    ),
    "target elsewhere": (
        Reason.WRONG_TYPE,
        "",
        package(relationships=RELATIONSHIPS.replace("word/document.xml", "https://example.com/document.xml")),
    ),
    "no target": (Reason.WRONG_TYPE, "", package(relationships=RELATIONSHIPS.replace("Target=", "To="))),
    "HTML as main part": (Reason.WRONG_TYPE, "", package(document=PAGE)),
    "other root": (Reason.WRONG_TYPE, "", package(document=DOCUMENT.replace("w:document", "w:styles"))),
    "other namespace": (Reason.WRONG_TYPE, "", package(document=DOCUMENT.replace("wordprocessingml", "x"))),
    # the archive
    "behind an archive's signature": (Reason.DAMAGED, "Something stands before the archive.", b"PK\3\4" + package()),
    "cut in its parts": (Reason.DAMAGED, None, package()[:200]),
    "cut in its list": (Reason.DAMAGED, None, package()[:-60]),
    "cut in its end": (Reason.DAMAGED, None, package()[:-3]),
    "part damaged": (Reason.DAMAGED, None, changed(package(), 60, b"\0\0\0")),
    "name damaged": (Reason.DAMAGED, None, with_entry("abc").replace(b"abc", b"abd", 1)),
    "checksum": (Reason.DAMAGED, "Bad CRC-32 for file 'a'", with_entry("a", CRC=1)),
    "larger than it says": (Reason.DAMAGED, None, with_entry("a", file_size=50)),
    "smaller than it says": (
        Reason.DAMAGED,
        "An entry has another size than the archive says.",
        with_entry("a", file_size=200),
    ),
    "entry behind the file": (Reason.DAMAGED, None, with_entry("a", header_offset=10_000)),
    "entry that ends behind the file": (
        Reason.DAMAGED,
        "An entry ends behind the file.",
        with_entry("a", compress_size=10_000),
    ),
    "entries that are one": (Reason.DAMAGED, "Entries overlap.", overlapping()),
    "entry within another": (Reason.DAMAGED, "Entries overlap.", overlapping(extra=b"x" * 50)),
    "encrypted entries": (Reason.PASSWORD_PROTECTED, "", encrypted_entries),
    "bzip2": (Reason.DAMAGED, METHOD, compressed(zipfile.ZIP_BZIP2)),
    "LZMA": (Reason.DAMAGED, METHOD, compressed(zipfile.ZIP_LZMA)),
    "unknown method": (Reason.DAMAGED, METHOD, with_entry("a", compress_type=99)),
    "256 MiB and a byte": (
        Reason.TAKES_TOO_MUCH,
        "more than 268435456 bytes when unpacked",
        unpacks_to(256 * MIB + 1),
    ),
    "256 MiB that are not there": (
        Reason.DAMAGED,
        "An entry has another size than the archive says.",
        unpacks_to(256 * MIB),
    ),
    "link": (Reason.DAMAGED, "An entry is a link.", with_entry("a", external_attr=(stat.S_IFLNK | 0o777) << 16)),
    # the names of entries
    "climbs out": (Reason.DAMAGED, CLIMBS, with_entry("../../evil")),
    "climbs out in the middle": (Reason.DAMAGED, CLIMBS, with_entry("word/../../evil")),
    "climbs out at the end": (Reason.DAMAGED, CLIMBS, with_entry("word/..")),
    "absolute": (Reason.DAMAGED, CLIMBS, with_entry("/etc/passwd")),
    "backslashes": (Reason.DAMAGED, CLIMBS, with_entry("..\\evil")),
    "drive": (Reason.DAMAGED, CLIMBS, with_entry("C:evil")),
    "NUL": (Reason.DAMAGED, CLIMBS, with_entry("evil!.xml").replace(b"evil!", b"evil\0")),
    "twice": (Reason.DAMAGED, TWICE, package(xy="1", yx="2").replace(b"yx", b"xy")),
    "twice in other case": (Reason.DAMAGED, TWICE, with_entry("Word/Document.XML")),
    "climbs out under its first name": (Reason.DAMAGED, CLIMBS, renamed("../evil", "a")),
    "twice under its first name": (Reason.DAMAGED, TWICE, renamed("Word/Document.xml", "a")),
    "pieces": (Reason.DAMAGED, "A part is in pieces.", with_entry("word/header1.xml/[0].piece")),
    "last piece": (Reason.DAMAGED, "A part is in pieces.", with_entry("word/_rels/document.xml.rels/[12].last.piece")),
    # macros
    "DOCM": (Reason.MACROS, "", package(MACROS)),
    "DOTM": (Reason.MACROS, "", package(MACROS.replace("document.macro", "template.macro"))),
    "vbaProject.bin": (Reason.MACROS, "", with_entry("word/vbaProject.bin")),
    "vbaProject.bin in other case": (Reason.MACROS, "", with_entry("Word/VBAPROJECT.BIN")),
    "vbaData.xml elsewhere": (Reason.MACROS, "", with_entry("a/b/vbaData.xml")),
    "content type of macros": (
        Reason.MACROS,
        "",
        package(with_types('<Default Extension="x" ContentType="application/vnd.ms-office.VBAproject"/>')),
    ),
    "content type of another part with macros": (
        Reason.MACROS,
        "",
        package(with_types('<Override PartName="/a" ContentType="APPLICATION/MacroEnabled"/>')),
    ),
    # the parts
    "no relationships": (Reason.DAMAGED, None, package(relationships=None)),
    "no main part": (Reason.DAMAGED, None, package(document=None)),
    "content types are not XML": (Reason.DAMAGED, None, package("<Types")),
    "relationships are not XML": (Reason.DAMAGED, None, package(relationships=PAGE[:20])),
    "main part is not XML": (Reason.DAMAGED, None, package(document="Dear reader,")),
    "main part is empty": (Reason.DAMAGED, None, package(document="")),
    "main part is cut": (Reason.DAMAGED, None, package(document=DOCUMENT[:-9])),
    "main part goes on": (Reason.DAMAGED, None, package(document=DOCUMENT + "<script/>")),
    "no relationship to a main part": (
        Reason.DAMAGED,
        NO_MAIN,
        package(relationships=RELATIONSHIPS.replace("/officeDocument", "/x")),
    ),
    "two relationships to a main part": (
        Reason.DAMAGED,
        NO_MAIN,
        package(relationships=re.sub(r"(<Relationship Id.*?/>)", r"\1\1", RELATIONSHIPS, flags=re.DOTALL)),
    ),
    "external main part": (
        Reason.DAMAGED,
        NO_MAIN,
        package(relationships=RELATIONSHIPS.replace("Id=", 'TargetMode="External" Id=')),
    ),
    "DOCTYPE in content types": (Reason.DAMAGED, NO_DOCTYPE, package(with_doctype(CONTENT_TYPES))),
    "DOCTYPE in content types in UTF-16": (
        Reason.DAMAGED,
        NO_DOCTYPE,
        package(with_doctype(CONTENT_TYPES, "utf-16")),
    ),
    "DOCTYPE in relationships": (
        Reason.DAMAGED,
        NO_DOCTYPE,
        package(relationships=with_doctype(RELATIONSHIPS, "utf-8-sig")),
    ),
    "DOCTYPE in the relationships of a part": (
        Reason.DAMAGED,
        NO_DOCTYPE,
        with_parts({"word/_rels/document.xml.rels": with_doctype(RELATIONSHIPS)}),
    ),
    "DOCTYPE in the main part": (Reason.DAMAGED, NO_DOCTYPE, package(document=with_doctype(DOCUMENT))),
    "DOCTYPE in the main part in Latin-1": (
        Reason.DAMAGED,
        NO_DOCTYPE,
        package(document=with_doctype(DOCUMENT, "iso-8859-1")),
    ),
}


@pytest.mark.skipif(not SECOND_NAMES, reason="zipfile does not know of second names")
@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ("../evil", Reason.DAMAGED),
        ("c:evil", Reason.DAMAGED),
        ("Word/Document.xml", Reason.DAMAGED),
        ("vbaProject.bin", Reason.MACROS),
    ],
)
def test_the_second_name_of_an_entry(second: str, reason: Reason) -> None:
    with pytest.raises(Rejected) as rejected:
        inspected(renamed("a", second), "DOCX")
    assert rejected.value.reason is reason


def test_running_out_of_memory_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
        raise MemoryError

    monkeypatch.setattr(zipfile.ZipFile, "read", read)
    with pytest.raises(MemoryError):
        docx.check(package(), "standard")


def related(
    kind: str, target: str = "https://example.com/x", *, part: str = "document.xml", external: bool = True
) -> bytes:
    """Return a package in which a part has a relationship of a type."""
    mode = ' TargetMode="External"' if external else ""
    relationships = RELATIONSHIPS.replace(f"{OFFICE}/officeDocument", kind)
    relationships = relationships.replace('"word/document.xml"', f'"{target}"{mode}')
    return with_parts({f"word/_rels/{part}.rels": relationships})


def field(*instruction: str) -> str:
    """Return a field whose instruction is in so many runs."""
    runs = "".join(f"<w:r><w:instrText>{text}</w:instrText></w:r>" for text in instruction)
    return (
        f'<w:r><w:fldChar w:fldCharType="begin"/></w:r>{runs}<w:r><w:fldChar w:fldCharType="separate"/></w:r>'
        '<w:r><w:t>!DDE</w:t></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r>'
    )


def nested(before: str, inner: str, after: str) -> str:
    """Return a field whose instruction has another field in it."""
    return field("@").replace(
        "<w:r><w:instrText>@</w:instrText></w:r>",
        f"<w:r><w:instrText>{before}</w:instrText></w:r>{inner}<w:r><w:instrText>{after}</w:instrText></w:r>",
    )


def with_fields(*fields: str) -> bytes:
    return package(document=with_body("".join(f"<w:p>{text}</w:p>" for text in fields)))


def header(text: str | bytes) -> bytes:
    return with_parts({"word/header1.xml": text})


DDE = r'DDEAUTO c:\\windows\\system32\\cmd.exe "/k calc.exe"'
HEADER = f"<w:hdr xmlns:w='http://purl.oclc.org/ooxml/wordprocessingml/main'>{field(DDE)}</w:hdr>"
ACTIVEX_TYPE = '<Override PartName="/word/a.xml" ContentType="application/vnd.ms-office.activeX+xml"/>'

ACTIVE: dict[str, tuple[str, bytes]] = {
    "external template": ("external attachedtemplate", related(f"{OFFICE}/attachedTemplate", part="settings.xml")),
    "external template in the strict form": (
        "external attachedtemplate",
        related(f"{STRICT_OFFICE}/attachedTemplate", part="settings.xml"),
    ),
    "external template in other case": (
        "external attachedtemplate",
        related(f"{OFFICE}/ATTACHEDTEMPLATE"),
    ),
    "external object": ("external oleobject", related(f"{OFFICE}/oleObject", part="header1.xml")),
    "external frame": ("external frame", related(f"{OFFICE}/frame", part="webSettings.xml")),
    "ActiveX control": ("ActiveX", related(f"{OFFICE}/control", "activeX/activeX1.xml", external=False)),
    "ActiveX data": (
        "ActiveX",
        related(f"{MICROSOFT}/activeXControlBinary", "activeX1.bin", part="activeX1.xml", external=False),
    ),
    "ActiveX by its content type": ("ActiveX", package(with_types(ACTIVEX_TYPE))),
}
"""What "standard" and "strict" refuse."""

MORE_ACTIVE: dict[str, tuple[str, bytes]] = {
    "external image": ("external image", related(f"{OFFICE}/image")),
    "external subdocument": ("external subdocument", related(f"{OFFICE}/subDocument")),
    "external file of a footnote": ("external image", related(f"{STRICT_OFFICE}/image", part="footnotes.xml")),
    "embedded object": (
        "embedded oleobject",
        related(f"{OFFICE}/oleObject", "embeddings/oleObject1.bin", external=False),
    ),
    "workbook of a chart": (
        "embedded package",
        related(f"{OFFICE}/package", "../embeddings/a.xlsx", part="chart1.xml", external=False),
    ),
    "imported HTML": ("embedded afchunk", related(f"{OFFICE}/aFChunk", "afchunk.mht", external=False)),
    "DDE field": ("DDE field", with_fields(field(r" DDE Excel Sheet1 R1C1 "))),
    "DDE field that updates itself": ("DDE field", with_fields(field(DDE))),
    "DDE field in other case": ("DDE field", with_fields(field("dDeAuto cmd"))),
    "DDE field in runs": ("DDE field", with_fields(field("", " D", "DE", "AUTO", " cmd"))),
    "DDE field after another": ("DDE field", with_fields(field("PAGE"), field(DDE))),
    "DDE field within another": ("DDE field", with_fields(nested("IF ", field(DDE), " = 1"))),
    "DDE field around another": ("DDE field", with_fields(nested("DDE ", field("QUOTE 1"), " cmd"))),
    "DDE field without its end": ("DDE field", with_fields(field(DDE).rpartition("<w:r>")[0])),
    "DDE field after a stray end": (
        "DDE field",
        with_fields('<w:r><w:fldChar w:fldCharType="end"/></w:r>', field(DDE)),
    ),
    "DDE field by another prefix": (
        "DDE field",
        package(document=with_body(field(DDE)).replace("w:", "x:").replace("xmlns:w=", "xmlns:x=")),
    ),
    "simple DDE field": ("DDE field", with_fields('<w:fldSimple w:instr=" DDEAUTO cmd "/>')),
    "name written by a field": ("field with a computed name", with_fields(nested("", field("QUOTE 68 68 69"), " cmd"))),
    "end of a name written by a field": (
        "field with a computed name",
        with_fields(nested(" dd", field("QUOTE 69"), " cmd")),
    ),
    "DDE field in a header": ("DDE field", header(HEADER)),
    "DDE field in a header in UTF-16": ("DDE field", header(HEADER.encode("utf-16"))),
    "DDE field after white space": ("DDE field", header("\n" + HEADER)),
    "DDE field before an error": ("DDE field", header(HEADER.removesuffix("</w:hdr>"))),
}
"""What "strict" refuses alone."""

ORDINARY = {
    "hyperlink": related(f"{OFFICE}/hyperlink"),
    "hyperlink in the strict form": related(f"{STRICT_OFFICE}/hyperlink", part="footnotes.xml"),
    "template beside it": related(f"{OFFICE}/attachedTemplate", "template.dotx", part="settings.xml", external=False),
    "internal image": related(f"{OFFICE}/image", "media/image1.png", external=False),
    "fields": with_fields(field("PAGE"), field(r' TOC \o "1-3" '), '<w:fldSimple w:instr="NUMPAGES"/>'),
    "text about DDE": with_fields(
        "<w:r><w:t>DDEAUTO cmd</w:t></w:r>", "<w:r><w:delInstrText>DDE</w:delInstrText></w:r>"
    ),
    "field about DDE": with_fields(field('HYPERLINK "https://example.com/DDE"'), field("DDEEXTRA"), field("REF DDE")),
    "field in a field": with_fields(nested(" IF ", field("PAGE"), '&gt; 1 "x"'), nested("=", field("PAGE"), "-1")),
    "field in the result of a field": with_fields(field("TOC").replace("<w:t>!DDE</w:t>", field("PAGEREF _1"))),
    "XML in Shift_JIS": header('<?xml version="1.0" encoding="shift_jis"?><x/>'),
    "XML in an unknown encoding": header('<?xml version="1.0" encoding="nothing"?><x/>'),
    "image that only begins like XML": header(b"<" + bytes(99)),
    "SVG with a DOCTYPE": with_parts({"word/media/a.svg": with_doctype("<svg xmlns='http://www.w3.org/2000/svg'/>")}),
}


@pytest.mark.parametrize("mode", ["EXTERNAL", " External ", "elsewhere"])
def test_a_target_mode_that_is_not_internal_is_external(mode: str) -> None:
    relationships = RELATIONSHIPS.replace('officeDocument"', 'attachedTemplate"')
    sent = with_parts({"word/_rels/settings.xml.RELS": relationships.replace("Id=", f'TargetMode="{mode}" Id=')})
    with pytest.raises(Rejected) as rejected:
        inspected(sent, "DOCX")
    assert rejected.value.detail == "external attachedtemplate"


@pytest.mark.parametrize("mode", ["standard", "strict", "allow"])
@pytest.mark.parametrize("kind", ["vbaProject", "wordVbaData"])
def test_a_relationship_to_macros_under_any_name(kind: str, mode: str) -> None:
    with pytest.raises(Rejected) as rejected:
        inspected(related(f"{MICROSOFT}/{kind}", "a.bin", external=False), "DOCX", mode)
    assert rejected.value.reason is Reason.MACROS


def test_a_business_document_with_a_chart_an_equation_and_a_picture() -> None:
    """Word embeds the workbook of a chart as a package, and MathType an equation as an object with a preview."""
    parts = {
        "word/_rels/document.xml.rels": "".join(
            (
                '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">',
                f'<Relationship Id="rId1" Type="{OFFICE}/chart" Target="charts/chart1.xml"/>',
                f'<Relationship Id="rId2" Type="{OFFICE}/oleObject" Target="embeddings/oleObject1.bin"/>',
                f'<Relationship Id="rId3" Type="{OFFICE}/image" Target="media/image1.wmf"/>',
                f'<Relationship Id="rId4" Type="{OFFICE}/hyperlink" Target="https://a.example" TargetMode="External"/>',
                "</Relationships>",
            )
        ),
        "word/charts/chart1.xml": "<c:chartSpace xmlns:c='http://purl.oclc.org/ooxml/drawingml/chart'/>",
        "word/charts/_rels/chart1.xml.rels": RELATIONSHIPS.replace('officeDocument"', 'package"').replace(
            "word/document.xml", "../embeddings/Microsoft_Excel_Sheet.xlsx"
        ),
        "word/embeddings/Microsoft_Excel_Sheet.xlsx": archive_of("xl/workbook.xml"),
        "word/embeddings/oleObject1.bin": compound_file("Equation Native\0"),
        "word/media/image1.wmf": b"\xd7\xcd\xc6\x9a" + bytes(99),
    }
    assert inspected(with_parts(parts), "DOCX") is None
