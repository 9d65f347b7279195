"""Messages: the model, and the manager that sends a message completely or not at all."""

from functools import partial
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.files.base import File
from django.db import DatabaseError, IntegrityError, models, router, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ossn_messaging.attachments.validation import validate_upload
from ossn_messaging.conf import conf
from ossn_messaging.exceptions import (
    BlankMessage,
    MessagingDisabled,
    MessagingError,
    NotAllowed,
    SelfMessage,
    TextNotUnicode,
    TextTooLong,
    UserNotFound,
)
from ossn_messaging.models.api_keys import APIKey
from ossn_messaging.models.attachments import Attachment, StoredFile
from ossn_messaging.models.blocks import Block
from ossn_messaging.models.conversations import Conversation
from ossn_messaging.models.deletion import cascade_in_batches
from ossn_messaging.models.idempotency import IdempotencyRecord
from ossn_messaging.models.querysets import MessageQuerySet
from ossn_messaging.models.users import is_active
from ossn_messaging.signals import message_sent

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser


def clean_text(text: str) -> str:
    """Return the text to store: ``text`` without NUL characters and surrounding white space.

    Raises ``BlankMessage`` if the result is empty.
    """
    cleaned = text.replace("\0", "").strip()
    if not cleaned:
        raise BlankMessage
    return cleaned


def find_text_error(text: str) -> MessagingError | None:
    """Return ``TextTooLong`` for a text that is too long, ``TextNotUnicode`` for a lone surrogate, else ``None``."""
    if len(text) > conf.MAX_MESSAGE_LENGTH:
        return TextTooLong()
    try:
        text.encode()
    except UnicodeEncodeError:
        return TextNotUnicode()
    return None


class MessageManager(models.Manager.from_queryset(MessageQuerySet)):  # type: ignore[misc]
    def send(  # noqa: PLR0913, one argument for each part of a message
        self,
        *,
        sender: AbstractBaseUser,
        recipient: AbstractBaseUser,
        text: str,
        upload: "File[Any] | None" = None,
        api_key: "APIKey | None" = None,
        idempotency_key: str | None = None,
        is_blocked: bool | None = None,
    ) -> "Message":
        """Send a message and return it. The message and its attachment are stored completely, or nothing is stored.

        ``upload`` is the attachment, any Django ``File`` with a ``name``. ``api_key`` is the key that sends the
        message. If you call ``send()`` inside your own transaction and it is rolled back, the message is gone, and the
        stored file is orphaned. The signal ``message_sent`` is sent after the commit.

        With an ``idempotency_key``, the message is sent only once. If you repeat the call, it returns the same message,
        with ``message.replayed_from`` set.

        If your code has already looked for a block between the two users, ``is_blocked`` says whether there is one, and
        saves a query. A newer block is found anyway.

        Raises the following subclasses of ``ossn_messaging.exceptions.MessagingError``, checked in this order:
        ``MessagingDisabled``, ``BlankMessage``, ``UserNotFound`` (a user is not active), ``SelfMessage``,
        ``ScopeMissing`` and ``UserNotPermitted`` (the key lacks a permission), ``BadIdempotencyKey``,
        ``IdempotencyConflict``, ``NotAllowed`` (``CAN_SEND`` or a block forbids it), ``TextTooLong``,
        ``TextNotUnicode``, ``AttachmentRefused``, ``AttachmentTooLarge`` and ``ServiceUnavailable`` (the file could not
        be inspected or stored). If the database fails, Django's ``DatabaseError`` is raised.
        """
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
        message: Message = self.model(sender=sender, recipient=recipient, text=text, api_key=api_key)
        self._check_allowed(message, using, is_blocked, has_upload=upload is not None)
        message.lacks_attachment()
        try:
            if upload is None:
                self._write(message, using, record)
            else:
                with validate_upload(upload) as validated, Attachment.objects.stored(validated) as stored:
                    self._write(message, using, record, stored)
        except (NotAllowed, UserNotFound, DatabaseError):
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

    @staticmethod
    def _check_allowed(message: "Message", using: str, is_blocked: bool | None, *, has_upload: bool) -> None:
        """Raise ``NotAllowed``, ``TextTooLong`` or ``TextNotUnicode``.

        A block is looked for only if the text is refused or a file would be validated. Otherwise, ``_write()`` finds it
        without a query.
        """
        sender, recipient = message.sender, message.recipient
        if conf.CAN_SEND and not conf.CAN_SEND(sender, recipient, message.api_key):
            raise NotAllowed
        text_error = find_text_error(message.text)
        if is_blocked is None and (text_error or has_upload):
            is_blocked = Block.objects.using(using).between(sender, recipient).exists()
        if is_blocked:
            raise NotAllowed
        if text_error:
            raise text_error

    def _write(
        self,
        message: "Message",
        using: str,
        record: "IdempotencyRecord | None",
        stored: "StoredFile | None" = None,
    ) -> None:
        """Save all rows of a message, or none."""
        announce = partial(message_sent.send_robust, sender=self.model, message=message, api_key=message.api_key)
        written = False
        try:
            with transaction.atomic(using=using):
                # This locks first. Only the owner of the lock gets an id, so ids and sequence numbers grow alike.
                message.sequence, message.created_at = Conversation.objects.using(using).record_message(message)
                message.save(using=using)
                if stored:
                    stored.claim(message, using)
                if record:
                    record.message = message
                    record.save(using=using)
                transaction.on_commit(announce, using=using)
                written = True
        except IntegrityError as error:
            raise UserNotFound from error  # one of the two users was deleted meanwhile
        except DatabaseError:
            # If only the database's answer to the commit was lost, the message is stored and the send has succeeded.
            if not (written and self.using(using).filter(pk=message.pk).exists()):
                raise
            announce()


class Message(models.Model):
    """A text from one user to another. Create messages only by ``Message.objects.send()``.

    Within a conversation, ids, sequence numbers and times grow in the order of the commits.
    """

    sender = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=cascade_in_batches,
        db_index=False,
        related_name="ossn_messages_sent",
        verbose_name=_("sender"),
    )
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=cascade_in_batches,
        db_index=False,
        related_name="ossn_messages_received",
        verbose_name=_("recipient"),
    )
    text = models.TextField(_("text"))
    api_key = models.ForeignKey(
        "APIKey",
        null=True,
        on_delete=models.PROTECT,
        db_index=False,
        editable=False,
        related_name="messages",
        verbose_name=_("API key"),
    )
    """The key that sent the message, or ``None`` if a member by a session or the site's own code sent it."""
    created_at = models.DateTimeField(_("sent at"), default=timezone.now, editable=False)
    sequence = models.PositiveBigIntegerField(_("sequence number"), editable=False)
    """The number of the message in its conversation, from 1.

    Pages are ordered by ``sequence`` and not by ``id``: PostgreSQL may scan the index of ``id`` backwards through the
    messages of all users until it has found a page of a conversation whose last message is old.
    """
    deleted_by_sender = models.BooleanField(_("deleted by its sender"), default=False)
    deleted_by_recipient = models.BooleanField(_("deleted by its recipient"), default=False)
    deleted_at = models.DateTimeField(_("deleted for both at"), null=True, blank=True, editable=False)
    """The time at which text and file were deleted for both users, or ``None``. Both still see that it existed."""

    is_read = False
    """Whether the recipient has read the message; only set on messages that a conversation returned."""
    replayed_from: "IdempotencyRecord | None" = None
    """The record by which ``Message.objects.send()`` found this message instead of sending it again, or ``None``."""

    objects = MessageManager()

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        # Nobody adds, changes or deletes a message in the admin, but a moderator may delete its content.
        default_permissions = ("view",)
        permissions = [
            ("read_message", "Can read message"),
            ("moderate_message", "Can moderate message"),
        ]
        indexes = [
            # In each of these, a user's messages of a conversation are one range, whatever else was deleted.
            models.Index(fields=["sender", "recipient", "deleted_by_sender", "sequence"], name="ossn_message_sent"),
            models.Index(
                fields=["recipient", "sender", "deleted_by_recipient", "sequence"], name="ossn_message_received"
            ),
            # For the admin, newest first. The last two contain only deleted messages, so they cost a send nothing.
            models.Index(fields=["sender", "id"], name="ossn_message_from"),
            models.Index(fields=["recipient", "id"], name="ossn_message_to"),
            models.Index(fields=["api_key", "id"], name="ossn_message_key"),
            models.Index(
                fields=["id"],
                condition=models.Q(deleted_by_sender=True) | models.Q(deleted_by_recipient=True),
                name="ossn_message_deleted_by_one",
            ),
            models.Index(
                fields=["id"], condition=models.Q(deleted_at__isnull=False), name="ossn_message_deleted_for_both"
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(sender=models.F("recipient")), name="ossn_message_not_to_oneself"
            ),
        ]

    def __str__(self) -> str:
        return _("message %(id)s") % {"id": self.pk}

    def lacks_attachment(self) -> None:
        """Cache on this object that there is no attachment, so that no query looks for it."""
        self._meta.get_field("attachment").set_cached_value(self, None)  # type: ignore[union-attr]

    def participants(self) -> list[tuple[int, int, bool]]:
        """Return (user id, other user's id, whether the user deleted it) for both users, in the order of locking."""
        return sorted(
            [
                (self.sender_id, self.recipient_id, self.deleted_by_sender),
                (self.recipient_id, self.sender_id, self.deleted_by_recipient),
            ]
        )

    @property
    def is_deleted(self) -> bool:
        """Whether the message was deleted for both users."""
        return self.deleted_at is not None

    @property
    def deletion(self) -> str:
        """A text that says for which users the message is deleted; empty if it is not deleted."""
        if self.is_deleted:
            return str(_("for both users"))
        if self.deleted_by_sender:
            return str(_("by its sender"))
        return str(_("by its recipient")) if self.deleted_by_recipient else ""

    def is_visible_to(self, user: "AbstractBaseUser | AnonymousUser") -> bool:
        """Return whether ``user`` is the sender or the recipient and has not deleted the message."""
        return any(user_id == user.pk and not deleted for user_id, _other_id, deleted in self.participants())

    def is_readable_by(self, user: "AbstractBaseUser | AnonymousUser") -> bool:
        """Return whether ``user`` is the sender or the recipient, has not deleted the message and is active."""
        return self.is_visible_to(user) and is_active(user)

    def is_open_to_key(self, api_key: "APIKey") -> bool:
        """Return whether ``api_key`` may read the message as its sender or as its recipient."""
        readers = [user.pk for user in (self.sender, self.recipient) if self.is_readable_by(user)]
        return bool(readers) and "read" in api_key.scopes and api_key.may_act_as(*readers)
