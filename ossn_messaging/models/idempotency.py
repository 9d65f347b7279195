"""Idempotent sends: a request with an idempotency key sends its message only once."""

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.files.base import File
from django.db import models
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext_lazy as _

from ossn_messaging.attachments.validation import size_and_sha256
from ossn_messaging.exceptions import BadIdempotencyKey, IdempotencyConflict

if TYPE_CHECKING:
    from ossn_messaging.models.messages import Message

KEY_MAX_LENGTH = 255
"""In characters."""
SALT = "ossn_messaging.idempotency"


class IdempotencyRecordQuerySet(models.QuerySet["IdempotencyRecord"]):
    def build(
        self, key: str, sender: AbstractBaseUser, recipient: AbstractBaseUser, text: str, upload: "File[Any] | None"
    ) -> "IdempotencyRecord":
        """Return an unsaved record of a request with the idempotency key ``key``.

        Raises ``BadIdempotencyKey`` if the key is empty, too long or not printable.
        """
        if not (0 < len(key) <= KEY_MAX_LENGTH and key.isprintable()):
            raise BadIdempotencyKey
        if upload:
            upload.seek(0)
        request = json.dumps([recipient.pk, text, size_and_sha256(upload)[1] if upload else None])
        record = self.model(
            sender_id=sender.pk, recipient_id=recipient.pk, key_digest=hashlib.sha256(key.encode()).hexdigest()
        )
        record.request_digest, *record.former_digests = (
            salted_hmac(SALT, request, secret=secret, algorithm="sha256").hexdigest()
            for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
        )
        return record

    def find_existing(self, record: "IdempotencyRecord") -> "Message | None":
        """Return the message that was sent with the same idempotency key, or ``None``.

        Raises ``IdempotencyConflict`` if the request was different, or if the sender no longer has the message.
        """
        existing = (
            self.select_related("message__attachment", "message__sender", "message__recipient")
            .filter(sender_id=record.sender_id, key_digest=record.key_digest)
            .first()
        )
        if existing is None:
            return None
        message = existing.message
        if not record.matches(existing) or message is None or message.is_deleted or message.deleted_by_sender:
            raise IdempotencyConflict
        message.replayed_from = existing
        return message


class IdempotencyRecord(models.Model):
    """A request that a sender made with an idempotency key, so that its message is sent only once."""

    sender = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, db_index=False, related_name="+", verbose_name=_("sender")
    )
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", verbose_name=_("recipient")
    )
    key_digest = models.CharField(_("digest of the idempotency key"), max_length=64)
    """SHA-256 of the idempotency key, in hexadecimal. Some databases would treat different keys as equal."""
    request_digest = models.CharField(_("digest of the request"), max_length=64)
    """HMAC-SHA-256 of the request, in hexadecimal. Without ``SECRET_KEY``, nobody can test guesses of the text."""
    message = models.OneToOneField(
        "ossn_messaging.Message",
        null=True,
        on_delete=models.SET_NULL,
        related_name="idempotency_record",
        verbose_name=_("message"),
    )

    former_digests: Sequence[str] = ()
    """The values of ``request_digest`` for each of ``SECRET_KEY_FALLBACKS``; not stored."""

    objects = IdempotencyRecordQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        verbose_name = _("idempotency record")
        verbose_name_plural = _("idempotency records")
        constraints = [models.UniqueConstraint(fields=["sender", "key_digest"], name="ossn_idempotency_key_unique")]

    def __str__(self) -> str:
        return _("idempotency record %(id)s") % {"id": self.pk}

    def matches(self, stored: "IdempotencyRecord") -> bool:
        """Return whether both records were built from the same request."""
        digests = (self.request_digest, *self.former_digests)
        return any(constant_time_compare(digest, stored.request_digest) for digest in digests)
