"""Which uploads are taken as attachments, judged by their content, and what of them is kept."""

import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.core.files.base import File
from django.utils.translation import gettext_lazy as _

from ossn_messaging import documents, pictures
from ossn_messaging.conf import conf
from ossn_messaging.exceptions import AttachmentRefused, AttachmentTooLarge
from ossn_messaging.kinds import BY_EXTENSION, DOCX, Kind

NAME_MAX_LENGTH = 255
"""In characters, of the client's file name."""
SPOOL_SIZE = 1024 * 1024
"""In bytes: a larger picture waits on disk while it is cleaned."""


@dataclass(frozen=True)
class Accepted:
    """An upload that broke no rule, ready to be stored."""

    name: str
    extension: str
    kind: Kind
    file: "File[Any]"


UNWANTED = {"Cc", "Cs", "Zl", "Zp"}
"""The categories of Unicode that hold control characters, lone surrogates and line breaks."""


def clean_name(name: str) -> str:
    """Return a client's file name without folders, control characters and what can't be stored."""
    base = name.replace("\\", "/").rpartition("/")[2]
    return "".join(character for character in base if unicodedata.category(character) not in UNWANTED).strip()


@contextmanager
def accepted(upload: "File[Any]") -> Iterator[Accepted]:
    """Judge an upload by the rules of the contract, "Attachment", and give it out ready to be stored.

    Raises ``AttachmentRefused`` or ``AttachmentTooLarge``.
    """
    name = clean_name(upload.name or "")
    stem, _dot, extension = name.rpartition(".")
    extension = extension.lower()
    if not (stem and extension in conf.ATTACHMENT_EXTENSIONS):
        raise AttachmentRefused(_("the attachment's file name has none of the extensions that are allowed"))
    if len(name) > NAME_MAX_LENGTH:
        raise AttachmentRefused(_("the attachment's file name is too long"))
    if upload.size > conf.ATTACHMENT_MAX_SIZE:
        raise AttachmentTooLarge
    kind = BY_EXTENSION[extension]
    with tempfile.SpooledTemporaryFile(max_size=SPOOL_SIZE) as cleaned:
        try:
            if kind.is_image:
                pictures.clean(upload, cleaned, kind.picture_format, conf.IMAGE_MAX_PIXELS)
            elif kind is DOCX:
                documents.check_docx(upload)
            else:
                documents.check_pdf(upload)
        except ValueError as error:
            raise AttachmentRefused(_("the attachment's content is not what its file name says")) from error
        file = File(cleaned) if kind.is_image else upload
        file.seek(0)
        yield Accepted(name, extension, kind, file)
