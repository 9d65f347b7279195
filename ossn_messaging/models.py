from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from django.conf import settings
from django.db import models, router, transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext_lazy as _

from ossn_messaging.attachments.file_types import BY_CONTENT_TYPE, FileType
from ossn_messaging.conf import conf
from ossn_messaging.conversations import ConversationQuerySet
from ossn_messaging.deletion import with_user
from ossn_messaging.exceptions import ScopeMissing, UserNotPermitted
from ossn_messaging.fields import AttachmentField
from ossn_messaging.idempotency import IdempotencyRecordQuerySet
from ossn_messaging.keys import APIKeyManager, all_scopes
from ossn_messaging.managers import AttachmentManager, MessageManager
from ossn_messaging.users import is_active

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser, PermissionsMixin


class Message(models.Model):
    """A text from one user to another. ``Message.objects.send()`` is the one way in which it comes to be.

    Within a conversation ids, positions and times grow in one order, that of the commits.
    """

    sender = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=with_user,
        db_index=False,
        related_name="ossn_messages_sent",
        verbose_name=_("sender"),
    )
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=with_user,
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
    """The key that sent it, ``None`` where the site's own code did."""
    created_at = models.DateTimeField(_("sent at"), default=timezone.now, editable=False)
    position = models.PositiveBigIntegerField(_("position"), editable=False)
    """The number of the message in its conversation, from 1.

    Pages are read in its order: ``id`` has an index of its own, by which PostgreSQL likes to walk back through the
    messages of all until it has found ten of a conversation that may have been silent for long.
    """
    deleted_by_sender = models.BooleanField(_("deleted by its sender"), default=False)
    deleted_by_recipient = models.BooleanField(_("deleted by its recipient"), default=False)
    deleted_at = models.DateTimeField(_("deleted for both at"), null=True, blank=True, editable=False)
    """When its text and file went for both sides, which still see that there was a message; else ``None``."""

    is_viewed = False
    """Whether its recipient has viewed it, as far as the page tells that it was read with."""
    replayed_from: "IdempotencyRecord | None" = None
    """The record by which ``Message.objects.send()`` found this message instead of sending it again."""

    objects = MessageManager()

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        # Nobody adds, changes or deletes a message in the admin, but a moderator may take away what is in it.
        default_permissions = ("view",)
        permissions = [
            ("read_message", "Can read message"),
            ("moderate_message", "Can moderate message"),
        ]
        indexes = [
            # A user's side of a conversation is one range in each of these, whatever was deleted from it.
            models.Index(fields=["sender", "recipient", "deleted_by_sender", "position"], name="ossn_message_sent"),
            models.Index(
                fields=["recipient", "sender", "deleted_by_recipient", "position"], name="ossn_message_received"
            ),
            # What the admin finds, newest first. The last two hold only what was deleted, and cost a send nothing.
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
        """Let this object know that there is no attachment, so that the database is not asked."""
        self._meta.get_field("attachment").set_cached_value(self, None)  # type: ignore[union-attr]

    def sides(self) -> list[tuple[int, int, bool]]:
        """Return (user id, id of the other, whether the user deleted it) of both, in the order to lock them in."""
        return sorted(
            [
                (self.sender_id, self.recipient_id, self.deleted_by_sender),
                (self.recipient_id, self.sender_id, self.deleted_by_recipient),
            ]
        )

    @property
    def is_deleted(self) -> bool:
        """Whether it was deleted for both sides."""
        return self.deleted_at is not None

    @property
    def deletion(self) -> str:
        """For whom it is deleted, in words; empty where for nobody."""
        if self.is_deleted:
            return str(_("for both sides"))
        if self.deleted_by_sender:
            return str(_("by its sender"))
        return str(_("by its recipient")) if self.deleted_by_recipient else ""

    def is_visible_to(self, user: "AbstractBaseUser | AnonymousUser") -> bool:
        """Whether ``user`` is its sender or recipient and has not deleted it."""
        return any(user_id == user.pk and not deleted for user_id, _other_id, deleted in self.sides())

    def is_readable_by(self, user: "AbstractBaseUser | AnonymousUser") -> bool:
        """Whether ``user`` is its sender or recipient, has not deleted it and is active."""
        return self.is_visible_to(user) and is_active(user)

    def is_open_to_key(self, api_key: "APIKey") -> bool:
        """Whether ``api_key`` may read it as one of its two users."""
        readers = [user.pk for user in (self.sender, self.recipient) if self.is_readable_by(user)]
        return bool(readers) and "read" in api_key.scopes and api_key.may_act_as(*readers)


class Conversation(models.Model):
    """One user's side of the messages between them and another: what of it is kept rather than counted.

    A send touches two rows, one a side; they are also the lock that puts the sends of a conversation in a line.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        db_index=False,
        related_name="ossn_conversations",
        verbose_name=_("user"),
    )
    other = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="+",
        verbose_name=_("other user"),
    )
    position = models.PositiveBigIntegerField(_("position"), default=0, editable=False)
    """That of the newest message that there ever was, the same on both sides."""
    messages = models.PositiveBigIntegerField(_("messages"), default=0)
    """How many messages the user has not deleted."""
    unread = models.PositiveBigIntegerField(_("unread messages"), default=0)
    """How many of those the other sent and the user has not viewed: those with a position above ``read_up_to``."""
    read_up_to = models.PositiveBigIntegerField(_("read up to"), default=0)
    """The position up to which the user has viewed what the other sent."""
    newest = models.PositiveBigIntegerField(_("newest message"), null=True, editable=False)
    """The position of the newest message that the user has not deleted, ``None`` where there are none."""
    active_at = models.DateTimeField(_("active at"), null=True)
    """When that message was sent."""

    seen_up_to: int | None = None
    """The position up to which the other has viewed what the user sent; ``None`` until it is asked for."""
    newest_id: int | None = None
    of_all: int | None = None
    """Of how many conversations of the user this is one, where it was asked for with them."""
    newest_message: Message | None = None
    """What ``Conversation.objects.recent()`` has found."""

    objects = ConversationQuerySet.as_manager()

    class Meta:
        verbose_name = _("conversation")
        verbose_name_plural = _("conversations")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["user", "other"], name="ossn_conversation_unique"),
        ]
        indexes = [
            models.Index(fields=["user", "-active_at", "-other"], name="ossn_conversation_recent"),
            models.Index(fields=["user", "unread"], name="ossn_conversation_unread"),
        ]

    def __str__(self) -> str:
        return _("conversation %(id)s") % {"id": self.pk}

    def page(self, number: int = 1, *, before: int | None = None, size: int | None = None) -> list[Message]:
        """Return a page of the messages that the user has not deleted, newest first.

        ``number`` counts pages from 1; ``before`` is the id of the message that the page comes before, and costs the
        same however far back that is. ``size`` is ``PAGE_SIZE`` where it is not given.
        """
        size = size or conf.PAGE_SIZE
        skip, below = (max(number, 1) - 1) * size, self.position + 1
        if before is None and skip >= self.messages:
            return []
        messages = Message.objects.using(self._state.db)
        if before is not None:
            skip, below = 0, messages.position_of(before, self)
        elif self.messages == self.position:  # none was ever deleted, so each page is a known range of positions
            skip, below = 0, below - skip
        return self.told(messages.of_side(self, below=below, skip=skip, size=size))

    def unread_page(self, number: int = 1, *, size: int | None = None) -> list[Message]:
        """Return a page, counted from 1, of those that the other sent and the user has not viewed, newest first."""
        size = size or conf.PAGE_SIZE
        skip = (max(number, 1) - 1) * size
        if skip >= self.unread:
            return []
        return self.told(Message.objects.using(self._state.db).unread_of_side(self, skip=skip, size=size))

    def mark_read(self) -> int:
        """Mark what the user has received, up to the newest message that this object knows of, as viewed.

        Returns how many messages it marked. ``message_viewed`` follows the commit.
        """
        marked: int = type(self).objects.mark_read(self)
        return marked

    def told(self, messages: "Iterable[Message]") -> list[Message]:
        """Return the messages with what the two sides tell of whether they are viewed."""
        told = list(messages)
        if self.seen_up_to is None and any(message.sender_id == self.user_id for message in told):
            mirrored = type(self).objects.using(self._state.db).filter(user=self.other_id, other=self.user_id)
            self.seen_up_to = mirrored.values_list("read_up_to", flat=True).first()
        for message in told:
            up_to = self.seen_up_to if message.sender_id == self.user_id else self.read_up_to
            message.is_viewed = message.position <= (up_to or 0)
        return told


class Attachment(models.Model):
    """The file of a message. Its row exists only while the file is whole on its storage."""

    message = models.OneToOneField(
        Message, on_delete=models.CASCADE, related_name="attachment", verbose_name=_("message")
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


class APIKey(models.Model):
    """A key with which a program may use the API. Only its digest is kept."""

    name = models.CharField(_("name"), max_length=100)
    digest = models.CharField(_("digest"), max_length=64, unique=True, editable=False)
    """SHA-256 of the key, in hexadecimal."""
    scopes = models.JSONField(_("scopes"), default=all_scopes)
    """A list of what the key may do, each one of ``SCOPES``."""
    users = models.ManyToManyField(
        settings.AUTH_USER_MODEL,
        blank=True,
        related_name="ossn_api_keys",
        verbose_name=_("users"),
        help_text=_("Whom it may act as: whom messages are from, and whose are read. Empty: anyone."),
    )
    is_restricted = models.BooleanField(_("restricted to its users"), default=False, editable=False)
    """Whether it may act as ``users`` alone, though the last of them has been deleted meanwhile."""
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(_("last used at"), null=True, blank=True, editable=False)
    """To within ``keys.USE_INTERVAL``."""

    objects = APIKeyManager()

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")

    def __str__(self) -> str:
        return self.name

    @property
    def is_active(self) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())

    def require(self, scope: str, user_id: int) -> None:
        """Raise ``ScopeMissing`` or ``UserNotPermitted`` unless the key may do this, as this user."""
        if scope not in self.scopes:
            raise ScopeMissing(scope)
        if not self.may_act_as(user_id):
            raise UserNotPermitted

    def may_act_as(self, *user_ids: int) -> bool:
        """Whether the key may act as one of these users."""
        return not self.is_restricted or self.users.using(self._writer).filter(pk__in=user_ids).exists()

    def restrict_to(self, users: "Iterable[AbstractBaseUser]") -> None:
        """Let the key act as these users alone; as anyone where there are none."""
        chosen = list(users)
        with transaction.atomic(using=self._writer):
            self.is_restricted = bool(chosen)
            self.save(using=self._writer, update_fields=["is_restricted"])
            self.users.set([user.pk for user in chosen])

    def revoke(self) -> None:
        """Revoke the key at once; a key that is revoked already keeps the time at which it was."""
        type(self).objects.using(self._writer).filter(pk=self.pk).revoke()
        self.refresh_from_db(using=self._writer, fields=["revoked_at"])

    def rotate(self, overlap: timedelta) -> "tuple[APIKey, str]":
        """Make a key of the same name that may do the same, and let this one expire after ``overlap``.

        Returns the new key and its text, which can't be had again. Raises ``ValueError`` if this one is not active.
        """
        keys = type(self).objects.db_manager(self._writer)
        made: tuple[APIKey, str] = keys.rotate(self, overlap)
        return made

    @property
    def _writer(self) -> str:
        return router.db_for_write(type(self), instance=self)


class IdempotencyRecord(models.Model):
    """What a sender asked for under an idempotency key, so that it is done only once."""

    sender = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, db_index=False, related_name="+", verbose_name=_("sender")
    )
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", verbose_name=_("recipient")
    )
    key_digest = models.CharField(_("digest of the idempotency key"), max_length=64)
    """SHA-256 of the idempotency key, in hexadecimal: some databases take two texts for equal that are not."""
    request_digest = models.CharField(_("digest of the request"), max_length=64)
    """HMAC-SHA-256 of the request with ``SECRET_KEY``, in hexadecimal, so that nobody can try out what the text was."""
    message = models.OneToOneField(
        Message, null=True, on_delete=models.SET_NULL, related_name="idempotency_record", verbose_name=_("message")
    )

    former_digests: Sequence[str] = ()
    """What ``request_digest`` would be with each of ``SECRET_KEY_FALLBACKS``; not stored."""

    objects = IdempotencyRecordQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        verbose_name = _("idempotency record")
        verbose_name_plural = _("idempotency records")
        constraints = [models.UniqueConstraint(fields=["sender", "key_digest"], name="ossn_idempotency_key_unique")]

    def __str__(self) -> str:
        return _("idempotency record %(id)s") % {"id": self.pk}

    def matches(self, stored: "IdempotencyRecord") -> bool:
        """Return whether both were built from the same request."""
        digests = (self.request_digest, *self.former_digests)
        return any(constant_time_compare(digest, stored.request_digest) for digest in digests)
