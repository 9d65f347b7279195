"""Files of every kind, good and bad, in one table with the verdict on each."""

import copy
import io
import random
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from ossn_messaging.exceptions import AttachmentRefused
from tests.files import (
    CATALOG,
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
)

FOLDER = Path(__file__).parent / "samples"
TAKEN, REFUSED = "taken", "refused"

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


def with_doctype(part: str, encoding: str = "utf-8") -> bytes:
    """Return a part of a package with a DOCTYPE before its root."""
    body = part.partition("?>")[2] if part.startswith("<?") else part
    return f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>{DOCTYPE}{body}'.encode(encoding)


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


def many_entries() -> bytes:
    def edit(package: zipfile.ZipFile) -> None:
        for number in range(5_000):
            package.writestr(str(number), b"")

    return docx(edit=edit)


def long_list() -> bytes:
    """Return a package whose list of entries is long because each has a long comment."""

    def edit(package: zipfile.ZipFile) -> None:
        for number in range(20):
            package.writestr(str(number), b"")
            package.filelist[-1].comment = bytes(60_000)

    return docx(edit=edit)


def overlapping() -> bytes:
    """Return a package many of whose entries are one and the same piece of it."""

    def edit(package: zipfile.ZipFile) -> None:
        package.writestr("0", bytes(MANY), zipfile.ZIP_STORED)
        for number in range(1, 100):
            entry = copy.copy(package.filelist[-1])
            entry.filename = entry.orig_filename = str(number)
            package.filelist.append(entry)

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


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def jpeg_size(width: int, height: int) -> bytes:
    """Return a JPEG that says that it has so many pixels."""
    return changed(JPEG, JPEG.index(b"\xff\xc0") + 5, struct.pack(">HH", height, width))


def xref_stream(*entries: bytes, size: int, data: bytes) -> bytes:
    """Return a PDF whose table is a stream."""
    body = b"%PDF-1.5\n1 0 obj" + CATALOG + b"endobj\n"
    table = b"2 0 obj<</Type/XRef/W[1 2 1]/Size %d/Root 1 0 R/Filter/FlateDecode/Length %d%s>>stream\n%s\nendstream"
    stream = table % (size, len(data), b"".join(entries), data)
    return body + stream + b" endobj\nstartxref\n%d\n%%%%EOF\n" % len(body)


def deep(depth: int) -> bytes:
    """Return what a catalog of arrays within arrays is."""
    return b"<</Type/Catalog/Pages " + b"[" * depth + b"]" * depth + b">>"


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
    "leading.pdf": (REFUSED, None),
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
    "some-behind.pdf": (TAKEN, PDF + b"\n" * 900),
    "table-in-a-stream.pdf": (
        TAKEN,
        xref_stream(size=3, data=zlib.compress(b"\0\0\0\0" + b"\1\0\x09\0" + b"\1\0\x31\0")).replace(
            b"/Pages 2 0 R", b"/Pages<<>> "
        ),
    ),
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
    "page.html": (REFUSED, PAGE),
    "script.php": (REFUSED, PHP),
    "drawing.svg": (REFUSED, SVG),
    "no extension": (REFUSED, PDF),
    "pdf": (REFUSED, PDF),
    ".pdf": (REFUSED, PDF),
    "": (REFUSED, PDF),
    "name.": (REFUSED, PDF),
    "a.pdf.exe": (REFUSED, PDF),
    "b" * 252 + ".pdf": (REFUSED, PDF),
    # one kind under the extension of another
    **{
        f"{kind}.{extension}": (REFUSED, content)
        for kind, content in {
            "nothing": b"",
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
        for extension in ("jpg", "png", "gif", "webp", "pdf", "docx")
        if extension != {"jpeg": "jpg"}.get(kind, kind)
    },
    "animation.png": (REFUSED, frames("GIF")),
    "script-in-its-head.gif": (REFUSED, b"GIF89a/*" + SCRIPT + b"*/"),
    "script-in-its-head.jpg": (REFUSED, b"\xff\xd8\xff\xe0/*" + SCRIPT + b"*/"),
    "html-after-a-signature.png": (REFUSED, PNG[:8] + PAGE),
    "html-after-a-signature.webp": (REFUSED, WEBP[:12] + PAGE),
    "html-after-a-signature.pdf": (REFUSED, b"%PDF-1.4\n" + PAGE),
    # JPEG
    "before-it.jpg": (REFUSED, PAGE + JPEG),
    "cut-in-its-tables.jpg": (REFUSED, JPEG[:100]),
    "cut-before-its-data.jpg": (REFUSED, JPEG[: JPEG.index(b"\xff\xda")]),
    "cut-in-its-data.jpg": (REFUSED, picture("JPEG", photo((200, 200)))[:-200]),
    "cut-before-its-end.jpg": (REFUSED, JPEG[:-2]),
    "cut-in-its-end.jpg": (REFUSED, JPEG[:-1]),
    "cut-in-its-second-scan.jpg": (REFUSED, MULTI_SCAN[: MULTI_SCAN.index(b"\xff\xda") + 60]),
    "its-end-too-early.jpg": (REFUSED, JPEG[: JPEG.index(b"\xff\xda")] + b"\xff\xd9"),
    "strewn.jpg": (REFUSED, JPEG[:20] + b"\0\0" + JPEG[20:]),
    "without-size.jpg": (REFUSED, JPEG.replace(b"\xff\xc0", b"\xff\xe5")),
    "without-quantization.jpg": (REFUSED, JPEG.replace(b"\xff\xdb", b"\xff\xe5")),
    "segment-of-no-length.jpg": (REFUSED, JPEG[:2] + b"\xff\xe1\0\0" + JPEG[2:]),
    "segment-too-long.jpg": (REFUSED, JPEG[:2] + b"\xff\xe1\xff\xff" + JPEG[2:]),
    "reserved-marker.jpg": (REFUSED, JPEG[:2] + segment(0xF0, SCRIPT) + JPEG[2:]),
    "lossless.jpg": (REFUSED, JPEG.replace(b"\xff\xc0", b"\xff\xc3")),
    "no-pixels.jpg": (REFUSED, jpeg_size(0, 32)),
    "too-many-pixels.jpg": (REFUSED, jpeg_size(7072, 7072)),
    "declares-a-bomb.jpg": (REFUSED, jpeg_size(65_500, 65_500)),
    "a-bomb.jpg": (REFUSED, lambda: picture("JPEG", Image.new("L", (7100, 7100)))),
    "many-segments.jpg": (REFUSED, lambda: JPEG[:2] + segment(0xFE, b"") * 100_000 + JPEG[2:]),
    "scans-again-and-again.jpg": (
        REFUSED,
        MULTI_SCAN[:-2] + MULTI_SCAN[MULTI_SCAN.rindex(b"\xff\xda") : -2] * 50 + b"\xff\xd9",
    ),
    "exif-of-no-order.jpg": (TAKEN, JPEG[:2] + segment(0xE1, b"Exif\0\0??") + JPEG[2:]),
    "number-of-lines.jpg": (TAKEN, JPEG[:2] + segment(0xDC, SCRIPT) + JPEG[2:]),
    # PNG
    "before-it.png": (REFUSED, PAGE + PNG),
    "cut-in-its-header.png": (REFUSED, PNG[:20]),
    "cut-in-its-data.png": (REFUSED, PNG[:-60]),
    "cut-before-its-end.png": (REFUSED, PNG[:-12]),
    "cut-in-its-end.png": (REFUSED, PNG[:-3]),
    "signature-in-text-mode.png": (REFUSED, PNG.replace(b"\r\n", b"\n", 1)),
    "header-damaged.png": (REFUSED, changed(PNG, 18, b"\1")),
    "data-damaged.png": (REFUSED, changed(PNG, 60, b"\xff\xff\xff")),
    "header-crc.png": (REFUSED, changed(PNG, 29, b"\0\0\0\0")),
    "data-crc.png": (REFUSED, changed(PNG, -16, b"\0\0\0\0")),
    "chunk-too-long.png": (REFUSED, changed(PNG, 33, b"\x7f")),
    "without-header.png": (REFUSED, PNG[:8] + PNG[33:]),
    "without-data.png": (REFUSED, PNG[:33] + png_chunk(b"IEND")),
    "without-palette.png": (REFUSED, changed(png(8, 1, zlib.compress(b"\0\0")), 25, b"\3")),
    "not-packed.png": (REFUSED, png(8, 1, b"\0\xaa")),
    "rows-missing.png": (REFUSED, png(8, 9, zlib.compress(b"\0\xaa" * 8))),
    "data-checksum.png": (REFUSED, png(8, 8, zlib.compress(b"\0\xaa" * 8)[:-4] + b"\0\0\0\0")),
    "no-pixels.png": (REFUSED, png(0, 1, zlib.compress(b"\0"))),
    "too-many-pixels.png": (REFUSED, png(7072, 7072, zlib.compress(b"\0"))),
    "declares-a-bomb.png": (REFUSED, png(2**31 - 1, 2**31 - 1, zlib.compress(b"\0"))),
    "a-bomb.png": (REFUSED, lambda: png(20_000, 20_000, zlib.compress(bytes(2501 * 20_000)))),
    "a-bomb-in-its-profile.png": (
        REFUSED,
        lambda: png(8, 1, zlib.compress(b"\0\0"), png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(100 * MANY)))),
    ),
    "frames-not-announced.png": (REFUSED, frames("PNG").replace(b"acTL\0\0\0\3", b"acTL\0\0\0\2")),
    "too-many-frames.png": (
        REFUSED,
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
        REFUSED,
        frames("PNG").replace(
            png_chunk(b"IHDR", struct.pack(">IIBBBBB", 48, 32, 8, 2, 0, 0, 0)),
            png_chunk(b"IHDR", struct.pack(">IIBBBBB", 4100, 4100, 8, 2, 0, 0, 0)),
        ),
    ),
    "rows-too-many.png": (REFUSED, png(8, 7, zlib.compress(b"\0\xaa" * 8))),
    "text-after-the-rows.png": (REFUSED, png(8, 8, zlib.compress(b"\0\xaa" * 8) + SCRIPT)),
    "colours-too-long.png": (REFUSED, png(8, 1, zlib.compress(b"\0\0"), png_chunk(b"gAMA", SCRIPT))),
    "text-in-its-end.png": (TAKEN, PNG[:-12] + png_chunk(b"IEND", SCRIPT)),
    # GIF
    "before-it.gif": (REFUSED, PAGE + GIF),
    "html-behind.gif": (REFUSED, GIF + PAGE),
    "script-behind.gif": (REFUSED, GIF + b"=1;" + SCRIPT),
    "script-after-zeros.gif": (REFUSED, GIF + bytes(9) + SCRIPT),
    "zip-behind.gif": (REFUSED, GIF + docx()),
    "another-behind.gif": (REFUSED, GIF + GIF),
    "cut-in-its-header.gif": (REFUSED, GIF[:9]),
    "cut-in-its-palette.gif": (REFUSED, GIF[:40]),
    "cut-in-its-data.gif": (REFUSED, GIF[:-60]),
    "cut-before-its-end.gif": (REFUSED, GIF[:-1]),
    "cut-in-its-second-frame.gif": (REFUSED, frames("GIF")[:-80]),
    "strewn.gif": (REFUSED, GIF[:-1] + b"\0\0" + GIF[-1:]),
    "no-frame.gif": (REFUSED, gif(1, 1)),
    "data-missing.gif": (REFUSED, gif(9, 9, gif_frame(9, 9))),
    "code-size.gif": (REFUSED, gif(1, 1, gif_frame(1, 1, b"\x0d\x02\x4c\x01\0"))),
    "other-version.gif": (REFUSED, changed(GIF, 3, b"90a")),
    "too-many-pixels.gif": (REFUSED, gif(7072, 7072, gif_frame(1, 1))),
    "declares-a-bomb.gif": (REFUSED, gif(65_535, 65_535, gif_frame(65_535, 65_535))),
    "first-frame-is-a-bomb.gif": (REFUSED, gif(1, 1, gif_frame(9000, 9000))),
    "second-frame-is-a-bomb.gif": (REFUSED, gif(1, 1, gif_frame(1, 1), gif_frame(9000, 9000))),
    "too-many-frames.gif": (REFUSED, lambda: gif(1, 1, gif_frame(1, 1) * 10_001)),
    "too-many-pixels-together.gif": (REFUSED, lambda: gif(1000, 1000, gif_frame(1, 1) * 51)),
    # WebP
    "before-it.webp": (REFUSED, PAGE + WEBP),
    "cut-in-its-header.webp": (REFUSED, WEBP[:25]),
    "cut-in-its-data.webp": (REFUSED, WEBP[:-60]),
    "size-too-large.webp": (REFUSED, changed(WEBP, 4, (len(WEBP) + 92).to_bytes(4, "little"))),
    "size-too-small.webp": (REFUSED, changed(WEBP, 4, (40).to_bytes(4, "little"))),
    "chunk-too-long.webp": (REFUSED, changed(WEBP, 16, b"\xff\xff\xff\x7f")),
    "signature-damaged.webp": (REFUSED, changed(WEBP, 23, b"\0\0\0")),
    "header-alone.webp": (REFUSED, riff((b"VP8X", bytes(10)))),
    "without-picture.webp": (REFUSED, riff((b"EXIF", exif().tobytes()))),
    "sound.webp": (REFUSED, WEBP.replace(b"WEBP", b"WAVE", 1)),
    "declares-a-bomb.webp": (REFUSED, riff((b"VP8X", bytes(4) + b"\xff" * 6), (b"VP8L", b"\x2f" + b"\xff" * 9))),
    "too-many-pixels.webp": (REFUSED, lambda: picture("WEBP", Image.new("L", (7100, 7100)), lossless=True, method=0)),
    "cut-in-its-second-frame.webp": (REFUSED, frames("WEBP", lossless=True)[:-300]),
    "too-many-frames.webp": (
        REFUSED,
        lambda: riff((b"VP8X", b"\2" + bytes(9)), (b"ANIM", bytes(6)), *[(b"ANMF", bytes(16) + riff()[12:])] * 10_001),
    ),
    "too-many-pixels-together.webp": (
        REFUSED,
        lambda: frames("WEBP", 4, size=(3600, 3600), lossless=True, method=0, quality=0),
    ),
    "chunk-twice.webp": (TAKEN, riff((b"VP8 ", WEBP[WEBP.index(b"VP8 ") + 8 :]), (b"VP8 ", SCRIPT))),
    "many-chunks.webp": (REFUSED, lambda: riff(*[(b"abcd", b"")] * 100_001)),
    # PDF
    "late.pdf": (REFUSED, b"\n" + PDF),
    "after-a-byte-order-mark.pdf": (REFUSED, b"\xef\xbb\xbf" + PDF),
    "after-html.pdf": (REFUSED, PAGE + PDF),
    "cut.pdf": (REFUSED, PDF[:-8]),
    "cut-in-its-table.pdf": (REFUSED, PDF[: PDF.index(b"trailer")]),
    "half.pdf": (REFUSED, PDF[: len(PDF) // 2]),
    "much-behind.pdf": (REFUSED, PDF + b"\n" * 1100),
    "html-behind.pdf": (REFUSED, PDF + PAGE * 50),
    "only-ends.pdf": (REFUSED, b"%PDF-1.4\n%%EOF\n"),
    "without-startxref.pdf": (REFUSED, PDF.replace(b"startxref", b"stampxref")),
    "startxref-no-number.pdf": (REFUSED, re.sub(rb"startxref\n\d+", b"startxref\nxyz", PDF)),
    "startxref-of-many-digits.pdf": (REFUSED, re.sub(rb"startxref\n\d+", b"startxref\n" + b"9" * 600, PDF)),
    "without-objects.pdf": (REFUSED, re.sub(rb"\d 0 obj.*?endobj", b"", PDF)),
    "root-missing.pdf": (REFUSED, pdf(catalog=b"<</Type/Page>>", trailer=b"")),
    "root-elsewhere.pdf": (REFUSED, pdf(catalog=b"<</Type/Page>>", trailer=b"/Root 99 0 R")),
    "root-is-a-number.pdf": (REFUSED, pdf(catalog=b" 7 ")),
    "root-is-itself.pdf": (REFUSED, pdf(catalog=b" 1 0 R ")),
    "pages-missing.pdf": (REFUSED, pdf(catalog=b"<</Type/Catalog>>")),
    "pages-in-a-circle.pdf": (REFUSED, pdf(pages=b" 2 0 R ")),
    "pages-deeply-nested.pdf": (REFUSED, lambda: pdf(catalog=deep(100_000))),
    "table-in-a-circle-without-root.pdf": (
        REFUSED,
        lambda: pdf(catalog=b"<<>>", trailer=b"/Prev %d" % pdf(catalog=b"<<>>").index(b"xref")),
    ),
    "table-too-large.pdf": (REFUSED, PDF.replace(b"xref\n0 4", b"xref\n0 9999999999")),
    "table-is-a-bomb.pdf": (
        REFUSED,
        lambda: xref_stream(size=600_000, data=zlib.compress(bytes(4 * 600_000))),
    ),
    "table-unpacks-to-too-much.pdf": (
        REFUSED,
        lambda: xref_stream(size=9, data=zlib.compress(bytes(80 * MANY))),
    ),
    "table-not-packed.pdf": (REFUSED, xref_stream(size=9, data=b"x" * 40)),
    "table-within-itself.pdf": (REFUSED, xref_stream(b"/Length 2 0 R", size=9, data=zlib.compress(b"\2\0\2\0" * 9))),
    "takes-too-long.pdf": (REFUSED, lambda: pdf(catalog=b"<</Type/Catalog/Pages(" + rb"\101" * 6_000_000 + b")>>")),
    "encryption-unknown.pdf": (REFUSED, pdf(trailer=b"/Root 1 0 R/Encrypt 7")),
    # DOCX: the zip
    "before-it.docx": (REFUSED, b"MZ" + docx()),
    "after-html.docx": (REFUSED, PAGE + docx()),
    "cut-in-its-parts.docx": (REFUSED, docx()[:200]),
    "cut-in-its-list.docx": (REFUSED, docx()[:-60]),
    "cut-in-its-end.docx": (REFUSED, docx()[:-3]),
    "no-entries.docx": (REFUSED, docx()[-22:]),
    "empty-zip.docx": (REFUSED, b"PK\5\6" + bytes(18)),
    "part-damaged.docx": (REFUSED, changed(docx(), 60, b"\0\0\0")),
    "other-part-damaged.docx": (REFUSED, docx(x=b"x" * 9).replace(b"x\xab\xa8", b"y\xab\xa8", 1)),
    "crc.docx": (REFUSED, with_part("a", CRC=1)),
    "more-than-there-is.docx": (REFUSED, with_part("a", file_size=200)),
    "less-than-there-is.docx": (REFUSED, with_part("a", file_size=50)),
    "beyond-the-end.docx": (REFUSED, with_part("a", header_offset=10_000)),
    "local-name-differs.docx": (REFUSED, with_part("abc")().replace(b"abc", b"abd", 1)),
    "encrypted.docx": (REFUSED, encrypted_entries),
    "bzip2.docx": (REFUSED, packed(a=(9, zipfile.ZIP_BZIP2))),
    "lzma.docx": (REFUSED, packed(a=(9, zipfile.ZIP_LZMA))),
    "unknown-packing.docx": (REFUSED, with_part("a", compress_type=99)),
    "a-bomb.docx": (REFUSED, lambda: packed(a=(20 * MANY, zipfile.ZIP_DEFLATED))),
    "a-bomb-in-pieces.docx": (
        REFUSED,
        lambda: packed(**{str(number): (MANY, zipfile.ZIP_DEFLATED) for number in range(257)}),
    ),
    "declares-a-bomb.docx": (REFUSED, with_part("a", file_size=2**40)),
    "overlapping.docx": (REFUSED, overlapping),
    "too-many-entries.docx": (REFUSED, many_entries),
    "long-list.docx": (REFUSED, long_list),
    # DOCX: the names of entries
    "climbs-out.docx": (REFUSED, with_part("../../evil")),
    "climbs-out-in-the-middle.docx": (REFUSED, with_part("word/../../evil")),
    "climbs-out-at-the-end.docx": (REFUSED, with_part("word/..")),
    "absolute.docx": (REFUSED, with_part("/etc/passwd")),
    "backslashes.docx": (REFUSED, with_part("..\\evil")),
    "drive.docx": (REFUSED, with_part("C:evil")),
    "nul.docx": (REFUSED, with_part("evil!.xml")().replace(b"evil!", b"evil\0")),
    "link.docx": (REFUSED, with_part("a", external_attr=(stat.S_IFLNK | 0o777) << 16)),
    "twice.docx": (REFUSED, docx(xy="1", yx="2").replace(b"yx", b"xy")),
    "twice-in-other-case.docx": (REFUSED, with_part("Word/Document.XML")),
    # DOCX: other packages
    "open-document.docx": (REFUSED, other_package("mimetype", "application/vnd.oasis.opendocument.text")),
    "jar.docx": (REFUSED, other_package("META-INF/MANIFEST.MF")),
    "apk.docx": (REFUSED, other_package("AndroidManifest.xml")),
    "text.docx": (REFUSED, other_package("word/document.xml", DOCUMENT)),
    "xlsx.docx": (REFUSED, other_type("spreadsheetml.sheet.main")),
    "pptx.docx": (REFUSED, other_type("presentationml.presentation.main")),
    "dotx.docx": (REFUSED, other_type("wordprocessingml.template.main")),
    "docm.docx": (REFUSED, docx(MACROS)),
    "dotm.docx": (REFUSED, docx(MACROS.replace("document.macro", "template.macro"))),
    # DOCX: its macros
    "macros.docx": (REFUSED, with_part("word/vbaProject.bin")),
    "macros-in-other-case.docx": (REFUSED, with_part("Word/VBAPROJECT.BIN")),
    "macros-elsewhere.docx": (REFUSED, with_part("a/b/vbaData.xml")),
    "macros-under-another-name.docx": (
        REFUSED,
        docx(
            CONTENT_TYPES.replace(
                "</T", '<Default Extension="x" ContentType="application/vnd.ms-office.VBAproject"/></T'
            )
        ),
    ),
    "macros-of-another-part.docx": (
        REFUSED,
        docx(CONTENT_TYPES.replace("</T", '<Override PartName="/a" ContentType="APPLICATION/MacroEnabled"/></T')),
    ),
    "macros-in-pieces.docx": (REFUSED, with_part("word/vbaProject.bin/[0].last.piece")),
    # DOCX: its parts
    "without-types.docx": (REFUSED, docx(None)),
    "without-relationships.docx": (REFUSED, docx(relationships=None)),
    "without-main-part.docx": (REFUSED, docx(document=None)),
    "types-not-xml.docx": (REFUSED, docx("<Types")),
    "types-too-large.docx": (REFUSED, docx(CONTENT_TYPES + f"<!--{random.Random(1).randbytes(MANY).hex()}-->")),
    "types-say-nothing.docx": (REFUSED, docx(CONTENT_TYPES.replace("Override", "Over").replace("Part", "P"))),
    "relationships-not-xml.docx": (REFUSED, docx(relationships=PAGE[:20])),
    "main-part-not-xml.docx": (REFUSED, docx(document="Dear reader,")),
    "main-part-empty.docx": (REFUSED, docx(document="")),
    "main-part-cut.docx": (REFUSED, docx(document=DOCUMENT[:-9])),
    "main-part-goes-on.docx": (REFUSED, docx(document=DOCUMENT + "<script/>")),
    "main-part-is-html.docx": (REFUSED, docx(document=PAGE)),
    "main-part-of-another-root.docx": (REFUSED, docx(document=DOCUMENT.replace("w:document", "w:styles"))),
    "main-part-of-another-namespace.docx": (REFUSED, docx(document=DOCUMENT.replace("wordprocessingml", "x"))),
    "main-part-too-deep.docx": (REFUSED, docx(document=DOCUMENT.replace("<w:body/>", "<a>" * 1000 + "</a>" * 1000))),
    "main-part-with-a-long-comment.docx": (
        REFUSED,
        lambda: docx(document=DOCUMENT + f"<!--{random.Random(1).randbytes(MANY).hex()}-->"),
    ),
    "no-main-relationship.docx": (REFUSED, docx(relationships=RELATIONSHIPS.replace("/officeDocument", "/x"))),
    "two-main-relationships.docx": (
        REFUSED,
        docx(relationships=re.sub(r"(<Relationship Id.*?/>)", r"\1\1", RELATIONSHIPS, flags=re.DOTALL)),
    ),
    "main-part-elsewhere.docx": (
        REFUSED,
        docx(relationships=RELATIONSHIPS.replace("word/document.xml", "https://example.com/document.xml")),
    ),
    "main-part-external.docx": (REFUSED, docx(relationships=RELATIONSHIPS.replace("Id=", 'TargetMode="External" Id='))),
    "doctype-in-types.docx": (REFUSED, docx(with_doctype(CONTENT_TYPES))),
    "doctype-in-types-utf-16.docx": (REFUSED, docx(with_doctype(CONTENT_TYPES, "utf-16"))),
    "doctype-in-relationships.docx": (REFUSED, docx(relationships=with_doctype(RELATIONSHIPS))),
    "doctype-in-relationships-utf-8-sig.docx": (REFUSED, docx(relationships=with_doctype(RELATIONSHIPS, "utf-8-sig"))),
    "doctype-in-main-part.docx": (REFUSED, docx(document=with_doctype(DOCUMENT))),
    "doctype-in-main-part-utf-16.docx": (REFUSED, docx(document=with_doctype(DOCUMENT, "utf-16"))),
    "doctype-in-main-part-latin-1.docx": (REFUSED, docx(document=with_doctype(DOCUMENT, "iso-8859-1"))),
    "entities.docx": (REFUSED, docx(document=with_doctype(DOCUMENT).replace(b"<w:body/>", b"<w:body>&a;</w:body>"))),
}


@pytest.mark.parametrize("name", TABLE)
def test_the_verdict_on_a_file(name: str) -> None:
    verdict, content = TABLE[name]
    sent = (FOLDER / name).read_bytes() if content is None else content() if callable(content) else content
    if verdict == REFUSED:
        with pytest.raises(AttachmentRefused):
            kept(name, sent)
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


def test_each_sample_stands_in_the_table() -> None:
    samples = {name for name, (_verdict, content) in TABLE.items() if content is None}
    assert samples == {path.name for path in FOLDER.iterdir()} - {"README.md"}
