"""Which documents are taken, and what active content they may have. The documents are in the modules of their types."""

from pathlib import Path
from typing import Any

import pytest

from ossn_messaging.attachments.rules import Reason, Rejected
from tests.attachments import test_docx, test_pdf
from tests.support import SAMPLES_FOLDER
from tests.support.files import inspected

MODULES = {"DOCX": test_docx, "PDF": test_pdf}
REAL = sorted(path for path in SAMPLES_FOLDER.iterdir() if path.suffix[1:].upper() in MODULES)
WITH_EMBEDDED_FILES = {"attachment.pdf"}


def each(*tables: str) -> pytest.MarkDecorator:
    """Let a test run for each document of these tables."""
    cases = [
        pytest.param(file_type, case, id=f"{file_type}-{name}")
        for file_type, module in MODULES.items()
        for table in tables
        for name, case in getattr(module, table).items()
    ]
    return pytest.mark.parametrize(("file_type", "case"), cases)


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_documents_of_real_programs(path: Path) -> None:
    file_type = path.suffix[1:].upper()
    assert inspected(path.read_bytes(), file_type) is None
    if path.name not in WITH_EMBEDDED_FILES:
        assert inspected(path.read_bytes(), file_type, "strict") is None


@each("TAKEN", "ORDINARY")
def test_a_good_document(file_type: str, case: Any) -> None:
    assert inspected(case() if callable(case) else case, file_type, "strict") is None


@each("REFUSED")
def test_a_bad_document(file_type: str, case: Any) -> None:
    reason, detail, made = case
    with pytest.raises(Rejected) as rejected:
        inspected(made() if callable(made) else made, file_type, "allow")
    assert rejected.value.reason is reason
    assert detail in (None, rejected.value.detail)


@pytest.mark.parametrize("mode", ["standard", "strict"])
@each("ACTIVE")
def test_active_content_that_ordinary_documents_do_not_have(file_type: str, case: tuple[str, bytes], mode: str) -> None:
    detail, sent = case
    with pytest.raises(Rejected) as rejected:
        inspected(sent, file_type, mode)
    assert (rejected.value.reason, rejected.value.detail) == (Reason.ACTIVE_CONTENT, detail)


@each("MORE_ACTIVE")
def test_active_content_that_a_strict_site_refuses(file_type: str, case: tuple[str, bytes]) -> None:
    detail, sent = case
    with pytest.raises(Rejected) as rejected:
        inspected(sent, file_type, "strict")
    assert (rejected.value.reason, rejected.value.detail) == (Reason.ACTIVE_CONTENT, detail)
    assert inspected(sent, file_type, "standard") is None


@each("ACTIVE", "MORE_ACTIVE")
def test_a_site_that_allows_active_content(file_type: str, case: tuple[str, bytes]) -> None:
    assert inspected(case[1], file_type, "allow") is None
