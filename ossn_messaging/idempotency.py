"""Sends that are safe to repeat: what is asked for under an idempotency key is done once."""

import hashlib
import json
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.files.base import File
from django.db import models
from django.utils.crypto import salted_hmac

from ossn_messaging.attachments.validation import size_and_sha256
from ossn_messaging.exceptions import BadIdempotencyKey, IdempotencyConflict

if TYPE_CHECKING:
    from ossn_messaging.models import IdempotencyRecord, Message

KEY_MAX_LENGTH = 255
"""In characters."""
SALT = "ossn_messaging.idempotency"


class IdempotencyRecordQuerySet(models.QuerySet["IdempotencyRecord"]):
    def build(
        self, key: str, sender: AbstractBaseUser, recipient: AbstractBaseUser, text: str, upload: "File[Any] | None"
    ) -> "IdempotencyRecord":
        """Return a record, not saved, of what is asked for under ``key``; raises ``BadIdempotencyKey``."""
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
        """Return the message that was sent under the same key, ``None`` if none was.

        Raises ``IdempotencyConflict`` if it was another message, or its sender does not have it any more.
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
