"""Attachments: the file of a message, and how the app stores it."""

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from django.db import DatabaseError, models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from ossn_messaging.attachments.file_types import BY_CONTENT_TYPE, FileType
from ossn_messaging.attachments.validation import ValidatedUpload
from ossn_messaging.exceptions import ServiceUnavailable
from ossn_messaging.models.fields import AttachmentField
from ossn_messaging.storage import FOLDER, attachment_storage, delete_file

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser, PermissionsMixin

    from ossn_messaging.models.messages import Message

logger = logging.getLogger(__name__)


@dataclass
class StoredFile:
    """A file on the storage whose row is not committed yet."""

    name: str
    validated: ValidatedUpload
    using: str = ""
    """The alias of the database in which ``claim()`` saved the row; empty before that."""

    def claim(self, message: "Message", using: str) -> None:
        """Save the row of the file as the attachment of ``message``."""
        message.attachment = Attachment(
            file=self.name,
            name=str(self.validated.file.name),
            content_type=str(self.validated.file.content_type),
            size=self.validated.file.size or 0,
            digest=self.validated.digest,
        )
        message.attachment.save(using=using)
        self.using = using


class AttachmentManager(models.Manager["Attachment"]):
    @contextmanager
    def stored(self, validated: ValidatedUpload) -> Iterator[StoredFile]:
        """Save the file on the storage and yield it. If the block raises, delete the file.

        If the block raises after the row may have been committed, the file stays.

        Raises ``ServiceUnavailable`` if the storage raises any exception.
        """
        name = f"{FOLDER}/{secrets.token_hex(16)}.{validated.extension}"
        try:
            name = attachment_storage().save(name, validated.file)
        except BaseException as error:
            delete_file(name)
            if isinstance(error, Exception):
                raise ServiceUnavailable from error
            raise  # for example, SystemExit when the server stops
        stored = StoredFile(name, validated)
        try:
            yield stored
        except BaseException:
            if not (stored.using and self._may_name(name, stored.using)):
                delete_file(name)
            raise

    def _may_name(self, file_name: str, using: str) -> bool:
        """Return whether the row of a file may have been committed although the commit raised an error."""
        try:
            return self.using(using).filter(file=file_name).exists()
        except DatabaseError:
            logger.exception("It is not known whether the file %s has a row, so it stays on the storage.", file_name)
            return True


class Attachment(models.Model):
    """The file of a message. The row exists only while the complete file is on the storage."""

    message = models.OneToOneField(
        "ossn_messaging.Message", on_delete=models.CASCADE, related_name="attachment", verbose_name=_("message")
    )
    file = AttachmentField(_("file"), unique=True)
    name = models.CharField(_("name"), max_length=255)
    """The file name that the client sent, without folders and invisible characters."""
    content_type = models.CharField(_("content type"), max_length=100)
    size = models.PositiveBigIntegerField(_("size"))
    """In bytes, of the file on the storage."""
    digest = models.CharField(_("digest"), max_length=64, editable=False)
    """SHA-256 of the file on the storage, in hexadecimal."""

    objects = AttachmentManager()

    class Meta:
        verbose_name = _("attachment")
        verbose_name_plural = _("attachments")
        default_permissions = ()

    def __str__(self) -> str:
        return _("attachment %(id)s") % {"id": self.pk}

    def get_absolute_url(self) -> str:
        """Return the URL of the file without a signature. It opens for a user if ``is_open_to()`` is true."""
        return reverse("ossn_messaging:attachment", args=[self.pk, self.name])

    @property
    def file_type(self) -> FileType:
        return BY_CONTENT_TYPE[self.content_type]

    def is_open_to(self, user: "AbstractBaseUser | AnonymousUser") -> bool:
        """Return whether ``user`` may read the attachment without a signed URL and without an API key.

        The sender and the recipient may if they are active and have not deleted the message. Active staff may if they
        have the permission ``ossn_messaging.read_message``.
        """
        return self.message.is_readable_by(user) or (
            user.is_active
            and getattr(user, "is_staff", False)
            and cast("PermissionsMixin", user).has_perm("ossn_messaging.read_message")
        )
