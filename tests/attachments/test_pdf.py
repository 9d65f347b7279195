"""Which PDFs are taken, and what active content they may have."""

import io
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from importlib.util import find_spec, module_from_spec
from typing import Any

import pikepdf
import pytest

from ossn_messaging.attachments import pdf
from ossn_messaging.attachments.rules import Reason, Rejected
from tests.support.files import CATALOG, PAGE, PDF, SAMPLES, inspected
from tests.support.files import pdf as document
from tests.support.servers import plain_environment

FOR_CERTIFICATES = (
    b"<</Filter/Adobe.PubSec/SubFilter/adbe.pkcs7.s5/V 4/CF<</DefaultCryptFilter<</CFM/AESV2/Length 128"
    b"/Recipients[(x)]>>>>/StmF/DefaultCryptFilter/StrF/DefaultCryptFilter>>"
)

Content = bytes | Callable[[], bytes]


def stream(dictionary: bytes, data: bytes) -> bytes:
    return b"<<%s/Length %d>>stream\n%s\nendstream" % (dictionary, len(data), data)


def in_an_object_stream(count: int, packed: bytes) -> bytes:
    """Return a PDF with an object stream, which holds so many objects."""
    objects = {
        1: CATALOG,
        2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/X 10 0 R>>",
        4: stream(b"/Type/ObjStm/N %d/First 900/Filter/FlateDecode" % count, packed),
    }
    file, rows = b"%PDF-1.5\n", [bytes(6)] * 10
    for number, value in objects.items():
        rows[number] = b"\1" + len(file).to_bytes(4, "big") + b"\0"
        file += b"%d 0 obj%sendobj\n" % (number, value)
    rows[5] = b"\1" + len(file).to_bytes(4, "big") + b"\0"
    rows += [b"\2" + bytes([0, 0, 0, 4, number]) for number in range(count)]
    table = stream(b"/Type/XRef/Size %d/W[1 4 1]/Root 1 0 R" % len(rows), b"".join(rows))
    return file + b"5 0 obj%sendobj\nstartxref\n%d\n%%%%EOF\n" % (table, len(file))


def index_of(count: int) -> bytes:
    """Return the list of so many objects of an object stream, each of which begins a byte after the one before."""
    return b"".join(b"%d %d " % (10 + number, number) for number in range(count)).ljust(900)


def bomb(mebibytes: int) -> bytes:
    """Return an object stream with one array, which is long when it is unpacked."""
    compressor = zlib.compressobj()
    packed = compressor.compress(index_of(1) + b"[")
    packed += b"".join(compressor.compress(b" " * 1024 * 1024) for _ in range(mebibytes))
    return packed + compressor.compress(b"]") + compressor.flush()


def saved(opened: pikepdf.Pdf, **options: Any) -> bytes:
    file = io.BytesIO()
    opened.save(file, object_stream_mode=pikepdf.ObjectStreamMode.generate, **options)
    return file.getvalue()


def opens_with(action: str, **options: Any) -> bytes:
    """Return a PDF whose objects are in an object stream, and which begins with an action of a type."""
    opened = pikepdf.open(io.BytesIO(PDF))
    opened.Root.OpenAction = opened.make_indirect(pikepdf.Dictionary(S=pikepdf.Name(action)))
    return saved(opened, **options)


LAUNCHING = b"<</S/Launch/F(calc.exe)>>"

TAKEN: dict[str, Content] = {
    "page": PDF,
    "after a byte order mark": b"\xef\xbb\xbf" + PDF,
    "after a print job": b"\x1b%-12345X@PJL JOB\r\n@PJL ENTER LANGUAGE=PDF\r\n" + PDF,
    "at the end of its reach": PDF.rjust(len(PDF) + 1019),
    "encrypted for certificates": document(
        FOR_CERTIFICATES, trailer=b"/Root 1 0 R/Encrypt 4 0 R/ID[(0123456789abcdef)(0123456789abcdef)]"
    ),
    "encrypted in an unknown way": document(
        b"<</Filter/Nobody/V 9>>", trailer=b"/Root 1 0 R/Encrypt 4 0 R/ID[(0123456789abcdef)(0123456789abcdef)]"
    ),
    "table packed by a short name": lambda: saved(pikepdf.open(io.BytesIO(PDF))).replace(b"/FlateDecode", b"/Fl"),
    # what every reader repairs
    "cut in its last line": PDF[:-8],
    "much behind it": PDF + b"\n" * 5_000,
    "no startxref": PDF.replace(b"startxref", b"stampxref"),
    "startxref without a number": re.sub(rb"startxref\n\d+", b"startxref\nxyz", PDF),
    "startxref of many digits": re.sub(rb"startxref\n\d+", b"startxref\n" + b"9" * 600, PDF),
    "table too large": PDF.replace(b"xref\n0 4", b"xref\n0 9999999999"),
    # what takes much of readers that are not careful
    "objects that are one array": in_an_object_stream(
        60, zlib.compress(index_of(60) + b" " * 60 + b"[" + b"0 " * 99_000 + b"]")
    ),
    "5,000 objects": lambda: document(*(b"<</K %d>>" % number for number in range(5_000))),
    "deep arrays": document(b"[" * 50_000 + b"]" * 50_000),
}

REFUSED: dict[str, tuple[Reason, str | None, Content]] = {
    "nothing": (Reason.WRONG_TYPE, "", b""),
    "HTML": (Reason.WRONG_TYPE, "", PAGE),
    "image": (Reason.WRONG_TYPE, "JPEG", SAMPLES["photo.jpg"]),
    "DOCX": (Reason.WRONG_TYPE, "ZIP", SAMPLES["letter.docx"]),
    "behind its reach": (Reason.WRONG_TYPE, "", PDF.rjust(len(PDF) + 1020)),
    "header alone": (Reason.DAMAGED, None, b"%PDF-1.4\n" + PAGE),
    "header and end": (Reason.DAMAGED, None, b"%PDF-1.4\n%%EOF\n"),
    "half": (Reason.DAMAGED, None, PDF[: len(PDF) // 2]),
    "cut in its table": (Reason.DAMAGED, None, PDF[: PDF.index(b"trailer")]),
    "no objects": (Reason.DAMAGED, None, re.sub(rb"\d 0 obj.*?endobj", b"", PDF)),
    "no catalog": (Reason.DAMAGED, None, document(catalog=b"<</Type/Page>>", trailer=b"")),
    "catalog elsewhere": (Reason.DAMAGED, None, document(catalog=b"<</Type/Page>>", trailer=b"/Root 99 0 R")),
    "catalog is a number": (Reason.DAMAGED, None, document(catalog=b" 7 ")),
    "catalog is itself": (Reason.DAMAGED, None, document(catalog=b" 1 0 R ")),
    "no pages": (Reason.DAMAGED, None, document(catalog=b"<</Type/Catalog>>")),
    "no page": (Reason.DAMAGED, None, document(pages=b"<</Type/Pages/Kids[]/Count 0>>")),
    "a page that is missing": (Reason.DAMAGED, None, document(pages=b"<</Type/Pages/Kids[99 0 R]/Count 1>>")),
    "pages in a circle": (Reason.DAMAGED, None, document(pages=b" 2 0 R ")),
    "deep pages": (
        Reason.DAMAGED,
        None,
        document(catalog=b"<</Type/Catalog/Pages " + b"[" * 50_000 + b"]" * 50_000 + b">>"),
    ),
}

ACTIVE: dict[str, tuple[str, bytes]] = {
    "link": ("Launch action", document(b"<</Type/Annot/Subtype/Link/A%s>>" % LAUNCHING)),
    "action after another": ("Launch action", document(b"<</S/GoTo/D[3 0 R]/Next[%s]>>" % LAUNCHING)),
    "name with escapes": ("Launch action", document(b"<</#53/L#61unch/F(calc.exe)>>")),
    "type that is an object of its own": ("Launch action", document(b"<</S 5 0 R/F(calc.exe)>>", b"/Launch ")),
    "stream": ("Launch action", document(stream(b"/S/Launch/F(calc.exe)", b""))),
    "trailer": ("Launch action", document(trailer=b"/Root 1 0 R/X" + LAUNCHING)),
    "object stream": ("Launch action", opens_with("/Launch")),
    "object stream that is encrypted": (
        "Launch action",
        opens_with("/Launch", encryption=pikepdf.Encryption(owner="secret")),
    ),
}
MORE_ACTIVE = {
    "JavaScript": ("JavaScript", document(b"<</S/JavaScript/JS(app.alert\\(1\\))>>")),
    "JavaScript of a rendition": ("JavaScript", document(b"<</S/Rendition/JS(app.alert\\(1\\))>>")),
    "JavaScript in an object stream": ("JavaScript", opens_with("/JavaScript")),
    "embedded file": ("embedded file", document(b"<</Type/Filespec/EF<</F 5 0 R>>>>", stream(b"", b"x"))),
    "XFA form": ("XFA form", document(b"<</Fields[]/XFA[(template) 5 0 R]>>", stream(b"", b"<template/>"))),
}
ORDINARY = {
    "link to a page": document(b"<</Type/Annot/Subtype/Link/A<</S/URI/URI(https://example.com/Launch)>>>>"),
    "text about it": document(b'<</Title(/S /Launch "/S": "/Launch" /JS /EF)/T</S/Launch>>>'),
    "names like it": document(b"<</S/Launcher/T/Launch/Launch/S/EFs 1/JavaScripts 2>>"),
    "page content": document(stream(b"", b"/S /Launch /JavaScript /EF")),
}


def test_what_a_password_hides_is_not_found() -> None:
    sent = opens_with("/Launch", encryption=pikepdf.Encryption(user="secret", owner="secret"))
    assert inspected(sent, "PDF", "strict") is None


def test_the_error_of_the_pdf_before_is_not_taken_for_that_of_this() -> None:
    encrypted = opens_with("/GoTo", encryption=pikepdf.Encryption(user="secret", owner="secret"))
    assert inspected(encrypted, "PDF") is None
    with pytest.raises(Rejected):
        inspected(document(pages=b"<</Type/Pages/Kids[]/Count 0>>"), "PDF")


def test_without_a_library_a_pdf_must_end_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pikepdf", None)
    spec = find_spec("ossn_messaging.attachments.pdf")
    assert spec
    assert spec.loader
    without = module_from_spec(spec)
    spec.loader.exec_module(without)
    for taken in (PDF, PDF.ljust(len(PDF) + 1018), b"%PDF-1.4\n%%EOF\n"):
        without.check(taken, "strict")
    for cut in (PDF[:-8], PDF.ljust(len(PDF) + 1019)):
        with pytest.raises(Rejected) as rejected:
            without.check(cut, "strict")
        assert rejected.value.reason is Reason.DAMAGED


@pytest.mark.parametrize("mode", ["standard", "strict"])
def test_a_pdf_that_can_have_no_active_content_is_not_searched(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pikepdf, "open", lambda *args, **options: pytest.fail("searched"))
    assert inspected(document(b"<</Title(First Launch)/Js 1/EFs 2/Fir#53t 3/FirstChar 4>>"), "PDF", mode) is None


def test_pikepdf_runs_out_of_memory_while_it_opens_a_pdf(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_without_memory(*args: object, **options: object) -> pikepdf.Pdf:
        raise pikepdf.PdfError("a.pdf: error reading object: std::bad_alloc")

    monkeypatch.setattr(pikepdf, "open", open_without_memory)
    with pytest.raises(MemoryError):
        pdf.check(ACTIVE["link"][1], "standard")


INSPECT = """
import resource, sys
from ossn_messaging.attachments import pdf
from ossn_messaging.attachments.rules import Rejected
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 64 * 1024 * 1024,) * 2)
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
content = sys.stdin.buffer.read()
try:
    pdf.check(content, "standard")
except MemoryError:
    print("MemoryError")
except Rejected as error:
    print(error.reason)
else:
    print("taken")
"""


def verdict(sent: bytes) -> str:
    """Return the verdict of a process with little memory, which may open no file."""
    done = subprocess.run(
        [sys.executable, "-c", INSPECT], input=sent, env=plain_environment(), capture_output=True, check=True
    )
    return done.stdout.decode().strip()


def test_running_out_of_memory_is_no_damage() -> None:
    assert verdict(PDF) == "taken"
    assert verdict(in_an_object_stream(1, bomb(100))) == "MemoryError"


def test_an_encrypted_pdf_where_no_file_may_be_opened() -> None:
    """For its first AES key qpdf opens ``/dev/urandom``."""
    sent = opens_with("/Launch", encryption=pikepdf.Encryption(owner="secret"))
    assert verdict(sent) == "active_content"
