"""Sending: how a message and its file come to be, both or neither."""

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.files.base import File
from django.db import DatabaseError, IntegrityError, models, router, transaction

from ossn_messaging.attachments.validation import ValidatedUpload, validate_upload
from ossn_messaging.conf import conf
from ossn_messaging.exceptions import (
    BlankMessage,
    MessagingDisabled,
    NotAllowed,
    SelfMessage,
    StoreFailed,
    TextNotUnicode,
    TextTooLong,
    UserNotFound,
)
from ossn_messaging.querysets import MessageQuerySet
from ossn_messaging.signals import message_sent
from ossn_messaging.storage import FOLDER, attachment_storage, discard

if TYPE_CHECKING:
    from ossn_messaging.models import (  # noqa: F401, in the bases below
        APIKey,
        Attachment,
        Conversation,
        IdempotencyRecord,
        Message,
    )

logger = logging.getLogger(__name__)


def clean_text(text: str) -> str:
    """Return a message's text as it is stored: without NUL characters and surrounding white space.

    Raises ``BlankMessage`` where nothing is left (contract, "Text").
    """
    cleaned = text.replace("\0", "").strip()
    if not cleaned:
        raise BlankMessage
    return cleaned


def check_text(text: str) -> None:
    """Raise ``TextTooLong`` or ``TextNotUnicode`` where a text can't be stored as it is."""
    if len(text) > conf.MAX_MESSAGE_LENGTH:
        raise TextTooLong
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TextNotUnicode from error


class MessageManager(models.Manager.from_queryset(MessageQuerySet)):  # type: ignore[misc]
    def send(  # noqa: PLR0913, what a message can have
        self,
        *,
        sender: AbstractBaseUser,
        recipient: AbstractBaseUser,
        text: str,
        upload: "File[Any] | None" = None,
        api_key: "APIKey | None" = None,
        idempotency_key: str | None = None,
    ) -> "Message":
        """Send a message, with ``upload`` as its attachment: both are stored whole, or nothing is.

        ``upload`` is any Django ``File`` with a ``name``, and ``api_key`` the key on whose behalf it is sent. Within a
        transaction of the caller's, the message is one of its rows: if that is rolled back, the message is gone, and
        its file stays behind without a row. ``message_sent`` follows the commit.

        With an ``idempotency_key``, the message is sent once: the same again returns that message, with
        ``message.replayed_from`` set.

        Raises, in the order of the contract's checks, ``MessagingDisabled``, ``BlankMessage``, ``UserNotFound`` (one
        of the two is not active), ``SelfMessage``, ``ScopeMissing``, ``UserNotPermitted`` (the key's),
        ``BadIdempotencyKey``, ``IdempotencyConflict``, ``NotAllowed``, ``TextTooLong``, ``TextNotUnicode``,
        ``AttachmentRefused``, ``AttachmentTooLarge`` and ``StoreFailed`` (the storage), all of them
        ``ossn_messaging.exceptions.MessagingError``; and Django's ``DatabaseError`` where the database fails.
        """
        from ossn_messaging.models import Attachment, IdempotencyRecord

        if not conf.ENABLED:
            raise MessagingDisabled
        text = clean_text(text)
        self._check_users(sender, recipient, api_key)
        using = self._db or router.db_for_write(self.model)
        record = None
        if idempotency_key is not None:
            record = IdempotencyRecord.objects.build(idempotency_key, sender, recipient, text, upload)
            if existing := IdempotencyRecord.objects.using(using).find_existing(record):
                return existing
        if conf.CAN_SEND and not conf.CAN_SEND(sender, recipient, api_key):
            raise NotAllowed
        check_text(text)
        message: Message = self.model(sender=sender, recipient=recipient, text=text, api_key=api_key)
        message.lacks_attachment()
        try:
            if upload is None:
                self._write(message, using, record)
            else:
                with validate_upload(upload) as validated, Attachment.objects.stored(validated) as stored:
                    self._write(message, using, record, stored)
        except (UserNotFound, DatabaseError):
            # Perhaps a concurrent request has sent it under the same idempotency key.
            if record and (existing := IdempotencyRecord.objects.using(using).find_existing(record)):
                return existing
            raise
        return message

    @staticmethod
    def _check_users(sender: AbstractBaseUser, recipient: AbstractBaseUser, api_key: "APIKey | None") -> None:
        if not all(user.pk and user.is_active for user in (sender, recipient)):
            raise UserNotFound
        if sender.pk == recipient.pk:
            raise SelfMessage
        if api_key:
            api_key.require("send", sender.pk)

    def _write(
        self,
        message: "Message",
        using: str,
        record: "IdempotencyRecord | None",
        stored: "StoredFile | None" = None,
    ) -> None:
        """Write the rows of a message, all of them or none."""
        from ossn_messaging.models import Conversation

        announce = partial(message_sent.send_robust, sender=self.model, message=message, api_key=message.api_key)
        written = False
        try:
            with transaction.atomic(using=using):
                # First, because it is the lock: only who holds it takes an id, so ids and positions grow in one order.
                message.position, message.created_at = Conversation.objects.using(using).advance(message)
                message.save(using=using)
                if stored:
                    stored.claim(message, using)
                if record:
                    record.message = message
                    record.save(using=using)
                transaction.on_commit(announce, using=using)
                written = True
        except IntegrityError as error:
            raise UserNotFound from error  # one of the two has been deleted meanwhile
        except DatabaseError:
            # When only the answer to the commit was lost, the message is there, and whoever sent it need not know.
            if not (written and self.using(using).filter(pk=message.pk).exists()):
                raise
            announce()


@dataclass
class StoredFile:
    """A file on its storage that waits for its row."""

    name: str
    validated: ValidatedUpload
    using: str = ""
    """The database in which it has its row, which is still to be committed; empty as long as it has none."""

    def claim(self, message: "Message", using: str) -> None:
        """Write the row of the file."""
        from ossn_messaging.models import Attachment

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
