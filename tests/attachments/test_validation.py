"""Uploads of any type: their sizes, and whether their content is what their name says."""

import hashlib
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from pytest_django import Settings

from ossn_messaging.attachments.content import sanitize
from ossn_messaging.attachments.file_types import BY_EXTENSION
from ossn_messaging.attachments.rules import Reason, Rejected, Rules
from ossn_messaging.attachments.validation import validate_upload
from ossn_messaging.exceptions import AttachmentRefused, AttachmentTooLarge
from tests.support import SAMPLES_FOLDER
from tests.support.files import PDF, SAMPLES, kept

FILES = sorted(path for path in SAMPLES_FOLDER.iterdir() if path.suffix != ".md")
OTHER_CONTENT = {
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "PHP": b"<?php system($_GET['c']); ?>",
    "script": b"alert(document.cookie)",
    "program": b"MZ" + bytes(100),
    "nothing": b"",
}


def rules(extension: str) -> Rules:
    return Rules(BY_EXTENSION[extension].name, max_size=2**25, max_pixels=10**8, active_content="standard")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_sample_is_taken(path: Path) -> None:
    sanitize(path.read_bytes(), rules(path.suffix[1:]))


@pytest.mark.parametrize("extension", BY_EXTENSION)
def test_content_of_another_type(extension: str) -> None:
    file_type = BY_EXTENSION[extension]
    for name, content in SAMPLES.items():
        found = BY_EXTENSION[name.rpartition(".")[2]]
        if found is file_type:
            continue
        with pytest.raises(AttachmentRefused) as refused:
            kept(f"a.{extension}", content)
        assert refused.value.reason == Reason.WRONG_TYPE
        shown = "ZIP" if found.name == "DOCX" else found.name
        assert str(refused.value) == f"Message send failed: the attachment is a {shown} and not a {file_type.name}"


@pytest.mark.parametrize("extension", BY_EXTENSION)
@pytest.mark.parametrize("what", OTHER_CONTENT)
def test_content_of_no_type(extension: str, what: str) -> None:
    with pytest.raises(Rejected) as rejected:
        sanitize(OTHER_CONTENT[what], rules(extension))
    assert (rejected.value.reason, rejected.value.detail) == (Reason.WRONG_TYPE, "")


def test_an_image_that_would_be_stored_too_large() -> None:
    content = SAMPLES["photo.png"]
    small = Rules("PNG", max_size=len(content) // 2, max_pixels=10**8, active_content="standard")
    with pytest.raises(Rejected) as rejected:
        sanitize(content, small)
    assert rejected.value.reason == Reason.TOO_LARGE


def test_the_size_and_the_digest_of_a_long_file() -> None:
    content = PDF.replace(b"1.4\n", b"1.4\n%" + b"long" * 50_000 + b"\n")
    with validate_upload(ContentFile(content, "a.pdf")) as taken:
        assert taken.file.size == len(content)
        assert taken.digest == hashlib.sha256(content).hexdigest()


def test_a_file_as_large_as_may_be(settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"ATTACHMENT_MAX_SIZE": len(PDF)}
    assert kept("a.pdf", PDF) == PDF
    settings.OSSN_MESSAGING = {"ATTACHMENT_MAX_SIZE": len(PDF) - 1}
    with pytest.raises(AttachmentTooLarge):
        kept("a.pdf", PDF)
