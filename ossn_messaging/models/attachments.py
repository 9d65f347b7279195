"""Attachments: the file of a message, and how it is stored."""

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from django.db import DatabaseError, models
from django.utils.translation import gettext_lazy as _

from ossn_messaging.attachments.file_types import BY_CONTENT_TYPE, FileType
from ossn_messaging.attachments.validation import ValidatedUpload
from ossn_messaging.exceptions import StoreFailed
from ossn_messaging.models.fields import AttachmentField
from ossn_messaging.storage import FOLDER, attachment_storage, discard

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser, PermissionsMixin

    from ossn_messaging.models.messages import Message

logger = logging.getLogger(__name__)


@dataclass
class StoredFile:
    """A file on its storage that waits for its row."""

    name: str
    validated: ValidatedUpload
    using: str = ""
    """The database in which it has its row, which is still to be committed; empty as long as it has none."""

    def claim(self, message: "Message", using: str) -> None:
        """Write the row of the file."""
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
        """Keep the file on the storage if the block goes well; if it raises, the file is gone again.

        Raises ``StoreFailed`` where the storage fails, whatever that raised.
        """
        name = f"{FOLDER}/{secrets.token_hex(16)}.{validated.extension}"
        try:
            name = attachment_storage().save(name, validated.file)
        except BaseException as error:
            discard(name)
            if isinstance(error, Exception):
                raise StoreFailed from error
            raise  # the server is told to stop
        stored = StoredFile(name, validated)
        try:
            yield stored
        except BaseException:
            if not (stored.using and self._may_name(name, stored.using)):
                discard(name)
            raise

    def _may_name(self, file_name: str, using: str) -> bool:
        """Whether a row that was written may have been committed, though the commit failed."""
        try:
            return self.using(using).filter(file=file_name).exists()
        except DatabaseError:
            logger.exception("Whether the file %s has a row can't be told; it stays on its storage.", file_name)
            return True


class Attachment(models.Model):
    """The file of a message. Its row exists only while the file is whole on its storage."""

    message = models.OneToOneField(
        "ossn_messaging.Message", on_delete=models.CASCADE, related_name="attachment", verbose_name=_("message")
    )
    file = AttachmentField(_("file"), unique=True)
    name = models.CharField(_("name"), max_length=255)
    """The client's file name, without folders and control characters."""
    content_type = models.CharField(_("content type"), max_length=100)
    size = models.PositiveBigIntegerField(_("size"))
    """In bytes, on the storage."""
    digest = models.CharField(_("digest"), max_length=64, editable=False)
    """SHA-256 of the file on the storage, in hexadecimal."""

    objects = AttachmentManager()

    class Meta:
        verbose_name = _("attachment")
        verbose_name_plural = _("attachments")
        default_permissions = ()

    def __str__(self) -> str:
        return _("attachment %(id)s") % {"id": self.pk}

    @property
    def file_type(self) -> FileType:
        return BY_CONTENT_TYPE[self.content_type]

    def is_open_to(self, user: "AbstractBaseUser | AnonymousUser") -> bool:
        """Whether ``user`` may read it by being who they are (contract, "Attachment")."""
        return self.message.is_readable_by(user) or (
            user.is_active
            and getattr(user, "is_staff", False)
            and cast("PermissionsMixin", user).has_perm("ossn_messaging.read_message")
        )
