"""The size of attachments."""

import hashlib
from typing import Any

import pytest
from django.core.files.base import ContentFile

from ossn_messaging.attachments.validation import validate_upload
from ossn_messaging.exceptions import AttachmentTooLarge
from tests.files import (
    PDF,
    kept,
)


def test_the_size_and_the_digest_of_a_long_file() -> None:
    content = PDF.replace(b"1.4\n", b"1.4\n%" + b"long" * 50_000 + b"\n")
    with validate_upload(ContentFile(content, "a.pdf")) as taken:
        assert taken.file.size == len(content)
        assert taken.digest == hashlib.sha256(content).hexdigest()


def test_a_file_as_large_as_may_be(settings: Any) -> None:
    settings.OSSN_MESSAGING = {"ATTACHMENT_MAX_SIZE": len(PDF)}
    assert kept("a.pdf", PDF) == PDF
    settings.OSSN_MESSAGING = {"ATTACHMENT_MAX_SIZE": len(PDF) - 1}
    with pytest.raises(AttachmentTooLarge):
        kept("a.pdf", PDF)
