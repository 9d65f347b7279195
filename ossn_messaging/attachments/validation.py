"""Validation of uploads."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import SEEK_END
from typing import Any

from django.core.exceptions import ValidationError
from django.core.files.base import File
from django.core.files.uploadedfile import UploadedFile

from ossn_messaging.attachments import names
from ossn_messaging.attachments.file_types import BY_EXTENSION, FileType
from ossn_messaging.attachments.inspection import inspect
from ossn_messaging.attachments.rules import Reason, Rejected, Rules
from ossn_messaging.attachments.uploads import received, temporary_file
from ossn_messaging.conf import conf
from ossn_messaging.exceptions import AttachmentRefused, AttachmentTooLarge


@dataclass(frozen=True)
class ValidatedUpload:
    """A validated upload, ready to be stored."""

    file: "UploadedFile[Any]"
    """With the name, the content type and the size that its row will have."""
    extension: str
    digest: str
    """SHA-256 of ``file``, in hexadecimal."""


@contextmanager
def validate_upload(upload: "File[Any]") -> Iterator[ValidatedUpload]:
    """Validate an upload and yield the file to store. The file is closed at the end of the block.

    Raises ``AttachmentRefused`` or ``AttachmentTooLarge`` if the upload breaks a rule, and ``ServiceUnavailable`` if it could
    not be inspected.
    """
    name = names.clean_name(upload.name or "")
    stem, _dot, extension = name.rpartition(".")
    extension = extension.lower()
    if not (stem and extension in conf.ATTACHMENT_EXTENSIONS):
        raise AttachmentRefused(Reason.EXTENSION)
    if len(name) > names.MAX_LENGTH:
        raise AttachmentRefused(Reason.NAME_TOO_LONG)
    if upload.size > conf.ATTACHMENT_MAX_SIZE:
        raise AttachmentTooLarge
    upload.seek(0)  # raises if the upload has failed
    file_type = BY_EXTENSION[extension]
    with temporary_file() as output, received(upload) as source:
        try:
            inspect(source, output, _rules(file_type))
        except Rejected as error:
            raise _refusal(error, file_type) from error
        content = output if file_type.is_image else source
        file = UploadedFile(content, name, file_type.content_type, content.seek(0, SEEK_END))
        _run_validators(file)
        file.seek(0)
        file.size, digest = size_and_sha256(file)
        file.seek(0)
        yield ValidatedUpload(file, extension, digest)


def _rules(file_type: FileType) -> Rules:
    return Rules(
        file_type=file_type.name,
        max_size=conf.ATTACHMENT_MAX_SIZE,
        max_pixels=conf.IMAGE_MAX_PIXELS,
        active_content=conf.ATTACHMENT_ACTIVE_CONTENT,
    )


def _refusal(error: Rejected, file_type: FileType) -> AttachmentRefused | AttachmentTooLarge:
    if error.reason is Reason.TOO_LARGE:
        return AttachmentTooLarge()
    return AttachmentRefused(error.reason, found=error.detail, expected=file_type.name)


def size_and_sha256(file: "File[Any]") -> tuple[int, str]:
    """Return the size in bytes and the SHA-256 of the rest of a file."""
    size, digest = 0, hashlib.sha256()
    while chunk := file.read(File.DEFAULT_CHUNK_SIZE):
        size += len(chunk)
        digest.update(chunk)
    return size, digest.hexdigest()


def _run_validators(file: "UploadedFile[Any]") -> None:
    """Call the validators of the site. Each of them may read the file."""
    for validate in conf.ATTACHMENT_VALIDATORS:
        file.seek(0)
        try:
            validate(file)
        except ValidationError as error:
            raise AttachmentRefused(Reason.VALIDATOR, found="; ".join(error.messages)) from error
