"""Files of every kind, good and bad, in one table with the verdict on each."""

import copy
import io
import random
import re
import stat
import struct
import sys
import traceback
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from ossn_messaging.attachments.images import PIXELS_PER_BYTE
from ossn_messaging.attachments.images.png import chunks
from ossn_messaging.exceptions import AttachmentRefused
from tests.files import (
    CONTENT_TYPES,
    DOCUMENT,
    ICC,
    PAGE,
    PDF,
    RELATIONSHIPS,
    SAMPLES,
    assert_same_picture,
    docx,
    exif,
    frames,
    gif,
    gif_frame,
    kept,
    pdf,
    photo,
    picture,
    png,
    png_chunk,
    riff,
    segment,
)

FOLDER = Path(__file__).parent / "samples"
TAKEN = "taken"

# What is wrong with many of them.
NAME = "the attachment's file name has none of the extensions that are allowed"
CUT = "the file ends too early"
NO_MARKER = "no marker where one must stand"
NO_BLOCK = "no block where one must stand"
NO_HEADER = "no header"
NO_PDF = "not a PDF"
BROKEN_PDF = "not a PDF that can be opened"
BROKEN_DOCX = "not a document"
BROKEN_PNG = "not a whole PNG picture"
BROKEN_JPEG = "not a whole JPEG picture"
BROKEN_GIF = "not a whole GIF picture"
BROKEN_WEBP = "not a whole WEBP picture"
PIXELS = "too many pixels"
MACRO = "it has macros"
NO_DOCTYPE = "a DOCTYPE has no place here"
OUTSIDE = "a frame is not within the picture"
MISSING_PIECE = "a piece of the animation is missing"
NO_FILTER = "a row is filtered in no known way"
CLIMBS = "an entry climbs out"
ENTRIES = "too many entries, or two under one name"
OTHER_SIZE = "an entry has another size"
TOO_MANY = "a part has too many elements"
FOLLOWED = "something follows the picture"
OTHER_MAIN = "the main part is not a document of word processing"

JPEG, PNG, GIF, WEBP = (SAMPLES[f"photo.{extension}"] for extension in ("jpg", "png", "gif", "webp"))
MULTI_SCAN = picture("JPEG", progressive=True)
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
PHP = b"<?php system($_GET['c']); ?>"
SCRIPT = b"alert(document.cookie)"
MACROS = CONTENT_TYPES.replace(
    "openxmlformats-officedocument.wordprocessingml.document.main", "ms-word.document.macroEnabled.main"
)
DOCTYPE = "<!DOCTYPE x [<!ENTITY a 'b'>]>"
MANY = 1024 * 1024
"""Of what a bomb is filled with, in bytes."""


def changed(content: bytes, at: int, new: bytes) -> bytes:
    """Return a file with other bytes at a place, counted from the end where it is negative."""
    at %= len(content)
    return content[:at] + new + content[at + len(new) :]


def other_type(kind: str) -> bytes:
    """Return a package whose main part is of another content type."""
    return docx(CONTENT_TYPES.replace("wordprocessingml.document.main", kind))


def with_body(content: str) -> str:
    """Return a main part with something in it."""
    return DOCUMENT.replace("<w:body/>", f"<w:body>{content}</w:body>")


def with_doctype(part: str, encoding: str = "utf-8") -> bytes:
    """Return a part of a package with a DOCTYPE before its root."""
    body = part.partition("?>")[2] if part.startswith("<?") else part
    return f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>{DOCTYPE}{body}'.encode(encoding)


def filled(part: str, size: int) -> str:
    """Return a part of a package that a comment behind its root makes so many bytes long."""
    room = size - len(part) - len("<!---->")
    return f"{part}<!--{random.Random(1).randbytes(room // 2 + 1).hex()[:room]}-->"


def with_part(name: str, **attributes: int) -> Callable[[], bytes]:
    """Return what makes a package with one more part, of which its list of entries says ``attributes``."""

    def edit(package: zipfile.ZipFile) -> None:
        package.writestr(zipfile.ZipInfo(name), b"x" * 100)
        for attribute, value in attributes.items():
            setattr(package.filelist[-1], attribute, value)

    return lambda: docx(edit=edit)


def packed(**parts: tuple[int, int]) -> bytes:
    """Return a package with more parts, each so many zeros packed in one of the ways of a zip."""

    def edit(package: zipfile.ZipFile) -> None:
        for name, (size, way) in parts.items():
            package.writestr(name, bytes(size), way)

    return docx(edit=edit)


def many_entries(count: int) -> bytes:
    """Return a package of so many entries."""

    def edit(package: zipfile.ZipFile) -> None:
        for number in range(count - len(package.filelist)):
            package.writestr(str(number), b"")

    return docx(edit=edit)


def long_list(size: int) -> bytes:
    """Return a package whose list of entries is so many bytes long because they have long comments."""

    def edit(package: zipfile.ZipFile) -> None:
        for number in range(20):
            package.writestr(str(number), b"")
        room = size - sum(46 + len(entry.filename) for entry in package.filelist)
        for entry in package.filelist:
            entry.comment = bytes(min(room, 60_000))
            room -= len(entry.comment)

    return docx(edit=edit)


def unpacks_to(size: int) -> bytes:
    """Return a package whose list of entries says that it unpacks to so much."""

    def edit(package: zipfile.ZipFile) -> None:
        room = size - sum(entry.file_size for entry in package.filelist)
        while room:
            package.writestr(str(room), b"")
            package.filelist[-1].file_size = min(room, MANY)
            room -= package.filelist[-1].file_size

    return docx(edit=edit)


def overlapping(by: int) -> bytes:
    """Return a package of which two entries are one and the same piece, and all together larger than it by so much."""

    def build(size: int) -> bytes:
        def edit(package: zipfile.ZipFile) -> None:
            package.writestr("0", bytes(size), zipfile.ZIP_STORED)
            entry = copy.copy(package.filelist[-1])
            entry.filename = entry.orig_filename = "1"
            package.filelist.append(entry)

        return docx(edit=edit)

    empty = build(0)
    with zipfile.ZipFile(io.BytesIO(empty)) as package:
        return build(len(empty) - sum(entry.compress_size for entry in package.filelist) + by)


def renamed(name: str, extra: str) -> bytes:
    """Return a package of which an entry has another name in an extra field (APPNOTE 6.3.10, 4.6.9)."""

    def edit(package: zipfile.ZipFile) -> None:
        entry = zipfile.ZipInfo(name)
        data = b"\1" + zlib.crc32(name.encode()).to_bytes(4, "little") + extra.encode()
        entry.extra = struct.pack("<HH", 0x7075, len(data)) + data
        package.writestr(entry, b"x")

    return docx(edit=edit)


def encrypted_entries() -> bytes:
    """Return a package whose entries say that they are encrypted."""
    content = docx()
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        for found in re.finditer(signature, content):
            content = changed(content, found.start() + at, b"\1")
    return content


def other_package(main: str, content: str = "<x/>") -> bytes:
    """Return a zip that is no package of Office."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as package:
        package.writestr(main, content)
    return file.getvalue()


def jpeg_size(width: int, height: int) -> bytes:
    """Return a JPEG that says that it has so many pixels."""
    return changed(JPEG, JPEG.index(b"\xff\xc0") + 5, struct.pack(">HH", height, width))


def with_chunk(content: bytes, name: bytes, number: int, change: Callable[[bytes], bytes]) -> bytes:
    """Return a PNG in which the data of the chunk with this name and number is changed."""
    built, seen = content[:8], 0
    for found, start, end in chunks(io.BytesIO(content)):
        data = content[start + 8 : end - 4]
        if found == name:
            data, seen = (change(data) if seen == number else data), seen + 1
        built += png_chunk(found, data)
    return built


def scans(count: int) -> bytes:
    """Return a JPEG with so many scans, most of them its last."""
    last = MULTI_SCAN[MULTI_SCAN.rindex(b"\xff\xda") : -2]
    return MULTI_SCAN[:-2] + last * (count - MULTI_SCAN.count(b"\xff\xda")) + b"\xff\xd9"


def long_scan(length: int) -> bytes:
    """Return a JPEG whose scan has so many bytes, most of which mean nothing."""
    header, scan = JPEG[:-2].split(b"\xff\xda")
    return header + b"\xff\xda" + scan[:12] + scan[12:].ljust(length, b"\0") + b"\xff\xd9"


MOVING = frames("PNG")


def moving(number: int, change: Callable[[bytes], bytes]) -> bytes:
    """Return a moving PNG in which what one of its frames says of itself is changed."""
    return with_chunk(MOVING, b"fcTL", number, change)


def frame_at(left: int, top: int, width: int, height: int, number: int = 1) -> bytes:
    """Return a moving PNG whose second frame, or another, is somewhere else."""
    return moving(number, lambda data: data[:4] + struct.pack(">IIII", width, height, left, top) + data[20:])


def frames_in_data() -> bytes:
    """Return a moving PNG all of whose frames say that they are the picture itself."""
    built, number = MOVING[:8], 0
    for name, start, end in chunks(io.BytesIO(MOVING)):
        data = MOVING[start + 8 : end - 4]
        if name == b"fcTL":
            data, number = struct.pack(">I", number) + data[4:], number + 1
        built += png_chunk(b"IDAT", data[4:]) if name == b"fdAT" else png_chunk(name, data)
    return built


def pieces(*lengths: int) -> bytes:
    """Return a PNG whose data are in chunks of these lengths, and the rest in a last one."""
    row = b"\0" + random.Random(1).randbytes(sum(lengths) // 16)
    data = io.BytesIO(zlib.compress(row * 16, 0))
    whole = png(8 * (len(row) - 1), 16, b"")
    chunks = [png_chunk(b"IDAT", data.read(length)) for length in (*lengths, None)]
    return whole.replace(png_chunk(b"IDAT"), b"".join(chunks))


def xref_stream(*entries: bytes, size: int = 3, data: bytes, way: bytes = b"/FlateDecode") -> bytes:
    """Return a PDF whose table is a stream, packed in this way."""
    body = b"%PDF-1.5\n1 0 obj<</Type/Catalog/Pages<<>> >>endobj\n"
    table = b"2 0 obj<</Type/XRef/W[1 2 1]/Size %d/Root 1 0 R/Filter%s/Length %d%s>>stream\n%s\nendstream"
    stream = table % (size, way, len(data), b"".join(entries), data)
    return body + stream + b" endobj\nstartxref\n%d\n%%%%EOF\n" % len(body)


XREF = b"\0\0\0\0" + b"\1\0\x09\0" + b"\1\0\x33\0"
"""The table of such a PDF."""


def lzw(data: bytes, zeros: int = 0) -> bytes:
    """Pack bytes, and zeros behind them, in the way of LZW, whose codes grow longer (PDF Reference 1.7, 3.3.3)."""
    codes = [256, *data]
    while zeros > 0:
        run = [0, *range(258, 1258)]
        codes += [256, *run]
        zeros -= len(run) * (len(run) + 1) // 2
    bits, since = "", 0
    for code in (*codes, 257):
        since += 1
        bits += f"{code:0{9 + sum(since > limit for limit in (254, 766))}b}"
        since *= code != 256
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8)


def deep(depth: int) -> bytes:
    """Return what a catalog of arrays within arrays is."""
    return b"<</Type/Catalog/Pages " + b"[" * depth + b"]" * depth + b">>"


OTHER_KIND = {
    "jpg": NO_MARKER,
    "png": CUT,
    "gif": NO_BLOCK,
    "webp": NO_HEADER,
    "pdf": NO_PDF,
    "docx": BROKEN_DOCX,
}
"""What is wrong with a file that is something else."""

NAMED_TWICE = {verdict: verdict if sys.version_info >= (3, 12) else TAKEN for verdict in (CLIMBS, ENTRIES, MACRO)}
"""What is wrong with a file that has another name for programs that know of it, as Python does from 3.12 on."""

Content = bytes | Callable[[], bytes] | None
"""Of a file; ``None`` where it stands in the folder of samples."""

TABLE: dict[str, tuple[str, Content]] = {
    # samples of real programs
    **dict.fromkeys(
        (
            *("gdocs-layout.docx", "infozip.docx", "libreoffice-picture.docx", "libreoffice-transitional.docx"),
            *("libreoffice.docx", "pandoc.docx", "python-docx.docx", "streamed.docx", "strict.docx"),
            *("word-layout.docx", "word-online-layout.docx", "word-trash.docx"),
            *("anim-ffmpeg.gif", "anim-local.gif", "anim-once.gif", "anim-pillow.gif", "anim.gif", "comment.gif"),
            *("gif87a.gif", "interlaced.gif", "one-pixel.gif", "transparent.gif", "xmp.gif"),
            *("baseline.jpg", "cmyk-adobe.jpg", "cmyk-pillow.jpg", "exif-first.jpg", "ffmpeg.jpg"),
            *("google-motion.jpg", "gray.jpg", "icc.jpg", "imagemagick.jpg", "jpegtran-rot.jpg", "mpo.jpg"),
            *("multiscan.jpg", "noapp.jpg", "one-pixel.jpg", "phone.jpg", "pillow-exif6.jpg", "progressive.jpg"),
            *("restart-progressive.jpg", "restart.jpg", "rgb-adobe.jpg", "s411.jpg", "s422.jpg", "s440.jpg"),
            *("s444.jpg", "samsung-motion.jpg"),
            *("attachment.pdf", "cairo.pdf", "chromium.pdf", "encrypted-aes128-objstm.pdf"),
            *("encrypted-emptyuser.pdf", "encrypted-rc4-emptyuser.pdf", "encrypted.pdf", "fpdf2.pdf"),
            *("ghostscript-pdf14.pdf", "ghostscript.pdf", "groff.pdf", "img2pdf.pdf", "incremental-xrefstm.pdf"),
            *("incremental.pdf", "libreoffice-tagged.pdf", "libreoffice.pdf", "linearized-objstm.pdf"),
            *("linearized.pdf", "mutool.pdf", "objectstreams.pdf", "pdftex.pdf", "pikepdf.pdf", "pillow.pdf"),
            *("poppler-cairo.pdf", "poppler-unite.pdf", "pypdf.pdf", "quartz-layout.pdf", "reportlab-form.pdf"),
            *("reportlab.pdf", "rsvg.pdf", "startxref-off-less.pdf", "startxref-off.pdf", "startxref-zero.pdf"),
            *("trailing.pdf", "weasyprint.pdf", "wkhtmltopdf.pdf", "word-layout.pdf"),
            *("apng-apngasm.png", "apng-default.png", "apng-ffmpeg.png", "apng-pillow.png", "ffmpeg.png"),
            *("gray-alpha.png", "gray16.png", "gray8.png", "imagemagick-text.png", "interlaced.png"),
            *("interlaced16.png", "metadata.png", "mono1.png", "one-pixel.png", "palette-trns.png", "palette2.png"),
            *("palette4.png", "rgb-trns.png", "rgb16.png", "rgba.png", "xmp.png"),
            *("anim-ffmpeg.webp", "anim-lossless.webp", "anim-lossy.webp", "anim-mixed.webp", "anim-pillow.webp"),
            *("exif-prefix.webp", "exiftool-exif6.webp", "gif2webp.webp", "icc.webp", "lossless-alpha.webp"),
            *("lossless.webp", "lossy-alpha-raw.webp", "lossy-alpha.webp", "lossy.webp", "metadata.webp"),
            *("pillow.webp", "webpmux-anim.webp", "webpmux-exif.webp"),
        ),
        (TAKEN, None),
    ),
    "leading.pdf": (NO_PDF, None),
    # good pictures, made
    "photo.jpg": (TAKEN, JPEG),
    "photo.jpeg": (TAKEN, JPEG),
    "photo.jfif": (TAKEN, JPEG),
    "photo.png": (TAKEN, PNG),
    "photo.gif": (TAKEN, GIF),
    "photo.webp": (TAKEN, WEBP),
    "SHOUT.PNG": (TAKEN, PNG),
    "grey.jpg": (TAKEN, picture("JPEG", photo(mode="L"))),
    "cmyk.jpg": (TAKEN, picture("JPEG", photo(mode="CMYK"))),
    "many-scans.jpg": (TAKEN, MULTI_SCAN),
    "profile.jpg": (TAKEN, picture("JPEG", icc_profile=ICC)),
    "two-pictures.jpg": (
        TAKEN,
        picture("MPO", photo(), save_all=True, append_images=[photo((24, 16))], exif=exif(6)),
    ),
    "filled.jpg": (TAKEN, JPEG[:20] + b"\xff\xff" + JPEG[20:]),
    "trailer.jpg": (TAKEN, JPEG + PAGE),
    "trailer.png": (TAKEN, PNG + PAGE),
    "trailer.webp": (TAKEN, WEBP + PAGE),
    "zeros-behind.gif": (TAKEN, GIF + bytes(9)),
    "palette.png": (TAKEN, picture("PNG", photo(mode="P"))),
    "deep.png": (TAKEN, picture("PNG", photo(mode="I;16"))),
    "made.png": (TAKEN, png(8, 1, zlib.compress(b"\0\xaa"))),
    "made.gif": (TAKEN, gif(1, 1, gif_frame(1, 1))),
    "moving.png": (TAKEN, frames("PNG")),
    "moving.gif": (TAKEN, frames("GIF")),
    "moving.webp": (TAKEN, frames("WEBP", lossless=True)),
    "see-through.webp": (TAKEN, picture("WEBP", photo(mode="RGBA"), lossless=True)),
    "large.jpg": (TAKEN, lambda: picture("JPEG", photo((4000, 3000)))),
    "large.png": (TAKEN, lambda: picture("PNG", photo((4000, 3000)), compress_level=1)),
    # good documents, made
    "dummy.pdf": (TAKEN, PDF),
    "report.tar.pdf": (TAKEN, PDF),
    "table-in-a-stream.pdf": (TAKEN, xref_stream(data=zlib.compress(XREF))),
    "table-packed-by-lzw.pdf": (TAKEN, xref_stream(data=lzw(XREF), way=b"/LZWDecode")),
    "table-packed-by-runs.pdf": (TAKEN, xref_stream(data=b"\x0b" + XREF + b"\x80", way=b"/RunLengthDecode")),
    "large.pdf": (TAKEN, lambda: pdf(b"<</Length 20000000>>stream\n" + bytes(20_000_000) + b"\nendstream ")),
    "letter.docx": (TAKEN, docx()),
    "type-by-suffix.docx": (
        TAKEN,
        docx(CONTENT_TYPES.replace('<Override PartName="/word/document.xml"', '<Default Extension="XML"')),
    ),
    "type-in-other-case.docx": (TAKEN, docx(CONTENT_TYPES.replace("/word/document", "/Word/Document"))),
    "utf-16.docx": (TAKEN, docx(CONTENT_TYPES.replace("UTF-8", "UTF-16").encode("utf-16"))),
    "byte-order-mark.docx": (TAKEN, docx(document=DOCUMENT.encode("utf-8-sig"))),
    "absolute-target.docx": (TAKEN, docx(relationships=RELATIONSHIPS.replace('"word/', '"/word/'))),
    "large.docx": (TAKEN, lambda: packed(image=(20 * MANY, zipfile.ZIP_STORED))),
    # bad names
    "page.html": (NAME, PAGE),
    "script.php": (NAME, PHP),
    "drawing.svg": (NAME, SVG),
    "no extension": (NAME, PDF),
    "pdf": (NAME, PDF),
    ".pdf": (NAME, PDF),
    "folder/.pdf": (NAME, PDF),
    "": (NAME, PDF),
    "name.": (NAME, PDF),
    "a.pdf.exe": (NAME, PDF),
    "b" * 251 + ".pdf": (TAKEN, PDF),
    "b" * 252 + ".pdf": ("the attachment's file name is too long", PDF),
    # one kind under the extension of another
    **{
        f"{kind}.{extension}": (verdict, content)
        for kind, content in {
            "zeros": bytes(100),
            "html": PAGE,
            "svg": SVG,
            "php": PHP,
            "script": SCRIPT,
            "bmp": picture("BMP"),
            "tiff": picture("TIFF"),
            "jpeg": JPEG,
            "png": PNG,
            "gif": GIF,
            "webp": WEBP,
            "pdf": PDF,
            "docx": docx(),
        }.items()
        for extension, verdict in OTHER_KIND.items()
        if extension != {"jpeg": "jpg"}.get(kind, kind)
    },
    **{f"nothing.{extension}": (CUT, b"") for extension in ("jpg", "png", "gif", "webp")},
    "nothing.pdf": (NO_PDF, b""),
    "nothing.docx": (BROKEN_DOCX, b""),
    "animation.png": (CUT, frames("GIF")),
    "script-in-its-head.gif": (NO_BLOCK, b"GIF89a/*" + SCRIPT + b"*/"),
    "script-in-its-head.jpg": (CUT, b"\xff\xd8\xff\xe0/*" + SCRIPT + b"*/"),
    "html-after-a-signature.png": (CUT, PNG[:8] + PAGE),
    "html-after-a-signature.webp": ("a chunk is too long", WEBP[:12] + PAGE),
    "html-after-a-signature.pdf": (NO_PDF, b"%PDF-1.4\n" + PAGE),
    # JPEG
    "before-it.jpg": (NO_MARKER, PAGE + JPEG),
    "cut-in-its-tables.jpg": (CUT, JPEG[:100]),
    "cut-before-its-data.jpg": (CUT, JPEG[: JPEG.index(b"\xff\xda")]),
    "cut-in-its-data.jpg": (CUT, picture("JPEG", photo((200, 200)))[:-200]),
    "cut-before-its-end.jpg": (CUT, JPEG[:-2]),
    "cut-in-its-end.jpg": (CUT, JPEG[:-1]),
    "cut-in-its-second-scan.jpg": (CUT, MULTI_SCAN[: MULTI_SCAN.index(b"\xff\xda") + 60]),
    "its-end-too-early.jpg": (BROKEN_JPEG, JPEG[: JPEG.index(b"\xff\xda")] + b"\xff\xd9"),
    "strewn.jpg": (NO_MARKER, JPEG[:20] + b"\0\0" + JPEG[20:]),
    "without-size.jpg": (BROKEN_JPEG, JPEG.replace(b"\xff\xc0", b"\xff\xe5")),
    "without-quantization.jpg": (BROKEN_JPEG, JPEG.replace(b"\xff\xdb", b"\xff\xe5")),
    "segment-of-no-length.jpg": (NO_MARKER, JPEG[:2] + b"\xff\xe1\0\0" + JPEG[2:]),
    "segment-too-long.jpg": (CUT, JPEG[:2] + b"\xff\xe1\xff\xff" + JPEG[2:]),
    "reserved-marker.jpg": ("a marker that has no place here", JPEG[:2] + segment(0xF0, SCRIPT) + JPEG[2:]),
    "bmp-in-a-segment.jpg": (BROKEN_JPEG, b"BM" + segment(0xDB, picture("BMP")[6:]) + b"\xff\xd9"),
    "lossless.jpg": (BROKEN_JPEG, JPEG.replace(b"\xff\xc0", b"\xff\xc3")),
    "no-pixels.jpg": (BROKEN_JPEG, jpeg_size(0, 32)),
    "too-many-pixels.jpg": (PIXELS, jpeg_size(7072, 7072)),
    "declares-a-bomb.jpg": (BROKEN_JPEG, jpeg_size(65_500, 65_500)),
    "a-bomb.jpg": (PIXELS, lambda: picture("JPEG", Image.new("L", (7100, 7100)))),
    "many-segments.jpg": ("too many pieces", lambda: JPEG[:2] + segment(0xFE, b"") * 100_000 + JPEG[2:]),
    "as-many-scans-as-can-be.jpg": (TAKEN, scans(50)),
    "scans-again-and-again.jpg": ("too many scans", scans(51)),
    "marker-across-blocks.jpg": (TAKEN, long_scan(64 * 1024 - 1)),
    "as-many-pixels-as-its-data.jpg": (TAKEN, jpeg_size(PIXELS_PER_BYTE, len(JPEG))),
    "more-pixels-than-its-data.jpg": (
        "more pixels than its data can stand for",
        jpeg_size(PIXELS_PER_BYTE, len(JPEG) + 1),
    ),
    "exif-of-no-order.jpg": (TAKEN, JPEG[:2] + segment(0xE1, b"Exif\0\0??") + JPEG[2:]),
    "number-of-lines.jpg": (TAKEN, JPEG[:2] + segment(0xDC, SCRIPT) + JPEG[2:]),
    # PNG
    "before-it.png": (CUT, PAGE + PNG),
    "cut-in-its-header.png": (CUT, PNG[:20]),
    "cut-in-its-data.png": (CUT, PNG[:-60]),
    "cut-before-its-end.png": (CUT, PNG[:-12]),
    "cut-in-its-end.png": (CUT, PNG[:-3]),
    "signature-in-text-mode.png": (CUT, PNG.replace(b"\r\n", b"\n", 1)),
    "header-damaged.png": (BROKEN_PNG, changed(PNG, 18, b"\1")),
    "data-damaged.png": (BROKEN_PNG, changed(PNG, 60, b"\xff\xff\xff")),
    "header-crc.png": (BROKEN_PNG, changed(PNG, 29, b"\0\0\0\0")),
    "data-crc.png": ("a checksum is wrong", changed(PNG, -16, b"\0\0\0\0")),
    "chunk-too-long.png": (CUT, changed(PNG, 33, b"\x7f")),
    "chunk-as-long-as-can-be.png": (CUT, changed(PNG, 33, b"\xff")),
    "without-header.png": (BROKEN_PNG, PNG[:8] + PNG[33:]),
    "without-data.png": ("rows are missing", PNG[:33] + png_chunk(b"IEND")),
    "without-palette.png": (BROKEN_PNG, changed(png(8, 1, zlib.compress(b"\0\0")), 25, b"\3")),
    "not-packed.png": (BROKEN_PNG, png(8, 1, b"\0\xaa")),
    "rows-missing.png": ("rows are missing", png(8, 9, zlib.compress(b"\0\xaa" * 8))),
    "data-checksum.png": (BROKEN_PNG, png(8, 8, zlib.compress(b"\0\xaa" * 8)[:-4] + b"\0\0\0\0")),
    "no-pixels.png": (BROKEN_PNG, png(0, 1, zlib.compress(b"\0"))),
    "too-many-pixels.png": (PIXELS, png(7072, 7072, zlib.compress(b"\0"))),
    "declares-a-bomb.png": (BROKEN_PNG, png(2**31 - 1, 2**31 - 1, zlib.compress(b"\0"))),
    "a-bomb.png": (BROKEN_PNG, lambda: png(20_000, 20_000, zlib.compress(bytes(2501 * 20_000)))),
    "a-bomb-in-its-profile.png": (
        BROKEN_PNG,
        lambda: png(8, 1, zlib.compress(b"\0\0"), png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(100 * MANY)))),
    ),
    "frames-in-the-data.png": ("rows are missing", frames_in_data()),
    "frames-not-announced.png": (
        "there are other frames than are announced",
        frames("PNG").replace(b"acTL\0\0\0\3", b"acTL\0\0\0\2"),
    ),
    "too-many-frames.png": (
        "too many frames",
        lambda: png(
            1,
            1,
            zlib.compress(b"\0\0"),
            png_chunk(b"acTL", struct.pack(">II", 10_001, 0)),
        ).replace(
            png_chunk(b"IEND"), png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 1, 1, 0, 0, 1, 1, 0, 0)) * 10_001
        ),
    ),
    "too-many-pixels-together.png": (
        PIXELS,
        frames("PNG").replace(
            png_chunk(b"IHDR", struct.pack(">IIBBBBB", 48, 32, 8, 2, 0, 0, 0)),
            png_chunk(b"IHDR", struct.pack(">IIBBBBB", 4100, 4100, 8, 2, 0, 0, 0)),
        ),
    ),
    "data-in-pieces.png": (TAKEN, pieces(0, 1, *(64 * 1024 + more for more in range(-9, 4)))),
    "row-longer-than-a-block.png": (TAKEN, png(8 * 70_000, 2, zlib.compress(bytes(2 * 70_001)))),
    "rows-too-many.png": ("more data than rows", png(8, 7, zlib.compress(b"\0\xaa" * 8))),
    "text-after-the-rows.png": ("something follows the rows", png(8, 8, zlib.compress(b"\0\xaa" * 8) + SCRIPT)),
    "colours-too-long.png": ("a chunk is too long", png(8, 1, zlib.compress(b"\0\0"), png_chunk(b"gAMA", bytes(5)))),
    "frame-too-wide.png": (OUTSIDE, frame_at(0, 0, 49, 32)),
    "frame-too-high.png": (OUTSIDE, frame_at(0, 0, 48, 33)),
    "frame-too-far-right.png": (OUTSIDE, frame_at(1, 0, 48, 32)),
    "frame-too-far-down.png": (OUTSIDE, frame_at(0, 1, 48, 32)),
    "frame-of-no-width.png": (OUTSIDE, frame_at(0, 0, 0, 32)),
    "frame-of-no-height.png": (OUTSIDE, frame_at(0, 0, 48, 0)),
    "frame-of-negative-width.png": (OUTSIDE, frame_at(0, 0, 2**32 - 48, 32)),
    "first-frame-smaller.png": ("the first frame is not all of the picture", frame_at(0, 0, 8, 8, number=0)),
    "frame-out-of-order.png": (MISSING_PIECE, moving(1, lambda data: struct.pack(">I", 9) + data[4:])),
    "data-out-of-order.png": (
        MISSING_PIECE,
        with_chunk(MOVING, b"fdAT", 0, lambda data: struct.pack(">I", 9) + data[4:]),
    ),
    "colours-of-no-palette.png": (
        "its colours are nowhere",
        with_chunk(png(8, 1, zlib.compress(b"\0\0")), b"IHDR", 0, lambda data: data[:9] + b"\3" + data[10:]),
    ),
    "last-filter.png": (TAKEN, png(8, 1, zlib.compress(b"\4\0"))),
    "filter-that-there-is-not.png": (NO_FILTER, png(8, 1, zlib.compress(b"\5\0"))),
    "filter-that-there-is-not-in-a-later-row.png": (NO_FILTER, png(8, 3, zlib.compress(b"\0\0\4\0\5\0"))),
    "text-in-its-end.png": (TAKEN, PNG[:-12] + png_chunk(b"IEND", SCRIPT)),
    # GIF
    "before-it.gif": (NO_BLOCK, PAGE + GIF),
    "html-behind.gif": (FOLLOWED, GIF + PAGE),
    "script-behind.gif": (FOLLOWED, GIF + b"=1;" + SCRIPT),
    "one-byte-behind.gif": (FOLLOWED, GIF + b"X"),
    "script-after-zeros.gif": (FOLLOWED, GIF + bytes(9) + SCRIPT),
    "zip-behind.gif": (FOLLOWED, GIF + docx()),
    "another-behind.gif": (FOLLOWED, GIF + GIF),
    "cut-in-its-header.gif": (CUT, GIF[:9]),
    "cut-in-its-palette.gif": (CUT, GIF[:40]),
    "cut-in-its-data.gif": (CUT, GIF[:-60]),
    "cut-between-its-blocks.gif": (CUT, gif(1, 1, gif_frame(1, 1))[:-2]),
    "cut-before-its-end.gif": (CUT, GIF[:-1]),
    "cut-in-its-second-frame.gif": (CUT, frames("GIF")[:-80]),
    "strewn.gif": (NO_BLOCK, GIF[:-1] + b"\0\0" + GIF[-1:]),
    "no-frame.gif": (BROKEN_GIF, gif(1, 1)),
    "data-missing.gif": (BROKEN_GIF, gif(9, 9, gif_frame(9, 9))),
    "code-size.gif": (BROKEN_GIF, gif(1, 1, gif_frame(1, 1, b"\x0d\x02\x4c\x01\0"))),
    "other-version.gif": (BROKEN_GIF, changed(GIF, 3, b"90a")),
    "too-many-pixels.gif": (PIXELS, gif(7072, 7072, gif_frame(1, 1))),
    "declares-a-bomb.gif": (BROKEN_GIF, gif(65_535, 65_535, gif_frame(65_535, 65_535))),
    "first-frame-is-a-bomb.gif": (PIXELS, gif(1, 1, gif_frame(9000, 9000))),
    "second-frame-is-a-bomb.gif": (PIXELS, gif(1, 1, gif_frame(1, 1), gif_frame(9000, 9000))),
    "second-frame-is-wide.gif": (PIXELS, gif(1, 1, gif_frame(1, 1), gif_frame(0x8000, 2000))),
    "too-many-frames.gif": ("too many frames", lambda: gif(1, 1, gif_frame(1, 1) * 10_001)),
    "too-many-pixels-together.gif": (PIXELS, lambda: gif(1000, 1000, gif_frame(1, 1) * 51)),
    # WebP
    "before-it.webp": (NO_HEADER, PAGE + WEBP),
    "cut-in-its-header.webp": (CUT, WEBP[:25]),
    "cut-in-its-data.webp": (CUT, WEBP[:-60]),
    "size-too-large.webp": (CUT, changed(WEBP, 4, (len(WEBP) + 92).to_bytes(4, "little"))),
    "size-as-large-as-can-be.webp": (CUT, changed(WEBP, 4, b"\xff\xff\xff\xff")),
    "size-one-too-small.webp": ("a chunk is too long", changed(WEBP, 4, (len(WEBP) - 9).to_bytes(4, "little"))),
    "size-too-small.webp": ("a chunk is too long", changed(WEBP, 4, (40).to_bytes(4, "little"))),
    "chunk-too-long.webp": ("a chunk is too long", changed(WEBP, 16, b"\xff\xff\xff\x7f")),
    "chunk-as-long-as-can-be.webp": ("a chunk is too long", changed(WEBP, 16, b"\xf8\xff\xff\xff")),
    "signature-damaged.webp": (BROKEN_WEBP, changed(WEBP, 23, b"\0\0\0")),
    "header-alone.webp": (BROKEN_WEBP, riff((b"VP8X", bytes(10)))),
    "without-picture.webp": (BROKEN_WEBP, riff((b"EXIF", exif().tobytes()))),
    "sound.webp": (NO_HEADER, WEBP.replace(b"WEBP", b"WAVE", 1)),
    "declares-a-bomb.webp": (BROKEN_WEBP, riff((b"VP8X", bytes(4) + b"\xff" * 6), (b"VP8L", b"\x2f" + b"\xff" * 9))),
    "too-many-pixels.webp": (PIXELS, lambda: picture("WEBP", Image.new("L", (7100, 7100)), lossless=True, method=0)),
    "cut-in-its-second-frame.webp": (CUT, frames("WEBP", lossless=True)[:-300]),
    "too-many-frames.webp": (
        "too many frames",
        lambda: riff((b"VP8X", b"\2" + bytes(9)), (b"ANIM", bytes(6)), *[(b"ANMF", bytes(16) + riff()[12:])] * 10_001),
    ),
    "too-many-pixels-together.webp": (
        PIXELS,
        lambda: frames("WEBP", 4, size=(3600, 3600), lossless=True, method=0, quality=0),
    ),
    "chunk-twice.webp": (TAKEN, riff((b"VP8 ", WEBP[WEBP.index(b"VP8 ") + 8 :]), (b"VP8 ", SCRIPT))),
    "as-many-chunks-as-can-be.webp": (TAKEN, lambda: riff((b"VP8 ", WEBP[20:]), *[(b"abcd", b"")] * 99_999)),
    "many-chunks.webp": ("too many pieces", lambda: riff(*[(b"abcd", b"")] * 100_001)),
    # PDF
    "late.pdf": (NO_PDF, b"\n" + PDF),
    "after-a-byte-order-mark.pdf": (NO_PDF, b"\xef\xbb\xbf" + PDF),
    "after-html.pdf": (NO_PDF, PAGE + PDF),
    "cut.pdf": (NO_PDF, PDF[:-8]),
    "cut-in-its-table.pdf": (NO_PDF, PDF[: PDF.index(b"trailer")]),
    "half.pdf": (NO_PDF, PDF[: len(PDF) // 2]),
    "as-much-behind-as-may-be.pdf": (TAKEN, PDF + b"\n" * (1024 - len(b"%%EOF\n"))),
    "much-behind.pdf": (NO_PDF, PDF + b"\n" * (1024 - len(b"%%EOF\n") + 1)),
    "html-behind.pdf": (NO_PDF, PDF + PAGE * 50),
    "only-ends.pdf": (BROKEN_PDF, b"%PDF-1.4\n%%EOF\n"),
    "without-startxref.pdf": (BROKEN_PDF, PDF.replace(b"startxref", b"stampxref")),
    "startxref-no-number.pdf": (BROKEN_PDF, re.sub(rb"startxref\n\d+", b"startxref\nxyz", PDF)),
    "startxref-of-many-digits.pdf": (BROKEN_PDF, re.sub(rb"startxref\n\d+", b"startxref\n" + b"9" * 600, PDF)),
    "without-objects.pdf": (BROKEN_PDF, re.sub(rb"\d 0 obj.*?endobj", b"", PDF)),
    "root-missing.pdf": (BROKEN_PDF, pdf(catalog=b"<</Type/Page>>", trailer=b"")),
    "root-elsewhere.pdf": (BROKEN_PDF, pdf(catalog=b"<</Type/Page>>", trailer=b"/Root 99 0 R")),
    "root-is-a-number.pdf": (BROKEN_PDF, pdf(catalog=b" 7 ")),
    "root-is-itself.pdf": (BROKEN_PDF, pdf(catalog=b" 1 0 R ")),
    "pages-missing.pdf": (BROKEN_PDF, pdf(catalog=b"<</Type/Catalog>>")),
    "pages-in-a-circle.pdf": (BROKEN_PDF, pdf(pages=b" 2 0 R ")),
    "pages-deeply-nested.pdf": (BROKEN_PDF, lambda: pdf(catalog=deep(100_000))),
    "table-in-a-circle-without-root.pdf": (
        BROKEN_PDF,
        lambda: pdf(catalog=b"<<>>", trailer=b"/Prev %d" % pdf(catalog=b"<<>>").index(b"xref")),
    ),
    "table-too-large.pdf": (BROKEN_PDF, PDF.replace(b"xref\n0 4", b"xref\n0 9999999999")),
    "table-of-too-many-objects.pdf": (
        BROKEN_PDF,
        lambda: xref_stream(size=500_001, data=zlib.compress(XREF + bytes(4 * 499_998))),
    ),
    "table-unpacks-to-too-much.pdf": (
        BROKEN_PDF,
        lambda: xref_stream(data=zlib.compress(XREF + bytes(8 * MANY))),
    ),
    "table-unpacks-to-too-much-in-two-steps.pdf": (
        BROKEN_PDF,
        lambda: xref_stream(
            data=zlib.compress(zlib.compress(XREF + bytes(5 * MANY), 0)), way=b"[/FlateDecode/FlateDecode]"
        ),
    ),
    "table-not-packed.pdf": (BROKEN_PDF, xref_stream(size=9, data=b"x" * 40)),
    "table-within-itself.pdf": (BROKEN_PDF, xref_stream(b"/Length 2 0 R", size=9, data=zlib.compress(b"\2\0\2\0" * 9))),
    "takes-too-long.pdf": (BROKEN_PDF, lambda: pdf(catalog=b"<</Type/Catalog/Pages(" + rb"\101" * 6_000_000 + b")>>")),
    "encryption-unknown.pdf": (BROKEN_PDF, pdf(trailer=b"/Root 1 0 R/Encrypt 7")),
    # DOCX: the zip
    "before-it.docx": ("something stands before the package", b"MZ" + docx()),
    "after-html.docx": ("something stands before the package", PAGE + docx()),
    "cut-in-its-parts.docx": (BROKEN_DOCX, docx()[:200]),
    "cut-in-its-list.docx": (BROKEN_DOCX, docx()[:-60]),
    "cut-in-its-end.docx": (BROKEN_DOCX, docx()[:-3]),
    "no-entries.docx": (BROKEN_DOCX, docx()[-22:]),
    "empty-zip.docx": (ENTRIES, b"PK\5\6" + bytes(18)),
    "part-damaged.docx": (BROKEN_DOCX, changed(docx(), 60, b"\0\0\0")),
    "other-part-damaged.docx": (BROKEN_DOCX, docx(x=b"x" * 9).replace(b"x\xab\xa8", b"y\xab\xa8", 1)),
    "crc.docx": (BROKEN_DOCX, with_part("a", CRC=1)),
    "more-than-there-is.docx": (OTHER_SIZE, with_part("a", file_size=200)),
    "less-than-there-is.docx": (BROKEN_DOCX, with_part("a", file_size=50)),
    "beyond-the-end.docx": (BROKEN_DOCX, with_part("a", header_offset=10_000)),
    "local-name-differs.docx": (BROKEN_DOCX, with_part("abc")().replace(b"abc", b"abd", 1)),
    "encrypted.docx": (BROKEN_DOCX, encrypted_entries),
    "bzip2.docx": ("an entry is packed as none of a package is", packed(a=(9, zipfile.ZIP_BZIP2))),
    "lzma.docx": ("an entry is packed as none of a package is", packed(a=(9, zipfile.ZIP_LZMA))),
    "unknown-packing.docx": ("an entry is packed as none of a package is", with_part("a", compress_type=99)),
    "a-bomb.docx": ("an entry is packed too tightly", lambda: packed(a=(20 * MANY, zipfile.ZIP_DEFLATED))),
    "in-pieces-of-as-much-as-may-be.docx": (OTHER_SIZE, lambda: unpacks_to(256 * MANY)),
    "a-bomb-in-pieces.docx": ("it would unpack to too much", lambda: unpacks_to(256 * MANY + 1)),
    "declares-a-bomb.docx": ("an entry is packed too tightly", with_part("a", file_size=2**40)),
    "overlapping.docx": ("its entries overlap", overlapping(1)),
    "overlapping-less.docx": (BROKEN_DOCX, overlapping(0)),
    "as-many-entries-as-may-be.docx": (TAKEN, lambda: many_entries(5_000)),
    "too-many-entries.docx": (ENTRIES, lambda: many_entries(5_001)),
    "list-as-long-as-may-be.docx": (TAKEN, lambda: long_list(MANY)),
    "long-list.docx": ("the list of entries is too long", lambda: long_list(MANY + 1)),
    # DOCX: the names of entries
    "climbs-out.docx": (CLIMBS, with_part("../../evil")),
    "climbs-out-in-the-middle.docx": (CLIMBS, with_part("word/../../evil")),
    "climbs-out-at-the-end.docx": (CLIMBS, with_part("word/..")),
    "absolute.docx": (CLIMBS, with_part("/etc/passwd")),
    "backslashes.docx": (CLIMBS, with_part("..\\evil")),
    "drive.docx": (CLIMBS, with_part("C:evil")),
    "nul.docx": (CLIMBS, with_part("evil!.xml")().replace(b"evil!", b"evil\0")),
    "link.docx": ("an entry is a link", with_part("a", external_attr=(stat.S_IFLNK | 0o777) << 16)),
    "twice.docx": (ENTRIES, docx(xy="1", yx="2").replace(b"yx", b"xy")),
    "twice-up-to-a-nul.docx": (ENTRIES, docx(xz1="1", xz2="2").replace(b"xz", b"x\0")),
    "climbs-out-under-another-name.docx": (NAMED_TWICE[CLIMBS], renamed("a", "../evil")),
    "climbs-out-under-its-first-name.docx": (CLIMBS, renamed("../evil", "a")),
    "drive-under-another-name.docx": (NAMED_TWICE[CLIMBS], renamed("a", "c:evil")),
    "drive-under-its-first-name.docx": (CLIMBS, renamed("c:evil", "a")),
    "twice-under-another-name.docx": (NAMED_TWICE[ENTRIES], renamed("a", "Word/Document.xml")),
    "twice-under-its-first-name.docx": (ENTRIES, renamed("Word/Document.xml", "a")),
    "macros-under-a-second-name.docx": (NAMED_TWICE[MACRO], renamed("a", "vbaProject.bin")),
    "twice-in-other-case.docx": (ENTRIES, with_part("Word/Document.XML")),
    # DOCX: other packages
    "open-document.docx": (BROKEN_DOCX, other_package("mimetype", "application/vnd.oasis.opendocument.text")),
    "jar.docx": (BROKEN_DOCX, other_package("META-INF/MANIFEST.MF")),
    "apk.docx": (BROKEN_DOCX, other_package("AndroidManifest.xml")),
    "text.docx": (BROKEN_DOCX, other_package("word/document.xml", DOCUMENT)),
    "xlsx.docx": (OTHER_MAIN, other_type("spreadsheetml.sheet.main")),
    "pptx.docx": (OTHER_MAIN, other_type("presentationml.presentation.main")),
    "dotx.docx": (OTHER_MAIN, other_type("wordprocessingml.template.main")),
    "docm.docx": (MACRO, docx(MACROS)),
    "dotm.docx": (MACRO, docx(MACROS.replace("document.macro", "template.macro"))),
    # DOCX: its macros
    "macros.docx": (MACRO, with_part("word/vbaProject.bin")),
    "macros-in-other-case.docx": (MACRO, with_part("Word/VBAPROJECT.BIN")),
    "macros-elsewhere.docx": (MACRO, with_part("a/b/vbaData.xml")),
    "macros-under-another-name.docx": (
        MACRO,
        docx(
            CONTENT_TYPES.replace(
                "</T", '<Default Extension="x" ContentType="application/vnd.ms-office.VBAproject"/></T'
            )
        ),
    ),
    "macros-of-another-part.docx": (
        MACRO,
        docx(CONTENT_TYPES.replace("</T", '<Override PartName="/a" ContentType="APPLICATION/MacroEnabled"/></T')),
    ),
    "macros-in-pieces.docx": (MACRO, with_part("word/vbaProject.bin/[0].last.piece")),
    # DOCX: its parts
    "without-types.docx": (BROKEN_DOCX, docx(None)),
    "without-relationships.docx": (BROKEN_DOCX, docx(relationships=None)),
    "without-main-part.docx": (BROKEN_DOCX, docx(document=None)),
    "types-not-xml.docx": (BROKEN_DOCX, docx("<Types")),
    "types-as-large-as-may-be.docx": (TAKEN, lambda: docx(filled(CONTENT_TYPES, MANY))),
    "types-too-large.docx": (
        "a part that is read whole is too large",
        lambda: docx(filled(CONTENT_TYPES, MANY + 1)),
    ),
    "main-part-nowhere.docx": (OTHER_MAIN, docx(relationships=RELATIONSHIPS.replace("Target=", "To="))),
    "type-of-no-part.docx": (TAKEN, docx(CONTENT_TYPES.replace("</T", '<Default Extension="x"/></T'))),
    "types-say-nothing.docx": (OTHER_MAIN, docx(CONTENT_TYPES.replace("Override", "Over").replace("Part", "P"))),
    "type-of-another-part.docx": (
        OTHER_MAIN,
        docx(
            relationships=RELATIONSHIPS.replace("document.xml", "other."),
            document=None,
            edit=lambda package: package.writestr("word/other.", DOCUMENT),
        ),
    ),
    "relationships-not-xml.docx": (BROKEN_DOCX, docx(relationships=PAGE[:20])),
    "main-part-not-xml.docx": (BROKEN_DOCX, docx(document="Dear reader,")),
    "main-part-empty.docx": (BROKEN_DOCX, docx(document="")),
    "main-part-cut.docx": (BROKEN_DOCX, docx(document=DOCUMENT[:-9])),
    "main-part-goes-on.docx": (BROKEN_DOCX, docx(document=DOCUMENT + "<script/>")),
    "main-part-is-html.docx": ("the main part is not what its type says", docx(document=PAGE)),
    "main-part-of-another-root.docx": (
        "the main part is not what its type says",
        docx(document=DOCUMENT.replace("w:document", "w:styles")),
    ),
    "main-part-of-another-namespace.docx": (
        "the main part is not what its type says",
        docx(document=DOCUMENT.replace("wordprocessingml", "x")),
    ),
    "main-part-as-deep-as-may-be.docx": (TAKEN, docx(document=with_body("<a>" * 998 + "</a>" * 998))),
    "main-part-too-deep.docx": (TOO_MANY, docx(document=with_body("<a>" * 999 + "</a>" * 999))),
    "main-part-too-deep-after-others.docx": (
        TOO_MANY,
        docx(document=with_body("<a>" * 500 + "<b/>" * 400 + "<a>" * 500 + "</a>" * 1000)),
    ),
    "main-part-of-many-paragraphs.docx": (TAKEN, docx(document=with_body("<w:p/>" * 1500))),
    "main-part-long.docx": (
        TAKEN,
        lambda: docx(
            document=with_body(re.sub("(.{200})", r"<w:p>\1</w:p>", random.Random(1).randbytes(MANY // 2).hex()))
        ),
    ),
    "main-part-with-a-long-comment.docx": (
        "a tag or comment is too long",
        lambda: docx(document=filled(DOCUMENT, MANY + 100_000)),
    ),
    "no-main-relationship.docx": (
        "no main part, or more than one, or one elsewhere",
        docx(relationships=RELATIONSHIPS.replace("/officeDocument", "/x")),
    ),
    "two-main-relationships.docx": (
        "no main part, or more than one, or one elsewhere",
        docx(relationships=re.sub(r"(<Relationship Id.*?/>)", r"\1\1", RELATIONSHIPS, flags=re.DOTALL)),
    ),
    "main-part-elsewhere.docx": (
        OTHER_MAIN,
        docx(relationships=RELATIONSHIPS.replace("word/document.xml", "https://example.com/document.xml")),
    ),
    "main-part-external.docx": (
        "no main part, or more than one, or one elsewhere",
        docx(relationships=RELATIONSHIPS.replace("Id=", 'TargetMode="External" Id=')),
    ),
    "doctype-in-types.docx": (NO_DOCTYPE, docx(with_doctype(CONTENT_TYPES))),
    "doctype-in-types-utf-16.docx": (NO_DOCTYPE, docx(with_doctype(CONTENT_TYPES, "utf-16"))),
    "doctype-in-relationships.docx": (NO_DOCTYPE, docx(relationships=with_doctype(RELATIONSHIPS))),
    "doctype-in-relationships-utf-8-sig.docx": (
        NO_DOCTYPE,
        docx(relationships=with_doctype(RELATIONSHIPS, "utf-8-sig")),
    ),
    "doctype-in-main-part.docx": (NO_DOCTYPE, docx(document=with_doctype(DOCUMENT))),
    "doctype-in-main-part-utf-16.docx": (NO_DOCTYPE, docx(document=with_doctype(DOCUMENT, "utf-16"))),
    "doctype-in-main-part-latin-1.docx": (NO_DOCTYPE, docx(document=with_doctype(DOCUMENT, "iso-8859-1"))),
    "entities.docx": (NO_DOCTYPE, docx(document=with_doctype(DOCUMENT).replace(b"<w:body/>", b"<w:body>&a;</w:body>"))),
}


def reason(refused: AttachmentRefused) -> str:
    """Return what the app itself found wrong first, beneath what it made of that."""
    found, error = str(refused.reason), refused.__cause__
    while error:
        *_outer, (frame, _line) = traceback.walk_tb(error.__traceback__)
        if isinstance(error, ValueError) and frame.f_globals["__name__"].startswith("ossn_messaging."):
            found = str(error)
        error = error.__cause__
    return found


@pytest.mark.parametrize("name", TABLE)
def test_the_verdict_on_a_file(name: str) -> None:
    verdict, content = TABLE[name]
    sent = (FOLDER / name).read_bytes() if content is None else content() if callable(content) else content
    if verdict != TAKEN:
        with pytest.raises(AttachmentRefused) as refused:
            kept(name, sent)
        assert reason(refused.value) == verdict
        return
    stored = kept(name, sent)
    if name.endswith((".pdf", ".docx")):
        assert stored == sent
        return
    with Image.open(io.BytesIO(sent)) as right, Image.open(io.BytesIO(stored)) as left:
        is_upright = right.format == "GIF" or right.getexif().get(0x0112, 1) == 1
        assert left.size == (right if is_upright else ImageOps.exif_transpose(right)).size
    if is_upright:
        assert_same_picture(stored, sent)


BOMBS: dict[bytes, Callable[[int], bytes]] = {
    b"/FlateDecode": lambda size: zlib.compress(XREF + bytes(size)),
    b"/LZWDecode": lambda size: lzw(XREF, size),
    b"/RunLengthDecode": lambda size: b"\x0b" + XREF + b"\x81\0" * (size // 128) + b"\x80",
}
"""The tables that unpack to so many bytes, by the ways in which they are packed."""


@pytest.mark.parametrize("way", BOMBS)
def test_a_table_of_a_pdf_is_not_unpacked_beyond_its_limit(way: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ossn_messaging.pdf.MAX_UNPACKED", MANY)
    bomb = xref_stream(data=BOMBS[way](10 * MANY), way=way)
    kept("a.pdf", PDF)  # what is imported for the first time takes memory too
    tracemalloc.start()
    try:
        with pytest.raises(AttachmentRefused):
            kept("a.pdf", bomb)
        _now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 5 * MANY


def test_a_pdf_that_is_not_opened_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ossn_messaging.pdf.MAX_SECONDS", 0)
    with pytest.raises(AttachmentRefused) as refused:
        kept("a.pdf", PDF)
    assert reason(refused.value) == "it takes too long to open"


def test_the_elements_and_attributes_of_a_main_part_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which there may be so many that it takes seconds to parse them."""
    monkeypatch.setattr("ossn_messaging.docx.MAX_NODES", 9)
    nine = with_body('<a/><a/><b c="" d=""/><e f=""/>')  # with the root and its body
    assert kept("a.docx", docx(document=nine)) == docx(document=nine)
    for ten in (nine.replace("<a/>", "<a/><a/>", 1), nine.replace('f=""', 'f="" g=""')):
        with pytest.raises(AttachmentRefused) as refused:
            kept("a.docx", docx(document=ten))
        assert reason(refused.value) == TOO_MANY


def test_each_sample_stands_in_the_table() -> None:
    samples = {name for name, (_verdict, content) in TABLE.items() if content is None}
    assert samples == {path.name for path in FOLDER.iterdir()} - {"README.md"}
