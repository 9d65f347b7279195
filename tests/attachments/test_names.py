"""The file names that attachments get."""

import unicodedata

import pytest
from django.core.files.base import ContentFile
from hypothesis import given
from hypothesis import strategies as st

from ossn_messaging.attachments.names import clean_name
from ossn_messaging.attachments.validation import validate_upload
from ossn_messaging.exceptions import AttachmentRefused
from tests.support.files import PDF, kept

CLEANED = {
    # folders
    "../../etc/evil.pdf": "evil.pdf",
    "/etc/evil.pdf": "evil.pdf",
    "C:\\evil.pdf": "evil.pdf",
    "C:\\folder/evil.pdf": "evil.pdf",
    # control characters, line breaks and lone surrogates
    "ev\r\n\0\x7f\u2028il.pdf": "evil.pdf",
    "ev\ud800il.pdf": "evil.pdf",
    # directions
    "photo\u202egpj.docx": "photogpj.docx",
    "\u202aa\u202bb\u202cc\u202dd\u202e.pdf": "abcd.pdf",
    "\u2066a\u2067b\u2068c\u2069.pdf": "abc.pdf",
    "\u200ea\u200fb\u061cc.pdf": "abc.pdf",
    # what nobody sees
    "in\u200bvoice.pdf": "invoice.pdf",
    "\ufeffinvoice\u00ad.pdf\u2060": "invoice.pdf",
    "a\U000e0041.pdf": "a.pdf",
    # joiners, and signs that are visible
    "\u0645\u06cc\u200c\u062e\u0648.pdf": "\u0645\u06cc\u200c\u062e\u0648.pdf",
    "👨\u200d👩\u200d👧.pdf": "👨\u200d👩\u200d👧.pdf",
    "\u06dd.pdf": "\u06dd.pdf",
    # white space
    " evil.pdf ": "evil.pdf",
    "my   holiday\u00a0\u3000photo.pdf": "my holiday photo.pdf",
    "Screenshot at 9.41.00\u202fAM.png": "Screenshot at 9.41.00 AM.png",
    "evil.pdf. . ": "evil.pdf",
    # Windows
    '<a>:"b|c?*.pdf': "_a___b_c__.pdf",
    "con.pdf": "_con.pdf",
    "PRN.tar.pdf": "_PRN.tar.pdf",
    "aux .pdf": "_aux .pdf",
    "NUL": "_NUL",
    "com1.pdf": "_com1.pdf",
    "COM².pdf": "_COM².pdf",
    "lpt9.pdf": "_lpt9.pdf",
    "LPT³.pdf": "_LPT³.pdf",
    "CONIN$.pdf": "_CONIN$.pdf",
    "conout$.pdf": "_conout$.pdf",
    "C\u200bON.pdf": "_CON.pdf",
    "com0.pdf": "com0.pdf",
    "com10.pdf": "com10.pdf",
    "console.pdf": "console.pdf",
    "my con.pdf": "my con.pdf",
    # what stays
    "Rechnung Nr. 5 (Köln) - Kopie.pdf": "Rechnung Nr. 5 (Köln) - Kopie.pdf",
    "報告書.pdf": "報告書.pdf",
    "דוח.pdf": "דוח.pdf",
    ".pdf": ".pdf",
    "": "",
    " . ": "",
}


@pytest.mark.parametrize(("sent", "cleaned"), CLEANED.items(), ids=[ascii(name) for name in CLEANED])
def test_a_cleaned_name(sent: str, cleaned: str) -> None:
    assert clean_name(sent) == cleaned


@given(st.text(st.characters() | st.sampled_from(' ._/\\:<>"|?*\u200b\u200d\u202eCONconux1')))
def test_a_clean_name_stays_as_it_is(name: str) -> None:
    cleaned = clean_name(name)
    assert clean_name(cleaned) == cleaned
    assert not set('/\\<>:"|?*\u202e') & set(cleaned)
    assert not {"Cc", "Cs", "Zl", "Zp"} & {unicodedata.category(character) for character in cleaned}


def test_an_attachment_has_the_cleaned_name() -> None:
    file = ContentFile(PDF)
    file.name = "../photo\u202egpj.pdf"
    with validate_upload(file) as attachment:
        assert attachment.file.name == "photogpj.pdf"
        assert attachment.extension == "pdf"


@pytest.mark.parametrize("name", ["report.tar.pdf", "SHOUT.PDF", "evil.pdf.", "b" * 251 + ".pdf"])
def test_a_name_with_an_extension(name: str) -> None:
    assert kept(name, PDF) == PDF


@pytest.mark.parametrize(
    "name",
    [
        *("page.html", "script.php", "drawing.svg", "a.pdf.exe", "photo.exe\u202efdp"),
        *("no extension", "pdf", ".pdf", "folder/.pdf", " \u200b.pdf", "", "name.", "name.pdf\u200d"),
    ],
)
def test_a_name_without_an_extension_that_is_allowed(name: str) -> None:
    with pytest.raises(AttachmentRefused) as refused:
        kept(name, PDF)
    assert refused.value.reason == "extension"


def test_a_name_that_is_too_long() -> None:
    with pytest.raises(AttachmentRefused) as refused:
        kept("b" * 252 + ".pdf", PDF)
    assert refused.value.reason == "name_too_long"
