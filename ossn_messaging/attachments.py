"""Which uploads are taken as attachments, judged by their content, and what of them is kept."""

import errno
import hashlib
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import SEEK_END
from typing import Any

from django.core.exceptions import ValidationError
from django.core.files.base import File
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from ossn_messaging import docx, pdf
from ossn_messaging.conf import conf
from ossn_messaging.exceptions import AttachmentRefused, AttachmentTooLarge, StoreFailed
from ossn_messaging.kinds import BY_EXTENSION, DOCX
from ossn_messaging.uploads import spool

NAME_MAX_LENGTH = 255
"""In characters, of the client's file name."""


@dataclass(frozen=True)
class Accepted:
    """An upload that broke no rule, ready to be stored."""

    file: "UploadedFile[Any]"
    """With the name, the content type and the size that its row will have."""
    extension: str
    digest: str
    """SHA-256 of ``file``, in hexadecimal."""


DISK_FAILURES = {errno.ENOSPC, errno.EDQUOT, errno.EIO}
"""What is no fault of the file."""

UNWANTED = {"Cc", "Cs", "Zl", "Zp"}
"""The categories of Unicode that hold control characters, lone surrogates and line breaks."""


def clean_name(name: str) -> str:
    """Return a client's file name without folders, control characters and what can't be stored."""
    base = name.replace("\\", "/").rpartition("/")[2]
    return "".join(character for character in base if unicodedata.category(character) not in UNWANTED).strip()


@contextmanager
def accepted(upload: "File[Any]") -> Iterator[Accepted]:
    """Judge an upload by the rules of the contract, "Attachment", and give it out ready to be stored.

    Raises ``AttachmentRefused`` or ``AttachmentTooLarge``, and ``StoreFailed`` where the disk fails on which it waits.
    """
    from ossn_messaging import pictures  # with Pillow, which was two thirds of what the app added to a site's start

    name = clean_name(upload.name or "")
    stem, _dot, extension = name.rpartition(".")
    extension = extension.lower()
    if not (stem and extension in conf.ATTACHMENT_EXTENSIONS):
        raise AttachmentRefused(_("the attachment's file name has none of the extensions that are allowed"))
    if len(name) > NAME_MAX_LENGTH:
        raise AttachmentRefused(_("the attachment's file name is too long"))
    if upload.size > conf.ATTACHMENT_MAX_SIZE:
        raise AttachmentTooLarge
    upload.seek(0)  # if it has been lost on its way, this says so
    kind = BY_EXTENSION[extension]
    with spool() as cleaned:
        try:
            if kind.is_image:
                pictures.clean(upload, cleaned, kind.picture_format, conf.IMAGE_MAX_PIXELS)
            elif kind is DOCX:
                docx.check(upload)
            else:
                pdf.check(upload)
        except ValueError as error:
            if getattr(error.__cause__, "errno", None) in DISK_FAILURES:
                raise StoreFailed from error
            raise AttachmentRefused(_("the attachment's content is not what its file name says")) from error
        kept = cleaned if kind.is_image else upload
        file = UploadedFile(kept, name, kind.content_type, kept.seek(0, SEEK_END))
        _validate(file)
        file.seek(0)
        file.size, digest = measured(file)
        file.seek(0)
        yield Accepted(file, extension, digest)


def measured(file: "File[Any]") -> tuple[int, str]:
    """Return the size in bytes and the SHA-256 of what is left to read of a file."""
    size, digest = 0, hashlib.sha256()
    while chunk := file.read(File.DEFAULT_CHUNK_SIZE):
        size += len(chunk)
        digest.update(chunk)
    return size, digest.hexdigest()


def _validate(file: "UploadedFile[Any]") -> None:
    """Ask the site's own validators, each of which may read the file."""
    for validate in conf.ATTACHMENT_VALIDATORS:
        file.seek(0)
        try:
            validate(file)
        except ValidationError as error:
            raise AttachmentRefused("; ".join(error.messages)) from error
