"""Validation of PDF files, and detection of their active content."""

import io
import re
from collections.abc import Iterable

from ossn_messaging.attachments.rules import Reason, Rejected

try:
    import pikepdf
    import pypdfium2 as pdfium
    from pypdfium2 import raw

    # qpdf opens /dev/urandom for its first AES key and keeps it open. An inspection may not open files.
    pikepdf.new().save(io.BytesIO(), encryption=pikepdf.Encryption())
    HAS_LIBRARIES = True
    UNREADABLE = (pikepdf.PdfError, pikepdf.PasswordError, ArithmeticError, LookupError, RuntimeError, ValueError)
    """The errors of pikepdf for an unreadable PDF: its own, and those that pybind11 translates from C++."""
except ImportError:  # the extra ``documents``
    HAS_LIBRARIES = False

END_REACH = 1024
"""In bytes, how far from the end of a file ``%%EOF`` may stand (PDF Reference 1.7, appendix H, note 18)."""
ACTIVE_CONTENT = {
    "standard": re.compile(rb'"/(?P<Launch_action>S":\s*"/Launch")'),
    "strict": re.compile(
        rb'"/(?:(?P<Launch_action>S":\s*"/Launch")|(?P<JavaScript>S":\s*"/JavaScript"|JS":)'
        rb'|(?P<embedded_file>EF":)|(?P<XFA_form>XFA":))'
    ),
}
"""Searched in the JSON of each object (qpdf manual, "qpdf JSON"). Only names begin with a slash there."""


def _any_name(*names: bytes) -> re.Pattern[bytes]:
    """Return a pattern for names in a PDF, in which ``#41`` may stand for ``A`` (ISO 32000-1, 7.3.5)."""
    escaped = [b"".join(b"(?:%c|#(?i:%02x))" % (character, character) for character in name) for name in names]
    return re.compile(b"/(?:" + b"|".join(escaped) + rb")(?=[\0\t\n\f\r ()<>\[\]{}/%]|\Z)")


CANDIDATES = {
    "standard": _any_name(b"First", b"Launch"),
    "strict": _any_name(b"EF", b"First", b"JS", b"JavaScript", b"Launch", b"XFA"),
}
"""A PDF without these names has no active content, and need not be opened again. Object streams have a ``/First``."""


def check(content: bytes, active_content: str) -> None:
    """Raise ``Rejected`` unless the PDF opens and has a page. ``active_content`` is the rule for active content.

    If the libraries of the extra ``documents`` are missing, raise it only if the file has no ``%%EOF`` near its end.
    """
    if not HAS_LIBRARIES:
        if b"%%EOF" not in content[-END_REACH:]:
            raise Rejected(Reason.DAMAGED)
        return
    if _opens(content) and active_content != "allow" and CANDIDATES[active_content].search(content):
        _check_objects(content, ACTIVE_CONTENT[active_content])


def _opens(content: bytes) -> bool:
    """Return whether a PDF opens without a password. Raises ``Rejected`` if nobody can open it."""
    # For a PDF without pages, PDFium keeps the error code of the previous PDF. This call replaces it.
    raw.FPDF_LoadMemDocument64(b"", 0, None)
    try:
        with pdfium.PdfDocument(content) as document:
            document.get_page_size(0)
    except pdfium.PdfiumError as error:
        if error.err_code in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY):
            return False
        raise Rejected(Reason.DAMAGED, str(error)) from error
    return True


def _check_objects(content: bytes, unwanted: re.Pattern[bytes]) -> None:
    try:
        with pikepdf.open(io.BytesIO(content), inherit_page_attributes=False) as document:
            for value in (document.trailer, *document.objects):
                if isinstance(value, pikepdf.Object):
                    _check_json(value.to_json(dereference=True), unwanted)
            _check_memory(document.get_warnings())
    except UNREADABLE as error:
        _check_memory([error])


def _check_json(json: bytes, unwanted: re.Pattern[bytes]) -> None:
    # The type of an action may be a separate object.
    if found := unwanted.search(b'"/S":' + json if json.startswith(b'"/') else json):
        raise Rejected(Reason.ACTIVE_CONTENT, str(found.lastgroup).replace("_", " "))


def _check_memory(problems: Iterable[object]) -> None:
    """Raise ``MemoryError`` if qpdf ran out of memory, which it reports as damage of the file."""
    if any("std::bad_alloc" in str(problem) for problem in problems):
        raise MemoryError
